"""The checker of types and shapes under pytest: beartype, to which an int is a float as it is to mypy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from beartype import BeartypeConf, beartype

_check = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checked: dict[tuple[object, ...], Any] = {}


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
