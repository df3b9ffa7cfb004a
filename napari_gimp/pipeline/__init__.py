"""Slide + profile -> Prediction, as generators: they yield ``Progress`` and return the result.

Command line, window and tests drain the same ones::

    Slide -> Tissue -> PatchGrid -> Bag   embed     (stored by fingerprint, resumed after a kill)
    Bag + genes -> Prediction             predict
    Slide + checkpoint -> Prediction      analyse   (both, with partial maps on the way)
    Slide + checkpoint -> Questions       prepare, Questions.of   (what if genes or regions were others?)
"""

from napari_gimp.pipeline.analysis import Analysis, Prepared, analyse, prepare, read_profile
from napari_gimp.pipeline.cache import trim
from napari_gimp.pipeline.embedding import drawn_tissue, embed
from napari_gimp.pipeline.known import request_key
from napari_gimp.pipeline.notes import bag_notes
from napari_gimp.pipeline.prediction import predict
from napari_gimp.pipeline.questions import Answer, Questions, Rerun

__all__ = [
    "Analysis",
    "Answer",
    "Prepared",
    "Questions",
    "Rerun",
    "analyse",
    "bag_notes",
    "drawn_tissue",
    "embed",
    "predict",
    "prepare",
    "read_profile",
    "request_key",
    "trim",
]
