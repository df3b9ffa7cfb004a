"""Synthetic cases: H&E-like slides, gene profiles and cohorts made from a seed, for the sample, the demo and the tests.

Nothing here comes from a patient, and every file says so. The two tumour types differ in architecture and nuclei, and
overlap; stain varies from case to case more than between types, so that colour alone is a poor guide.
"""

from napari_gimp.synthetic.case import TYPES, SyntheticCase, draw_case
from napari_gimp.synthetic.cohort import CohortPaths, SamplePaths, make_sample, synthetic_cohort
from napari_gimp.synthetic.profile import make_profile
from napari_gimp.synthetic.slide import make_slide

__all__ = [
    "TYPES",
    "CohortPaths",
    "SamplePaths",
    "SyntheticCase",
    "draw_case",
    "make_profile",
    "make_sample",
    "make_slide",
    "synthetic_cohort",
]
