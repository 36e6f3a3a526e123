"""The checker of types and shapes under pytest: beartype, to which an int is a float as it is to mypy."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial, wraps
from types import FunctionType
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

_check = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))
_checked: dict[tuple[object, ...], Any] = {}
_jaxtyped = jaxtyping.jaxtyped
_own_sizes = _jaxtyped("context")


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
    """Let jaxtyping compile checks when a function is first called, and look at each argument only once."""
    jaxtyping.jaxtyped = _jaxtyped_when_called


def _jaxtyped_when_called(function: Any = None, *, typechecker: Any = None) -> Any:
    """``jaxtyping.jaxtyped``, for functions and dataclasses."""
    if function is None:
        return partial(_jaxtyped_when_called, typechecker=typechecker)
    if inspect.isclass(function):
        own = getattr(function.__init__, "__globals__", None)
        if is_dataclass(function) and own is not globals():  # inherited from a class that is checked
            function.__init__ = _jaxtyped_when_called(function.__init__, typechecker=typechecker)
        return function
    if not inspect.isfunction(function) or getattr(function, "__no_type_check__", False):
        return _jaxtyped(function, typechecker=typechecker)
    checked = None

    @wraps(function)
    def unless_disabled(*arguments: Any, **named: Any) -> Any:
        nonlocal checked
        if jaxtyping.config.jaxtyping_disable:  # while a graph is traced
            return function(*arguments, **named)
        if checked is None:
            checked = _compile(function, typechecker)
        return checked(*arguments, **named)

    return unless_disabled


def _compile(function: FunctionType, typechecker: Any) -> Callable[..., Any]:
    """The checked function; jaxtyping itself makes it of generators and of functions inside of functions."""
    if "<locals>" in function.__qualname__ or inspect.isgeneratorfunction(function):
        return _jaxtyped(function, typechecker=typechecker)
    hints = _hints(function)
    checked = _check(_with_annotations(function, hints))
    if "jaxtyping" not in repr([(hint, getattr(hint, "__module__", "")) for hint in hints.values()]):
        return checked

    def with_own_sizes(*arguments: Any, **named: Any) -> Any:
        with _own_sizes:
            try:
                return checked(*arguments, **named)
            except jaxtyping.TypeCheckError:
                jaxtyping.print_bindings()
                raise

    return with_own_sizes


def _hints(function: FunctionType) -> dict[str, Any]:
    """The annotations that can be evaluated; others have names that only mypy knows."""
    hints = {}
    for name, hint in function.__annotations__.items():
        try:
            hints[name] = eval(hint, function.__globals__) if isinstance(hint, str) else hint
        except Exception:
            continue
    return hints


def _with_annotations(function: FunctionType, hints: dict[str, Any]) -> FunctionType:
    copy = FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__, copy.__annotations__ = function.__kwdefaults__, hints
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy
