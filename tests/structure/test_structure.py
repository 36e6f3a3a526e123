"""The shape of the house: sizes, directions of imports, start-up times, names."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import segwright

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "segwright"
FILES = sorted(SOURCE.rglob("*.py"))

# Who may import whom: a place imports only from the layers above its own, or from its own.
LAYERS = (
    ("version", "labels"),
    ("contracts",),
    ("text",),
    ("data", "models", "legacy", "losses", "decode", "metrics"),
    ("recipe",),
    ("evaluation",),
    ("prediction",),
    ("training",),
    ("recipes",),
    ("analysis",),
    ("demo",),
    ("cli", "cli_data", "cli_score", "cli_tables", "__init__", "__main__"),
)
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def place(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            yield node


def code_lines(function: ast.FunctionDef) -> int:
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    text = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - text


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_keep_their_size(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for function in functions(path):
        assert code_lines(function) <= 60, function.name
        arguments = function.args
        given = [a for a in arguments.args if a.arg not in ("self", "cls")]
        optional = len(arguments.defaults) + sum(default is not None for default in arguments.kw_defaults)
        assert len(given) + len(arguments.kwonlyargs) - optional <= 5, function.name


def test_most_functions_are_short() -> None:
    sizes = [code_lines(function) for path in FILES for function in functions(path)]
    assert statistics.median(sizes) <= 15
    assert sum(size > 40 for size in sizes) <= 0.02 * len(sizes)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_one_way(path: Path) -> None:
    if path.name == "__init__.py" and path.parent == SOURCE:
        return  # the public names come from everywhere
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "segwright" and len(parts) > 1 and parts[1] in LEVEL:
            assert LEVEL[parts[1]] <= LEVEL[place(path)], f"{path.name} imports {name}"


def test_only_processes_and_batch_norm_touch_torch_distributed() -> None:
    touching = {
        str(path.relative_to(SOURCE))
        for path in FILES
        if any(name.startswith("torch.distributed") for name in imported(path))
    }
    assert touching == {"training/processes.py", "models/layers/norm.py"}


def test_no_file_is_a_bag() -> None:
    bags = {"utils", "util", "helpers", "helper", "common", "base", "core", "engine", "misc"}
    assert not bags & {path.stem for path in FILES}


def test_public_names_are_there() -> None:
    for name in segwright.__all__:
        assert getattr(segwright, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = segwright.nothing


def test_there_is_enough_test() -> None:
    def lines(folder: Path) -> int:
        return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("*.py"))

    assert lines(REPOSITORY / "tests") >= 0.6 * lines(SOURCE)


def seconds(*command: str) -> float:
    """The faster of two: what the machine can do, not what else it is doing."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


def test_help_answers_at_once() -> None:
    assert seconds("-m", "segwright", "--help") < 0.5


def test_importing_costs_little_more_than_torch() -> None:
    code = (
        "import torch, time; start = time.perf_counter(); import segwright; "
        "segwright.LabelSpace; segwright.InputContract; print(time.perf_counter() - start)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], check=True, capture_output=True) for _ in range(2)]
    assert min(float(run.stdout) for run in runs) < 0.3
