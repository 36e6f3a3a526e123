"""The masks of some queries of a query model as one picture: what each of them attends to and finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from segwright.contracts import Decoder, QueryOutput
from segwright.decode.query_masks import ImageMasks
from segwright.labels import LabelSpace
from segwright.samples import Prediction
from segwright.visualization.classes import printable, text_font
from segwright.visualization.label_maps import RGBImage, image_grid, resize

_WIDTH = 320  # of each mask, in pixels


@dataclass(slots=True)
class WithQueryOutput:
    """Another decoder that also keeps the ``QueryOutput`` of the last image, and the size of its padded input."""

    decoder: Decoder
    output: QueryOutput | None = field(default=None, init=False)
    padded: tuple[int, int] = field(default=(0, 0), init=False)

    def __call__(
        self, output: Any, sizes: tuple[tuple[int, int], ...], padded: tuple[int, int], labels: LabelSpace
    ) -> list[Prediction]:
        """The predictions of the other decoder."""
        self.output, self.padded = (output if isinstance(output, QueryOutput) else None), padded
        return self.decoder(output, sizes, padded, labels)


def draw_query_masks(
    image: RGBImage, output: QueryOutput, padded: tuple[int, int], labels: LabelSpace, *, count: int = 6
) -> RGBImage:
    """The masks of the ``count`` queries with the highest class scores, three in a row, over the image [H, W, 3].

    The image is as bright as the mask is probable, from a quarter to full; pixels above one half, those that masked
    attention lets the query see, are tinted with the color of the class. Class and probability stand on each mask.
    """
    scores, classes = output.classes[0].float().softmax(-1)[:, :-1].max(-1)
    chosen = scores.topk(min(count, len(scores))).indices
    masks = ImageMasks(output.masks[:1].float(), padded, (image.shape[0], image.shape[1]))
    tiles = [
        _tile(image, mask, labels, int(classes[query]), float(scores[query]))
        for query, mask in zip(chosen.tolist(), masks.full(chosen).sigmoid().cpu(), strict=True)
    ]
    return image_grid([tiles[row : row + 3] for row in range(0, len(tiles), 3)], width=_WIDTH)


def _tile(image: RGBImage, mask: torch.Tensor, labels: LabelSpace, k: int, score: float) -> RGBImage:
    probability = mask.numpy()[..., None]
    tint = np.where(probability > 0.5, np.array(labels.colors[k], np.float32), image)
    bright = (0.25 + 0.75 * probability) * (0.6 * image + 0.4 * tint)
    height = max(1, round(image.shape[0] * _WIDTH / image.shape[1]))
    picture = Image.fromarray(resize(bright.clip(0, 255).astype(np.uint8), _WIDTH, height))
    text = f"{printable(labels.names[k])} {score:.2f}"
    draw = ImageDraw.Draw(picture)
    draw.text((6, 4), text, (255, 255, 255), text_font(15), stroke_width=2, stroke_fill=(20, 22, 26))
    return np.array(picture)
