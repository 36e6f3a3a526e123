"""Progress bars for verbs that take their time."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


@contextmanager
def progress_bar(total: int, unit: str, *, done: int = 0) -> Iterator[Callable[[], None]]:
    """A bar with the rate and the remaining time, on a terminal; call the function that it gives for each item.

    ``done``: the number of items that were done before. Output into a file or a pipe contains no bar.
    """
    if not has_terminal():
        yield lambda: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    rate = TextColumn(f"{{task.fields[rate]}} {unit}/s")
    columns = (BarColumn(), MofNCompleteColumn(), rate, TextColumn("left"), TimeRemainingColumn())
    with live_display(*columns) as progress:
        task = progress.add_task("", total=total, completed=done, rate="-")

        def advance() -> None:
            progress.advance(task)
            speed = progress.tasks[0].speed
            progress.update(task, rate="-" if speed is None else _rate_text(speed))

        yield advance


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Bars on a terminal, one per name until it is full; call the function that it gives with (name, done, total)."""
    if not has_terminal():
        yield lambda _, __, ___: None
        return
    from rich.markup import escape

    with live_display() as progress:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(escape(name), total=total)
            progress.update(tasks[name], completed=done, total=total, visible=done < total)

        yield show


def has_terminal() -> bool:
    """Whether this process may draw on a terminal: of the processes of torchrun, which share one, only the first."""
    return sys.stderr.isatty() and os.environ.get("RANK", "0") == "0"


def live_display(*columns: Any) -> Progress:
    """Bars on the standard error, which vanish at the end; without ``columns``: name, bar, percent, remaining time.

    Lines that are printed meanwhile appear above the bars, unless the standard output goes elsewhere.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=sys.stderr, soft_wrap=True)  # the terminal breaks long lines, not between words
    return Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty())


def _rate_text(speed: float) -> str:
    return f"{speed:.1f}" if speed >= 1 else f"{speed:.2g}"
