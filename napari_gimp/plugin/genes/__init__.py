"""Genes of the result, and what would be if they were different."""
