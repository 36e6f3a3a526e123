"""What a .pt2 file may contain: numbers, and a graph of PyTorch's tensor operators. A file of a stranger runs no code.

``torch.export.load`` itself unpickles parts of a file, evaluates expressions in it, and calls what its graph names.
"""

from __future__ import annotations

import ast
import io
import pickle
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from segwright.errors import UserError
from segwright.files import parse_json

_MEMBERS = re.compile(
    r"[^/]+/(data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)|data/sample_inputs/model\.pt|models/model\.json"
    r"|extra/segwright|archive_format|archive_version|\.data/version|\.data/serialization_id|byteorder"
    r"|\.format_version|\.storage_alignment)"
)
_OPERATORS = re.compile(
    r"torch\.ops\.aten\.(?!from_file)\w+\.\w+|torch\.sym_\w+|math\.(ceil|floor|trunc|sqrt)"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|and_|or_|eq|ne|lt|le|gt|ge|getitem)"
)
_EXPRESSIONS = ("expr_str", "guards_code", "range_constraints")
_SIZE = re.compile(r"L\['\w+'\]\.size\(\)\[\d+\]")
_LIMIT = re.compile(r"\btorch\.sym_(max|min)\(")
_FUNCTIONS = frozenset({
    "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Mod", "Max", "Min", "Abs", "floor",
    "ceiling", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Not", "And", "Or", "Equality", "Unequality",
    "StrictLessThan", "LessThan", "StrictGreaterThan", "GreaterThan", "FloorDiv", "ModularIndexing", "Where",
    "PythonMod", "CleanDiv", "CeilToInt", "FloorToInt", "CeilDiv", "LShift", "RShift", "PowByNatural",
    "FloatPow", "FloatTrueDiv", "IntTrueDiv", "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal",
    "ToFloat", "max", "min", "abs",
})  # fmt: skip
_NODES = (
    ast.Expression, ast.Constant, ast.Name, ast.Load, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call,
    ast.keyword, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
_CONTAINERS = ("builtins.tuple", "builtins.list", "builtins.dict", "builtins.NoneType", None)
_FREE = ("metadata", "as_string", "torch_version")
"""Text that ``torch.export.load`` neither runs nor writes into the code of the program."""


def check_program(path: Path) -> None:
    """``UserError`` unless the file ``path`` is one of those that ``export_model`` writes."""
    try:
        with zipfile.ZipFile(path) as file:
            problem = _problem(file)
    except (OSError, ValueError, KeyError, RecursionError, SyntaxError, zipfile.BadZipFile) as error:
        problem = str(error) or type(error).__name__
    if problem:
        raise UserError(f"{path}: refused ({problem}); expected a .pt2 file of 'segwright export'")


def _problem(file: zipfile.ZipFile) -> str | None:
    """Why a file is refused; None if it may be opened."""
    for member in file.infolist():
        if not _MEMBERS.fullmatch(member.filename):
            return f"it contains {member.filename}"
        if member.compress_type != zipfile.ZIP_STORED:
            return "it is compressed"
    return next(filter(None, (_problem_of(name, file.read(name)) for name in file.namelist())), None)


def _problem_of(name: str, content: bytes) -> str | None:
    if name.endswith("_config.json"):
        if any(entry["use_pickle"] for entry in parse_json(content)["config"].values()):
            return "it contains a pickle"
    elif name.endswith("/model.pt"):
        try:
            torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError):
            return "its sample inputs are more than tensors"
    elif name.endswith("/models/model.json"):
        unsafe = next(_unsafe(parse_json(content)), None)
        if unsafe is not None:
            return f"its graph contains {unsafe[:80]!r}"
    return None


def _unsafe(value: Any, key: str = "") -> Iterator[str]:
    """The texts of a graph that would be run, or that name what would be called, and are not known to be harmless."""
    if isinstance(value, dict):
        for name, entry in value.items():
            text = [name] if key in _EXPRESSIONS else []
            yield from (each for each in text if not _is_arithmetic(each))
            if name not in _FREE:
                yield from _unsafe(entry, key if key in _EXPRESSIONS else name)
    elif isinstance(value, list):
        for entry in value:
            yield from _unsafe(entry, key)
    elif isinstance(value, str) and not _is_harmless(value, key):
        yield value


def _is_harmless(text: str, key: str) -> bool:
    if key == "target":
        return _OPERATORS.fullmatch(text) is not None
    if key in _EXPRESSIONS:
        return text in ("as_int", "as_expr") or _is_arithmetic(text)
    if key in ("in_spec", "out_spec"):
        return all(kind in _CONTAINERS for kind in _types(parse_json(text)))
    return re.fullmatch(r"[\w.]*|-Infinity", text) is not None


def _types(spec: Any) -> Iterator[Any]:
    """The types of the containers in a serialized tree."""
    if isinstance(spec, dict):
        yield spec.get("type")
        yield from _types(spec.get("children_spec", []))
    elif isinstance(spec, list):
        for each in spec:
            yield from _types(each)


def _is_arithmetic(text: str) -> bool:
    """Whether an expression only computes with sizes: it has no attribute, no index, and calls known functions."""
    tree = ast.parse(_LIMIT.sub(r"\1(", _SIZE.sub("size", text)), mode="eval")
    return all(_is_number(node) for node in ast.walk(tree))


def _is_number(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.fullmatch(r"[su]\d+", node.value) is not None  # the name of a symbol
    return isinstance(node, _NODES)
