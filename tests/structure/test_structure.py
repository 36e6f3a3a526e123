"""The structure of the package: sizes, directions of imports, start-up times, names."""

from __future__ import annotations

import ast
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import segwright

REPOSITORY = Path(__file__).resolve().parents[2]
SOURCE = REPOSITORY / "src" / "segwright"
FILES = sorted(SOURCE.rglob("*.py"))

# Who may import whom: a folder (or a file of the top level) imports only from those above it in this list.
ORDER = (
    "version", "lazy", "wording", "errors", "config", "parallel", "memory", "labels", "files", "model_paths",
    "samples", "contracts",
    "data/reading", "data/augmentation", "data/formats", "data/exports", "data/loading", "data/datasets",
    "data/conversion", "data",
    "models/layers", "models/weights", "models/backbones", "models",
    "losses", "metrics", "decode", "inference/crf", "inference", "visualization", "importers",
    "evaluation/files", "evaluation", "training", "recipes", "export", "prediction",
    "analysis/errors", "analysis/pages", "analysis/models", "analysis/datasets", "analysis/reports",
    "analysis/comparisons", "analysis",
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


@cache
def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Every statement and expression of a file."""
    return (*ast.walk(ast.parse(text_of(path))),)


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def imported(path: Path) -> Iterator[str]:
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in nodes(path) if isinstance(node, ast.FunctionDef))


def code_lines(function: ast.FunctionDef) -> int:
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    text = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - text


def required_arguments(function: ast.FunctionDef) -> int:
    arguments = function.args
    given = [a for a in arguments.args if a.arg not in ("self", "cls")]
    optional = len(arguments.defaults) + sum(default is not None for default in arguments.kw_defaults)
    return len(given) + len(arguments.kwonlyargs) - optional


def test_files_keep_their_size() -> None:
    lines = {name_of(path): len(text_of(path).splitlines()) for path in FILES}
    assert not {name: count for name, count in lines.items() if count > 400}


def test_functions_keep_their_size() -> None:
    every = [
        (f"{name_of(path)}: {function.name}", function) for path in FILES for function in functions(path)
    ]
    assert len(every) > 1000
    assert not [name for name, function in every if code_lines(function) > 60]
    assert not [name for name, function in every if required_arguments(function) > 5]


def test_most_functions_are_short() -> None:
    sizes = [code_lines(function) for path in FILES for function in functions(path)]
    assert statistics.median(sizes) <= 15
    assert sum(size > 40 for size in sizes) <= 0.02 * len(sizes)


def test_imports_run_one_way() -> None:
    wrong = []
    for path in FILES:
        for name in imported(path):
            target = folder_of(name)
            if target is not None and target != folder(path) and RANK[target] >= RANK[folder(path)]:
                wrong.append(f"{name_of(path)} imports {name}")
    assert not wrong


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


def test_every_folder_says_what_is_in_it() -> None:
    missing = []
    for path in sorted({path.parent for path in FILES}):
        text = ast.get_docstring(ast.parse(text_of(path / "__init__.py"))) or ""
        parts = [p.stem for p in path.glob("*.py")] + [p.parent.name for p in path.glob("*/__init__.py")]
        names = [name for name in parts if not name.startswith("__") and not re.search(rf"\b{name}\b", text)]
        missing += [f"{name_of(path)}/__init__.py: {name}" for name in names]
    assert not missing, "docstrings of folders that do not name their files"


def test_what_needs_no_torch_does_not_import_it() -> None:
    modules = ("metrics", "evaluation.files.semantic", "evaluation.files.panoptic", "evaluation.files.instance",
               "evaluation", "data.check", "data.datasets", "data.conversion.coco", "data.augmentation",
               "data.loading.sampling", "data.loading.augmented_samples", "visualization")  # fmt: skip
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(f'segwright.{name}')\n"
        "    if 'torch' in sys.modules: sys.exit(f'{name} imports torch')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *modules], check=False, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr


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


def test_other_projects_are_called_by_their_names() -> None:
    assert not [name_of(path) for path in FILES if re.search(r"\bS[1-5]\b", text_of(path))]


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
    """The CPU time of a process, which other load on the machine hardly changes."""
    before = os.times()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    after = os.times()
    return sum(after[2:4]) - sum(before[2:4])


def test_help_answers_at_once() -> None:
    assert any(seconds("-m", "segwright", "--help") < 0.5 for _ in range(2))


def test_importing_costs_little_more_than_torch() -> None:
    code = (
        "import torch, time; start = time.process_time(); import segwright; "
        "segwright.LabelSpace; segwright.InputContract; print(time.process_time() - start)"
    )
    runs = (subprocess.run([sys.executable, "-c", code], check=True, capture_output=True) for _ in range(2))
    assert any(float(run.stdout) < 0.3 for run in runs)
