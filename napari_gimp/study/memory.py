"""Memory that runs out during long work: one sentence for the user instead of a traceback."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import wraps
from typing import ParamSpec, TypeVar

from napari_gimp.encoders.devices import is_out_of_memory
from napari_gimp.settings import InputError
from napari_gimp.types import Progress

Given = ParamSpec("Given")
Result = TypeVar("Result")
Work = Generator[Progress, None, Result]


def memory_in_words(function: Callable[Given, Work[Result]]) -> Callable[Given, Work[Result]]:
    """The same long work; what it has kept stays where it is when memory runs out.

    Raises
    ------
    InputError
        Memory ran out.
    """

    @wraps(function)
    def work(*args: Given.args, **options: Given.kwargs) -> Work[Result]:
        try:
            return (yield from function(*args, **options))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            found = (str(error).splitlines() or ["no more"])[0].rstrip(".")
        # outside of the except: the traceback would hold the memory
        raise InputError(
            f"Expected the work to fit into memory, found it full ({found}); free some and give the same command, a"
            " training with --resume, or start anew with --device cpu or smaller --set batch_size, window or patches."
        )

    return work
