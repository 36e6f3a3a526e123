"""Run metadata in the run folder: recipe, versions, seed, git state, fingerprint of the data."""

from __future__ import annotations

import difflib
import hashlib
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from segwright.config import to_yaml
from segwright.contracts import Model
from segwright.errors import UserError
from segwright.files import read_json, read_text, remove_leftovers, write_json, write_text
from segwright.models.weights.pretrained import pretrained_records
from segwright.samples import Dataset
from segwright.training.processes import Processes
from segwright.training.recipe import Recipe
from segwright.version import VERSION

# These change what a run costs or shows, never what it computes: they may differ when it is resumed.
_FREE = ("workers", "log_every", "keep_checkpoints", "num_visualizations", "wandb", "mlflow")


@contextmanager
def run_folder(out: Path) -> Iterator[None]:
    """Leave no folder behind that only says what was refused: a ``UserError`` removes what it wrote into a new one.

    ``UserError`` if ``out`` is a file.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; expected a folder for the run; choose another --out")
    existed, used = out.is_dir(), out.is_dir() and any(out.iterdir())
    try:
        yield
    except UserError:
        if not used and not any(out.glob("checkpoints/*")):
            shutil.rmtree(out, ignore_errors=True)
            if existed:
                out.mkdir(exist_ok=True)
        raise


def record(
    recipe: Recipe, data: Path | None, out: Path, splits: dict[str, Dataset], processes: Processes
) -> None:
    """Write ``recipe.yaml`` and ``run.json``; ``UserError`` if the folder has those of another recipe or other data."""
    text = to_yaml(recipe)
    metadata: dict[str, Any] = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join(sys.argv),
        "segwright": VERSION,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": _device(processes.device),
        "threads": torch.get_num_threads(),
        "processes": processes.world,
        "seed": recipe.training.seed,
        "git": git_state(),
        "data": {"root": str(data.resolve()) if data else None}
        | {k: fingerprint(v) for k, v in splits.items()},
    }
    earlier = read_json(out / "run.json")
    if earlier is not None:
        _refuse_other_recipe(out, text)
        _refuse_other_data(out, earlier["data"], metadata["data"])
        resumed = {name: metadata[name] for name in ("started", "device", "torch")}
        metadata = earlier | {"resumed": [*earlier.get("resumed", []), resumed]}
    if processes.main:
        remove_leftovers(out)
        write_text(out / "recipe.yaml", text)
        write_json(out / "run.json", metadata)


def record_weights(out: Path, model: Model, processes: Processes) -> None:
    """Add the sources of pretrained weights to ``run.json``."""
    records = pretrained_records(model)
    if processes.main and records:
        write_json(out / "run.json", (read_json(out / "run.json") or {}) | {"pretrained": records})


def fingerprint(dataset: Dataset) -> dict[str, Any]:
    """The number of images, and a hash of the names and sizes of all files, which changes when a file is replaced."""
    digest = hashlib.sha256()
    for index in range(len(dataset)):
        for path in dataset.files(index):
            digest.update(
                f"{path.parent.name}/{path.name} {path.stat().st_size}\n".encode(errors="surrogateescape")
            )
    return {"images": len(dataset), "fingerprint": digest.hexdigest()[:16]}


def git_state() -> dict[str, Any] | None:
    """The git commit of the working directory and whether files differ from it; None without a commit."""
    command = ["git", "status", "--porcelain=v2", "--branch"]
    try:
        status = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = status.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid ")), "(initial)")
    if commit == "(initial)":
        return None
    return {"commit": commit, "changed": not all(line.startswith("# ") for line in lines)}


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"


def _refuse_other_recipe(out: Path, text: str) -> None:
    def fixed(lines: str) -> list[str]:
        return [
            line for line in lines.splitlines() if not line.strip().startswith(tuple(f"{f}:" for f in _FREE))
        ]

    earlier = fixed(read_text(out / "recipe.yaml"))
    changes = [d for d in difflib.ndiff(earlier, fixed(text)) if d[:1] in "+-"]
    if changes:
        raise UserError(
            f"{out}: contains a run of another recipe ({' '.join(' '.join(c.split()) for c in changes[:4])}); "
            "choose another --out, or restore the recipe"
        )


def _refuse_other_data(out: Path, earlier: dict[str, Any], now: dict[str, Any]) -> None:
    for split in now.keys() - {"root"}:
        if earlier.get(split) != now[split]:
            raise UserError(
                f"{out}: the {split} data changed since the start of this run ({earlier.get(split)} -> {now[split]}); "
                "choose another --out to train on the new data"
            )
