"""napari's sample data: the synthetic lung slide, generated into the user's cache at first use."""

from __future__ import annotations

import napari

from napari_gimp.bundled import sample_folder
from napari_gimp.plugin.host import attend
from napari_gimp.plugin.layers import LayerTuple, slide_layer
from napari_gimp.plugin.preferences import preferences
from napari_gimp.slides import open_slide
from napari_gimp.synthetic import make_sample


def synthetic_slide() -> list[LayerTuple]:
    """A generated slide; its gene profile travels in the metadata, and the panel takes it from there."""
    viewer = napari.current_viewer()
    if viewer is not None:
        attend(viewer)
    sample = make_sample(sample_folder(preferences().cache))
    data, attributes, kind = slide_layer(open_slide(sample.slide))
    attributes["metadata"]["profile"] = sample.profile
    return [(data, attributes, kind)]
