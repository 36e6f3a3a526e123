"""The scripts of docs/slurm-kubernetes.md: shells, YAML and the command line understand them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import yaml

from segwright.cli.main import build_parser
from segwright.prediction.shard import Shard

PAGE = Path(__file__).resolve().parents[2] / "docs" / "slurm-kubernetes.md"
VARIABLES = {"$SLURM_ARRAY_TASK_ID": "0", "$SLURM_ARRAY_TASK_COUNT": "8", "$JOB_COMPLETION_INDEX": "0"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def commands() -> Iterator[list[str]]:
    """The words behind ``segwright`` in every script."""
    for script in blocks("bash"):
        for line in script.replace("\\\n", " ").splitlines():
            if " segwright " in line:
                yield shlex.split(line)
    for text in blocks("yaml"):
        for container in yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]:
            command = container["command"]
            yield shlex.split(command[2]) if command[0] == "sh" else command


def test_every_command_is_understood() -> None:
    found = [command[command.index("segwright") + 1 :] for command in commands()]
    assert [command[0] for command in found] == ["train", "train", "predict", "train", "predict"]
    for command in found:
        words = [re.sub(r"\$\w+", lambda match: VARIABLES[match[0]], word) for word in command]
        options = build_parser().parse_args(words)
        assert options.stopped_code in (0, 75)
        if command[0] == "predict":
            assert Shard.parsed(options.shard) == Shard(0, 8)


def test_torchrun_knows_its_options() -> None:
    from torch.distributed.run import get_args_parser

    (command,) = [command for command in commands() if "torchrun" in command]
    options = get_args_parser().parse_args(command[command.index("torchrun") + 1 :])
    assert "SIGUSR1" in options.signals_to_handle
    assert options.max_restarts == 3


def test_the_shell_can_read_the_scripts() -> None:
    scripts = blocks("bash")
    assert len(scripts) == 3
    for script in scripts:
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)
        assert all(re.match(r"#SBATCH --[\w-]+(=\S+)?$", line) for line in re.findall("#SBATCH.*", script))
