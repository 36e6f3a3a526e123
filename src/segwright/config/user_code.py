"""A user's own Python file, which defines classes and functions that a recipe names (``--code FILE.py``)."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from segwright.errors import RunError, UserError

CODE_PREFIX = "code_"
"""A user's file ``mine.py`` is imported as ``code_mine``, so that it does not shadow an installed package ``mine``."""


def load_code(path: Path) -> ModuleType:
    """The module of a user's own file, run once."""
    if not path.is_file():
        raise UserError(f"{path}: does not exist; expected a file with Python code")
    name, path = f"{CODE_PREFIX}{path.stem}", path.resolve()
    known = sys.modules.get(name)
    if known is not None and known.__file__ and Path(known.__file__) == path:
        return known
    with errors_of_code(path):
        return import_file(name, path)


def code_attribute(name: str, code: ModuleType | None, where: str) -> Any:
    """The class or function ``FILE:NAME`` of the module ``code``; ``UserError`` if it has none of this name."""
    if code is None:
        raise UserError(
            f"{where}: {name} is not of segwright; name the file that defines it with --code FILE.py"
        )
    attribute = name.rpartition(":")[2]
    if not hasattr(code, attribute):
        file = code.__name__.removeprefix(CODE_PREFIX)
        raise UserError(
            f"{where}: {file}.py does not define {attribute!r}; expected the class or function {name}"
        )
    return getattr(code, attribute)


@contextmanager
def errors_of_code(path: Path) -> Iterator[None]:
    """Turn an exception of the user's file into a ``UserError`` that names the file and the line."""
    try:
        yield
    except (UserError, RunError, OSError):
        raise
    except SystemExit as error:
        raise UserError(
            f"{path}: ends the program (exit code {error.code}); expected code that returns"
        ) from error
    except SyntaxError as error:
        file = error.filename or path
        raise UserError(f"{file}, line {error.lineno}: not valid Python ({error.msg}); correct it") from error
    except Exception as error:
        lines = [
            frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
        ]
        where = f"{path}, line {lines[-1]}" if lines else str(path)
        raise UserError(
            f"{where}: {type(error).__name__}: {error}; correct the file (--debug shows the traceback)"
        ) from error


def import_file(name: str, path: Path) -> ModuleType:
    """The Python file ``path``, run as the module ``name``."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up there
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # no __pycache__ beside the user's file
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # half a module is none
        raise
    finally:
        sys.dont_write_bytecode = before
    return module
