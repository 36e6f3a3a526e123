"""Every fault of the table ends in one line with the right exit code, and leaves no file half-written."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.fault import Fault
from tests.faults.table import FAULTS, PAGE, START, tables

from segwright.cli.main import main

pytestmark = pytest.mark.faults

ALL = [
    pytest.param(fault, id=f"{group}: {fault.wrong}") for group, faults in FAULTS.items() for fault in faults
]


def contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), path.read_bytes()


@pytest.mark.parametrize("fault", ALL)
def test_a_fault_ends_in_one_line_and_leaves_nothing_half_written(
    fault: Fault, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if "OpenVINO" in fault.wrong:
        pytest.importorskip("openvino")
    fault.damage()
    before = dict(contents(place))
    try:
        code = main(shlex.split(fault.command))
    except SystemExit as ended:  # of argparse
        code = int(ended.code or 0)
    lines = capfd.readouterr().err.splitlines()
    assert code == fault.code, lines
    if not fault.command.startswith("data check"):
        assert len(lines) == 1, lines
    assert all(fault.pattern.search(line) for line in lines), lines
    changed = {name for name, data in contents(place) if before.get(name) != data}
    assert fault.code == 1 or not changed, "nothing is written"
    assert not [name for name in changed if name.endswith(".part")]


def test_there_are_enough_faults_and_none_twice() -> None:
    names = [fault.wrong for faults in FAULTS.values() for fault in faults]
    assert len(names) >= 200
    assert len({*names}) == len(names)


def test_the_page_shows_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8").partition(START)[2] == tables(), "python -m tests.faults.table"
