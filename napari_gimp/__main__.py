"""``python -m napari_gimp``."""

from napari_gimp.cli import main

main()
