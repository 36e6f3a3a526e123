"""Losses over the hardest pixels. They choose within one process and micro-batch, and are the mean of those.

What is hard is found on the device of the scores, with one number brought to the CPU a call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from segwright.contracts import Output, Targets
from segwright.losses.pixel import class_logits, image_count, pixel_weights, resize_to_match
from segwright.samples import IGNORED


@dataclass(slots=True)
class OHEM:
    """Mean cross entropy of the pixels whose true class has a probability of at most a threshold.

    The threshold is ``threshold``, or higher so that about ``min_kept`` pixels stay (online hard example
    mining, Shrivastava et al. 2016, as in S1: its class had 0.7 and 100000, its recipe 0.6 and 200000). It is
    sought in the truth at full size; ``factor`` 8 is S1's way by maps zoomed to an eighth, as scipy zooms, with
    ``min_kept`` // 64. ``strict``: S5's variant, which keeps what is below the threshold, and takes it one
    pixel later in the order. ``weighted``: the losses kept are weighed as the targets say (S5).
    """

    threshold: float = 0.7
    min_kept: int = 100_000
    factor: int = 1
    strict: bool = False
    weighted: bool = False
    class_weights: tuple[float, ...] | None = None
    weight: float = 1.0
    align_corners: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``ohem``: the mean over the pixels kept, times the number of images."""
        logits = class_logits(output)
        scores, truth = resize_to_match(
            logits, targets.semantic, reduced=False, align_corners=self.align_corners
        )
        kept = self.kept(scores.detach(), truth)
        chosen = torch.where(kept, truth, IGNORED)
        weights = None if self.class_weights is None else scores.new_tensor(self.class_weights)
        each = F.cross_entropy(scores, chosen, weight=weights, ignore_index=IGNORED, reduction="none")
        if self.weighted:
            each = each * pixel_weights(targets, tuple(truth.shape[1:]))
        count = kept.sum() if weights is None else weights[truth[kept]].sum()
        # At most one in the denominator where nothing is kept: the sum is then 0, and its gradient, too.
        value = each.sum() / torch.where(count > 0, count, 1)
        return {"ohem": self.weight * value * len(logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"ohem": image_count(targets)}

    @torch.no_grad()
    def kept(
        self, scores: Float[Tensor, "images classes height width"], truth: Int[Tensor, "images height width"]
    ) -> Tensor:
        """Which pixels are kept, bool [N, H, W]."""
        shares = scores.softmax(1)
        own = _own(shares, truth)
        limit = self.limit(shares, truth)
        return (truth != IGNORED) & ((own < limit) if self.strict else (own <= limit))

    def limit(self, shares: Tensor, truth: Tensor) -> float:
        """The threshold for class probabilities [N, C, H, W]; 1 where less than ``min_kept`` have truth (S1)."""
        if self.factor > 1:
            shares, truth = _zoomed(shares, truth, self.factor)
        own = _own(shares, truth)[truth != IGNORED]
        least = self.min_kept // self.factor**2
        if not len(own):
            return 1.0
        if self.strict:
            place = min(least, len(own) - 1)
        elif least >= len(own):
            return 1.0
        else:
            place = least - 1
        if place < 0:
            return self.threshold
        return max(self.threshold, own.kthvalue(place + 1).values.item())


@dataclass(slots=True)
class TopK:
    """Mean cross entropy of the ``share`` of pixels with the largest one (S5's hard pixel mining: 0.2).

    ``of`` the pixels with truth or, as in S5, of "all": ignored ones then count as pixels without loss, so
    that a share of 1 is the mean over all of them. ``weighted``: losses are weighed as the targets say before
    they are compared (S5).
    """

    share: float = 0.2
    of: Literal["truth", "all"] = "truth"
    weighted: bool = False
    weight: float = 1.0
    align_corners: bool = False

    def __call__(self, output: Output, targets: Targets) -> dict[str, Tensor]:
        """The sum ``top``: the mean over the pixels chosen, times the number of images."""
        logits = class_logits(output)
        scores, truth = resize_to_match(
            logits, targets.semantic, reduced=False, align_corners=self.align_corners
        )
        each = F.cross_entropy(scores, truth, ignore_index=IGNORED, reduction="none")
        if self.weighted:
            each = each * pixel_weights(targets, tuple(truth.shape[1:]))
        pixels = truth.numel() if self.of == "all" else int((truth != IGNORED).sum().item())
        number = max(1, int(self.share * pixels))
        # In any order: only their mean matters.
        value = each.ravel().topk(number, sorted=False).values.mean()
        return {"top": self.weight * value * len(logits)}

    def counts(self, targets: Targets) -> dict[str, Tensor]:
        """The number of images."""
        return {"top": image_count(targets)}


def _own(shares: Tensor, truth: Tensor) -> Tensor:
    """Probability of the true class [N, H, W]; of class 0 where there is no truth."""
    return shares.gather(1, torch.where(truth == IGNORED, 0, truth)[:, None]).squeeze(1)


def _zoomed(shares: Tensor, truth: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """Both at 1 / ``factor`` as ``scipy.ndimage.zoom`` gives them: linear and nearest, corners on corners."""
    height, width = (round(side / factor) for side in truth.shape[1:])
    fine = F.interpolate(shares.double(), size=(height, width), mode="bilinear", align_corners=True)
    rows, columns = (
        (torch.arange(small, dtype=torch.float64) * ((side - 1) / max(small - 1, 1)) + 0.5).floor().long()
        for small, side in ((height, truth.shape[1]), (width, truth.shape[2]))
    )
    return fine.to(shares.dtype), truth[:, rows.to(truth.device)][:, :, columns.to(truth.device)]
