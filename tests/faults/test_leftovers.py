"""What a killed process leaves beside its output is gone after the next start; a damaged checkpoint is told."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tests.faults.children import run, start
from tests.faults.damage import cut

pytestmark = pytest.mark.faults


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_an_export_killed_before_its_check_leaves_nothing_after_the_next_one(
    place: Path, tmp_path: Path
) -> None:
    command = [
        "export",
        "model.safetensors",
        "--out",
        "exported/a.pt2",
        "--format",
        "torch",
        "--size",
        "32,32",
    ]
    process = start(command, tmp_path / "log.txt", die_at=("segwright.export.export:load_exported", 1, 0.0))
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert len(hidden(place / "exported")) == 1
    assert run(command, tmp_path) == 0
    assert sorted(os.listdir("exported")) == ["a.pt2", "a.pt2.json"]


def test_a_conversion_killed_while_it_replaces_a_folder_keeps_the_folder(place: Path, tmp_path: Path) -> None:
    command = ["data", "convert", "folder", "data", "--to", "tar", "--out", "shards"]
    assert run(command, tmp_path) == 0
    before = {path.name: path.read_bytes() for path in Path("shards").rglob("*.tar")}
    process = start(
        [*command, "--force"], tmp_path / "log.txt", die_at=("segwright.files/shutil:rmtree", 1, 0.0)
    )
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert [name for name in hidden(place) if name.startswith(".shards.")]
    assert run([*command, "--force"], tmp_path) == 0
    assert {path.name: path.read_bytes() for path in Path("shards").rglob("*.tar")} == before
    assert not [name for name in hidden(place) if name.startswith(".shards.")]


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one_and_says_so(
    place: Path, tmp_path: Path
) -> None:
    command = ["train", "recipe.yaml", "--data", "data", "--out", "long", "--device", "cpu", "--set"]
    assert run([*command, "training.steps=4", "training.save_every=0.5"], tmp_path) == 0
    saved = sorted(Path("long/checkpoints").glob("step-*.pt"))
    cut(str(saved[-1]))()
    (tmp_path / "log.txt").unlink()
    assert run([*command, "training.steps=4", "training.save_every=0.5"], tmp_path) == 0
    lines = [line for line in (tmp_path / "log.txt").read_text().splitlines() if "damaged" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"warning: {saved[-1]}: damaged (")
    assert lines[0].endswith(f"the checkpoint before is used instead: {saved[-2].name}")
