"""The structure of the package: sizes, directions of imports, start-up times, names."""

from __future__ import annotations

import ast
import re
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

# Who may import whom: a folder (or a file of the top level) imports only from those above it in this list.
ORDER = (
    "version", "lazy", "errors", "protocols", "parallel", "labels", "files", "samples", "contracts", "yaml_reader",
    "field_values", "named_objects", "config",
    "data/reading", "data/augmentation", "data/formats", "data/exports", "data/loading", "data/datasets",
    "data/conversion", "data",
    "models/layers", "models/weights", "models/backbones", "models",
    "losses", "metrics", "decode", "inference", "visualization", "importers",
    "evaluation/files", "evaluation", "training", "recipes", "export", "prediction", "analysis/errors", "analysis",
    "suggestion", "serving",
    "api", "demo", "cli", "__main__", "__init__",
)  # fmt: skip
RANK = {name: rank for rank, name in enumerate(ORDER)}


def folder(path: Path) -> str:
    """The folder of a source file, or the file's own name at the top level."""
    inside = path.relative_to(SOURCE)
    return inside.parent.as_posix() if inside.parent.parts else inside.stem


def folder_of(module: str) -> str | None:
    """The folder of a module of segwright, None for other packages."""
    path = SOURCE.joinpath(*module.split(".")[1:])
    if module.split(".", maxsplit=1)[0] != "segwright":
        return None
    if path.is_dir():
        return path.relative_to(SOURCE).as_posix() if path != SOURCE else None
    return folder(path.with_suffix(".py")) if path.with_suffix(".py").is_file() else None


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
    for name in imported(path):
        target = folder_of(name)
        if target is not None and target != folder(path):
            assert RANK[target] < RANK[folder(path)], f"{folder(path)}/{path.name} imports {name}"


def test_no_files_import_each_other_in_a_circle() -> None:
    modules = {
        ".".join(("segwright", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in FILES
    }
    graph = {
        name: {target for target in imported(path) if target in modules and target != name}
        for name, path in modules.items()
    }
    while free := [name for name, targets in graph.items() if not targets]:
        graph = {name: targets - {*free} for name, targets in graph.items() if name not in free}
    assert not graph, f"in circles, or importing from one: {sorted(graph)}"


@pytest.mark.parametrize("path", sorted({path.parent for path in FILES}), ids=lambda path: path.name)
def test_every_folder_says_what_is_in_it(path: Path) -> None:
    text = ast.get_docstring(ast.parse((path / "__init__.py").read_text(encoding="utf-8"))) or ""
    parts = [p.stem for p in path.glob("*.py")] + [p.parent.name for p in path.glob("*/__init__.py")]
    missing = [name for name in parts if not name.startswith("__") and not re.search(rf"\b{name}\b", text)]
    assert not missing, f"the docstring of {path.name}/__init__.py says nothing about {missing}"


@pytest.mark.parametrize(
    "module",
    ["metrics", "evaluation.files.semantic", "evaluation.files.panoptic", "evaluation.files.instance",
     "data.check", "data.datasets", "data.conversion.coco", "data.augmentation", "visualization"],
)  # fmt: skip
def test_what_needs_no_torch_does_not_import_it(module: str) -> None:
    code = f"import sys, segwright.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_only_processes_and_batch_norm_touch_torch_distributed() -> None:
    touching = {
        str(path.relative_to(SOURCE))
        for path in FILES
        if any(name.startswith("torch.distributed") for name in imported(path))
    }
    assert touching == {"training/processes.py", "models/layers/norm_config.py"}


def test_no_file_is_a_bag() -> None:
    bags = {"utils", "util", "helpers", "helper", "common", "base", "core", "engine", "misc"}
    assert not bags & {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_other_projects_are_called_by_their_names(path: Path) -> None:
    assert not re.findall(r"\bS[1-5]\b", path.read_text(encoding="utf-8"))


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
