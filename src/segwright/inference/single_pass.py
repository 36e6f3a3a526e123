"""The protocol of an inference mode, and the plain one: a single pass over all images of a batch together."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from segwright.contracts import Model, Output

Size = tuple[int, int]


@runtime_checkable
class InferenceMode(Protocol):
    """Runs a model on images, once or several times."""

    def __call__(self, model: Model, images: Tensor, sizes: tuple[Size, ...]) -> tuple[Output, Size]:
        """The output, and the size (height, width) of the input that its maps cover.

        ``images`` [N, C, H, W] hold the values of the files, not normalized, on the device of the model. ``sizes``: the
        (height, width) of each image; the rest is padding. ``data.loading.batches.stack_images`` returns both.
        """


@runtime_checkable
class _SeveralModels(Protocol):
    """An ``Ensemble``."""

    def run(
        self, inference: InferenceMode, images: Tensor, sizes: tuple[Size, ...]
    ) -> tuple[Output, Size]: ...


@dataclass(frozen=True, slots=True)
class SinglePass:
    """Normalize the images and run the model.

    ``disagreement``: keep the mean entropy of the members of an ensemble; a single model has one pass.
    """

    disagreement: bool = False

    def __call__(self, model: Model, images: Tensor, sizes: tuple[Size, ...]) -> tuple[Output, Size]:
        """The output of the model for the padded images."""
        if self.disagreement and isinstance(model, _SeveralModels):
            return model.run(self, images, sizes)
        return model.outputs(model.input.normalize(images)), (images.shape[2], images.shape[3])


SINGLE_PASS = SinglePass()
"""The inference mode of all functions unless another one is given."""


def with_disagreement(inference: InferenceMode) -> InferenceMode:
    """The inference mode whose outputs also tell how much the passes over an image disagree, if there are several.

    Passes are those of test-time augmentation, overlapping windows, and the members of an ensemble.
    It and the modes inside it (``inner``) get ``disagreement=True`` where they have such a field.
    """
    if not is_dataclass(inference) or isinstance(inference, type):
        return inference
    changes: dict[str, Any] = {}
    for each in fields(inference):
        if each.name == "disagreement":
            changes[each.name] = True
        elif each.name == "inner":
            changes[each.name] = with_disagreement(getattr(inference, each.name))
    return replace(inference, **changes)


def keeps_disagreement(inference: InferenceMode) -> bool:
    """Whether the inference mode, or one inside it, was made by ``with_disagreement``."""
    inner = getattr(inference, "inner", None)
    return getattr(inference, "disagreement", False) or (inner is not None and keeps_disagreement(inner))
