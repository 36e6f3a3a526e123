"""Gaussian filtering of points with many dimensions in linear time: the permutohedral lattice.

Adams, Baek and Davis 2010, "Fast High-Dimensional Filtering Using the Permutohedral Lattice".
"""

from __future__ import annotations

from itertools import product
from math import pi, prod, sqrt

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from segwright.errors import UserError

_DIRECTIONS_PER_PASS = 3
_BLUR = {-1: 0.25, 0: 0.5, 1: 0.25}


class PermutohedralLattice:
    """Sums over all points, weighted by a Gaussian of the distance of their ``features``; approximate.

    ``features`` [points, dimensions], in units of the standard deviation. The lattice is built once; ``filter`` then
    splats values onto its vertices, blurs them, and slices (interpolates) at the points. Cost and memory are linear in
    the number of points.

    The original blurs along one direction of the lattice after another and loses what would pass through a vertex
    that no point occupies. Here a pass blurs three directions together, over occupied vertices only. That loses less
    and takes fewer passes: the mean field of a dense CRF is about twice as exact.
    """

    def __init__(self, features: Float[Tensor, "points dimensions"]) -> None:
        vertices, self._weights, steps = _enclosing_vertices(features.double())
        count = features.shape[0]
        codes, order = vertices.reshape(-1).sort()
        is_new = torch.ones_like(codes, dtype=torch.bool)
        torch.ne(codes[1:], codes[:-1], out=is_new[1:])
        occupied = codes[is_new]
        numbers = torch.empty_like(order)
        numbers[order] = is_new.cumsum(0) - 1
        self._slice = numbers.view(vertices.shape).T.to(torch.int32).contiguous()
        weights = self._weights.float()
        # The integral of the Gaussian, times the number of vertices per unit of volume.
        scale = (4 * pi / 3) ** (features.shape[1] / 2) * sqrt(len(vertices))
        self._weights = weights.T.contiguous() * scale
        starts = is_new.nonzero().view(-1)
        self._splat = _SparseSum((order % count).int(), starts.int(), weights.reshape(-1)[order])
        self.vertices = len(occupied)
        groups = [steps[i : i + _DIRECTIONS_PER_PASS] for i in range(0, len(steps), _DIRECTIONS_PER_PASS)]
        self._passes = [_blur_pass(occupied, group) for group in groups]

    def filter(self, values: Float[Tensor, "points channels"]) -> Float[Tensor, "points channels"]:
        """The sum of ``values`` over all points, weighted by the Gaussian around each point, float32."""
        sums = self._splat(values)
        for blur in self._passes:
            sums = blur(sums)
        return F.embedding_bag(self._slice, sums, mode="sum", per_sample_weights=self._weights)


class _SparseSum:
    """A sparse matrix, by rows: ``columns`` and ``weights`` of its entries, and where each row starts."""

    def __init__(self, columns: Tensor, starts: Tensor, weights: Tensor) -> None:
        self._columns, self._starts, self._weights = columns, starts, weights

    def __call__(self, values: Float[Tensor, "columns channels"]) -> Float[Tensor, "rows channels"]:
        return F.embedding_bag(
            self._columns, values, self._starts, mode="sum", per_sample_weights=self._weights
        )


def _enclosing_vertices(features: Tensor) -> tuple[Tensor, Tensor, list[int]]:
    """The vertices of the simplex around each point, their barycentric weights, and the steps between vertices.

    Vertices are integer codes [d + 1, points]: linear in the coordinates, so that ``code + step`` is the code of the
    next vertex in one of the d + 1 directions of the lattice.
    """
    count, dimensions = features.shape
    corners = dimensions + 1
    elevated = _elevated(features)
    # The nearest point whose coordinates are multiples of d + 1; then the order of the remainders.
    nearest = (elevated / corners).round()
    excess = nearest.sum(0).long()
    remainder = elevated - nearest * corners
    rank = excess.repeat(corners, 1)
    for i in range(corners):
        for j in range(i):
            is_larger = remainder[j] >= remainder[i]
            rank[i] += is_larger
            rank[j] += ~is_larger
    wrap = (rank < 0).long() - (rank > dimensions).long()
    nearest += wrap
    rank += wrap * corners
    remainder = elevated - nearest * corners
    ordered = torch.empty_like(remainder).scatter_(0, rank, remainder) / corners
    weights = torch.cat([1 + ordered[-1:] - ordered[:1], (ordered[:-1] - ordered[1:]).flip(0)])

    codes, steps = _codes(nearest.long())
    axes = torch.arange(corners, device=features.device)[:, None].expand(-1, count)
    by_rank = torch.empty_like(rank).scatter_(0, rank, axes)
    lattice_steps = torch.tensor(steps, device=features.device)
    vertices = torch.cat([codes[None], lattice_steps[by_rank[1:].flip(0)]]).cumsum(0)
    return vertices, weights, steps


