"""Compares implementations of a network. Each runs in a separate process; they take turns, one round each, so that all
of them run under the same machine load."""

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

Measurement = dict[str, float]
"""``seconds``; on a GPU also ``flops``; for a training step also ``loss``; ``peak_mib`` is added by ``_serve``."""


class Implementation(Protocol):
    """One implementation of one network, ready to be measured."""

    device: torch.device

    def measure(self) -> Measurement:
        """Run once."""


def compare(
    description: str | None,
    networks: Mapping[str, Sequence[str]],
    make: Callable[[str, str, argparse.Namespace], Implementation],
    *,
    rounds: int,
) -> None:
    """The main function of a benchmark: prints one table per network.

    ``networks``: the names of the implementations of each network. ``make(network, implementation, options)`` is
    called in a separate process, which runs this same program with ``--implementation``. ``rounds``: the default of
    ``--rounds``.
    """
    options = _options(description, networks, rounds)
    if options.implementation:
        _serve(make(*options.implementation, options))
        return
    device = torch.device(options.device)
    peak_rate = _bf16_rate(device) if device.type == "cuda" else 0.0
    print(
        f"{options.batch} x {options.size} x {options.size}, {device}, {torch.get_num_threads()} threads, default "
        f"precision {precision_of('auto', device)}, torch {torch.__version__}, load {os.getloadavg()[0]:.1f}"
    )
    arguments = [f"--size={options.size}", f"--batch={options.batch}", f"--device={options.device}"]
    arguments += ["--compile"] if options.compile else []
    results = {}
    for network in options.networks:
        names = networks[network]
        commands = [[*arguments, "--implementation", network, name] for name in names]
        results[network] = dict(zip(names, _take_turns(commands, options.rounds), strict=True))
        _show(network, results[network], options.batch, peak_rate)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def _options(description: str | None, networks: Mapping[str, Any], rounds: int) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--size", type=int, default=320, help="height and width of the images")
    parser.add_argument("--batch", type=int, default=2, help="batch size")
    parser.add_argument("--networks", nargs="+", choices=networks, default=list(networks))
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--compile", action="store_true", help='compile the implementation "segwright"')
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="write the measurements of every round to this file")
    parser.add_argument("--implementation", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def _take_turns(commands: Sequence[Sequence[str]], rounds: int) -> list[list[Measurement]]:
    """The measurements of each implementation, first a warm-up, then one per round; only one runs at a time."""
    processes = [
        subprocess.Popen(
            [sys.executable, sys.argv[0], *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for command in commands
    ]
    results: list[list[Measurement]] = [[] for _ in commands]
    try:
        for _ in range(rounds + 1):
            for measurements, process in zip(results, processes, strict=True):
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write("measure\n")
                process.stdin.flush()
                line = process.stdout.readline()
                if not line:
                    raise SystemExit(
                        f"an implementation exited with code {process.wait()}; see its message above"
                    )
                measurements.append(json.loads(line))
    finally:
        for process in processes:
            process.kill()
    return results


def _serve(implementation: Implementation) -> None:
    """Measure once per line of standard input; adds the peak memory of the process (on a GPU, of its allocator)."""
    for _ in sys.stdin:
        measurement = implementation.measure()
        if implementation.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated(implementation.device)
        else:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(measurement | {"peak_mib": peak / 2**20}), flush=True)


def _show(network: str, results: Mapping[str, list[Measurement]], batch: int, peak_rate: float) -> None:
    """Print medians without the warm-up; "speedup" is relative to the first implementation."""
    has_loss = "loss" in next(iter(results.values()))[0]
    columns = ["ms", "min..max", "images/s", "speedup", "peak MiB"]
    columns += ["loss"] if has_loss else []
    columns += ["of bf16 peak"] if peak_rate else []
    print(f"\n{network:16}" + "".join(f"{column:>14}" for column in columns))
    base = 0.0
    for name, measurements in results.items():
        times = [measurement["seconds"] for measurement in measurements[1:]]
        median = statistics.median(times)
        base = base or median
        cells = [f"{1e3 * median:.0f}", f"{1e3 * min(times):.0f}..{1e3 * max(times):.0f}"]
        cells += [f"{batch / median:.2f}", f"{base / median:.2f}", f"{measurements[-1]['peak_mib']:.0f}"]
        cells += [f"{measurements[0]['loss']:.5f}"] if has_loss else []
        cells += [f"{measurements[0]['flops'] / median / peak_rate:.1%}"] if peak_rate else []
        print(f"{name:16}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def _bf16_rate(device: torch.device, side: int = 8192) -> float:
    """Floating-point operations per second of a large bf16 matrix product: the practical maximum of the device."""
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
