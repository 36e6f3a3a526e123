"""Work on many images of a folder of files: on all cores, in order, with constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TypeAlias, TypeVar

from segwright.parallel import available_cores, map_in_processes

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress: TypeAlias = Callable[[int], AbstractContextManager[Callable[[], None]]]
"""Shows the progress: it is called with the number of images; what it yields is called after each image."""

_FEW = 8  # so few images are done before a process has started


def map_images(
    work: Callable[[Item], Result],
    images: Sequence[Item],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Result]:
    """``work`` applied to every image, in order; a few results are computed ahead, none is kept.

    ``workers``: processes, by default one per core; 0 uses this process. Not threads: the decoders of label maps hold
    the interpreter lock.
    """
    if workers is None:
        cores = available_cores()
        workers = 0 if cores == 1 or len(images) <= _FEW else min(cores, len(images))
    with progress(len(images)) if progress else nullcontext(lambda: None) as advance:
        for result in map_in_processes(work, images, workers=workers):
            yield result
            advance()
