"""What the user draws on a slide: regions, tissue, undo, files."""
