"""A prediction as files: numbers, tables, QuPath overlay, OME-Zarr maps, a figure and the record of the run.

Writers recompute nothing, and whatever they write appears whole or not at all.
"""

from napari_gimp.export.everything import check_free, export_prediction
from napari_gimp.export.omezarr import write_maps
from napari_gimp.export.overlay import write_overlay

__all__ = ["check_free", "export_prediction", "write_maps", "write_overlay"]
