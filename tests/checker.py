"""The checker of types and shapes under pytest: beartype, to which an int is a float as it is to mypy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checked: dict[tuple[object, ...], Any] = {}
_jaxtyped = jaxtyping.jaxtyped


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with checks of its arguments and its result.

    jaxtyping gives a function that has the signature of the checked one and does nothing. Functions inside of functions
    are defined at each call, and to compile their checks takes milliseconds: those of an equal signature are reused.
    """
    inside = "<locals>" in function.__qualname__
    if not inside or function.__defaults__ or function.__kwdefaults__ or function.__closure__:
        return _check(function)
    key = (function.__module__, function.__qualname__, function.__code__, *function.__annotations__.items())
    try:
        known = key in _checked
    except TypeError:  # an annotation that cannot be hashed
        return _check(function)
    if not known:
        _checked[key] = _check(function)
    return _checked[key]


def check_fast() -> None:
    """Let jaxtyping check only what has shapes; beartype alone checks other functions, in a fraction of the time."""
    jaxtyping.jaxtyped = _jaxtyped_or_checked


def _jaxtyped_or_checked(function: Any = None, *, typechecker: Any = None) -> Any:
    if function is None:
        return partial(_jaxtyped_or_checked, typechecker=typechecker)
    if function == "context" or not _has_no_shapes(function):
        return _jaxtyped(function, typechecker=typechecker)
    checked = check(function)

    @wraps(function)
    def unless_disabled(*arguments: Any, **named: Any) -> Any:
        if jaxtyping.config.jaxtyping_disable:  # while a graph is traced
            return function(*arguments, **named)
        return checked(*arguments, **named)

    return unless_disabled


def _has_no_shapes(function: Any) -> bool:
    """Whether all annotations of a function of a module or a class are known now, and none is jaxtyping's."""
    if not inspect.isfunction(function) or "<locals>" in function.__qualname__:
        return False
    if inspect.isgeneratorfunction(function) or getattr(function, "__no_type_check__", False):
        return False
    try:
        annotations = inspect.get_annotations(function, eval_str=True)
    except Exception:  # names that are known later, or to mypy alone
        return False
    if "jaxtyping" in repr([(value, getattr(value, "__module__", "")) for value in annotations.values()]):
        return False
    function.__annotations__ = annotations
    return True
