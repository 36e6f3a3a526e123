"""A progress bar on terminals only."""

from __future__ import annotations

import io
import sys

import pytest

from segwright.cli.progress import progress_bar, progress_bars


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal_of(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The standard error as a terminal; no fixture, because pytest replaces it after the setup of a test."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    return terminal


def test_a_terminal_shows_how_many_are_done_and_how_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    with progress_bar(7, "images", done=3) as advance:
        for _ in range(4):
            advance()
    assert "7/7" in terminal.getvalue()
    assert "images/s" in terminal.getvalue()


def test_a_pipe_gets_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(2, "images") as advance:
        advance()
    assert capsys.readouterr() == ("", "")


def test_only_the_first_process_of_torchrun_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_of(monkeypatch)
    monkeypatch.setenv("RANK", "1")
    with progress_bar(2, "images") as advance, progress_bars() as show:
        advance()
        show("val", 1, 2)
    assert terminal.getvalue() == ""


def test_lines_for_a_file_go_there_while_a_bar_is_drawn(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = terminal_of(monkeypatch)
    with progress_bars() as show:
        show("val", 1, 2)
        print("a line")
    assert capsys.readouterr().out == "a line\n"
    assert "val" in terminal.getvalue() and "a line" not in terminal.getvalue()


@pytest.mark.parametrize(("speed", "text"), [(123.45, "123.5"), (1.0, "1.0"), (0.0312, "0.031")])
def test_slow_rates_have_two_digits(speed: float, text: str) -> None:
    from segwright.cli.progress import _rate_text

    assert _rate_text(speed) == text
