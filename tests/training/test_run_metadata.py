from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import torch
from tests import small
from tests.data.formats.test_image_dataset import fake_camvid

from segwright.contracts import InputContract
from segwright.data.datasets.camvid import CamVid
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError
from segwright.models.weights.model_file import read_model, start_from, write_model
from segwright.training.processes import Processes
from segwright.training.run_metadata import fingerprint, git_state, record

SINGLE_PROCESS = Processes(0, 1, torch.device("cpu"))


def test_the_fingerprint_notices_added_and_replaced_files(tmp_path: Path) -> None:
    root = fake_camvid(tmp_path)

    def now() -> str:
        return str(fingerprint(CamVid().open(root, "train"))["fingerprint"])

    first = now()
    assert now() == first
    path = root / "trainannot" / "train_0.png"
    path.write_bytes(path.read_bytes() + b" ")
    second = now()
    assert second != first
    write_png(root / "train" / "new.png", CamVid().open(root, "train")[0].image)
    write_png(root / "trainannot" / "new.png", CamVid().open(root, "val")[0].map * 0)
    assert now() not in (first, second)


def test_a_run_records_its_origin_and_when_it_was_resumed(tmp_path: Path) -> None:
    splits = {name: small.Blocks().open(None, name) for name in ("train", "val")}
    recipe = small.recipe()
    record(recipe, None, tmp_path, splits, SINGLE_PROCESS)
    metadata = json.loads((tmp_path / "run.json").read_text())
    assert metadata["data"]["train"]["images"] == 13
    assert metadata["torch"] == torch.__version__
    assert "resumed" not in metadata
    recipe.training.workers = 3  # changes the speed, not the result
    record(recipe, None, tmp_path, splits, SINGLE_PROCESS)
    assert len(json.loads((tmp_path / "run.json").read_text())["resumed"]) == 1


def test_the_git_state_is_that_of_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() is None

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        return subprocess.run(["git", *identity, *words], check=True, capture_output=True, text=True).stdout

    git("init")
    assert git_state() is None  # nothing is committed
    git("commit", "--allow-empty", "-m", "first")
    commit = git("rev-parse", "HEAD").strip()
    assert git_state() == {"commit": commit, "changed": False}
    (tmp_path / "new file").write_text("a")
    assert git_state() == {"commit": commit, "changed": True}


def build(upsample_factor: int) -> torch.nn.Module:
    config = small.recipe().model
    config.upsample_factor = upsample_factor  # type: ignore[attr-defined]
    return config.build(small.LABELS, InputContract())  # type: ignore[no-any-return]


def test_weights_that_do_not_fit_are_listed_and_the_model_stays_as_it_was(tmp_path: Path) -> None:
    source, other = build(2), build(1)
    write_model(tmp_path / "m.safetensors", source, small.recipe().model)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(UserError, match=r"head\.0\.bias, head\.0\.weight do not fit"):
        start_from(other, tmp_path / "m.safetensors")
    assert all(torch.equal(before[name], value) for name, value in other.state_dict().items())
    left = start_from(other, tmp_path / "m.safetensors", skip_head=True)
    assert left.skipped == ("head.0.bias", "head.0.weight")
    assert torch.equal(
        other.state_dict()["pyramid.context.weight"], source.state_dict()["pyramid.context.weight"]
    )


def test_a_file_of_others_is_no_model_of_ours(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(UserError, match="not a segwright model"):
        read_model(tmp_path / "other.safetensors")
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(UserError, match="not a complete safetensors file"):
        read_model(tmp_path / "pickle.safetensors")
