"""Commands on explanations: faithfulness."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_gimp.cli.app import app
from napari_gimp.console import drain
from napari_gimp.options import Checkpoint, CohortOptions, Device, Overwrite, Seed


@app.command
def faithfulness(
    checkpoint: Checkpoint,
    /,
    *,
    cohort: CohortOptions,
    out: Path,
    cases: Annotated[int, Parameter(help="Of a larger cohort so many cases are drawn.")] = 100,
    draws: Annotated[int, Parameter(help="Random orders that every map is held against.")] = 5,
    seed: Seed = 0,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Hold a checkpoint's explanations against the checkpoint: deletion curves, and maps behind randomised weights.

    Parameters
    ----------
    out
        Folder for faithfulness.json, deletion.csv, randomised.csv and faithfulness.png.
    """
    from napari_gimp.study.faithfulness import check_faithfulness
    from napari_gimp.study.faithfulness_report import check_folder

    check_folder(out, overwrite)
    work = check_faithfulness(checkpoint, cohort.read(), most_cases=cases, draws=draws, seed=seed, device=device)
    found = drain(work)
    found.write(out, overwrite)
    print(found.table())
