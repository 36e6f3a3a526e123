"""All faults by group, and the page docs/faults.md that shows them.

``python -m tests.faults.table`` writes the page again.
"""

from __future__ import annotations

from pathlib import Path

from tests.faults import annotations, arguments, commands, datasets, models, predictions
from tests.faults.fault import Fault

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faults.md"
START = "<!-- The tables below are generated: python -m tests.faults.table -->\n"
FAULTS: dict[str, list[Fault]] = {
    **commands.FAULTS,
    **arguments.FAULTS,
    **datasets.FAULTS,
    **annotations.FAULTS,
    **models.FAULTS,
    **predictions.FAULTS,
}


def tables() -> str:
    """The tables of the page: a row per fault."""
    lines: list[str] = []
    for group, faults in FAULTS.items():
        lines += [f"\n## {group}\n", "| what is wrong | what segwright says | exit code |", "|---|---|--:|"]
        lines += [f"| {_cell(fault.wrong)} | {_cell(fault.says)} | {fault.code} |" for fault in faults]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    for character in "\\`*_<>|[]":
        text = text.replace(character, f"\\{character}")
    return text


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text(encoding="utf-8").partition(START)[0] + START + tables(), encoding="utf-8")
