"""Forward passes: from a batch as it was read to what a model says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from segwright.contracts import Batch, Model, Output


@runtime_checkable
class InferenceMode(Protocol):
    """Runs a model on a batch, once or several times."""

    def __call__(self, model: Model, batch: Batch) -> tuple[Output, tuple[int, int]]:
        """The output, and the size (height, width) of the inputs that its maps stand for.

        ``batch.images`` are on the device of the model, which carries its ``input``.
        """


@dataclass(frozen=True, slots=True)
class SinglePass:
    """The images as they are, all together."""

    def __call__(self, model: Model, batch: Batch) -> tuple[Output, tuple[int, int]]:
        """What the model says."""
        input = model.input
        output: Output = model(input.normalize(batch.images))
        return output, (batch.images.shape[2], batch.images.shape[3])


SINGLE_PASS = SinglePass()
