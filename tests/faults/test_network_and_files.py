"""No connection is opened and nothing is written outside of the given folders and the cache, from import to report."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAM = """
import os, sys

allowed = [os.path.realpath(path) for path in sys.argv[1].split(os.pathsep)]
report = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname", "socket.bind"}
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "shutil.rmtree", "os.truncate"}

def inside(path):
    if isinstance(path, int):
        return True
    path = os.path.realpath(os.fsdecode(path))
    return path.startswith("/dev/") or any(path == root or path.startswith(root + os.sep) for root in allowed)

def watch(event, arguments):
    problem = None
    if event in NETWORK:
        address = arguments[1] if event in ("socket.connect", "socket.bind", "socket.sendto") else arguments[0]
        problem = None if isinstance(address, (str, bytes)) and event.startswith("socket.") and \
            event != "socket.getaddrinfo" else address  # a path: between processes of this machine
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        problem = None if arguments[0] is None or inside(arguments[0]) else arguments[0]
    elif event in CHANGES:
        paths = [each for each in arguments if isinstance(each, (str, bytes, os.PathLike))]
        problem = next((each for each in paths if not inside(each)), None)
    if problem is not None:
        os.write(report, f"{event} {problem}\\n".encode())

sys.addaudithook(watch)
import segwright
from segwright.cli.main import main

for command in sys.argv[3:]:
    code = main(command.split())
    assert code == 0, (command, code)
"""
COMMANDS = (
    "data check folder --data data --workers 1",
    "train recipe.yaml --data data --out out/run --device cpu --set training.workers=1",
    "evaluate out/run --device cpu --json out/val.json",
    "predict out/run photos --out out/predicted --device cpu",
    "predict objects.safetensors photos --out out/objects --save instances,classes,table --device cpu",
    "report out/run --device cpu",
    "data stats folder --data data --workers 1 --html out/stats.html",
    "info out/run",
)
pytestmark = pytest.mark.faults


def test_no_network_and_no_file_outside_of_the_given_folders_and_the_cache(
    place: Path, tmp_path: Path
) -> None:
    home, report = tmp_path / "home", tmp_path / "report.txt"
    temporary = Path(tempfile.mkdtemp())  # short: it holds sockets, whose paths have at most 108 bytes
    home.mkdir()
    (place / "program.py").write_text(PROGRAM)
    before = {path for path in place.rglob("*")}
    allowed = os.pathsep.join(map(str, (place / "out", home / ".cache", home / ".config", temporary)))
    environment = {
        **os.environ, "HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    for name in (
        "XDG_CACHE_HOME",
        "XDG_CONFIG_HOME",
        "MPLCONFIGDIR",
        "HF_HUB_OFFLINE",
        "TORCHINDUCTOR_CACHE_DIR",
    ):
        environment.pop(name, None)
    command = [sys.executable, "program.py", allowed, str(report), *COMMANDS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert report.read_text() == ""
    new = {path for path in place.rglob("*")} - before
    assert {path.relative_to(place).parts[0] for path in new} == {"out"}
    assert not [path for path in temporary.rglob("*") if path.is_file()]
    shutil.rmtree(temporary)
    assert not [path for path in home.rglob("*") if path.is_file() and ".cache" not in path.parts]
