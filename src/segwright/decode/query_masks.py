"""The masks of queries at the size of the image, some of them at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from segwright.models.layers.resize import upsample

VALUES = 2**23  # of all masks together, computed at a time
SURE = 100.0  # a logit whose probability is 1, and that of its negative 0


@dataclass(frozen=True, slots=True, eq=False)
class ImageMasks:
    """The mask logits [1, Q, h, w] of one image, whose padded input has the size ``padded`` and which has ``size``.

    ``owner``: the true masks of some queries instead: which query each pixel belongs to, -1 for none. The masks of
    ``replaced`` queries are read from it.
    """

    logits: Tensor
    padded: tuple[int, int]
    size: tuple[int, int]
    owner: Int[Tensor, "height width"] | None = None
    replaced: Int[Tensor, " masks"] | None = None

    def full(self, queries: Tensor) -> Float[Tensor, "masks height width"]:
        """The mask logits of some queries at the size of the image."""
        full = upsample(self.logits[:, queries], self.padded)
        full = full[0, :, : self.size[0], : self.size[1]].clone(memory_format=torch.contiguous_format)
        return self._with_true(full, queries, slice(None))

    def strips(self) -> Iterator[Float[Tensor, "queries height columns"]]:
        """The mask logits of all queries at the size of the image, in strips of columns."""
        queries = torch.arange(self.logits.shape[1], device=self.logits.device)
        rows = upsample(self.logits, (self.logits.shape[2], self.padded[1])).contiguous()[..., : self.size[1]]
        columns, start = max(1, VALUES // (len(queries) * self.padded[0])), 0
        for part in torch.split(rows, columns, 3):
            strip = upsample(part.contiguous(), (self.padded[0], part.shape[3]))[0, :, : self.size[0]]
            yield self._with_true(strip, queries, slice(start, start + part.shape[3]))
            start += part.shape[3]

    def inside(self, query: int) -> NDArray[np.bool_]:
        """The mask of a query."""
        return (self.full(torch.tensor([query], device=self.logits.device))[0] > 0).cpu().numpy()

    def encoded(self, query: int) -> tuple[dict[str, Any], int, float]:
        """The mask of a query, run-length encoded; its area; the mean probability inside of it."""
        from segwright.data.reading.rle import encode_masks

        logits = self.full(torch.tensor([query], device=self.logits.device))[0]
        inside = logits > 0
        area = int(inside.sum())
        quality = float((logits.sigmoid() * inside).sum() / (area + 1e-6))
        (rle,) = encode_masks(inside.cpu().numpy().astype(np.int32), [1])
        return rle, area, quality

    def _with_true(self, masks: Tensor, queries: Tensor, columns: slice) -> Tensor:
        """``masks`` of ``queries`` in some columns, with the true ones in place of those that are replaced."""
        if self.owner is None or self.replaced is None:
            return masks
        true = torch.isin(queries, self.replaced)
        masks, inside = masks.clone(), self.owner[:, columns] == queries[true, None, None]
        masks[true] = torch.where(inside, SURE, -SURE).to(masks.dtype)
        return masks
