"""Videos and cameras in ``segwright predict``: their options, and what is printed."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segwright.cli.options import refuse_options
from segwright.cli.progress import has_terminal, live_display
from segwright.errors import UserError
from segwright.wording import count_of

if TYPE_CHECKING:
    from segwright.contracts import Model
    from segwright.inference.single_pass import InferenceMode
    from segwright.prediction.image_prediction import ImagePrediction


VIDEO_EXTENSIONS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".mts")
"""Files with these extensions are predicted as videos."""


def add_video(parser: argparse.ArgumentParser) -> None:
    """``--smooth`` and ``--camera``."""
    text = (
        "average class scores over time; the fraction of the average that each frame keeps, for example 0.6"
    )
    group = parser.add_argument_group("videos")
    group.add_argument("--smooth", type=float, metavar="W", help=text)
    text = "predict the camera of this number (0 is the first) until Ctrl-C"
    group.add_argument("--camera", type=int, metavar="N", help=text)


def take_videos(options: argparse.Namespace) -> list[str | int]:
    """The videos among ``options.images``, which then holds the others, and the number of the camera.

    ``UserError`` if nothing is to be predicted, or for ``--smooth`` without a video.
    """
    names = [name for name in options.images if is_video(name) and not Path(name).is_dir()]
    options.images = [name for name in options.images if name not in names]
    videos: list[str | int] = []
    for name in names:
        videos += [name] if Path(name).exists() else sorted(glob(name, recursive=True)) or [name]
    if options.camera is not None:
        videos.append(options.camera)
    if not videos and not options.images:
        raise UserError("nothing to predict; expected images, folders, globs or videos, or --camera N")
    if not videos:
        refuse_options(options, "smooth", reason="without a video")
    elif not options.images:
        unused = ("ids", "batch", "resume", "shard", "max_pixels", "tolerance")
        refuse_options(options, *unused, reason="on videos")
        if options.save:
            raise UserError("--save has no effect on videos; remove it")
    return videos


def is_video(name: str) -> bool:
    """Whether ``name`` is called like a video file."""
    return Path(name).suffix.lower() in VIDEO_EXTENSIONS


def predict_videos(
    options: argparse.Namespace, model: Model, inference: InferenceMode, videos: list[str | int]
) -> int:
    """Predict videos into ``overlay/`` of ``options.out``; returns how many could not be read to their end."""
    from segwright.prediction.video import predict_video

    targets = _targets(videos, options.out / "overlay")
    problems = 0
    for source, target in zip(videos, targets, strict=True):
        with _progress(source) as on_frame:
            try:
                result = predict_video(
                    model,
                    source,
                    target,
                    inference=inference,
                    smooth=options.smooth or 0.0,
                    on_frame=on_frame,
                )
            except UserError as error:
                if len(videos) == 1 and not options.images:
                    raise
                problems += 1
                print(f"segwright: skipped {error}", file=sys.stderr)
                continue
        print(
            f"{result.path}: {count_of(result.frames, 'frame')} at {result.fps:.4g} fps, predicted at "
            f"{result.frames_per_second:.2f} frames per second"
        )
        if result.problem:
            problems += 1
            print(f"segwright: {result.problem}; the frames before are predicted", file=sys.stderr)
    return problems


def _targets(videos: list[str | int], folder: Path) -> list[Path]:
    """The file to write for each video; ``UserError`` if two are one, or if one is a source."""
    names = [f"camera{video}" if isinstance(video, int) else Path(video).stem for video in videos]
    if repeated := [name for name, count in Counter(map(os.path.normcase, names)).items() if count > 1]:
        raise UserError(f"two videos would both be written to {folder / repeated[0]}.mp4; rename one")
    targets = [folder / f"{name}.mp4" for name in names]
    sources = {Path(video).resolve() for video in videos if isinstance(video, str)}
    if replaced := [target for target in targets if target.resolve() in sources]:
        raise UserError(f"{replaced[0]}: would be replaced by its own prediction; choose another --out")
    return targets


@contextmanager
def _progress(source: str | int) -> Iterator[Callable[[ImagePrediction], None] | None]:
    """A function to call for each frame, which shows frames per second; None unless there is a terminal."""
    if not has_terminal():
        yield None
        return
    from rich.progress import SpinnerColumn, TextColumn

    with live_display(SpinnerColumn(), TextColumn("{task.description}", markup=False)) as progress:
        task, count, began = progress.add_task(str(source), total=None), 0, time.perf_counter()

        def on_frame(_: Any) -> None:
            nonlocal count
            count += 1
            rate = count / (time.perf_counter() - began)
            progress.update(task, description=f"{source}: {count_of(count, 'frame')}, {rate:.1f} per second")

        yield on_frame
