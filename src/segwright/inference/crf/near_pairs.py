"""Gaussian filtering of points: the pairs within reach where they are few, the permutohedral lattice elsewhere."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from segwright.inference.crf.permutohedral_lattice import PermutohedralLattice
from segwright.parallel import map_in_threads

if TYPE_CHECKING:
    from scipy.spatial import cKDTree

_REACH = 3.25  # standard deviations; weights of pairs beyond are below 0.0051
_MAX_PAIRS, _MAX_SPARSE_PAIRS = 16_000_000, 20_000_000  # (i, j) and (j, i) are two pairs
_PAIRS_PER_POINT = 90  # the lattice takes as much time per point as this number of pairs
_SAMPLES = 128  # points whose neighbors are counted, and whose sums are computed
_MIN_GROUP, _MAX_GROUPS = 128, 4096
_TILE = 2**18  # pairs: a tile stays in the cache of the processor
_FAR = 1e6  # standard deviations


class SparseOrDense:
    """Sums over all points, weighted by a Gaussian of the distance of their ``features``; float32.

    ``features`` [points, dimensions], in units of the standard deviation. If at most 16 million pairs of points are
    within 3.25 standard deviations, the sums are those over these pairs. Otherwise a permutohedral lattice approximates
    them, except at the points in the sparsest regions, which have up to 20 million pairs together, fewer for many
    points: there the lattice is least exact, because errors of single pairs average out over many.
    """

    def __init__(self, features: Float[Tensor, "points dimensions"]) -> None:
        from scipy.spatial import cKDTree

        device = features.device
        centered = features - features.mean(0)
        leaf = max(_MIN_GROUP, len(features) // _MAX_GROUPS)
        tree = cKDTree(centered.cpu().numpy(), leafsize=leaf)
        order = torch.from_numpy(tree.indices)  # neighbors come near each other in memory
        ordered = centered.cpu()[order]
        self._order, self._lattice = order.to(device), None
        samples = torch.linspace(0, len(order) - 1, min(_SAMPLES, len(order))).long()
        counts = tree.query_ball_point(ordered[samples].numpy(), _REACH, return_length=True)
        if counts.mean() * len(ordered) <= _MAX_PAIRS:
            self._pairs = _SparseMatrix(*(part.to(device) for part in _all_pairs(ordered)))
            return
        self._lattice = PermutohedralLattice(centered[self._order])
        density = self._lattice.filter(torch.ones(len(ordered), 1, device=device)).view(-1).cpu()
        # Where few colors occur, the sums depend on where they are between the vertices of the lattice.
        self._factor = float((_densities(ordered.float(), samples) / density[samples]).median())
        pairs = density * (counts.mean() / float(density[samples].mean()))
        search = _Search(ordered.float(), _leaves(tree))
        groups = search.sparsest(pairs, _MAX_SPARSE_PAIRS - _PAIRS_PER_POINT * len(ordered))
        rows = torch.cat([torch.arange(*search.bounds(group)) for group in groups])
        self._rows = rows.to(device)
        self._pairs = _SparseMatrix(*(part.to(device) for part in search.pairs(groups)))

    def filter(self, values: Float[Tensor, "points channels"]) -> Float[Tensor, "points channels"]:
        """The weighted sums over all points."""
        ordered = values[self._order]
        if self._lattice is None:
            sums = self._pairs(ordered)
        else:
            sums = self._lattice.filter(ordered).mul_(self._factor)
            sums[self._rows] = self._pairs(ordered)
        result = torch.empty_like(sums)
        result[self._order] = sums
        return result


Pairs = tuple[Tensor, Tensor, Tensor]
"""The number of pairs of each row, their columns and their weights."""


def _all_pairs(points: Tensor) -> Pairs:
    """All pairs of points within reach, in both orders, and each point with itself."""
    from scipy.sparse import coo_array
    from scipy.spatial import cKDTree

    count = len(points)
    first, second = cKDTree(points.numpy()).query_pairs(_REACH, output_type="ndarray").astype(np.int32).T
    differences = points[torch.from_numpy(first)] - points[torch.from_numpy(second)]
    weights = (-differences.square().sum(1) / 2).exp().float().numpy()
    every = np.arange(count, dtype=np.int32)
    rows, columns = np.concatenate([first, second, every]), np.concatenate([second, first, every])
    values = np.concatenate([weights, weights, np.ones(count, np.float32)])
    entries = coo_array((values, (rows, columns)), shape=(count, count))
    entries.has_canonical_format = True  # no pair occurs twice, and the order within a row does not matter
    matrix = entries.tocsr()
    counts, kept, values = np.diff(matrix.indptr), matrix.indices, matrix.data
    return torch.from_numpy(counts), torch.from_numpy(kept), torch.from_numpy(values)


def _densities(points: Tensor, chosen: Tensor) -> Tensor:
    """The sum of the weights of all points at those that are ``chosen``."""
    return torch.stack(
        [(points - point).square_().sum(1).mul_(-0.5).exp_().sum() for point in points[chosen]]
    )


def _leaves(tree: cKDTree) -> Tensor:
    """The number of points of each leaf, in the order of the points."""
    sizes, nodes = [], [tree.tree]
    while nodes:
        node = nodes.pop()
        if node.lesser is None:
            sizes.append(node.end_idx - node.start_idx)
        else:
            nodes += [node.greater, node.lesser]
    return torch.tensor(sizes)


class _Search:
    """Finds the pairs within reach of the points of a group; ``points`` are ordered by groups of these ``sizes``."""

    def __init__(self, points: Tensor, sizes: Tensor) -> None:
        self._points = torch.cat([points, points.new_full((1, points.shape[1]), _FAR)])
        self._ends = sizes.cumsum(0)
        self._starts = self._ends - sizes
        within = torch.arange(int(sizes.max()))
        padding = len(points)
        self._members = torch.where(within < sizes[:, None], self._starts[:, None] + within, padding).int()
        boxes = points[self._members.minimum(self._ends[:, None].int() - 1)]
        self._low, self._high = boxes.amin(1), boxes.amax(1)

    def bounds(self, group: int) -> tuple[int, int]:
        """The first point of a group, and the one after its last."""
        return int(self._starts[group]), int(self._ends[group])

    def sparsest(self, pairs: Tensor, limit: float) -> list[int]:
        """The groups whose points have the fewest ``pairs`` each, as many as have ``limit`` together; at least one."""
        sums = torch.cat([pairs.new_zeros(1), pairs.double().cumsum(0)])
        sums = sums[self._ends] - sums[self._starts]
        order = (sums / (self._ends - self._starts)).argsort()
        return list(order[: max(1, int((sums[order].cumsum(0) <= limit).sum()))].tolist())

    def pairs(self, groups: list[int]) -> Pairs:
        """The pairs of the points of ``groups``."""
        threads = torch.get_num_threads()
        one_thread = partial(torch.set_num_threads, 1)
        parts = [*map_in_threads(self._pairs, groups, threads=threads, start=one_thread)]
        torch.set_num_threads(threads)
        counts, columns, weights = map(torch.cat, zip(*parts, strict=True))
        return counts, columns, weights

    def _pairs(self, group: int) -> Pairs:
        gaps = torch.maximum(self._low - self._high[group], self._low[group] - self._high).clamp_(min=0)
        near = (gaps.square().sum(1) <= _REACH**2).nonzero().view(-1)
        columns = self._members[near].view(-1)
        points = self._points[slice(*self.bounds(group))]
        # Relative to the middle of the group: squares of large numbers would lose digits in float32.
        center = points.mean(0)
        left, right = points - center, self._points[columns] - center
        ones = [x.new_ones(len(x), 1) for x in (left, right)]
        halves = [-x.square().sum(1, keepdim=True) / 2 for x in (left, right)]
        left, right = torch.cat([left, halves[0], ones[0]], 1), torch.cat([right, ones[1], halves[1]], 1)
        parts = []
        step = max(1, _TILE // len(columns))
        for start in range(0, len(left), step):
            # -|x - y|^2 / 2 = x y - |x|^2 / 2 - |y|^2 / 2, as one product of matrices.
            exponents = left[start : start + step] @ right.T
            is_near = exponents.numpy() > -(_REACH**2) / 2
            index = torch.from_numpy(np.flatnonzero(is_near))
            counts = torch.from_numpy(np.count_nonzero(is_near, axis=1))
            weights = exponents.view(-1)[index].clamp_(max=0).exp_()
            index -= torch.repeat_interleave(torch.arange(len(counts)) * len(columns), counts)
            parts.append((counts, columns[index], weights))
        counts, kept, weights = map(torch.cat, zip(*parts, strict=True))
        return counts, kept, weights


class _SparseMatrix:
    """The weights of pairs, by rows: the number of pairs of each row, their columns and their weights."""

    def __init__(self, counts: Tensor, columns: Tensor, weights: Tensor) -> None:
        self._starts, self._columns, self._weights = (counts.cumsum(0) - counts).int(), columns, weights

    def __call__(self, values: Float[Tensor, "columns channels"]) -> Float[Tensor, "rows channels"]:
        return F.embedding_bag(
            self._columns, values, self._starts, mode="sum", per_sample_weights=self._weights
        )
