"""Visualizations: image, ground truth and prediction of the same few validation images, drawn at every evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segwright.data.reading.label_maps import write_png
from segwright.samples import Dataset, Prediction, Sample
from segwright.training.processes import Processes
from segwright.visualization.label_maps import as_rgb, image_grid
from segwright.visualization.segments import draw_ground_truth, draw_prediction

KEPT = 12
"""The number of files on disk: the first two, which show the start of the training, and the newest ones."""


class Visualizations:
    """Draws ``count`` images, evenly spread over those that the main process evaluates."""

    def __init__(self, dataset: Dataset, count: int, processes: Processes) -> None:
        indices = range(0, len(dataset), processes.world) if processes.main else range(0)
        self._chosen = set(indices[:: max(1, len(indices) // count)][:count]) if count else set()
        self._rows: dict[int, list[Any]] = {}
        self._labels = dataset.labels

    def on_image(self, index: int, sample: Sample, prediction: Prediction) -> None:
        """Draw this image if it is one of the chosen ones."""
        if index in self._chosen:
            image = as_rgb(sample.image)
            self._rows[index] = [
                image,
                draw_ground_truth(sample, self._labels),
                draw_prediction(image, prediction, self._labels),
            ]

    def write(self, folder: Path, step: int) -> None:
        """Write ``step-N.png`` into ``folder``; delete older files, except the first two, beyond ``KEPT``."""
        if not self._rows:
            return
        rows = [self._rows[index] for index in sorted(self._rows)]
        titles = ["image", "ground truth", f"prediction, step {step}"]
        write_png(folder / f"step-{step:08d}.png", image_grid(rows, titles))
        for old in sorted(folder.glob("step-*.png"))[2 : 2 - KEPT]:
            old.unlink()
