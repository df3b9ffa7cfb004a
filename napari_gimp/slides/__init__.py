"""Slides: a path becomes lazy levels, tissue, patches and pixels. Never imports torch."""

from napari_gimp.slides.formats import find_slides as find_slides
from napari_gimp.slides.patches import cut_patches as cut_patches
from napari_gimp.slides.pyramid import Slide as Slide
from napari_gimp.slides.pyramid import open_slide as open_slide
from napari_gimp.slides.qc import qc_picture as qc_picture
from napari_gimp.slides.reading import PatchBatch as PatchBatch
from napari_gimp.slides.reading import read_patch as read_patch
from napari_gimp.slides.reading import read_patches as read_patches
from napari_gimp.slides.tiles import SlideError as SlideError
from napari_gimp.slides.tissue import TissueSettings as TissueSettings
from napari_gimp.slides.tissue import detect_tissue as detect_tissue
from napari_gimp.slides.tissue import tissue_of as tissue_of
