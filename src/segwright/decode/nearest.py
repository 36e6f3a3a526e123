"""The nearest of many centers, for millions of points, without comparing each point with each center.

A grid of cells covers the image. For each cell the possible centers are computed once: those that are nearest to some
point of the cell. Most cells have only one, and their points need a single table look-up. The other points are
compared with the few possible centers of their cell. The result equals that of the full matrix of distances, rounding
included.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

CELL = 16  # side of a cell in pixels; a power of two, so that division by it is exact
MARGIN = 64  # the grid also covers this many pixels around the image, because offsets may point outside
MAX_DISTANCES = 1 << 21  # distances computed at a time
CPU_CHUNK = 1 << 15
"""Pixels at a time on a CPU. They fit its cache, and torch uses a single thread for so few: many small operations in
several threads spend their time on synchronization."""


def chunk_size(values: Tensor) -> int:
    """The number of pixels of a tensor to process at a time: on a GPU all."""
    return CPU_CHUNK if values.device.type == "cpu" else max(1, values.numel())


@dataclass(frozen=True, slots=True)
class NearestCenter:
    """Finds the nearest of ``centers`` (y, x), float32 [K, 2], at least one, for each point; the first of equal ones.

    Distances are dy * dy + dx * dx in float32.
    """

    centers: Tensor
    grid: _Grid | None

    @classmethod
    def of(cls, centers: Float[Tensor, "centers 2"], size: tuple[int, int], *, points: int) -> NearestCenter:
        """Prepared for about ``points`` points, most of them within ``size`` (height, width)."""
        few_points = points <= (size[0] // CELL + 1) * (size[1] // CELL + 1)
        without_grid = torch.compiler.is_compiling() or few_points or len(centers) == 1
        return cls(centers, None if without_grid else _Grid.over(centers, size))

    def __call__(self, y: Float[Tensor, " points"], x: Float[Tensor, " points"]) -> Int[Tensor, " points"]:
        """The index of the nearest center, int32."""
        if self.grid is None:
            return _by_matrix(y, x, self.centers)
        return _by_grid(y, x, self.centers, self.grid)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Cells of ``CELL`` pixels in rows of ``width``. The cells along the edge stand for everything outside."""

    height: int
    width: int
    only: Tensor  # int32 [cells]: the only possible center, or -1
    first: Tensor  # int64 [cells]: index of the first of its possible centers in ``candidates``
    count: Tensor  # int64 [cells]: the number of its possible centers, 0 outside
    candidates: Tensor  # int64: possible centers, ascending in each cell

    @classmethod
    def over(cls, centers: Tensor, size: tuple[int, int]) -> _Grid:
        inner = [(side + 2 * MARGIN + CELL - 1) // CELL for side in size]
        possible = torch.zeros(
            (inner[0] + 2, inner[1] + 2, len(centers)), dtype=torch.bool, device=centers.device
        )
        middles = [(torch.arange(n, device=centers.device) + 0.5) * CELL - MARGIN for n in inner]
        rows = max(1, MAX_DISTANCES // 4 // (inner[1] * len(centers)))
        for top in range(0, inner[0], rows):
            chunk = middles[0][top : top + rows]
            possible[1 + top : 1 + top + len(chunk), 1:-1] = _possible(chunk, middles[1], centers)
        flat = possible.view(-1, len(centers))
        cell, candidates = flat.nonzero(as_tuple=True)
        count = torch.bincount(cell, minlength=len(flat))
        first = count.cumsum(0) - count
        first_candidate = candidates[first.clamp(max=len(candidates) - 1)].int()
        only = torch.where(count == 1, first_candidate, -1)
        return cls(inner[0] + 2, inner[1] + 2, only, first, count, candidates)

    def cell(self, y: Tensor, x: Tensor) -> Tensor:
        """The cell of each point, int32; NaN lies outside."""
        # Shifted by one cell more than the margin: what truncates to 0, or overflows, is outside.
        row = (y * (1 / CELL)).add_(MARGIN / CELL + 1).int().clamp_(0, self.height - 1)
        column = (x * (1 / CELL)).add_(MARGIN / CELL + 1).int().clamp_(0, self.width - 1)
        return row.mul_(self.width).add_(column)


def _possible(y: Tensor, x: Tensor, centers: Tensor) -> Tensor:
    """Which centers can be nearest to a point of the cells around (y, x), bool [rows, columns, centers].

    Let b be the center nearest to the middle m of a cell. The squared distance to a center k, minus that to b, is
    linear in the point. Inside the cell it falls below its value at m by at most CELL * (|dy| + |dx|), where (dy, dx)
    leads from b to k. So k is possible if that difference at m is not larger. A tolerance covers rounding.
    """
    squared = ((y[:, None] - centers[:, 0]) ** 2)[:, None] + ((x[:, None] - centers[:, 1]) ** 2)[None]
    smallest, best = squared.min(2, keepdim=True)
    # |dy| + |dx| of every pair of centers, once.
    apart = torch.cdist(centers, centers, p=1.0, compute_mode="donot_use_mm_for_euclid_dist")
    reach = apart.mul_(CELL * 1.01).add_(1.0).index_select(0, best.view(-1)).view_as(squared)
    return squared.mul_(1 - 1e-5).sub_(smallest) <= reach


def _by_grid(y: Tensor, x: Tensor, centers: Tensor, grid: _Grid) -> Tensor:
    cell = grid.cell(y, x)
    nearest = grid.only.index_select(0, cell)
    (undecided,) = (nearest < 0).nonzero(as_tuple=True)
    if not len(undecided):
        return nearest
    cell, y, x = (values.index_select(0, undecided) for values in (cell, y, x))
    nearest[undecided] = _by_candidates(y, x, centers, grid, cell)
    return nearest


def _by_candidates(y: Tensor, x: Tensor, centers: Tensor, grid: _Grid, cell: Tensor) -> Tensor:
    """The nearest center of points in cells with several candidates, or outside the grid."""
    count, first = grid.count.index_select(0, cell), grid.first.index_select(0, cell)
    nearest = torch.zeros(len(y), dtype=torch.int32, device=y.device)
    (outside,) = (count == 0).nonzero(as_tuple=True)
    if len(outside):
        nearest[outside] = _by_matrix(y[outside], x[outside], centers)
    (points,) = (count > 0).nonzero(as_tuple=True)
    y, x, count, first = (values.index_select(0, points) for values in (y, x, count, first))
    smallest = torch.full_like(y, torch.inf)
    center_y, center_x = centers.T.contiguous()
    rank = 0
    while len(points):
        candidate = grid.candidates.index_select(0, first + rank)
        squared = _squared(y, x, center_y.index_select(0, candidate), center_x.index_select(0, candidate))
        (nearer,) = (squared < smallest).nonzero(as_tuple=True)
        nearest[points[nearer]] = candidate[nearer].int()
        smallest = torch.minimum(smallest, squared)
        rank += 1
        (left,) = (count > rank).nonzero(as_tuple=True)
        if len(left) < len(points):
            kept = (values.index_select(0, left) for values in (points, y, x, count, first, smallest))
            points, y, x, count, first, smallest = kept
    return nearest


def _by_matrix(y: Tensor, x: Tensor, centers: Tensor) -> Tensor:
    """The nearest center by all distances, a block of points at a time."""
    step = max(1, MAX_DISTANCES // len(centers))
    parts = [
        _squared(y[i : i + step, None], x[i : i + step, None], centers[:, 0], centers[:, 1]).argmin(1)
        for i in range(0, len(y), step)
    ]
    return torch.cat(parts).int() if parts else y.int()


def _squared(y: Tensor, x: Tensor, center_y: Tensor, center_x: Tensor) -> Tensor:
    dy, dx = center_y - y, center_x - x
    return dy * dy + dx * dx
