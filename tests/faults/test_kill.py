"""kill -9 at random moments: what is resumed equals what was never interrupted."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import small
from tests.data.trees import photo
from tests.faults.children import kill_at_random_moments, run

from segwright.training.log import read_lines

pytestmark = pytest.mark.faults

RECIPE = f"{Path(small.__file__)}:recipe"
SETTINGS = ("training.steps=160", "training.save_every=0.0125", "training.evaluate_every=0.1",
            "training.log_every=0.02", "training.keep_checkpoints=3", "training.num_visualizations=1")  # fmt: skip

STEPS = {
    "segwright.training.train:training_step": 8,
    "os:replace": 8,
    "os:fsync": 12,
    "segwright.training.log/Log:values": 2,
}
"""Where a training is killed, and the most calls: 20 lives are not enough for 160 steps."""
IMAGES = {"segwright.prediction.journal/Journal:append": 6, "os:replace": 20, "os:write": 5}
"""Where a prediction of 150 images is killed."""


def weights(folder: Path) -> dict[str, Any]:
    """What the last checkpoint holds, without the seconds that were measured."""
    saved: dict[str, Any] = torch.load(sorted(folder.glob("checkpoints/step-*.pt"))[-1], weights_only=True)
    return {name: value for name, value in saved.items() if name != "seconds"}


def same(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    return bool(first == second)


def test_a_training_killed_twenty_times_ends_with_the_weights_of_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = ["train", RECIPE, "--device", "cpu", "--set", *SETTINGS]
    assert run([*command, "--out", str(whole)], tmp_path) == 0
    codes = kill_at_random_moments(
        [*command, "--out", str(killed)], tmp_path / "log.txt", STEPS, kills=20, seed=3
    )
    assert codes == [-signal.SIGKILL] * 20
    assert run([*command, "--out", str(killed)], tmp_path) == 0
    assert same(weights(whole), weights(killed))
    assert (whole / "best.safetensors").read_bytes() == (killed / "best.safetensors").read_bytes()
    losses = [[row["loss"] for row in read_lines(run, "step")] for run in (whole, killed)]
    assert losses[0] == losses[1]
    assert not [*killed.rglob("*.part")]
    assert "Traceback" not in (tmp_path / "log.txt").read_text()


def test_a_prediction_killed_twenty_times_has_every_image_once_and_complete(
    place: Path, tmp_path: Path
) -> None:
    for number in range(150):
        photo(Path(f"many/{number}.png"), number, (48, 64))
    command = ["predict", "objects.safetensors", "many", "--device", "cpu", "--resume", "--save", "instances"]
    assert run([*command, "--out", "whole"], tmp_path) == 0
    codes = kill_at_random_moments(
        [*command, "--out", "killed"], tmp_path / "log.txt", IMAGES, kills=20, seed=4
    )
    assert codes == [-signal.SIGKILL] * 20
    assert run([*command, "--out", "killed"], tmp_path) == 0
    lines = [json.loads(line) for line in Path("killed/done.jsonl").read_text().splitlines()]
    counts = Counter(line["name"] for line in lines if "name" in line)
    assert len(counts) == 150 and {*counts.values()} == {1}
    outputs = [{path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()
                if path.name != "done.jsonl"} for out in (Path("whole"), Path("killed"))]  # fmt: skip
    assert outputs[0].keys() == outputs[1].keys()
    assert outputs[0] == outputs[1]
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
