"""One class of a dataset against the rest: binary segmentation with the data of any dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from segwright.errors import UserError
from segwright.labels import IGNORED, LabelSpace
from segwright.samples import DataConfig, Dataset, Sample


@dataclass(slots=True)
class OneVsRest:
    """``data`` as binary segmentation: class 1 is the class called ``name``, class 0 ("other") is every other class.

    Ignored pixels stay ignored. What is expected on disk is that of ``data``.
    """

    data: DataConfig
    name: str

    def open(self, root: Path | None, split: str) -> OneVsRestSplit:
        """The split; ``UserError`` for a class that the dataset does not have."""
        dataset = self.data.open(root, split)
        names = dataset.labels.names
        if self.name not in names:
            raise UserError(f"data.name: unknown class {self.name!r}; expected one of {', '.join(names)}")
        return OneVsRestSplit(dataset, names.index(self.name))


@dataclass(slots=True)
class OneVsRestSplit:
    """An opened split with class maps of 0, 1 and 255 (ignored); ``index`` is the class that becomes 1."""

    data: Dataset
    index: int

    @property
    def labels(self) -> LabelSpace:
        """The two classes; raw values are class indices."""
        labels = self.data.labels
        names, colors = ("other", labels.names[self.index]), ((0, 0, 0), labels.colors[self.index])
        return LabelSpace(f"{labels.name}: {names[1]}", names, colors, (0, 1))

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        """The sample with its binary class map, without segments."""
        sample = self.data[index]
        classes = sample.semantic()
        binary = (classes == self.index).astype(np.uint8)
        binary[classes == sample.ignore_index] = IGNORED
        return replace(sample, map=binary, segments=None, ignore_index=IGNORED)

    def files(self, index: int) -> tuple[Path, ...]:
        """The files of a sample."""
        return self.data.files(index)
