"""The work of the gallery in workers: pick patches and read them in one pass, write the picture sheet. No window."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from napari_gimp.plugin.patches.marks import LABEL_COLOURS, Mark, colour_of, label_at
from napari_gimp.plugin.patches.patchfacts import centre, number_words
from napari_gimp.plugin.patches.patchpixels import SlideHandle, read_thumbnails
from napari_gimp.plugin.patches.picks import Picks, PickSettings, Ranking, pick
from napari_gimp.types import Prediction, Progress


@dataclass(frozen=True, eq=False)
class Hung:
    """Picked patches and the pixels of those that could be read."""

    picks: Picks
    pixels: Mapping[int, UInt8[np.ndarray, "s s 3"]]

    @property
    def words(self) -> list[str]:
        """Rank and value of each patch, the unit below."""
        shown = self.picks.shown
        values = (number_words(shown, float(shown.values[patch])) for patch in self.picks.patches)
        return [f"{rank} · {value}\n{shown.unit}" for rank, value in enumerate(values, start=1)]

    @property
    def tips(self) -> list[str]:
        """Which patch, and where."""
        grid = self.picks.prediction.grid
        return [
            f"patch {patch + 1:,} of {len(grid):,}, {place}"
            for patch, place in zip(self.picks.patches, self.places, strict=True)
        ]

    @property
    def places(self) -> list[str]:
        """Centre of each patch from the slide's top-left corner."""
        grid = self.picks.prediction.grid
        unit = "px" if grid.mpp_yx is None else "µm"
        places = (centre(grid, patch) for patch in self.picks.patches)
        return [f"x {x:,.0f}, y {y:,.0f} {unit}" for y, x in places]

    def labels(self, marks: Sequence[Mark]) -> list[str]:
        """The label of each patch, empty where it has none."""
        return [label_at(marks, self.picks.prediction.grid.coords_yx[patch].tolist()) for patch in self.picks.patches]


def hang(
    handle: SlideHandle, path: Path, prediction: Prediction, ranking: Ranking, settings: PickSettings, members: int
) -> Generator[Progress, None, Hung]:
    """Pick patches of a result and read them."""
    picks = pick(prediction, ranking, settings, members)
    pixels = yield from read_thumbnails(handle, path, prediction.slide.identity, prediction.grid, picks.patches)
    return Hung(picks, pixels)


def write_picks(
    path: Path, hung: Hung, marks: Sequence[Mark], labels: Sequence[str], named: bool
) -> Generator[Progress, None, Path]:
    """The picture sheet of what hangs in the gallery; names only where they are wished for."""
    yield Progress("writing the picture sheet", 0, 1, "files")
    from napari_gimp.export.anonymous import veil_of_slide
    from napari_gimp.export.sheet import Tile, write_sheet

    picks, prediction = hung.picks, hung.picks.prediction
    veil = veil_of_slide(prediction.slide, hide=[prediction.sample or ""], kept=prediction.classes)
    clean: Callable[[str], str] = str if named else veil.text
    of, labels = [clean(label) for label in hung.labels(marks)], [clean(label) for label in labels]
    words = (f"{rank} · {value}" for rank, value in enumerate(picks.values, start=1))
    rows = zip(picks.patches, words, hung.places, of, strict=True)
    tiles = [Tile(hung.pixels.get(patch), (word, place), label) for patch, word, place, label in rows]
    title = f"{prediction.slide.name}: {picks.title}" if named else picks.title
    colours = dict(zip(labels, LABEL_COLOURS, strict=False)) | {
        label: colour_of(label, labels) for label in of if label and label not in labels
    }
    write_sheet(path, tiles, title, picks.patch_um, colours, [clean(note) for note in sheet_notes(picks)])
    yield Progress("writing the picture sheet", 1, 1, "files")
    return path


def sheet_notes(picks: Picks) -> list[str]:
    """What must be said beside the patches."""
    prediction, notes = picks.prediction, [f"map: {picks.shown.title} ({picks.shown.unit})"]
    if asked := prediction.provenance.get("what_if_label"):
        notes.insert(0, str(asked))
    if picks.ranking.end == "random":
        notes.append("picked by chance, the numbers are the map's")
    if prediction.synthetic:
        notes.append(f"the model was trained on {prediction.synthetic} cases: no evidence about patients")
    if prediction.partial < 1:
        notes.append(f"partial: {prediction.partial:.0%} of the slide's patches")
    return notes
