"""Shards: several processes or machines share the images of one prediction; each takes every N-th."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from segwright.errors import UserError

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``index`` (from 0) of ``count``."""

    index: int = 0
    count: int = 1

    @classmethod
    def parsed(cls, text: str) -> Shard:
        """The shard called "I/N", for example "0/4"; ``UserError`` for anything else."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None or int(match[1]) >= int(match[2]):
            raise UserError(
                f"--shard {text}: expected I/N with I from 0 to N - 1, for example 0/4 for the first of four"
            )
        return cls(int(match[1]), int(match[2]))

    @property
    def suffix(self) -> str:
        """What the names of its own files end in: "-0-of-4"; "" if there is only one shard."""
        return "" if self.count == 1 else f"-{self.index}-of-{self.count}"

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """Its part of ``items``: every item is in exactly one shard."""
        return items[self.index :: self.count]

    def all(self) -> list[Shard]:
        """All shards."""
        return [Shard(index, self.count) for index in range(self.count)]


ALL_IMAGES = Shard()
"""The only shard of one process."""
