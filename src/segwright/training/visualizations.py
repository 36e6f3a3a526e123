"""Image, truth and prediction of the same few validation images, kept at every evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segwright.data.reading.label_maps import write_png
from segwright.samples import Dataset, Prediction, Sample
from segwright.training.processes import Processes
from segwright.visualization.label_maps import as_rgb, panels
from segwright.visualization.segments import draw_prediction, draw_truth

KEPT = 12  # pictures on disk: the two first ones, to see where it came from, and the newest


class Pictures:
    """Collects ``count`` images, evenly spread over the split, of the main process's share."""

    def __init__(self, data: Dataset, count: int, processes: Processes) -> None:
        mine = range(0, len(data), processes.world) if processes.main else range(0)
        self._wanted = set(mine[:: max(1, len(mine) // count)][:count]) if count else set()
        self._rows: dict[int, list[Any]] = {}
        self._labels = data.labels

    def on_image(self, index: int, sample: Sample, prediction: Prediction) -> None:
        """Keep this image if it is one of those wanted."""
        if index in self._wanted:
            image = as_rgb(sample.image)
            self._rows[index] = [
                image,
                draw_truth(sample, self._labels),
                draw_prediction(image, prediction, self._labels),
            ]

    def write(self, folder: Path, step: int) -> None:
        """Write ``step-N.png`` into ``folder``, and delete what is neither among the first nor the newest."""
        if not self._rows:
            return
        rows = [self._rows[index] for index in sorted(self._rows)]
        write_png(
            folder / f"step-{step:08d}.png", panels(rows, ["image", "truth", f"prediction, step {step}"])
        )
        for old in sorted(folder.glob("step-*.png"))[2 : 2 - KEPT]:
            old.unlink()
