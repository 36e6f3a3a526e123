"""Fuzz every reader of ``readers.TARGETS``: ``python tests/faults/fuzz.py --seconds 30 --out FOLDER``.

Each reader runs in a process of its own with limited memory, guided by coverage if atheris is installed (``pip install
atheris``), else on mutated files. What is found is written to FOLDER as files, one per kind of failure; a line each on
the console. ``tests/faults/findings`` has the files that led to a fix; test_readers.py reads them again.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> int:
    """Fuzz the readers, one after the other; exit code 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="per reader")
    parser.add_argument("--out", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("--only", default="", help="readers whose name contains this")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    sys.path[:0] = [str(REPOSITORY / folder) for folder in ("", "src", "tests")]
    from tests.faults.readers import TARGETS

    options.out.mkdir(parents=True, exist_ok=True)
    for name in TARGETS:
        if options.only in name:
            watch(name, options)
    findings = sorted(options.out.glob("*/*.txt"))
    print(f"{len(findings)} findings in {options.out}")
    return 1 if findings else 0


def watch(name: str, options: argparse.Namespace) -> None:
    """Fuzz a reader in a process of its own and say how that ended."""
    context = multiprocessing.get_context("spawn")
    count = context.Value("L", 0)
    with tempfile.TemporaryDirectory(prefix="segwright-fuzz-") as temporary:
        process = context.Process(target=_fuzz, args=(name, options, Path(temporary), count))
        process.start()
        process.join(options.seconds + 600)
        if process.is_alive():
            process.kill()
            process.join()
            print(f"{name}: HANGS", flush=True)
    ended = f", ended with {process.exitcode}, see its file 'last'" if process.exitcode else ""
    print(f"{name}: {count.value} files{ended}", flush=True)


def _fuzz(name: str, options: argparse.Namespace, temporary: Path, count: Any) -> None:
    seconds, seed = options.seconds, options.seed
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries print about each damaged image
    sys.path[:0] = [str(REPOSITORY / folder) for folder in ("", "src", "tests")]
    try:
        import atheris
    except ImportError:
        atheris = None
    with contextlib.nullcontext() if atheris is None else atheris.instrument_imports(include=["segwright"]):
        from tests.faults.readers import TARGETS, limited_memory, mutations, prepare

        target, folder = TARGETS[name], temporary / "files"
        data = prepare(target, folder)
        run = _Run(name, target, folder, options.out.resolve())
        run(data)  # imports what is imported late
    run.count = count
    with limited_memory():
        until = time.monotonic() + seconds
        while atheris is None and time.monotonic() < until:
            seed += 1
            for changed in mutations(data, 50, seed):
                run(changed)
        if atheris is not None:
            start = [data, *mutations(data, 100, seed)]
            _guided(atheris, run, start, corpus=temporary / "corpus", seconds=seconds, seed=seed)


def _guided(atheris: Any, run: _Run, start: list[bytes], *, corpus: Path, seconds: float, seed: int) -> None:
    """Coverage of the package guides libFuzzer, which ends the process when its time is over."""
    from tests.faults.readers import SLOW

    corpus.mkdir()
    for number, data in enumerate(start):
        (corpus / str(number)).write_bytes(data)
    arguments = [
        sys.argv[0], str(corpus), f"-max_total_time={int(seconds)}", f"-seed={seed % 2**31}", "-verbosity=0",
        f"-max_len={max(4096, 2 * len(start[0]))}", "-rss_limit_mb=0", f"-timeout={int(SLOW)}",
        f"-artifact_prefix={run.out}/",
    ]  # fmt: skip
    atheris.Setup(arguments, run)
    atheris.Fuzz()


class _Run:
    """Reads files, and keeps those that fail in a new way."""

    def __init__(self, name: str, target: object, folder: Path, out: Path) -> None:
        from tests.faults.readers import slug

        self.name, self.target, self.folder, self.out = name, target, folder, out / slug(name)
        self.out.mkdir(exist_ok=True)
        self.known: set[str] = set()
        self.count: Any = None

    def __call__(self, data: bytes) -> None:
        from tests.faults.readers import SLOW, check

        if self.count is not None:
            self.count.value += 1
        (self.out / "last").write_bytes(data)
        began = time.perf_counter()
        try:
            check(self.target, self.folder, data)  # type: ignore[arg-type]
        except BaseException as error:
            cause = error.__cause__ or error
            frames = traceback.extract_tb(cause.__traceback__)
            ours = [
                frame for frame in frames if "segwright" in frame.filename and "/tests/" not in frame.filename
            ]
            last = (ours or frames)[-1]
            self._keep(f"{type(cause).__name__} {last.filename}:{last.lineno}", data, traceback.format_exc())
        if self.count is not None and (seconds := time.perf_counter() - began) > SLOW / 4:
            self._keep("slow", data, f"{seconds:.0f} s")

    def _keep(self, kind: str, data: bytes, text: str) -> None:
        if kind in self.known:
            return
        self.known.add(kind)
        path = self.out / hashlib.sha256(kind.encode()).hexdigest()[:8]
        if not path.with_suffix(".txt").exists():
            path.write_bytes(data)
            path.with_suffix(".txt").write_text(f"{self.name}\n{kind}\n{text}", errors="backslashreplace")
            print(f"{self.name}: {kind}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
