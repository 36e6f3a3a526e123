"""Binary segmentation: any network with a single output channel, for a label space of two classes."""

from __future__ import annotations

from dataclasses import dataclass

from segwright.contracts import InputContract, Model, ModelConfig
from segwright.errors import UserError
from segwright.labels import LabelSpace


@dataclass(slots=True)
class BinaryConfig:
    """``model`` with one logit per pixel, [N, 1, h, w]: above 0 means class 1, else class 0.

    Train it with a loss of ``segwright.losses.binary``; the decoder ``Threshold`` turns its logits into classes.
    """

    model: ModelConfig

    def build(self, labels: LabelSpace, input: InputContract) -> Model:
        """The network, with all of ``labels``; ``UserError`` unless there are two classes."""
        if len(labels) != 2:
            raise UserError(
                f"BinaryConfig: the dataset has {len(labels)} classes; expected 2; use the network without BinaryConfig"
            )
        one_class = LabelSpace(labels.name, labels.names[1:], labels.colors[1:], (0,))
        network = self.model.build(one_class, input)
        network.labels = labels
        return network
