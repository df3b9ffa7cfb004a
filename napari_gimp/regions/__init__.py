"""Regions with names and classes: polygons <-> GeoJSON (QuPath), XML (ImageScope), masks; what a slide has in them."""

from napari_gimp.regions.geojson import ObjectType as ObjectType
from napari_gimp.regions.geojson import geojson_file as geojson_file
from napari_gimp.regions.geojson import read_geojson as read_geojson
from napari_gimp.regions.geojson import to_feature as to_feature
from napari_gimp.regions.geojson import write_geojson as write_geojson
from napari_gimp.regions.imagescope import looks_like_imagescope as looks_like_imagescope
from napari_gimp.regions.imagescope import read_imagescope as read_imagescope
from napari_gimp.regions.imagescope import write_imagescope as write_imagescope
from napari_gimp.regions.masks import mask_to_regions as mask_to_regions
from napari_gimp.regions.masks import regions_to_mask as regions_to_mask
from napari_gimp.regions.reading import fitting_notes as fitting_notes
from napari_gimp.regions.reading import outside_shares as outside_shares
from napari_gimp.regions.reading import read_regions as read_regions
from napari_gimp.regions.region import Colour as Colour
from napari_gimp.regions.region import Region as Region
from napari_gimp.regions.region import RegionFile as RegionFile
from napari_gimp.regions.region import even_odd as even_odd
from napari_gimp.regions.region import repaired as repaired
