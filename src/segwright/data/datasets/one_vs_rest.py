"""One class of a data set against the rest: any data as a question with yes and no."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import IGNORED, DataConfig, Dataset, Sample


@dataclass(slots=True)
class OneVsRest:
    """``data`` with two classes: 1 is the class called ``name``, 0 ("other") any other. What is ignored stays so."""

    data: DataConfig
    name: str

    def open(self, root: Path | None, split: str) -> OneVsRestSplit:
        """The split; ``UserError`` for a class that the data do not have."""
        opened = self.data.open(root, split)
        names = opened.labels.names
        if self.name not in names:
            raise UserError(f"data.name: no class {self.name!r}; there are {', '.join(names)}")
        return OneVsRestSplit(opened, names.index(self.name))


@dataclass(slots=True)
class OneVsRestSplit:
    """An opened split, as class maps of 0, 1 and 255."""

    data: Dataset
    index: int

    @property
    def labels(self) -> LabelSpace:
        """The two classes; raw values are the class indices."""
        old = self.data.labels
        names, colors = ("other", old.names[self.index]), ((0, 0, 0), old.colors[self.index])
        return LabelSpace(f"{old.name}: {names[1]}", names, colors, (0, 1))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        """The sample with its class map; segments are left behind."""
        sample = self.data[index]
        classes = sample.semantic()
        answer = np.where(classes == IGNORED, classes, (classes == self.index).astype(np.uint8))
        return replace(sample, map=answer, segments=None)

    def files(self, index: int) -> tuple[Path, ...]:
        """The files behind a sample."""
        return self.data.files(index)
