"""Metrics by name, as ``--metrics`` takes them."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import importlib
import inspect
import pkgutil
import typing
from functools import cache
from pathlib import Path
from types import ModuleType

from segwright.config import coerce
from segwright.errors import UserError
from segwright.metrics.metric import Metric


@cache
def metric_classes() -> dict[str, type]:
    """The metrics of segwright that can be in ``Recipe.metrics``, by their name."""
    return {
        name: kind
        for info in pkgutil.iter_modules([str(Path(__file__).parent)])
        for name, kind in _metrics_of(importlib.import_module(f"segwright.metrics.{info.name}")).items()
    }


def _metrics_of(module: ModuleType) -> dict[str, type]:
    """The metrics that a module defines: dataclasses that need no arguments and have the methods of ``Metric``."""
    return {
        name: kind
        for name, kind in vars(module).items()
        if isinstance(kind, type)
        and kind.__module__ == module.__name__
        and dataclasses.is_dataclass(kind)
        and all(hasattr(kind, method) for method in ("add", "combine", "result"))
        and all(
            parameter.default is not parameter.empty
            for parameter in inspect.signature(kind).parameters.values()
        )
    }


def metrics_from_text(text: str, code: ModuleType | None = None) -> tuple[Metric, ...]:
    """The metrics that a text names: "BoundaryIoU, TrimapIoU(widths=(3, 5))", written as in Python.

    ``code``: the module of a user's own metrics. ``UserError`` names what is unknown or wrong.
    """
    known = metric_classes() | (_metrics_of(code) if code else {})
    try:
        body = ast.parse(f"({text},)", mode="eval").body
        assert isinstance(body, ast.Tuple)
    except SyntaxError:
        raise UserError(
            f"--metrics {text}: not a list of metrics; expected names such as 'BoundaryIoU, TrimapIoU(widths=(3, 5))'"
        ) from None
    return tuple(_metric(node, known) for node in body.elts)


def _metric(node: ast.expr, known: dict[str, type]) -> Metric:
    text = ast.unparse(node)
    call = node if isinstance(node, ast.Call) else ast.Call(node, [], [])
    if not isinstance(call.func, ast.Name) or call.args or not all(word.arg for word in call.keywords):
        raise UserError(
            f"--metrics {text}: expected the name of a metric, with settings as in Name(setting=1)"
        )
    name = call.func.id
    if name not in known:
        near = difflib.get_close_matches(name, known, 1, cutoff=0.4)
        hint = f"did you mean {near[0]}?" if near else "a metric of your own needs --code FILE.py"
        raise UserError(
            f"--metrics {name}: unknown metric; expected one of {', '.join(sorted(known))}; {hint}"
        )
    kind = known[name]
    fields = {field.name for field in dataclasses.fields(kind) if field.init}
    types = typing.get_type_hints(kind)
    settings = {}
    for word in call.keywords:
        if word.arg not in fields:
            listed = ", ".join(sorted(fields)) or "no settings"
            raise UserError(f"--metrics {text}: {name} has no setting {word.arg!r}; expected {listed}")
        try:
            value = ast.literal_eval(word.value)
        except ValueError:
            raise UserError(
                f"--metrics {text}: {word.arg} is no plain value; expected a number or numbers"
            ) from None
        settings[word.arg] = coerce(value, types[word.arg], f"--metrics {name}.{word.arg}")
    return typing.cast(Metric, kind(**settings))
