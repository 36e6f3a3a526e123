"""Interrupted and divided predictions: every image exactly once, and the outputs of an undisturbed run."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import small
from tests.forked import Command

from segwright.cli.main import main
from segwright.contracts import InputContract, Model
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError
from segwright.inference.single_pass import SINGLE_PASS
from segwright.inference.test_time_augmentation import TestTimeAugmentation
from segwright.models.weights.model_file import write_model
from segwright.prediction.predict_files import FilePrediction, predict_files
from segwright.prediction.shard import Shard

Result = dict[str, str | None]


@pytest.fixture(scope="module")
def model() -> Model:
    return small.panoptic_model()


def photographs(folder: Path, count: int) -> list[Path]:
    random = np.random.default_rng(0)
    for number in range(count):
        write_png(folder / f"{number:03d}.png", random.integers(0, 255, (32, 40, 3), np.uint8))
    return sorted(folder.iterdir())


def run(model: Model, source: Path, out: Path, **options: Any) -> Result:
    """Name -> problem of every image that is predicted now."""
    return {path.name: problem for path, problem in predict_files(model, [str(source)], out, **options)}


def files(out: Path) -> dict[str, bytes]:
    """What is in an output folder, without the journals and the collected files of single shards."""
    names = [path for path in out.rglob("*") if path.is_file() and "done" not in path.name]
    return {str(p.relative_to(out)): p.read_bytes() for p in names if "-of-" not in p.name}


def stopped_after(model: Model, source: Path, out: Path, count: int, **options: Any) -> Result:
    """Predict until the network has run on ``count`` images, then stop."""
    runs: list[int] = []

    def counted(network: Model, pixels: torch.Tensor, sizes: Any) -> Any:
        runs.append(len(pixels))
        return SINGLE_PASS(network, pixels, sizes)

    prediction = FilePrediction.open(model, [str(source)], out, **options)
    prediction.inference = counted
    return {path.name: problem for path, problem in prediction.run(stop=lambda: len(runs) >= count)}


def test_a_resumed_prediction_equals_an_undisturbed_one(model: Model, tmp_path: Path) -> None:
    photographs(tmp_path / "in", 7)
    save = ["instances"]
    run(model, tmp_path / "in", tmp_path / "once", save=save)
    assert list(stopped_after(model, tmp_path / "in", tmp_path / "out", 3, save=save)) == [
        "000.png",
        "001.png",
        "002.png",
    ]
    ids = [
        row["image_id"] for row in json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"]
    ]
    assert ids == [0, 1, 2]
    rest = run(model, tmp_path / "in", tmp_path / "out", save=save, resume=True)
    assert list(rest) == ["003.png", "004.png", "005.png", "006.png"]
    assert files(tmp_path / "out") == files(tmp_path / "once")
    assert run(model, tmp_path / "in", tmp_path / "out", save=save, resume=True) == {}
    assert files(tmp_path / "out") == files(tmp_path / "once")


def test_resume_repeats_what_failed_what_was_removed_and_what_is_another_image(
    model: Model, tmp_path: Path
) -> None:
    images = photographs(tmp_path / "in", 5)
    content = images[1].read_bytes()
    images[1].write_bytes(b"no image")
    out = tmp_path / "out"
    first = run(model, tmp_path / "in", out)
    assert [name for name, problem in first.items() if problem] == ["001.png"]
    images[1].write_bytes(content)
    (out / "overlay" / "003.png").unlink()
    (out / "panoptic" / "004.png").write_bytes(b"")
    photographs(tmp_path / "in", 6)
    assert list(run(model, tmp_path / "in", out, resume=True)) == ["001.png", "003.png", "004.png", "005.png"]
    run(model, tmp_path / "in", tmp_path / "once")
    assert files(out) == files(tmp_path / "once")
    photographs(tmp_path / "elsewhere", 2)
    assert list(run(model, tmp_path / "elsewhere", out, resume=True)) == ["000.png", "001.png"]


@pytest.mark.parametrize("damage", [b'{"name":"00', b"\0\0\0\0", b'{"name": "x"}'])
def test_a_line_that_was_not_completed_does_not_count(model: Model, tmp_path: Path, damage: bytes) -> None:
    photographs(tmp_path / "in", 3)
    stopped_after(model, tmp_path / "in", tmp_path / "out", 2)
    with (tmp_path / "out" / "done.jsonl").open("ab") as journal:
        journal.write(damage)
    assert list(run(model, tmp_path / "in", tmp_path / "out", resume=True)) == ["002.png"]
    assert list(run(model, tmp_path / "in", tmp_path / "out", resume=True)) == []
    lines = (tmp_path / "out" / "done.jsonl").read_text().splitlines()
    assert [json.loads(line).get("name") for line in lines] == [None, "000", "001", "002", None, None]


def test_other_settings_are_not_mixed_into_one_folder(model: Model, tmp_path: Path) -> None:
    photographs(tmp_path / "in", 2)
    run(model, tmp_path / "in", tmp_path / "out")
    torch.manual_seed(1)
    other = small.PANOPTIC.build(model.labels, InputContract()).eval()
    for changed, options, message in (
        (other, {}, r"done\.jsonl: --resume of a prediction with another model \(\w+, now \w+\)"),
        (model, {"save": ["index"]}, r"another save \(color,index,overlay,panoptic, now index\)"),
        (model, {"inference": TestTimeAugmentation(flip=True)}, "another inference"),
    ):
        with pytest.raises(UserError, match=message):
            run(changed, tmp_path / "in", tmp_path / "out", resume=True, **options)
    assert len(run(other, tmp_path / "in", tmp_path / "out")) == 2  # without resume it starts again
    assert run(other, tmp_path / "in", tmp_path / "out", resume=True, batch=2) == {}


@pytest.mark.parametrize("count", [2, 3])
def test_shards_together_equal_one_run(model: Model, tmp_path: Path, count: int) -> None:
    images = photographs(tmp_path / "in", 8)
    images[3].write_bytes(b"no image")
    save = ["instances"]
    run(model, tmp_path / "in", tmp_path / "once", save=save)
    names: list[str] = []
    for index in reversed(range(count)):
        assert not (tmp_path / "out" / "panoptic.json").exists()
        part = run(model, tmp_path / "in", tmp_path / "out", save=save, shard=Shard(index, count))
        assert list(part) == [image.name for image in images[index::count]]
        assert (tmp_path / "out" / f"panoptic-{index}-of-{count}.json").is_file()
        names += part
    assert sorted(names) == [image.name for image in images]
    assert files(tmp_path / "out") == files(tmp_path / "once")


def test_shards_of_another_list_of_images_are_refused(model: Model, tmp_path: Path) -> None:
    photographs(tmp_path / "in", 4)
    run(model, tmp_path / "in", tmp_path / "out", shard=Shard(0, 2))
    photographs(tmp_path / "in", 5)
    with pytest.raises(UserError, match="another list of images"):
        run(model, tmp_path / "in", tmp_path / "out", shard=Shard(0, 2), resume=True)
    run(model, tmp_path / "in", tmp_path / "out", shard=Shard(1, 2))
    assert not (tmp_path / "out" / "panoptic.json").exists()  # they do not belong together


@pytest.mark.parametrize("text", ["2/2", "1", "-1/2", "a/b", "0/0", "1/2/3"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match=f"--shard {text}: expected I/N"):
        Shard.parsed(text)


def test_a_failure_keeps_what_was_done_before(model: Model, tmp_path: Path) -> None:
    images = photographs(tmp_path / "in", 6)
    bad = torch.from_numpy(np.asarray(__import__("cv2").imread(str(images[4]))[..., ::-1].copy()))

    def failing(network: Model, pixels: torch.Tensor, sizes: Any) -> Any:
        if torch.equal(pixels[0].permute(1, 2, 0)[:32, :40], bad):
            raise RuntimeError("a bug")
        return SINGLE_PASS(network, pixels, sizes)

    with pytest.raises(RuntimeError, match="a bug"):
        run(model, tmp_path / "in", tmp_path / "out", inference=failing)
    lines = (tmp_path / "out" / "done.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines[1:]] == ["000", "001", "002", "003"]


def command(folder: Path, out: Path, *options: str) -> list[str]:
    words = ["predict", str(folder / "m.safetensors"), str(folder / "in"), "--out", str(out)]
    return [*words, "--device", "cpu", "--save", "instances", *options]


def signal_when_busy(process: Command, journal: Path, send: Callable[[], None]) -> None:
    """Send a signal as soon as some images are done."""
    until = time.monotonic() + 120
    while not journal.is_file() or journal.read_bytes().count(b"\n") < 4:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.002)
    send()


def test_a_killed_shard_is_resumed_and_nothing_is_lost_or_doubled(model: Model, tmp_path: Path) -> None:
    photographs(tmp_path / "in", 60)
    write_model(tmp_path / "m.safetensors", model, small.PANOPTIC)
    out, journal = tmp_path / "out", tmp_path / "out" / "done-0-of-2.jsonl"
    process = Command(command(tmp_path, out, "--shard", "0/2"))
    signal_when_busy(process, journal, process.kill)
    process.communicate(timeout=60)
    done = journal.read_bytes().count(b"\n") - 1
    assert 0 < done < 30
    assert main(command(tmp_path, out, "--shard", "0/2", "--resume")) == 0
    assert main(command(tmp_path, out, "--shard", "1/2", "--resume")) == 0
    assert main(command(tmp_path, tmp_path / "once")) == 0
    assert files(out) == files(tmp_path / "once")
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    names = [line["name"] for line in lines if "name" in line]
    assert names == [f"{number:03d}" for number in range(0, 60, 2)]


def test_a_signal_ends_a_prediction_cleanly(model: Model, tmp_path: Path) -> None:
    photographs(tmp_path / "in", 120)
    write_model(tmp_path / "m.safetensors", model, small.PANOPTIC)
    out = tmp_path / "out"
    process = Command(command(tmp_path, out))
    signal_when_busy(process, out / "done.jsonl", lambda: os.killpg(process.pid, signal.SIGTERM))
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0, text
    assert "the same command with --resume continues" in text
    assert "Traceback" not in text
    names = [json.loads(line)["name"] for line in (out / "done.jsonl").read_text().splitlines()[1:]]
    assert 0 < len(names) < 120
    rows = json.loads((out / "panoptic.json").read_text())["annotations"]
    assert [row["file_name"] for row in rows] == [f"{name}.png" for name in names]
    for kind in ("index", "color", "overlay", "panoptic"):
        assert sorted(path.stem for path in (out / kind).iterdir()) == names


@pytest.mark.slow
def test_processes_of_torchrun_are_shards_and_end_with_one_exit_code(model: Model, tmp_path: Path) -> None:
    images = photographs(tmp_path / "in", 9)
    images[4].write_bytes(b"no image")
    write_model(tmp_path / "m.safetensors", model, small.PANOPTIC)
    port = str(29531 + os.getpid() % 999)
    environment = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    running = [
        Command(command(tmp_path, tmp_path / "out"), RANK=str(rank), LOCAL_RANK=str(rank), **environment)
        for rank in range(2)
    ]
    texts = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [1, 1], texts
    run(model, tmp_path / "in", tmp_path / "once", save=["instances"])
    assert files(tmp_path / "out") == files(tmp_path / "once")
