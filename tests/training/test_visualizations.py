from __future__ import annotations

from pathlib import Path

import torch
from tests import small

from segwright.samples import Prediction
from segwright.training.processes import Processes
from segwright.training.visualizations import KEPT, Visualizations

SINGLE_PROCESS = Processes(0, 1, torch.device("cpu"))


def test_they_show_the_same_images_and_are_bounded_in_number(tmp_path: Path) -> None:
    data = small.Blocks().open(None, "val")
    for step in range(1, KEPT + 6):
        visualizations = Visualizations(data, 3, SINGLE_PROCESS)
        for index in range(len(data)):
            visualizations.on_image(index, data[index], Prediction(data[index].map))
        visualizations.write(tmp_path, step)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == KEPT
    assert names[:2] == ["step-00000001.png", "step-00000002.png"]
    assert names[-1] == f"step-{KEPT + 5:08d}.png"


def test_nothing_is_drawn_if_no_image_is_asked_for(tmp_path: Path) -> None:
    data = small.Blocks().open(None, "val")
    visualizations = Visualizations(data, 0, SINGLE_PROCESS)
    visualizations.on_image(0, data[0], Prediction(data[0].map))
    visualizations.write(tmp_path / "pictures", 1)
    assert not (tmp_path / "pictures").exists()
