"""The demo: two small models are trained and evaluated on generated street scenes, without a download or a GPU."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from io import TextIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from segwright.files import make_folder, write_json

if TYPE_CHECKING:
    from segwright.training.recipe import Recipe

SEMANTIC_STEPS, PANOPTIC_STEPS = 800, 300


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the demo, and the seconds that it takes on two CPU cores."""

    title: str
    seconds: int


PARTS = (
    Part("train a small network for semantic segmentation", 65),
    Part("predict new scenes, write the report", 5),
    Part("fine-tune it for panoptic segmentation", 30),
    Part("predict new scenes, write the report", 5),
)

_SCENES = 4  # that each model predicts

NEXT_STEPS = """\
Open in a browser:
  {report}
  {panoptic_report}
Both show loss curves, per-class IoU, the confusion matrix and the worst and best images.

Next, your own images, in ROOT/images/train, labels/train, images/val and labels/val (docs/own-data.md):
  segwright data check ROOT
  segwright train own.semantic --data ROOT --out runs/own
  segwright report runs/own
  segwright predict runs/own photo.jpg --out predictions"""


def demo(out: Path | str, *, device: str | None = None) -> dict[str, Any]:
    """Run the demo, print its progress, and write everything into the folder ``out``.

    First a model for semantic segmentation is trained in ``out``, then it is fine-tuned for panoptic segmentation in
    ``out/panoptic``. Each predicts four validation images and writes a report. Returns the summary of the first,
    with the scores ``pq``, ``sq``, ``rq``, ``ap`` and the report of the second (``panoptic_report``).
    """
    folder = Path(out)
    progress = Progress(PARTS, sys.stdout)
    make_folder(folder)
    progress.print_plan(folder)
    with open(folder / "demo.log", "a", encoding="utf-8") as log, redirect_stderr(log):
        summary = _semantic(folder, device, progress)
        panoptic = _panoptic(folder / "panoptic", folder / "best.safetensors", device, progress)
    summary |= {name: panoptic[name] for name in ("pq", "sq", "rq", "ap")}
    summary["panoptic_report"] = panoptic["report"]
    write_json(folder / "summary.json", summary)
    scores = f"mIoU {summary['miou']:.1%} (semantic), PQ {summary['pq']:.1%} (panoptic)"
    progress.print(f"\n{scores} on {summary['images']} scenes that were not used for training\n")
    progress.print(NEXT_STEPS.format(**summary))
    return summary


def _semantic(out: Path, device: str | None, progress: Progress) -> dict[str, Any]:
    with progress.part(0, out, SEMANTIC_STEPS):
        from segwright.recipes.street import quick
        from segwright.training.train import train

        recipe = quick()
        recipe.training.steps, recipe.training.evaluate_every = SEMANTIC_STEPS, 0.5
        summary = _finished(train(recipe, None, out, device=device))
    with progress.part(1):
        return _predict_and_report(recipe, out, summary)


def _panoptic(out: Path, init: Path, device: str | None, progress: Progress) -> dict[str, Any]:
    with progress.part(2, out, PANOPTIC_STEPS):
        from segwright.recipes.street import panoptic_quick
        from segwright.training.train import train

        recipe = panoptic_quick()
        recipe.training.steps, recipe.training.evaluate_every = PANOPTIC_STEPS, 0.5
        summary = _finished(train(recipe, None, out, init=init, skip_head=True, device=device))
    with progress.part(3):
        return _predict_and_report(recipe, out, summary)


def _finished(summary: dict[str, Any]) -> dict[str, Any]:
    if not summary["finished"]:
        raise KeyboardInterrupt  # the training has saved its state and returned; the next demo resumes it
    return summary


def _predict_and_report(recipe: Recipe, out: Path, summary: dict[str, Any]) -> dict[str, Any]:
    """The summary of a run with the path of its ``report``."""
    from segwright.analysis.reports.run_report import report
    from segwright.data.reading.label_maps import write_png
    from segwright.prediction.predict import load
    from segwright.prediction.predict_files import predict_files

    dataset = recipe.data.open(None, "val")
    for index in range(_SCENES):
        sample = dataset[index]
        write_png(out / "scenes" / f"{sample.name}.png", sample.image)
    list(predict_files(load(out), [str(out / "scenes")], out / "predictions"))
    summary |= {"report": str(report(out))}
    write_json(out / "summary.json", summary)
    return summary


class Progress:
    """Prints the plan, and one line per part with the elapsed and the expected time.

    On a terminal the line is redrawn every second. Otherwise there is a line at the start and at the end of a part, and
    one every ``PLAIN_SECONDS`` in between.
    """

    PLAIN_SECONDS = 20.0

    def __init__(self, parts: Sequence[Part], stream: TextIO | TextIOBase) -> None:
        self.parts, self.stream = parts, stream
        self.live = stream.isatty()

    def print(self, text: str, *, end: str = "\n") -> None:
        """Print text at once."""
        print(text, file=self.stream, end=end, flush=True)

    def print_plan(self, out: Path) -> None:
        """Print the parts and the time that each of them takes."""
        total = sum(part.seconds for part in self.parts)
        self.print(
            "segwright demo: trains and evaluates two small models on generated street scenes. No download, no GPU.\n"
            f"On two CPU cores this takes about {clock(total)} minutes:\n"
        )
        for number, part in enumerate(self.parts, start=1):
            self.print(f"  {number}  about {clock(part.seconds)}  {part.title}")
        self.print(f"\nAll files go to {out}; the messages of the trainings to {out / 'demo.log'}.\n")

    @contextmanager
    def part(self, index: int, run: Path | None = None, steps: int = 0) -> Iterator[None]:
        """Show the progress of a part while the body runs. ``run``, ``steps``: folder and length of a training."""
        title = f"[{index + 1}/{len(self.parts)}] {self.parts[index].title}"
        start, finished = time.monotonic(), threading.Event()

        def show() -> None:
            elapsed, step = time.monotonic() - start, last_step(run)
            expected = max(
                elapsed, elapsed * steps / step if step > 0.1 * steps else self.parts[index].seconds
            )
            position = f", step {step} of {steps}" if step else ""
            text = f"{title}: {clock(elapsed)} of about {clock(expected)}{position}"
            self.print(f"\r{text}\x1b[K" if self.live else text, end="" if self.live else "\n")

        def repeat() -> None:
            while not finished.wait(1.0 if self.live else self.PLAIN_SECONDS):
                show()

        show()
        ticker = threading.Thread(target=repeat, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            finished.set()
            ticker.join()
            if self.live:
                self.print("\r\x1b[K", end="")
        self.print(f"{title}: done in {clock(time.monotonic() - start)}")


def clock(seconds: float) -> str:
    """Minutes and seconds, for example 1:05."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def last_step(run: Path | None) -> int:
    """The newest step in the log of a run folder; 0 before the first one."""
    path = None if run is None else run / "log.jsonl"
    if path is None or not path.is_file():
        return 0
    lines = [text for text in path.read_text(encoding="utf-8").splitlines() if text.endswith("}")]
    return int(json.loads(lines[-1])["step"]) if lines else 0
