"""One fault: what is wrong, the command that meets it, and what the command says."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.faults.damage import Damage, nothing

TRAIN = "train recipe.yaml --data data --out new"
PREDICT = "predict run photo.jpg --out new"
CHECK_COCO = "data check coco_instances --data data --workers 0 --set json=instances_{split}.json images=images/{split}"
RECIPE, COCO, MODEL = "recipe.yaml", "data/instances_train.json", "run/best.safetensors"


@dataclass(frozen=True)
class Fault:
    """A row of the table in docs/faults.md.

    ``damage`` makes the fault in the current folder, which holds the files of ``files.write_files``; then the command
    ends with exit code ``code`` and one line that contains ``says``. There … stands for any text, such as the reason
    that a library gives.
    """

    wrong: str
    command: str
    says: str
    damage: Damage = nothing
    code: int = 2

    @property
    def pattern(self) -> re.Pattern[str]:
        """What the line must contain."""
        return re.compile(".*".join(map(re.escape, self.says.split("…"))))
