"""The command line: arguments -> call -> text. Heavy rooms are imported inside the commands: help is instant."""

from __future__ import annotations

import logging
import sys
from contextlib import redirect_stdout

from cyclopts import CycloptsError

from napari_gimp.cli import cohorts, slides  # noqa: F401  they register their commands
from napari_gimp.cli.app import app
from napari_gimp.console import tell
from napari_gimp.files import is_first_process
from napari_gimp.settings import InputError
from napari_gimp.words import error_words


def main(arguments: list[str] | None = None) -> None:
    """Entry point, for ``sys.argv`` by default.

    Exit codes: 0 done, 2 bad input, 1 a defect of ours (with traceback), 130 interrupted.
    """
    try:
        with redirect_stdout(sys.stdout if is_first_process() else None):
            code = app(
                arguments or sys.argv[1:],
                exit_on_error=False,
                print_error=False,
                result_action="return_int_as_exit_code_else_zero",
            )
        sys.exit(code)
    except CycloptsError as problem:
        tell([f"napari-gimp: {' '.join(str(problem).split())} (napari-gimp COMMAND --help lists what there is.)"])
        sys.exit(2)
    except (InputError, OSError) as problem:
        tell([f"napari-gimp: {error_words(problem)}"])
        sys.exit(2)
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # zarr's reads that are given up are no news
        said = "interrupted; finished parts are kept and the same command goes on from them (a training with --resume)."
        tell([f"napari-gimp: {said}"])
        sys.exit(130)
