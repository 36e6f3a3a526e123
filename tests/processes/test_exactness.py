"""Interrupted and resumed runs, and runs in several processes, give the same numbers as uninterrupted single ones."""

from __future__ import annotations

import json
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.forked import Command

from segwright.training.log import read_lines

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPE = f"{REPOSITORY / 'tests' / 'small.py'}"


def start(
    out: Path, *changes: str, world: int = 1, function: str = "recipe", file: str = RECIPE
) -> list[Command]:
    """Start a training in ``world`` processes, as torchrun does."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["train", f"{file}:{function}", "--out", str(out), "--debug", "--device", "cpu"]
    words += ["--set", *changes] if changes else []
    if world == 1:
        return [Command(words)]
    group = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [Command(words, RANK=str(rank), LOCAL_RANK=str(rank), **group) for rank in range(world)]


def finish(running: list[Command]) -> None:
    for process in running:
        text, _ = process.communicate(timeout=120)
        assert process.returncode == 0, text


def run(out: Path, *changes: str, world: int = 1, function: str = "recipe", file: str = RECIPE) -> Path:
    finish(start(out, *changes, world=world, function=function, file=file))
    return out


def last_state(out: Path) -> dict[str, Any]:
    return torch.load(sorted((out / "checkpoints").glob("step-*.pt"))[-1], weights_only=True)


def flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flat(item, f"{path}/{key}").items()}
    if isinstance(value, list):
        return {k: v for key, item in enumerate(value) for k, v in flat(item, f"{path}/{key}").items()}
    return {path: value}


def assert_same_state(first: Path, second: Path) -> None:
    one, two = flat(last_state(first)), flat(last_state(second))
    assert one.keys() == two.keys()
    for name in one.keys() - {"/seconds"}:
        same = (
            torch.equal(one[name], two[name])
            if isinstance(one[name], torch.Tensor)
            else one[name] == two[name]
        )
        assert same, name


def losses(out: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in read_lines(out, "step")]


def wait_for(path: Path, running: list[Command]) -> None:
    until = time.monotonic() + 90
    while not path.exists():
        assert time.monotonic() < until, "no checkpoint appeared"
        assert all(process.poll() is None for process in running), [p.communicate()[0] for p in running]
        time.sleep(0.005)


@pytest.mark.parametrize(("world", "function"), [(1, "muon"), (2, "recipe")])
def test_killed_and_resumed_equals_never_stopped_bit_for_bit(
    tmp_path: Path, world: int, function: str
) -> None:
    straight = run(tmp_path / "straight", world=world, function=function)

    broken = tmp_path / "broken"
    running = start(broken, world=world, function=function)
    wait_for(broken / "checkpoints" / "step-00000003.pt", running)  # in the middle of the first epoch
    for process in running:
        process.kill()
        process.communicate()
    assert not (broken / "checkpoints" / "step-00000012.pt").exists()
    run(broken, "training.workers=2", world=world, function=function)

    assert_same_state(straight, broken)
    assert losses(straight) == losses(broken)
    first, second = (json.loads((out / "evaluation" / "val.json").read_text()) for out in (straight, broken))
    assert first == second


def test_two_processes_equal_one_with_the_same_images(tmp_path: Path) -> None:
    changes = ("training.ema=null", "augmentation.steps.0.flip=0.5", "training.precision=fp32")
    one = last_state(run(tmp_path / "one", *changes))
    two = last_state(run(tmp_path / "two", *changes, world=2))

    assert one["model"].keys() == two["model"].keys()  # synchronized batch norm has the same keys
    for name, value in one["model"].items():
        torch.testing.assert_close(two["model"][name], value, rtol=1e-4, atol=1e-5, msg=name)
    logged = zip(losses(tmp_path / "one"), losses(tmp_path / "two"), strict=True)
    for (_, alone), (_, together) in logged:
        assert together == pytest.approx(alone, rel=1e-4)


def test_two_processes_train_queries_as_one_does(tmp_path: Path) -> None:
    """Queries and masks are averaged over all processes, although their images have different numbers of objects."""
    file = str(REPOSITORY / "tests" / "small_queries.py")
    one, two = (run(tmp_path / str(world), world=world, file=file) for world in (1, 2))
    alone, together = last_state(one)["model"], last_state(two)["model"]
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-4, atol=1e-5, msg=name)
    logged = [[line for _, line in losses(out)] for out in (one, two)]
    assert logged[1] == pytest.approx(logged[0], rel=1e-4)


def test_every_validation_image_counts_once_for_any_number_of_processes(tmp_path: Path) -> None:
    file, changes = (
        str(REPOSITORY / "tests" / "own_metric.py"),
        ("training.steps=1", "training.evaluate_every=1.0"),
    )
    one, two = (run(tmp_path / str(world), *changes, world=world, file=file) for world in (1, 2))
    first, second = (json.loads((out / "evaluation" / "val.json").read_text()) for out in (one, two))
    assert first["images"] == second["images"] == 7
    assert [i["name"] for i in second["per_image"]] == [f"val_{i}" for i in range(7)]
    pixels = 7 * (40 * 56 - 16)
    assert sum(map(sum, first["confusion"])) == sum(map(sum, second["confusion"])) == pixels

    # A metric of a user's own file. The first step has learning rate 0, so that both runs score the same weights; only
    # the statistics of batch norm may differ in their last bits.
    assert second["metrics"] == first["metrics"] == ["block_recall", "block_recall_by_class"]
    assert second["block_recall"] == pytest.approx(first["block_recall"], abs=1e-3)
    logged = [read_lines(out, "evaluation")[-1]["block_recall"] for out in (one, two)]
    assert logged == [first["block_recall"], second["block_recall"]]


def test_sigterm_to_one_process_saves_and_ends_all_with_exit_code_zero(tmp_path: Path) -> None:
    out = tmp_path / "run"
    endless = ("training.steps=100000", "training.log_every=0.0001", "training.save_every=0.0001")
    running = start(out, *endless, "training.evaluate_every=1.0", world=2)
    wait_for(out / "checkpoints" / "step-00000010.pt", running)
    running[1].send_signal(signal.SIGTERM)
    finish(running)
    summary = json.loads((out / "summary.json").read_text())
    assert not summary["finished"]
    assert last_state(out)["step"] == summary["step"]
    assert [path.name for path in sorted((out / "logs").iterdir())] == ["rank-0.txt", "rank-1.txt"]
