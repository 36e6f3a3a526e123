"""Mistakes in a file of the user's own are told with the file and the line, and a corrected file is read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from segwright.cli.main import main
from segwright.config import load_code
from segwright.errors import UserError


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nothing_here\n", "line 1: ModuleNotFoundError: No module named 'nothing_here'"),
        ("x = 1\ndef f(:\n", "line 2: not valid Python"),
        ("\nraise ValueError('wrong')\n", "line 2: ValueError: wrong"),
        ("def f(x): pass\n", "TypeError: f() missing 1 required positional argument"),
        ("def f():\n    return 1 / 0\n", "line 2: ZeroDivisionError"),
        ("def f():\n    return 3\n", "is a int; expected a Recipe"),
        ("def f():\n    raise KeyError('a')\n", "line 2: KeyError: 'a'"),
    ],
)
def test_a_mistake_in_a_recipe_file_is_one_line(
    code: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_recipe.py").write_text(code)
    assert main(["train", f"{tmp_path / 'own_recipe.py'}:f", "--out", str(tmp_path / "run")]) == 2
    told = capsys.readouterr().err
    assert message in told and "own_recipe.py" in told and told.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_file_that_failed_is_read_again_when_it_is_corrected(tmp_path: Path) -> None:
    path = tmp_path / "corrected.py"
    path.write_text("value = 1\nraise ValueError\n")
    with pytest.raises(UserError, match="line 2: ValueError"):
        load_code(path)
    path.write_text("value = 2\n")
    assert load_code(path).value == 2
