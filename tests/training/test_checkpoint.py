from __future__ import annotations

import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import forked, small

from segwright.errors import UserError
from segwright.files import WriteError, atomic_write
from segwright.training import checkpoint
from segwright.training.processes import Processes
from segwright.training.state import restore, save, start

CPU = torch.device("cpu")


def state(value: float) -> dict[str, Any]:
    return {"model": {"weight": torch.full((1000,), value)}}


def test_the_newest_checkpoint_is_read_and_old_ones_are_deleted(tmp_path: Path) -> None:
    for step in (1, 2, 10):
        checkpoint.save(tmp_path, step, state(step), keep=2)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000002.pt", "step-00000010.pt"]
    saved = checkpoint.newest(tmp_path, CPU)
    assert saved is not None
    assert saved["step"] == 10
    assert torch.equal(saved["model"]["weight"], torch.full((1000,), 10.0))


def test_an_empty_folder_holds_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path, CPU) is None


def test_a_damaged_file_is_skipped_for_the_previous_one(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, state(1), keep=2)
    path = checkpoint.save(tmp_path, 2, state(2), keep=2)
    for length in (500, 2, 0):  # torch has no text for the error of an empty file
        path.write_bytes(path.read_bytes()[:length])
        lines: list[str] = []
        saved = checkpoint.newest(tmp_path, CPU, say=lines.append)
        assert saved is not None
        assert saved["step"] == 1
        assert len(lines) == 1
        assert lines[0].startswith(f"warning: {path}: damaged (")
        assert lines[0].endswith("; the checkpoint before is used instead: step-00000001.pt")


def test_a_file_that_is_no_checkpoint_is_skipped_as_a_damaged_one(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, state(1), keep=2)
    torch.save([1, 2], tmp_path / "step-00000002.pt")
    saved = checkpoint.newest(tmp_path, CPU)
    assert saved is not None and saved["step"] == 1


@pytest.mark.parametrize("keep", [1, 2])
def test_a_damaged_file_of_a_later_step_displaces_no_good_one(keep: int, tmp_path: Path) -> None:
    for step in (1, 2, 9):
        checkpoint.save(tmp_path, step, state(step), keep=3)
    (tmp_path / "step-00000009.pt").write_bytes(b"")
    checkpoint.save(tmp_path, 3, state(3), keep=keep)
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert names == ["step-00000002.pt", "step-00000003.pt"][-keep:]


def test_machines_that_do_not_share_the_folder_are_refused(tmp_path: Path) -> None:
    class Others(Processes):
        """One of two processes; the other one has found no checkpoint."""

        def gather(self, value: Any) -> list[Any]:
            return [value, 0]

    alone = Processes(0, 1, CPU)
    trained = start(small.recipe(), small.LABELS, alone)
    restore(trained, tmp_path, Others(0, 2, CPU))
    trained.step = 5
    save(trained, tmp_path, alone, keep=1)
    with pytest.raises(UserError, match=r"of the steps 0, 5; expected a folder that all machines share"):
        restore(trained, tmp_path, Others(0, 2, CPU))


def _die_half_way(path: Path) -> None:
    def write(part: Path) -> None:
        part.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)

    atomic_write(path, write)


def test_killed_during_the_write_the_previous_one_still_loads(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 1, state(1), keep=2)
    child = forked.context().Process(target=_die_half_way, args=(path,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    saved = checkpoint.newest(tmp_path, CPU)
    assert saved is not None
    assert torch.equal(saved["model"]["weight"], torch.ones(1000))


def test_on_a_full_disk_the_previous_one_stays_and_an_error_is_raised(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, state(1), keep=1)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (2000, limit[1])
    )  # a larger file cannot be written, as on a full disk
    try:
        with pytest.raises(WriteError, match="cannot be written"):
            checkpoint.save(tmp_path, 2, state(2), keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.pt"]


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    torch.save({"format": 1, "step": 1, "model": Evil()}, tmp_path / "step-00000001.pt")
    with pytest.raises(checkpoint.CheckpointError, match="no checkpoint can be read"):
        checkpoint.newest(tmp_path, CPU)
    assert not (tmp_path / "ran").exists()