def _elevated(features: Tensor) -> Tensor:
    """The points on the plane of dimension d in d + 1 coordinates [d + 1, points] that contains the lattice.

    The scale is such that splatting, blurring and slicing together have the variance 1.
    """
    count, dimensions = features.shape
    scale = sqrt(2 / 3) * (dimensions + 1)
    elevated = features.new_zeros(dimensions + 1, count)
    for axis in range(dimensions):
        scaled = features[:, axis] * (scale / sqrt((axis + 1) * (axis + 2)))
        elevated[: axis + 1] += scaled
        elevated[axis + 1] -= (axis + 1) * scaled
    return elevated


def _codes(nearest: Tensor) -> tuple[Tensor, list[int]]:
    """A number for each lattice point, (d + 1) * ``nearest`` [d + 1, points], and what each direction adds to it.

    All coordinates of a vertex have the same remainder modulo d + 1, and their sum is 0. So the first coordinate and
    d - 1 quotients of differences determine it.
    """
    dimensions = len(nearest) - 1
    corners = dimensions + 1
    digits = [nearest[0] * corners, *(nearest[1:dimensions] - nearest[0])]
    # Room for the other vertices of a simplex, and for their neighbors in a pass of the blur.
    room = [4 * corners * corners, *[4 * corners] * (dimensions - 1)]
    spans = [int(digit.max() - digit.min()) + more for digit, more in zip(digits, room, strict=True)]
    if prod(spans) >= 2**62:
        raise UserError(
            "bilateral_sigma_xy or bilateral_sigma_rgb is too small for an image of this size; expected larger ones"
        )
    places = [prod(spans[:i]) for i in range(dimensions)]
    codes = sum(
        (digit * place for digit, place in zip(digits, places, strict=True)), torch.zeros_like(nearest[0])
    )
    steps = []
    for direction in range(corners):
        move = [1 - corners * (axis == direction) for axis in range(dimensions)]
        quotients = [(other - move[0]) // corners for other in move[1:]]
        steps.append(sum(n * place for n, place in zip([move[0], *quotients], places, strict=True)))
    return codes, steps


def _blur_pass(occupied: Tensor, steps: list[int]) -> _SparseSum:
    """The kernel [1/4, 1/2, 1/4] along several directions together, between ``occupied`` vertices (sorted codes)."""
    weight_of: dict[int, float] = {}
    for signs in product(_BLUR, repeat=len(steps)):
        offset = sum(sign * step for sign, step in zip(signs, steps, strict=True))
        weight_of[offset] = weight_of.get(offset, 0.0) + prod(_BLUR[sign] for sign in signs)
    offsets = sorted(weight_of)
    count, middle = len(occupied), len(offsets) // 2
    nobody = count
    numbers = torch.arange(count, dtype=torch.int32, device=occupied.device)
    neighbors = numbers.new_full((count + 1, len(offsets)), nobody)
    neighbors[:-1, middle] = numbers
    for k in range(middle + 1, len(offsets)):
        wanted = occupied + offsets[k]
        index = torch.searchsorted(occupied, wanted).clamp_max_(count - 1)
        index = torch.where(occupied[index] == wanted, index, nobody)
        neighbors[:-1, k] = index
        neighbors[:, len(offsets) - 1 - k].scatter_(0, index, numbers)  # offsets are symmetric
    entries = (neighbors[:-1].reshape(-1) != nobody).nonzero().view(-1)
    weights = torch.tensor([weight_of[offset] for offset in offsets], device=occupied.device)
    starts = torch.searchsorted(entries, numbers.long() * len(offsets), out_int32=True)
    return _SparseSum(neighbors.view(-1)[entries], starts, weights[entries % len(offsets)])
