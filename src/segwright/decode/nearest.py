"""The nearest of many centers, for millions of points, without comparing each point with each center.

A grid of cells lies over the image. Of each cell it is computed once which centers can be the nearest of any point
inside. In most cells that is one, and a point there is done after a look-up; elsewhere it is compared with the few
that remain. The answer is that of the full matrix of distances, rounding included.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

CELL = 16  # side of a cell in pixels; a power of two, so that dividing by it is exact
MARGIN = 64  # pixels around the image that the grid covers, too: offsets may point outside
MATRIX = 1 << 21  # distances at a time
PORTION = 1 << 15
"""Pixels at a time on a CPU: they stay in its cache, and torch takes so few in one thread. Many small steps in several
threads wait for each other, for long where the machine has other work."""


def portion(values: Tensor) -> int:
    """How many pixels of a tensor to take at a time: on a GPU all."""
    return PORTION if values.device.type == "cpu" else max(1, values.numel())


@dataclass(frozen=True, slots=True)
class NearestCenter:
    """Which of ``centers`` (y, x), float32 [K, 2], at least one, is nearest to a point: the first of equal ones.

    Distances are dy * dy + dx * dx in float32.
    """

    centers: Tensor
    grid: _Grid | None

    @classmethod
    def of(cls, centers: Float[Tensor, "centers 2"], size: tuple[int, int], *, points: int) -> NearestCenter:
        """Prepared for about ``points`` points, most of them within ``size`` (height, width)."""
        few = points <= (size[0] // CELL + 1) * (size[1] // CELL + 1)
        plain = torch.compiler.is_compiling() or few or len(centers) == 1
        return cls(centers, None if plain else _Grid.over(centers, size))

    def __call__(self, y: Float[Tensor, " points"], x: Float[Tensor, " points"]) -> Int[Tensor, " points"]:
        """The place of the nearest center, int32."""
        if self.grid is None:
            return _by_matrix(y, x, self.centers)
        return _by_grid(y, x, self.centers, self.grid)


@dataclass(frozen=True, slots=True)
class _Grid:
    """Cells of ``CELL`` pixels in rows of ``width``; those along the edge stand for everything outside."""

    height: int
    width: int
    only: Tensor  # int32 [cells]: the only possible center, or -1
    first: Tensor  # int64 [cells]: where its candidates begin
    count: Tensor  # int64 [cells]: how many they are, 0 outside
    candidates: Tensor  # int64: ascending in each cell

    @classmethod
    def over(cls, centers: Tensor, size: tuple[int, int]) -> _Grid:
        inner = [(side + 2 * MARGIN + CELL - 1) // CELL for side in size]
        possible = torch.zeros(
            (inner[0] + 2, inner[1] + 2, len(centers)), dtype=torch.bool, device=centers.device
        )
        middles = [(torch.arange(n, device=centers.device) + 0.5) * CELL - MARGIN for n in inner]
        rows = max(1, MATRIX // 4 // (inner[1] * len(centers)))
        for top in range(0, inner[0], rows):
            part = middles[0][top : top + rows]
            possible[1 + top : 1 + top + len(part), 1:-1] = _possible(part, middles[1], centers)
        flat = possible.view(-1, len(centers))
        cell, candidates = flat.nonzero(as_tuple=True)
        count = torch.bincount(cell, minlength=len(flat))
        first = count.cumsum(0) - count
        one = candidates[first.clamp(max=len(candidates) - 1)].int()
        only = torch.where(count == 1, one, -1)
        return cls(inner[0] + 2, inner[1] + 2, only, first, count, candidates)

    def cell(self, y: Tensor, x: Tensor) -> Tensor:
        """The cell of each point, int32; what is no number lies outside."""
        # Shifted by one cell more than the margin: what truncates to 0, or wildly, is outside.
        row = (y * (1 / CELL)).add_(MARGIN / CELL + 1).int().clamp_(0, self.height - 1)
        column = (x * (1 / CELL)).add_(MARGIN / CELL + 1).int().clamp_(0, self.width - 1)
        return row.mul_(self.width).add_(column)


def _possible(y: Tensor, x: Tensor, centers: Tensor) -> Tensor:
    """Which centers can be nearest to a point of the cells around (y, x), bool [rows, columns, centers].

    Let b be nearest to the middle m of a cell. The squared distance to a center k, less that to b, is linear in
    the point; inside the cell it falls below its value in m by at most CELL * (|dy| + |dx|), (dy, dx) leading
    from b to k. So k can win where its lead at m is not larger. Slack is left for rounding.
    """
    squared = ((y[:, None] - centers[:, 0]) ** 2)[:, None] + ((x[:, None] - centers[:, 1]) ** 2)[None]
    least, best = squared.min(2, keepdim=True)
    # |dy| + |dx| of every pair of centers, once.
    apart = torch.cdist(centers, centers, p=1.0, compute_mode="donot_use_mm_for_euclid_dist")
    reach = apart.mul_(CELL * 1.01).add_(1.0).index_select(0, best.view(-1)).view_as(squared)
    return squared.mul_(1 - 1e-5).sub_(least) <= reach


def _by_grid(y: Tensor, x: Tensor, centers: Tensor, grid: _Grid) -> Tensor:
    cell = grid.cell(y, x)
    found = grid.only.index_select(0, cell)
    (open_,) = (found < 0).nonzero(as_tuple=True)
    if not len(open_):
        return found
    cell, y, x = (values.index_select(0, open_) for values in (cell, y, x))
    found[open_] = _by_candidates(y, x, centers, grid, cell)
    return found


def _by_candidates(y: Tensor, x: Tensor, centers: Tensor, grid: _Grid, cell: Tensor) -> Tensor:
    """The nearest center of points in cells with several candidates, or outside the grid."""
    count, place = grid.count.index_select(0, cell), grid.first.index_select(0, cell)
    answer = torch.zeros(len(y), dtype=torch.int32, device=y.device)
    (outside,) = (count == 0).nonzero(as_tuple=True)
    if len(outside):
        answer[outside] = _by_matrix(y[outside], x[outside], centers)
    (names,) = (count > 0).nonzero(as_tuple=True)
    y, x, count, place = (values.index_select(0, names) for values in (y, x, count, place))
    least = torch.full_like(y, torch.inf)
    center_y, center_x = centers.T.contiguous()
    rank = 0
    while len(names):
        candidate = grid.candidates.index_select(0, place + rank)
        squared = _squared(y, x, center_y.index_select(0, candidate), center_x.index_select(0, candidate))
        (nearer,) = (squared < least).nonzero(as_tuple=True)
        answer[names[nearer]] = candidate[nearer].int()
        least = torch.minimum(least, squared)
        rank += 1
        (left,) = (count > rank).nonzero(as_tuple=True)
        if len(left) < len(names):
            kept = (values.index_select(0, left) for values in (names, y, x, count, place, least))
            names, y, x, count, place, least = kept
    return answer


def _by_matrix(y: Tensor, x: Tensor, centers: Tensor) -> Tensor:
    """The nearest center by all distances, a block of points at a time."""
    step = max(1, MATRIX // len(centers))
    parts = [
        _squared(y[i : i + step, None], x[i : i + step, None], centers[:, 0], centers[:, 1]).argmin(1)
        for i in range(0, len(y), step)
    ]
    return torch.cat(parts).int() if parts else y.int()


def _squared(y: Tensor, x: Tensor, center_y: Tensor, center_x: Tensor) -> Tensor:
    dy, dx = center_y - y, center_x - x
    return dy * dy + dx * dx
