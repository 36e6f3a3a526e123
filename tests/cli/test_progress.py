"""A progress bar on terminals only."""

from __future__ import annotations

import io
import sys

import pytest

from segwright.cli.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_how_many_are_done_and_how_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar(7, "images", done=3) as advance:
        for _ in range(4):
            advance()
    assert "7/7" in terminal.getvalue()
    assert "images/s" in terminal.getvalue()


def test_a_pipe_gets_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(2, "images") as advance:
        advance()
    assert capsys.readouterr() == ("", "")
