"""The panel: its sections, their small parts, and what they read."""
