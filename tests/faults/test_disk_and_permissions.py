"""A full disk, and folders without permission: one line, the right exit code, and what was there stays as it was."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from tests.faults.children import start
from tests.faults.test_table import contents

from segwright.cli.main import main

pytestmark = pytest.mark.faults

DISK = 2 * 2**20


@pytest.fixture
def disk(place: Path, tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB, in the folder ``disk``."""
    folder = place / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


FULL = {
    "train": "train recipe.yaml --data data --out disk/run --device cpu",
    "evaluate": "evaluate run --device cpu --json disk/val.json",
    "predict": "predict run photos --out disk/predicted --device cpu",
    "report": "report run --no-errors --device cpu --out disk/report.html",
    "average": "average run run --out disk/average.safetensors",
    "convert": "data convert labelme --to coco --out disk/converted",
    "stats": "data stats folder --data data --workers 0 --json disk/stats.json",
    "show": "data show folder --data data --out disk/sheet.png",
    "score": "score semantic --truth truth --prediction maps --labels classes.yaml --json disk/scores.json",
    "split": "data split labelme --val 0.5 --out disk/lists",
    "info": "info run --json disk/info.json",
}


def fill(disk: Path, free: int) -> None:
    """Leave so many bytes."""
    with (disk / "full").open("wb") as file:
        size = DISK - free
        while size > 0:
            try:
                size -= os.write(file.fileno(), bytes(min(size, 4096)))
            except OSError:
                break


@pytest.mark.parametrize("verb", FULL)
@pytest.mark.parametrize("free", [0, 8192])
def test_a_full_disk_ends_in_one_line_that_names_the_file(
    verb: str, free: int, disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (disk / "old.json").write_text("{}")
    fill(disk, free)
    before = dict(contents(disk))
    code = main(shlex.split(FULL[verb]))
    errors = capfd.readouterr().err
    assert "Traceback" not in errors
    if code == 0:
        assert free, "a full disk took it"
        return
    assert code in (1, 2) and "disk" in errors.splitlines()[-1], errors
    assert "pace" in errors, errors  # free some space; No space left on device
    after = dict(contents(disk))
    assert all(after[name] == data for name, data in before.items())
    assert not [name for name in after if name.endswith(".part")]


def test_a_disk_without_room_for_the_class_map_of_a_large_image_ends_in_one_line(
    disk: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segwright.prediction.large_images.STRIPS_ABOVE", 0)
    monkeypatch.setattr("segwright.prediction.large_images.SEGMENTS_UP_TO", 0)
    Image.new("RGB", (500, 400)).save("large.png")
    fill(disk, 65536)
    command = "predict run large.png --out disk/predicted --save index --windows 256,256 --device cpu"
    assert main(shlex.split(command)) == 1
    errors = capfd.readouterr().err.splitlines()
    assert "No space left" in errors[-1] and "free some space" in errors[-1], errors


FORBIDDEN = {
    "train": "train recipe.yaml --data data --out closed/run --device cpu",
    "evaluate": "evaluate run --device cpu --json closed/val.json",
    "predict": "predict run photos --out closed/predicted --device cpu",
    "report": "report run --no-errors --device cpu --out closed/report.html",
    "average": "average run run --out closed/average.safetensors",
    "export": "export run --out closed/model.onnx --images photos",
    "convert": "data convert labelme --to coco --out closed/converted",
    "published": "convert published.pth --family toolbox --architecture pspnet --out closed/a.safetensors",
    "stats": "data stats folder --data data --workers 0 --json closed/stats.json",
    "show": "data show folder --data data --out closed/sheet.png",
    "score": "score semantic --truth truth --prediction maps --labels classes.yaml --json closed/scores.json",
    "split": "data split labelme --val 0.5 --out closed/lists",
    "info": "info run --json closed/info.json",
    "a dataset": "train recipe.yaml --data secret/data --out new --device cpu",
    "a recipe": "train secret/recipe.yaml --data data --out new --device cpu",
    "a run": "evaluate secret/run --data data --device cpu",
    "an image": "predict run secret/photo.jpg --out new --device cpu",
    "a list": "predict run secret/list.txt --out new --device cpu",
    "a COCO file": "score instance --truth secret/instances_val.json --prediction results.json",
    "published weights": "convert secret/published.pth --family toolbox --architecture pspnet --out new.safetensors",
}  # fmt: skip


@pytest.mark.parametrize("verb", FORBIDDEN)
def test_a_folder_without_permission_is_named_in_one_line(verb: str, place: Path, tmp_path: Path) -> None:
    closed, secret = place / "closed", place / "secret"
    closed.mkdir()
    secret.mkdir()
    for name in ("data", "run"):
        shutil.copytree(name, secret / name)
    for name in ("recipe.yaml", "photo.jpg", "instances_val.json", "published.pth"):
        shutil.copy(name, secret / name)
    (secret / "list.txt").write_text("photos/0.png\n")
    before = dict(contents(place))
    os.chmod(closed, 0o555)
    os.chmod(secret, 0)
    try:
        process = start(shlex.split(FORBIDDEN[verb]), tmp_path / "log.txt", bound=True)
        process.join(120)
    finally:
        os.chmod(closed, 0o755)
        os.chmod(secret, 0o755)
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert process.exitcode == 2, lines
    assert len(lines) == 1 and ("closed" in lines[0] or "secret" in lines[0]), lines
    assert dict(contents(place)) == before
