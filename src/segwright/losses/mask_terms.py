"""The mask terms of query models, a few masks at a time: only gradients are kept, no values at points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

Compare = Callable[[Float[Tensor, "masks h w"], slice], Float[Tensor, " terms"]]


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """Matched queries and masks of a batch: their images, the queries, and the positions of the masks."""

    images: Int[Tensor, " masks"]
    queries: Int[Tensor, " masks"]
    masks: Int[Tensor, " masks"]

    def __len__(self) -> int:
        return len(self.images)


def sum_in_parts(
    logits: Float[Tensor, "images queries h w"], matched: Matched, compare: Compare, *, rows: int
) -> Float[Tensor, " terms"]:
    """The sum of ``compare(logits of some matched masks, which of them)`` over all matched masks, a vector of terms.

    At most ``rows`` masks are compared at a time. The gradients of a part are computed at once, so that nothing else
    of it must be kept for the backward pass.
    """
    result: Tensor = _SumInParts.apply(logits, matched, compare, rows)
    return result


class _SumInParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, matched: Matched, compare: Compare, rows: int) -> Tensor:
        ctx.matched, ctx.rows, ctx.shape = matched, rows, logits.shape
        sums, ctx.gradients = [], []
        for start in range(0, len(matched), rows):
            part = slice(start, start + rows)
            with torch.enable_grad():
                own = logits.detach()[matched.images[part], matched.queries[part]].requires_grad_()
                terms = compare(own, part)
                if ctx.needs_input_grad[0]:
                    each = [torch.autograd.grad(term, own, retain_graph=True)[0] for term in terms]
                    ctx.gradients.append(torch.stack(each))
            sums.append(terms.detach())
        return torch.stack(sums).sum(0)

    @staticmethod
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor, None, None, None]:
        images, queries = ctx.matched.images, ctx.matched.queries
        full = weights.new_zeros(ctx.shape)
        for number, gradients in enumerate(ctx.gradients):
            part = slice(number * ctx.rows, (number + 1) * ctx.rows)
            full[images[part], queries[part]] = torch.tensordot(weights, gradients, 1)
        return full, None, None, None
