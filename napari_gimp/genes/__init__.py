"""Gene expression: a file -> samples x genes -> one profile -> a checkpoint's gene order and scale."""

from napari_gimp.genes.align import AlignedMatrix as AlignedMatrix
from napari_gimp.genes.align import align as align
from napari_gimp.genes.align import align_matrix as align_matrix
from napari_gimp.genes.barcodes import case_of as case_of
from napari_gimp.genes.barcodes import site_of as site_of
from napari_gimp.genes.matching import SampleMatch as SampleMatch
from napari_gimp.genes.matching import choose_sample as choose_sample
from napari_gimp.genes.matching import match_case as match_case
from napari_gimp.genes.matrix import Expression as Expression
from napari_gimp.genes.reading import read_expression as read_expression
from napari_gimp.genes.reference import GeneReference as GeneReference
from napari_gimp.genes.reference import symbols_of as symbols_of
