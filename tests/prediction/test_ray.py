"""Prediction on a local Ray cluster: the outputs of one process, every image once, also if a worker is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests import small

from segwright.contracts import InputContract, Model
from segwright.data.reading.label_maps import write_png
from segwright.models.weights.model_file import write_model
from segwright.prediction.predict_files import FilePrediction, predict_files
from segwright.prediction.ray_prediction import predict_on_ray

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),
]
COUNT = 60


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    return small.TINY.build(small.LABELS, InputContract()).eval()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    random = np.random.default_rng(0)
    for number in range(COUNT):
        write_png(folder / f"{number:03d}.png", random.integers(0, 255, (64, 80, 3), np.uint8))
    (folder / "broken.png").write_bytes(b"no image")
    return folder


def _outputs(out: Path) -> dict[str, bytes]:
    files = [path for path in out.rglob("*") if path.is_file() and "done" not in path.name]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def _actor_pids() -> list[int]:
    """The processes of the actors of this test: descendants that Ray names after the actor class."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    lines = [line.split(None, 2) for line in listing.stdout.splitlines()]
    parent = {int(pid): int(parent_pid) for pid, parent_pid, *_ in lines}

    def is_ours(pid: int) -> bool:
        while pid > 1 and pid != os.getpid():
            pid = parent.get(pid, 0)
        return pid == os.getpid()

    actors = [int(line[0]) for line in lines if line[2:] and "Worker" in line[2] and "ray::" in line[2]]
    return [pid for pid in actors if is_ours(pid)]


def test_every_image_is_predicted_once_although_a_worker_is_killed(
    tmp_path: Path, model: Model, source: Path
) -> None:
    ray = pytest.importorskip("ray")
    parquet = pytest.importorskip("pyarrow.parquet")
    [*predict_files(model, [str(source)], tmp_path / "plain", save=["parquet"])]
    ray.init(address="local", num_cpus=4, log_to_driver=False, include_dashboard=False)
    try:
        prediction = FilePrediction.open(model, [str(source)], tmp_path / "ray", save=["parquet"])
        names, killed = [], 0
        for path, problem in predict_on_ray(prediction, actors=2, images_at_once=4):
            names.append(path.name)
            assert (problem is None) == (path.name != "broken.png")
            if len(names) == 8:
                victims = _actor_pids()
                assert victims
                os.kill(victims[0], signal.SIGKILL)
                killed += 1
        assert killed == 1 and sorted(names) == sorted(path.name for path in source.iterdir())
        lines = (tmp_path / "ray" / "done.jsonl").read_text().splitlines()
        done = [json.loads(line)["name"] for line in lines if '"name"' in line]
        assert sorted(done) == [f"{number:03d}" for number in range(COUNT)]
        assert _outputs(tmp_path / "ray") == _outputs(tmp_path / "plain")
        table = parquet.read_table(tmp_path / "ray" / "predictions.parquet")
        assert table.column("name").to_pylist() == [f"{number:03d}" for number in range(COUNT)]
        again = FilePrediction.open(model, [str(source)], tmp_path / "ray", save=["parquet"], resume=True)
        assert [path.name for path, _ in predict_on_ray(again, actors=1)] == ["broken.png"]
    finally:
        ray.shutdown()


def test_the_command_starts_a_cluster_of_its_own(tmp_path: Path, model: Model, source: Path) -> None:
    pytest.importorskip("ray")
    write_model(tmp_path / "model.safetensors", model, small.TINY)
    command = ["predict", str(tmp_path / "model.safetensors"), str(source), "--out", str(tmp_path / "out")]
    run = subprocess.run(
        [sys.executable, "-m", "segwright", *command, "--ray", "local", "--ray-actors", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stderr
    assert f"{COUNT} images predicted into" in run.stdout and "1 skipped" in run.stdout
    assert len([*(tmp_path / "out" / "index").glob("*.png")]) == COUNT
