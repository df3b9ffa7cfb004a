"""Commands on slides: info, embed, predict, view, demo."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_gimp.bundled import DEMO_CHECKPOINT, has_display, resource, sample_folder
from napari_gimp.cli.app import app
from napari_gimp.console import drain, for_each, tell
from napari_gimp.options import (
    BagFile,
    BatchSize,
    Cache,
    Checkpoint,
    Device,
    EncoderName,
    ExpressionScale,
    Icc,
    Json,
    Mpp,
    NameOptions,
    Overwrite,
    PatchMpp,
    PatchPx,
    ProfileFile,
    SampleId,
    Slides,
    TissueFile,
    Weights,
)
from napari_gimp.settings import InputError
from napari_gimp.types import PatchSpec
from napari_gimp.words import verdict

if TYPE_CHECKING:
    from napari_gimp.types import Profile, SlideFacts, Tissue


@app.command
def info(path: Path, /, *, as_json: Json = False) -> None:
    """A slide, bag, checkpoint or expression file in words.

    Parameters
    ----------
    path
        The file, or the folder of a checkpoint.
    """
    from napari_gimp.describe import describe_path, in_words

    facts = describe_path(path)
    if as_json:
        print(json.dumps(facts, default=str))
        return
    for name, value in facts.items():
        print(f"{name.replace('_', ' '):<22} {in_words(value)}")


@app.command
def embed(
    slides: Slides,
    /,
    *,
    encoder: EncoderName,
    out: Path,
    weights: Weights = None,
    mpp: Mpp = None,
    icc: Icc = False,
    patch_px: PatchPx = None,
    patch_mpp: PatchMpp = None,
    tissue: TissueFile = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    overwrite: Overwrite = False,
) -> int:
    """Turn slides into bags of patch embeddings: OUT/SLIDE.h5 in TRIDENT's layout, with a picture to check.

    Parameters
    ----------
    out
        Folder for the bags.
    """
    from napari_gimp import pipeline
    from napari_gimp.encoders.load import load_encoder
    from napari_gimp.slides import open_slide

    paths = _slide_paths(slides)
    _check_one_slide("--tissue", tissue, paths)
    model = load_encoder(encoder, weights=weights, device=device, batch_size=batch_size)
    spec = PatchSpec(patch_px or model.patch_px, patch_mpp or model.patch_mpp)

    def one(path: Path) -> str:
        with open_slide(path, mpp, use_icc=icc) as slide:
            tell(slide.facts.notes)
            target = out / f"{slide.facts.name}.h5"
            drawn = _drawn(slide.facts, tissue)
            work = pipeline.embed(slide, model, target, spec=spec, drawn=drawn, overwrite=overwrite)
            bag = drain(work, f"{path.name}: ")
        tell(f"{path.name}: {note}" for note in pipeline.bag_notes(bag, spec.patch_px))
        return f"{len(bag)} patches x {bag.features.shape[1]} in {target}, {len(bag.missing_yx)} missing"

    return for_each(paths, one)


@app.command
def predict(
    slides: Slides,
    /,
    *,
    checkpoint: Checkpoint,
    out: Path,
    profile: ProfileFile = None,
    sample: SampleId = None,
    expression_scale: ExpressionScale = None,
    gene_map: Annotated[Path | None, Parameter(help="Table of gene identifiers and symbols.")] = None,
    bag: BagFile = None,
    encoder: EncoderName | None = None,
    weights: Weights = None,
    mpp: Mpp = None,
    icc: Icc = False,
    tissue: TissueFile = None,
    device: Device = "auto",
    batch_size: BatchSize = None,
    cache: Cache = None,
    names: NameOptions = NameOptions(),  # noqa: B008  frozen
    overwrite: Overwrite = False,
) -> int:
    """Run GiMP on slides; writes a folder of results per slide: probabilities, maps, overlay, figure, record.

    Parameters
    ----------
    out
        Folder for the results; each slide gets a folder of its own.
    """
    from napari_gimp import pipeline
    from napari_gimp.cli.outputs import Outputs
    from napari_gimp.export import check_free
    from napari_gimp.gimp.checkpoint import read_facts
    from napari_gimp.slides import open_slide

    paths = _slide_paths(slides)
    _check_one_slide("--bag", bag, paths)
    _check_one_slide("--tissue", tissue, paths)
    read_facts(checkpoint)  # a wrong checkpoint ends the batch before its first slide
    plan = pipeline.Analysis(checkpoint, encoder, weights, device, batch_size, bag, cache)
    hide = [name for name in (profile, sample, bag, tissue) if name is not None]
    outputs = Outputs(out, names, hide)

    def genes_of(name: str) -> Profile | None:
        if profile is None:
            return None
        return pipeline.read_profile(profile, name, sample, scale=expression_scale, gene_map=gene_map)

    def one(path: Path) -> str:
        with open_slide(path, mpp, use_icc=icc) as slide:
            tell(slide.facts.notes)
            folder = outputs.folder(slide.facts)
            check_free(folder, overwrite)
            work = pipeline.analyse(slide, plan, profile=genes_of(slide.facts.name), drawn=_drawn(slide.facts, tissue))
            prediction = drain(work, f"{path.name}: ")
            tell(prediction.notes)
            outputs.write(slide, prediction, overwrite=overwrite)
        return f"{verdict(prediction)}; {folder}"

    return for_each(paths, one)


@app.command
def view(
    slide: Path,
    /,
    *,
    profile: ProfileFile = None,
    checkpoint: Checkpoint | None = None,
    mpp: Mpp = None,
) -> None:
    """Open a slide in napari with the panel, the profile and the checkpoint (the demo model if none).

    Parameters
    ----------
    slide
        A slide, or a session (.gimp.json), which is put back as it was left.
    """
    for path in (slide, profile, checkpoint):
        if path is not None and not path.exists():
            raise InputError(f"{path}: expected a file or folder, found nothing there; check the path.")
    if slide.name.lower().endswith(".gimp.json") and (profile, checkpoint, mpp) != (None, None, None):
        raise InputError(
            f"{slide.name} is a session and brings its own profile, checkpoint and pixel size: leave the options out,"
            " or give the slide instead."
        )
    _open_viewer(slide, profile, checkpoint, mpp)


@app.command
def demo(*, out: Annotated[Path, Parameter(help="Folder for the results.")] = Path("demo-output")) -> int:
    """The whole main job on a generated (synthetic) slide and profile: in napari with a display, else as files."""
    from napari_gimp.synthetic import make_sample

    sample = make_sample(sample_folder())
    checkpoint = resource(DEMO_CHECKPOINT)
    tell([f"Slide {sample.slide}", f"Gene profile {sample.profile}", f"Checkpoint {checkpoint}"])
    if has_display():
        _open_viewer(sample.slide, sample.profile, checkpoint, run=True)
        return 0
    tell(["No display: writing the files instead of opening napari."])
    return predict([sample.slide], checkpoint=checkpoint, out=out, profile=sample.profile, overwrite=True)


def _open_viewer(
    slide: Path, profile: Path | None, checkpoint: Path | None, mpp: float | None = None, run: bool = False
) -> None:
    try:
        from napari_gimp.plugin.launch import open_viewer
    except ModuleNotFoundError as missing:
        raise InputError(
            f"The window needs napari and a Qt binding, found no {missing.name}; pip install 'napari-gimp[all]'."
        ) from missing
    if not has_display() and "QT_QPA_PLATFORM" not in os.environ:
        raise InputError("The window needs a display, found none; run predict for the same result as files.")
    open_viewer(slide, profile=profile, checkpoint=checkpoint, mpp=mpp, run=run)


def _slide_paths(given: list[Path]) -> list[Path]:
    from napari_gimp.slides import find_slides

    paths = [path for item in given for path in (find_slides(item) if item.is_dir() else [item])]
    if not paths:
        raise InputError(
            f"Expected slides in {', '.join(map(str, given))}, found none; give slide files or a folder of them."
        )
    return paths


def _check_one_slide(option: str, file: Path | None, slides: list[Path]) -> None:
    if file is not None and len(slides) > 1:
        raise InputError(f"{option} belongs to one slide, found {len(slides)} slides; give one, or leave {option} out.")


def _drawn(facts: SlideFacts, tissue: Path | None) -> Tissue | None:
    from napari_gimp.pipeline import drawn_tissue

    return None if tissue is None else drawn_tissue(facts, tissue)
