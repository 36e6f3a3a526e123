"""One score a pixel, for a label space of two classes: is it the second?"""

from __future__ import annotations

from dataclasses import dataclass

from segwright.contracts import InputContract, Model, ModelConfig
from segwright.errors import UserError
from segwright.labels import LabelSpace


@dataclass(slots=True)
class BinaryConfig:
    """``model`` with a single channel of scores, above 0 for class 1; for losses in ``sigmoid`` and ``Threshold``."""

    model: ModelConfig

    def build(self, labels: LabelSpace, input: InputContract) -> Model:
        """The network; ``UserError`` unless there are two classes."""
        if len(labels) != 2:
            raise UserError(f"Binary: the data have {len(labels)} classes; expected 2; take the model itself")
        module = self.model.build(LabelSpace(labels.name, labels.names[1:], labels.colors[1:], (0,)), input)
        module.labels = labels
        return module
