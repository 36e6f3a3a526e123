"""Ensembles: several models as one, whose class probabilities are averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor, nn

from segwright.contracts import InputContract, Model, Output
from segwright.decode.default import inner_decoder
from segwright.decode.panoptic import CenterDecoder
from segwright.errors import UserError
from segwright.inference.fusion import (
    Fusion,
    changed_maps,
    class_logits,
    class_maps,
    corners_aligned,
    output_maps,
    padded_image,
    resized_output,
    with_class_logits,
)
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode, Size, keeps_disagreement


class Ensemble(Model):
    """Several models as one ``Model``: evaluate it, predict with it, combine it with any inference mode.

    Each member normalizes and pads the images for itself, so architectures and preprocessing may differ. The output has
    the size of the images: the weighted mean of the class probabilities, as log probabilities. Of models with object
    centers, heat maps, offsets and foreground probabilities are averaged, too. Test-time augmentation and sliding
    windows are run for each member, and then averaged. ``labels`` and ``decoder`` are those of the first member.

    ``weights``: one number above 0 per member; equal ones by default. Build it with ``ensemble``, which checks that the
    members fit together.
    """

    def __init__(self, members: Sequence[Model], weights: Sequence[float]) -> None:
        first = members[0]
        super().__init__(first.labels, RawInput.like(first.input), first.decoder)
        self.members = nn.ModuleList(members)
        self.weights: Tensor
        self.register_buffer("weights", torch.tensor(weights, dtype=torch.float32))
        self.training = self.members.training = any(member.training for member in members)
        self.thread_safe = all(member.thread_safe for member in members)

    def forward(self, images: Tensor) -> Output:
        """The averaged output for images [N, C, H, W] in the units of the files, at their size."""
        size = (images.shape[2], images.shape[3])
        return self.run(SINGLE_PASS, images, (size,) * len(images))[0]

    def outputs(self, images: Tensor) -> Output:
        """``forward``; unlike other models, an ensemble takes integers, too: the values of the files."""
        output: Output = self(images)
        return output

    def run(self, inference: InferenceMode, images: Tensor, sizes: tuple[Size, ...]) -> tuple[Output, Size]:
        """The averaged output of all members, each of them run by ``inference``, and the size of the images."""
        height, width = images.shape[2:]
        total: dict[str, Tensor] = {}
        fusion: Fusion | None = None
        weights, entropy = self.weights.tolist(), keeps_disagreement(inference)
        for member, weight in zip(self.members, weights, strict=True):
            assert isinstance(member, Model)
            output = _member_output(member, inference, images, sizes)
            current = Fusion.of("probabilities", member, output, entropy=entropy)
            output = _in_order(output, member, self.labels.names)
            _check_kind(current, fusion)
            fusion = current
            for name, values in fusion.to_summands(output).items():
                weighted = values if weight == 1 else values * weight
                total[name] = total[name] + weighted if name in total else weighted
            _check_maps(total, output)
        assert fusion is not None
        mean = {name: values / sum(weights) for name, values in total.items()}
        return fusion.finish(mean), (height, width)


@dataclass(frozen=True, slots=True)
class RawInput(InputContract):
    """The input of an ensemble: values as in the files, not padded. Each member normalizes and pads for itself."""

    @classmethod
    def like(cls, input: InputContract) -> RawInput:
        """The raw input with as many channels as ``input``."""
        channels = len(input.mean)
        return cls(
            channels="bands" if input.channels == "bands" else "RGB",
            mean=(0.0,) * channels,
            std=(1.0,) * channels,
            fill_value=input.fill_value,
            multiple=1,
        )

    def normalize(self, images: Tensor) -> Tensor:
        """The images as they are, so that each member gets integers where the files have integers."""
        return images


def ensemble(models: Sequence[Model], *, weights: Sequence[float] | None = None) -> Ensemble:
    """Several models as one, see ``Ensemble``.

    ``UserError`` unless there are at least two models with one weight above 0 each, the same class names (in any order)
    and things, the same kind of images, and one device.
    """
    models = list(models)
    weights = [1.0] * len(models) if weights is None else [float(weight) for weight in weights]
    if len(models) < 2:
        raise UserError(f"an ensemble of {len(models)} models; expected at least 2")
    if len(weights) != len(models) or not all(0 < weight < inf for weight in weights):
        listed = ", ".join(f"{weight:g}" for weight in weights)
        raise UserError(f"the weights of the ensemble are {listed}; expected {len(models)} numbers above 0")
    for number, model in enumerate(models[1:], 2):
        if difference := _difference(models[0], model):
            raise UserError(f"model {number} of the ensemble {difference}")
    return Ensemble(models, weights)


def _difference(first: Model, other: Model) -> str | None:
    """Why the second model cannot be averaged with the first one; None if it can."""
    names, expected = other.labels.names, first.labels.names
    extra = [name for name in names if name not in expected]
    missing = [name for name in expected if name not in names]
    if extra or missing:
        text = f"has the class {extra[0]!r}" if extra else f"does not have the class {missing[0]!r}"
        return f"{text}, unlike the first; expected models of the same classes"
    if set(other.labels.things) != set(first.labels.things):
        return "has other things than the first; expected models of the same classes"
    bands = [(model.input.channels == "bands", len(model.input.mean)) for model in (first, other)]
    if bands[0] != bands[1]:
        return f"takes images of {bands[1][1]} channels, the first of {bands[0][1]}; expected the same images"
    decoders = [inner_decoder(model.decoder) for model in (first, other) if model.decoder is not None]
    if len({isinstance(decoder, CenterDecoder) for decoder in decoders}) > 1:
        kinds = [
            "object centers" if isinstance(decoder, CenterDecoder) else "classes only" for decoder in decoders
        ]
        return f"predicts {kinds[1]}, the first {kinds[0]}; expected models of one kind"
    devices = [{parameter.device for parameter in model.parameters()} for model in (first, other)]
    if all(devices) and devices[0] != devices[1]:
        return "is on another device than the first; expected one device"
    return None


def _member_output(
    member: Model, inference: InferenceMode, images: Tensor, sizes: tuple[Size, ...]
) -> Output:
    """The output of one member at the size of ``images``."""
    height, width = images.shape[2:]
    images = padded_image(images, member.input.padded_size((height, width)), member.input)
    output, padded = inference(member, images, sizes)
    output = resized_output(output, padded, align_corners=corners_aligned(member, output))
    return changed_maps(output, lambda maps: maps[..., :height, :width])


def _in_order(output: Output, member: Model, names: Sequence[str]) -> Output:
    """The output with the class logits in the order of ``names``."""
    if member.labels.names == tuple(names):
        return output
    logits = class_logits(output)
    if logits.shape[1] == 1:  # the log odds of the second of two classes
        return with_class_logits(output, -logits)
    order = torch.tensor([member.labels.names.index(name) for name in names], device=logits.device)
    return with_class_logits(output, logits.index_select(1, order))


def _check_kind(fusion: Fusion, earlier: Fusion | None) -> None:
    if earlier is not None and fusion != earlier:
        raise UserError("the ensemble mixes sigmoid and softmax outputs; expected models of one kind")


def _check_maps(total: dict[str, Tensor], output: Output) -> None:
    """``UserError`` unless the last member returned the maps that the earlier ones returned."""
    if total.keys() - {"pass_entropy"} != output_maps(class_maps(output)).keys() - {"pass_entropy"}:
        raise UserError(
            "the ensemble mixes models that predict different things: classes only, object centers, or foreground as "
            "well; expected models of one kind"
        )
