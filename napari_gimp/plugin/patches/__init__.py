"""Patches: which lies where, their numbers, pixels, marks, and which ones a gallery picks."""
