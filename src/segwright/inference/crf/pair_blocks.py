"""Gaussian filtering of points by the weights of all pairs that matter, computed block by block."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import ceil, log2

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

_GROUP = 128  # points; smaller groups leave out more pairs, but their products are slower
_REACH = 4.5  # standard deviations; weights of pairs beyond are below 4.1e-5
_TILE = 2**20  # pairs: a tile stays in the cache of the processor from its computation to its exponential


class PairBlocks:
    """Sums over all points, weighted by a Gaussian of the distance of their ``features``, float32.

    ``features`` [points, dimensions], in units of the standard deviation. Points are put into groups of neighbors (a
    k-d tree). Pairs of groups whose boxes are more than 4.5 standard deviations apart are left out; the weights of all
    other pairs, ``pairs`` in number, are computed by the first call of ``filter`` and kept, each pair once, 4 bytes
    each.
    """

    def __init__(self, features: Float[Tensor, "points dimensions"]) -> None:
        # Relative to the mean, and to the group in _tile: squares of large numbers would lose digits in float32.
        centered = (features - features.mean(0)).float()
        self._order, self._sizes = _groups(centered)
        self._features = centered[self._order]
        self._near = _near_boxes(self._features, self._sizes)
        self.pairs = int((self._near.double().cpu() @ self._sizes.double()) @ self._sizes.double())

    @cached_property
    def _tiles(self) -> list[tuple[slice, Tensor, Tensor]]:
        return [(rows, columns, self._tile(rows, columns)) for rows, columns in self._places()]

    def filter(self, values: Float[Tensor, "points channels"]) -> Float[Tensor, "points channels"]:
        """The weighted sums over all points."""
        ordered = values[self._order]
        sums = torch.zeros_like(ordered)
        for rows, columns, weights in self._tiles:
            sums[rows] += weights @ ordered[columns]
            sums.index_add_(0, columns, weights.T @ ordered[rows])
        result = torch.empty_like(sums)
        result[self._order] = sums
        return result

    def _places(self) -> Iterator[tuple[slice, Tensor]]:
        """The rows and columns of each tile; each group with itself and the groups after it."""
        ends = self._sizes.cumsum(0).tolist()
        starts = [0, *ends[:-1]]
        group_of = torch.repeat_interleave(self._sizes).to(self._near.device)
        for group, (start, end) in enumerate(zip(starts, ends, strict=True)):
            columns = start + self._near[group][group_of[start:]].nonzero().view(-1)
            yield from ((slice(start, end), part) for part in columns.split(_TILE // (end - start)))

    def _tile(self, rows: slice, columns: Tensor) -> Tensor:
        center = self._features[rows].mean(0)
        left, right = self._features[rows] - center, self._features[columns] - center
        ones = [x.new_ones(len(x), 1) for x in (left, right)]
        halves = [-x.square().sum(1, keepdim=True) / 2 for x in (left, right)]
        # -|x - y|^2 / 2 = x y - |x|^2 / 2 - |y|^2 / 2, as one product of matrices.
        weights = torch.cat([left, halves[0], ones[0]], 1) @ torch.cat([right, ones[1], halves[1]], 1).T
        weights.clamp_(max=0).exp_()
        weights[:, columns < rows.stop] /= 2  # `filter` adds these pairs twice
        return weights


def _groups(points: Tensor) -> tuple[Int[Tensor, " points"], Int[Tensor, " groups"]]:
    """The order of points by groups, and the size of each group: halved along the longest axis, again and again."""
    groups = [torch.arange(len(points), device=points.device)]
    for _ in range(max(0, ceil(log2(len(points) / _GROUP)))):
        halves = []
        for members in groups:
            extent = points[members].amax(0) - points[members].amin(0)
            along = points[members, extent.argmax()].argsort(stable=True)
            halves += [members[part] for part in along.chunk(2)]
        groups = halves
    return torch.cat(groups), torch.tensor([len(members) for members in groups])


def _near_boxes(points: Tensor, sizes: Tensor) -> Bool[Tensor, "groups groups"]:
    """For each group, the groups from itself on whose boxes are within reach."""
    parts = torch.split(points, sizes.tolist())
    low, high = torch.stack([x.amin(0) for x in parts]), torch.stack([x.amax(0) for x in parts])
    squares = sum(
        torch.maximum(low[:, None, axis] - high[:, axis], low[:, axis] - high[:, None, axis])
        .clamp_(min=0)
        .square_()
        for axis in range(points.shape[1])
    )
    return torch.as_tensor(squares <= _REACH**2).triu()
