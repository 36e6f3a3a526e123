"""Rendering of the templates in this folder, and numbers as text."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

DASH = "\N{EN DASH}"


def render(template: str, **values: Any) -> str:
    """The page of a template of this folder, filled with ``values``."""
    return str(_environment().get_template(template).render(**values))


@cache
def _environment() -> Environment:
    """Where templates are compiled, each of them once."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, points=points, count=count, bar=bar)
    return environment


def section(template: str, **values: Any) -> str:
    """``render``, to be inserted into another page."""
    return markup(render(template, **values))


def percent(value: float | int | None, digits: int = 1) -> str:
    """A fraction in percent, without the sign; a dash for None and NaN."""
    number = number_of(value)
    return DASH if math.isnan(number) else f"{100 * number:.{digits}f}"


def points(value: float | int | None, digits: int = 1) -> str:
    """A difference of fractions in percentage points, with its sign; a dash for None and NaN."""
    number = number_of(value)
    if math.isnan(number):
        return DASH
    text = f"{100 * number:+.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def count(value: float | int | None) -> str:
    """An integer with commas between thousands; a dash for None and NaN."""
    number = number_of(value)
    return DASH if math.isnan(number) else f"{number:,.0f}"


def bar(value: float) -> str:
    """The CSS width of a bar for a fraction 0..1."""
    return "0" if math.isnan(value) else f"{100 * min(max(value, 0.0), 1.0):.2f}%"


def duration(seconds: float) -> str:
    """A duration as text: 48 s, 12 min, 3 h 05 min; a dash for NaN."""
    if math.isnan(seconds):
        return DASH
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def markup(text: str) -> str:
    """HTML, SVG or JSON that is not escaped again when it is inserted into a page."""
    from markupsafe import Markup

    return Markup(text)  # names inside are escaped already


def number_of(value: Any) -> float:
    """A float; NaN for None."""
    return math.nan if value is None else float(value)


def hex_of(color: tuple[int, ...]) -> str:
    """An RGB color as CSS."""
    return "#{:02x}{:02x}{:02x}".format(*color)
