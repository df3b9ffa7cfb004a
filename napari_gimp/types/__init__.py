"""The nouns that cross rooms. Frozen, and they refuse nonsense when made.

Coordinates are ``yx``, top-left, in level-0 pixels unless a suffix says otherwise (``_um``, ``_px``).
Axis letters: N patch, D embedding, G gene, K gene group, H head, C class.
"""

from napari_gimp.types.bag import Bag as Bag
from napari_gimp.types.case import Case as Case
from napari_gimp.types.case import Sample as Sample
from napari_gimp.types.classes import against_others as against_others
from napari_gimp.types.genes import AlignedGenes as AlignedGenes
from napari_gimp.types.genes import GeneGroup as GeneGroup
from napari_gimp.types.genes import Profile as Profile
from napari_gimp.types.genes import Scale as Scale
from napari_gimp.types.hashing import array_hash as array_hash
from napari_gimp.types.hashing import fingerprint as fingerprint
from napari_gimp.types.patches import Lattice as Lattice
from napari_gimp.types.patches import PatchGrid as PatchGrid
from napari_gimp.types.patches import PatchSpec as PatchSpec
from napari_gimp.types.prediction import MODALITIES as MODALITIES
from napari_gimp.types.prediction import CheckpointFacts as CheckpointFacts
from napari_gimp.types.prediction import MapSettings as MapSettings
from napari_gimp.types.prediction import Modality as Modality
from napari_gimp.types.prediction import Prediction as Prediction
from napari_gimp.types.prediction import Progress as Progress
from napari_gimp.types.slide import MAX_MPP as MAX_MPP
from napari_gimp.types.slide import MIN_MPP as MIN_MPP
from napari_gimp.types.slide import SlideFacts as SlideFacts
from napari_gimp.types.slide import Tissue as Tissue
from napari_gimp.types.slide import check_mpp as check_mpp
from napari_gimp.types.whatif import EDIT_KINDS as EDIT_KINDS
from napari_gimp.types.whatif import WHAT_IF as WHAT_IF
from napari_gimp.types.whatif import EditKind as EditKind
from napari_gimp.types.whatif import GeneEdit as GeneEdit
from napari_gimp.types.whatif import RegionEdit as RegionEdit
from napari_gimp.types.whatif import WhatIf as WhatIf
