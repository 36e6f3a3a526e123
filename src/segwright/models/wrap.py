"""Any PyTorch module as a model that can be evaluated and used for prediction: ``wrap(module, labels=...)``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from segwright.contracts import CenterOutput, Decoder, InputContract, Model, Output, PixelOutput, QueryOutput
from segwright.errors import UserError
from segwright.labels import LabelSpace

EXPECTED = "expected logits [N, classes, h, w], a dict with 'out' or 'logits', or a tuple that starts with the logits"


class WrappedModel(Model):
    """``module`` as a model of segwright; see ``wrap``."""

    thread_safe = False  # nothing is known about the module

    def __init__(
        self, module: nn.Module, labels: LabelSpace, input: InputContract, decoder: Decoder | None = None
    ) -> None:
        super().__init__(labels, input, decoder)
        self.module = module

    def forward(self, images: Float[Tensor, "images channels height width"]) -> Output:
        """The module's output for normalized images; ``UserError`` if it is not one that segwright can use."""
        output = to_output(self.module(images))
        classes = len(self.labels)
        if isinstance(output, QueryOutput):
            channels = output.classes.shape[2] - 1  # without "no object"
        else:
            channels = (output.semantic if isinstance(output, CenterOutput) else output.logits).shape[1]
        if channels != classes and (channels, classes) != (1, 2):
            raise UserError(
                f"the module returned {channels} channels, but labels has {classes} classes "
                f"({', '.join(self.labels.names[:4])}{', ...' if classes > 4 else ''}); expected as many channels as "
                "classes, or one channel for two classes"
            )
        return output


def wrap(
    module: nn.Module,
    labels: LabelSpace | Sequence[str],
    input: InputContract | None = None,
    decoder: Decoder | None = None,
) -> WrappedModel:
    """A module of any library as a ``Model`` for ``segwright.evaluate`` and ``segwright.predict``.

    The module is called with normalized images, float32 [N, C, H, W], whose sides are multiples of
    ``input.multiple``. It returns logits [N, classes, h, w] at any stride: as a tensor (segmentation_models_pytorch),
    in a dict with "out" and optionally "aux" (torchvision) or with "logits" (transformers), or as the first entry of
    a tuple. An output of segwright, such as a ``PixelOutput``, is returned as it is.

    ``labels``: a label space, or a list of class names. For two classes the module may return a single channel.
    ``input``: the preprocessing that the module was trained with; default: RGB with the mean and std of ImageNet,
    sides padded to multiples of 32. ``decoder``: the post-processing; default: that of the kind of output.
    """
    if not isinstance(module, nn.Module):
        raise UserError(f"wrap: the module is a {type(module).__name__}; expected a torch.nn.Module")
    return WrappedModel(module, to_label_space(labels), input or InputContract(), decoder)


def to_output(output: Any) -> Output:
    """The output of any module as an ``Output``; ``UserError`` describes what cannot be used."""
    if isinstance(output, PixelOutput | CenterOutput | QueryOutput):
        return output
    logits: Any = output
    auxiliary: tuple[Tensor, ...] = ()
    if isinstance(output, Mapping):
        logits = output.get("out", output.get("logits"))
        auxiliary = _maps(output.get("aux"))
    elif isinstance(output, tuple | list) and output:
        logits, auxiliary = output[0], _maps(*output[1:])
    if not isinstance(logits, Tensor) or logits.ndim != 4:
        raise UserError(f"the module returned {_described(output)}; {EXPECTED}")
    return PixelOutput(logits, auxiliary)


def to_label_space(labels: LabelSpace | Sequence[str]) -> LabelSpace:
    """``labels``, or the label space of a list of class names."""
    if isinstance(labels, LabelSpace):
        return labels
    if isinstance(labels, str) or not isinstance(labels, Sequence):
        raise UserError(f"labels is {labels!r}; expected a LabelSpace or a list of class names")
    try:
        return LabelSpace.of(*labels)
    except ValueError as error:
        raise UserError(f"labels: {error}") from None


def _maps(*outputs: Any) -> tuple[Tensor, ...]:
    """The outputs that have one value per pixel."""
    return tuple(output for output in outputs if isinstance(output, Tensor) and output.ndim == 4)


def _described(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {list(output.shape)}"
    if isinstance(output, Mapping):
        return f"a dict with {', '.join(repr(key) for key in output) or 'no keys'}"
    if isinstance(output, tuple | list) and output:
        return f"a {type(output).__name__} that starts with {_described(output[0])}"
    return f"a {type(output).__name__}"
