"""Sides of a benchmark in processes of their own that take turns, so that all of them meet the same other load."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from segwright.training.precision import precision_of

Row = dict[str, float]


class Racer(Protocol):
    """One side of one network."""

    device: torch.device

    def run(self) -> Row:
        """Do what is measured once: its ``seconds``, on a GPU its ``flops``, and whatever else it knows."""


def contest(
    doc: str | None, networks: Mapping[str, Sequence[str]], side: Callable[..., Racer], *, rounds: int
) -> None:
    """The whole program: every network's sides against each other, a table each; or one of the sides."""
    options = _options(doc, networks, rounds)
    if options.side:
        _serve(side(*options.side, options))
        return
    device = torch.device(options.device)
    rate = _bf16_rate(device) if device.type == "cuda" else 0.0
    print(
        f"{options.batch} x {options.size} x {options.size}, {device}, {torch.get_num_threads()} threads, our "
        f"precision {precision_of('auto', device)}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}"
    )
    passed = [f"--size={options.size}", f"--batch={options.batch}", f"--device={options.device}"]
    passed += ["--compile"] if options.compile else []
    found = {}
    for name in options.networks:
        found[name] = _race([[*passed, "--side", name, each] for each in networks[name]], options.rounds)
        _show(name, dict(zip(networks[name], found[name], strict=True)), options.batch, rate)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


def _options(doc: str | None, networks: Mapping[str, Any], rounds: int) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--networks", nargs="+", choices=networks, default=list(networks))
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--compile", action="store_true", help="compile the side with our defaults")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def _race(sides: Sequence[Sequence[str]], rounds: int) -> list[list[Row]]:
    """The rows of each side, one a round, in which each runs once while the others wait."""
    processes = [
        subprocess.Popen(
            [sys.executable, sys.argv[0], *side], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for side in sides
    ]
    rows: list[list[Row]] = [[] for _ in sides]
    try:
        for _ in range(rounds + 1):  # the first one warms up
            for found, process in zip(rows, processes, strict=True):
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write("go\n")
                process.stdin.flush()
                line = process.stdout.readline()
                if not line:
                    raise SystemExit(f"a side ended with {process.wait()}; its message is above")
                found.append(json.loads(line))
    finally:
        for process in processes:
            process.kill()
    return rows


def _serve(racer: Racer) -> None:
    """A row for every line that comes in, with the highest memory of the process (or GPU) so far."""
    for _ in sys.stdin:
        row = racer.run()
        if racer.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(racer.device)
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(row | {"peak_mib": peak / 2**20}), flush=True)


def _show(name: str, sides: dict[str, list[Row]], batch: int, rate: float) -> None:
    """Medians of all rounds but the first; "times": how many times as fast as the first side."""
    has_loss = "loss" in next(iter(sides.values()))[0]
    heads = ("ms", "least..most", "images/s", "times", "peak MiB", *(("loss",) if has_loss else ()))
    print(f"\n{name:16}" + "".join(f"{head:>14}" for head in (*heads, *(("of bf16",) if rate else ()))))
    base = 0.0
    for side, rows in sides.items():
        times = [row["seconds"] for row in rows[1:]]
        middle = statistics.median(times)
        base = base or middle
        cells = [f"{1e3 * middle:.0f}", f"{1e3 * min(times):.0f}..{1e3 * max(times):.0f}"]
        cells += [f"{batch / middle:.2f}", f"{base / middle:.2f}", f"{rows[-1]['peak_mib']:.0f}"]
        cells += [f"{rows[0]['loss']:.5f}"] if has_loss else []
        cells += [f"{rows[0]['flops'] / middle / rate:.1%}"] if rate else []
        print(f"{side:16}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def _bf16_rate(device: torch.device, side: int = 8192) -> float:
    """Floating point operations a second in one large bf16 matrix product: what the device can do at best."""
    matrix = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    times = []
    for _ in range(12):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        matrix @ matrix
        end.record()
        torch.cuda.synchronize(device)
        times.append(start.elapsed_time(end) / 1e3)
    return 2 * side**3 / min(times)
