"""napari-gimp: whole-slide images and gene expression together, through GiMP, in napari and on the command line.

Research use only: not for diagnosis.
"""

from importlib.metadata import version

__version__ = version("napari-gimp")
