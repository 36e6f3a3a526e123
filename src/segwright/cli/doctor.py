"""The verb ``segwright doctor``."""

from __future__ import annotations

import argparse

from segwright.cli.options import Verbs, add_json, add_verb
from segwright.files import check_writable, write_json

MARKS = {"ok": " ", "missing": "-", "warning": "!", "error": "x"}


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    text = "show versions, devices and memory, and what is missing on this machine"
    doctor = add_verb(verbs, "doctor", _doctor, text, "segwright doctor")
    add_json(doctor, "all findings")


def _doctor(options: argparse.Namespace) -> int:
    from segwright.analysis.environment import environment

    check_writable(options.json)
    machine = environment()
    if options.json:
        write_json(options.json, machine.to_json())
    width = max(len(finding.topic) for finding in machine.findings)
    for finding in machine.findings:
        print(f"{MARKS[finding.state]} {finding.topic:<{width}}  {finding.text}")
    print("ready" if machine.ready else "not ready: correct what the lines marked x name")
    return 0 if machine.ready else 1
