"""Fusing the outputs of several passes (scales, flips, windows): outputs as maps by name, resized, averaged.

A new kind of output needs a line in ``output_maps`` and ``output_from_maps``: all inference modes then work with it.
Queries of two passes do not correspond. So where several passes over an image are fused, a ``QueryOutput`` becomes a
``PixelOutput`` first: the scores of the classes, which EoMT averages, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from segwright.contracts import CenterOutput, Decoder, InputContract, Model, Output, PixelOutput, QueryOutput
from segwright.decode.binary import Threshold
from segwright.decode.default import DefaultDecoder, decoder_of, inner_decoder
from segwright.decode.query import NOT_FUSED, QueryDecoder, semantic_scores
from segwright.decode.uncertainty import class_entropy, log_scores
from segwright.errors import UserError
from segwright.models.layers.centers import upsample_centers
from segwright.models.layers.resize import upsample

Fuse = Literal["probabilities", "logits", "max"]
"""How class logits are fused: the mean of their probabilities, the mean of the logits, or the largest logit."""

EPSILON = 1e-6  # probabilities are kept this far from 0 and 1 before they are turned into logits


@dataclass(frozen=True, slots=True)
class Fusion:
    """Fuses the outputs of several passes. ``sigmoid``: the class logits are those of a sigmoid head.

    ``entropy``: also average the entropies of the passes (``PixelOutput.pass_entropy``), for their disagreement.
    ``scores``: the class logits are the scores of a query model; their mean is taken as it is, or with "probabilities"
    after a division by their sum.
    """

    fuse: Fuse
    sigmoid: bool
    entropy: bool = False
    scores: bool = False

    @classmethod
    def of(cls, fuse: Fuse, model: Model, output: Output, *, entropy: bool = False) -> Fusion:
        """The fusion for outputs like this one; ``UserError`` for queries, unless the task is semantic."""
        decoder = decoder_for(model, output)
        if isinstance(decoder, QueryDecoder) and (task := decoder.task_for(model.labels)) != "semantic":
            raise UserError(NOT_FUSED.format(task))
        scores = isinstance(decoder, QueryDecoder) or _of_queries(output)
        return cls(fuse, isinstance(decoder, Threshold), entropy, scores)

    def to_summands(self, output: Output) -> dict[str, Tensor]:
        """The maps of one pass in the form in which they are added."""
        maps = output_maps(class_maps(output))
        name = _logits_name(maps)
        if self.entropy and "pass_entropy" not in maps:
            logits = log_scores(maps[name]) if self.scores else maps[name]
            maps["pass_entropy"] = class_entropy(logits, sigmoid=self.sigmoid)
        if self.fuse == "probabilities":
            maps[name] = self.probabilities(maps[name])
        if "foreground" in maps:
            maps["foreground"] = maps["foreground"].sigmoid()
        return maps

    def probabilities(self, logits: Tensor) -> Tensor:
        """The probabilities of class logits [N, C, H, W]; scores of a query model are divided by their sum."""
        if self.scores:
            return logits / logits.sum(1, keepdim=True).clamp(min=torch.finfo(logits.dtype).tiny)
        return logits.sigmoid() if self.sigmoid else _softmax(logits)

    def logits(self, probabilities: Tensor) -> Tensor:
        """The class logits of probabilities, in their memory; the scores of a query model stay as they are."""
        if self.scores:
            return probabilities
        if self.sigmoid:
            return probabilities.logit_(EPSILON)
        return probabilities.clamp_min_(torch.finfo(probabilities.dtype).tiny).log_()

    def takes_maximum(self, name: str) -> bool:
        """Whether the map called ``name`` is the maximum over the passes, and not their sum."""
        return self.fuse == "max" and name in ("logits", "scores", "semantic")

    def add(self, total: dict[str, Tensor], maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """The total with the maps of one more pass."""
        return {
            name: torch.maximum(total[name], values) if self.takes_maximum(name) else total[name] + values
            for name, values in maps.items()
        }

    def finish(self, total: dict[str, Tensor], count: int = 1) -> Output:
        """The fused output of ``count`` passes; probabilities become logits again, in the memory of ``total``."""
        maps = {
            name: values if self.takes_maximum(name) or count == 1 else values / count
            for name, values in total.items()
        }
        if self.fuse == "probabilities":
            name = _logits_name(maps)
            maps[name] = self.logits(maps[name])
        if "foreground" in maps:
            maps["foreground"] = maps["foreground"].logit(EPSILON)
        return output_from_maps(maps)


def output_maps(output: Output) -> dict[str, Tensor]:
    """The maps of an output by name, without auxiliary heads."""
    if isinstance(output, PixelOutput):
        name = "scores" if output.of_queries else "logits"
        maps = {name: output.logits, "pass_entropy": output.pass_entropy}
    elif isinstance(output, QueryOutput):
        maps = {"masks": output.masks, "classes": output.classes}
    else:
        maps = {"semantic": output.semantic, "center": output.center, "offset": output.offset}
        maps |= {"foreground": output.foreground, "pass_entropy": output.pass_entropy}
    return {name: values for name, values in maps.items() if values is not None}


def output_from_maps(maps: dict[str, Tensor]) -> Output:
    """The output with these maps: the inverse of ``output_maps``."""
    if (name := _logits_name(maps)) != "semantic" and name in maps:
        return PixelOutput(maps[name], pass_entropy=maps.get("pass_entropy"), of_queries=name == "scores")
    if "masks" in maps:
        return QueryOutput(maps["masks"], maps["classes"])
    maps_of_centers = maps["semantic"], maps["center"], maps["offset"]
    return CenterOutput(*maps_of_centers, maps.get("foreground"), maps.get("pass_entropy"))


def changed_maps(output: Output, change: Callable[[Tensor], Tensor]) -> Output:
    """The output with ``change`` applied to each of its maps."""
    maps = output_maps(output)
    return output_from_maps({name: v if name == "classes" else change(v) for name, v in maps.items()})


def class_maps(output: Output) -> PixelOutput | CenterOutput:
    """The output itself; of queries a ``PixelOutput`` with the scores of the classes."""
    return (
        PixelOutput(semantic_scores(output), of_queries=True) if isinstance(output, QueryOutput) else output
    )


def class_logits(output: Output) -> Tensor:
    """The class logits of an output, [N, classes, h, w]; of queries the scores."""
    output = class_maps(output)
    return output.logits if isinstance(output, PixelOutput) else output.semantic


def with_class_logits(output: Output, logits: Tensor) -> Output:
    """The output with other class logits, without auxiliary heads."""
    maps = output_maps(class_maps(output))
    return output_from_maps(maps | {_logits_name(maps): logits})


def decoder_for(model: Model, output: Output) -> Decoder:
    """The decoder that reads ``output``: the innermost one of those that the model carries."""
    decoder = inner_decoder(decoder_of(model))
    return decoder.chosen(output, model.labels) if isinstance(decoder, DefaultDecoder) else decoder


def corners_aligned(model: Model, output: Output) -> bool:
    """Whether the decoder of the model resizes its outputs with aligned corners."""
    return bool(getattr(decoder_for(model, output), "align_corners", False))


def resized_output(output: Output, size: Sequence[int], *, align_corners: bool) -> Output:
    """The output at ``size`` (height, width), float32. Offsets are scaled with the size."""
    height, width = size
    if isinstance(output, QueryOutput):
        masks = upsample(output.masks.float(), (height, width), align_corners=align_corners)
        return QueryOutput(masks, output.classes.float())
    entropy = output.pass_entropy
    if entropy is not None:
        entropy = upsample(entropy.float(), (height, width), align_corners=align_corners)
    if isinstance(output, CenterOutput):
        resized = upsample_centers(output, (height, width), align_corners=align_corners)
        return replace(resized, pass_entropy=entropy)
    logits = upsample(output.logits.float(), (height, width), align_corners=align_corners)
    return PixelOutput(logits, pass_entropy=entropy, of_queries=output.of_queries)


def padded_image(image: Tensor, size: tuple[int, int], input: InputContract) -> Tensor:
    """Images [N, C, H, W] padded at the right and the bottom to ``size`` (height, width), as the loader pads."""
    shape = (*image.shape[:2], *size)
    padded = torch.empty(shape, dtype=image.dtype, device=image.device, memory_format=torch.channels_last)
    fill_value = torch.tensor(input.fill_value, device=image.device).view(1, -1, 1, 1)
    padded[:] = fill_value if image.is_floating_point() else fill_value.round().to(image.dtype)
    padded[..., : image.shape[2], : image.shape[3]] = image
    return padded


def _softmax(logits: Tensor) -> Tensor:
    """The probabilities of the classes, in the memory format of the logits."""
    if logits.is_contiguous(memory_format=torch.channels_last):
        return logits.permute(0, 2, 3, 1).softmax(-1).permute(0, 3, 1, 2)  # along dimension 1 it would copy
    return logits.softmax(1)


def _logits_name(maps: dict[str, Tensor]) -> str:
    """The name of the class logits in these maps."""
    return next((name for name in ("logits", "scores") if name in maps), "semantic")


def _of_queries(output: Output) -> bool:
    return isinstance(output, QueryOutput) or (isinstance(output, PixelOutput) and output.of_queries)
