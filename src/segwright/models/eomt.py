"""EoMT: a plain vision transformer with queries (Kerssies et al.: Your ViT is Secretly an Image Segmentation Model).

CVPR 2025, arXiv 2503.19108. Queries are prepended to the tokens before the last blocks of a vision transformer. A
linear layer classifies each query, and the product of query and patch embeddings is its mask. During training a query
may at first attend only to the patches inside of its own mask, as predicted so far. This masked attention is annealed
away, block by block, so the trained network is a plain vision transformer without masks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log2
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from segwright.contracts import InputContract, Model, QueryOutput
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.backbones.vit import VisionTransformer, ViTConfig, activation_layer


@dataclass(slots=True)
class EoMTConfig:
    """EoMT on any plain vision transformer of timm.

    ``queries``: number of queries, at least the largest number of objects in an image; 100 for semantic, 200 for
    panoptic and instance segmentation in the paper. ``query_blocks``: the number of last blocks that process queries: 3
    for S and B, 4 for L, 5 for g. ``upscale``: how often the patch features are doubled in size; None: to stride 4.

    ``masked_attention``: whether training starts with it. ``annealing``: per block of queries the fractions of the
    training (start, end) between which the probability of masked attention falls from 1 to 0, as
    (1 - t) ** ``annealing_power``; empty: ``query_blocks`` + 2 phases of equal length, of which the first and the last
    have no annealing, as in the paper. ``activation``: of the layers that make masks, a name of timm.

    ``remainder``: what happens to rows and columns behind the last whole patch. "pad": they are padded to a patch.
    "drop": the network does not see them, and the masks of the other pixels are stretched over the image, as in
    transformers.
    """

    backbone: ViTConfig = field(default_factory=ViTConfig)
    queries: int = 100
    query_blocks: int = 3
    upscale: int | None = None
    masked_attention: bool = True
    annealing: tuple[tuple[float, float], ...] = ()
    annealing_power: float = 0.9
    activation: str = "gelu"
    remainder: Literal["pad", "drop"] = "pad"

    def build(self, labels: LabelSpace, input: InputContract) -> EoMT:
        """The network; ``UserError`` for more query blocks than the transformer has, or phases of another number."""
        backbone = self.backbone.build(len(input.mean))
        depth = len(backbone.network.blocks)
        if not 1 <= self.query_blocks <= depth:
            raise UserError(
                f"model.query_blocks is {self.query_blocks}; expected 1 to {depth}, the blocks of the network"
            )
        if self.annealing and len(self.annealing) != self.query_blocks:
            raise UserError(
                f"model.annealing has {len(self.annealing)} phases; expected {self.query_blocks}, one per query block"
            )
        return EoMT(self, backbone, labels, input)

    def phases(self) -> tuple[tuple[float, float], ...]:
        """The fractions (start, end) of the training in which each block is annealed."""
        count = self.query_blocks + 2
        equal = (((k + 1) / count, (k + 2) / count) for k in range(self.query_blocks))
        return self.annealing or tuple(equal)

    def mask_probabilities(self, progress: float) -> list[float]:
        """The probability of masked attention in each block of queries when ``progress`` of the training is done."""
        if not self.masked_attention:
            return [0.0] * self.query_blocks
        parts = [(progress - start) / max(end - start, 1e-12) for start, end in self.phases()]
        return [(1 - min(max(part, 0.0), 1.0)) ** self.annealing_power for part in parts]


class EoMT(Model):
    """EoMT, see ``EoMTConfig``. In evaluation mode the output has no auxiliary masks.

    ``mask_probabilities``: the probability of masked attention in each block of queries. They are saved with the
    weights, because a network in the middle of its training needs them: in evaluation mode a block masks if its
    probability is above 1/2.
    """

    mask_probabilities: Tensor

    def __init__(
        self, config: EoMTConfig, backbone: VisionTransformer, labels: LabelSpace, input: InputContract
    ) -> None:
        super().__init__(labels, input)
        (channels,) = backbone.channels
        self.config, self.backbone = config, backbone
        self.queries = nn.Embedding(config.queries, channels)
        activations = [activation_layer(config.activation) for _ in range(2)]
        mask_layers = [layer for act in activations for layer in (nn.Linear(channels, channels), act)]
        self.head = nn.ModuleDict(
            {
                "classes": nn.Linear(channels, len(labels) + 1),
                "masks": nn.Sequential(*mask_layers, nn.Linear(channels, channels)),
                "upscale": nn.Sequential(
                    *(Upscale(channels, config.activation) for _ in range(_upscale_count(config, backbone)))
                ),
            }
        )
        self.register_buffer("mask_probabilities", torch.tensor(config.mask_probabilities(0.0)))
        self._exported_probabilities = config.mask_probabilities(0.0)
        for block in backbone.network.blocks[-config.query_blocks :]:
            if hasattr(block.attn, "num_prefix_tokens"):  # rotary position embeddings are for patches only
                block.attn.num_prefix_tokens = config.queries + backbone.prefix

    def set_progress(self, progress: float) -> None:
        """Set the probabilities of masked attention for the next training step."""
        self.mask_probabilities.copy_(torch.tensor(self.config.mask_probabilities(progress)))

    def train(self, mode: bool = True) -> EoMT:
        """Training or evaluation mode, as in PyTorch."""
        if not self.mask_probabilities.is_meta:  # while a graph is traced, no value of a tensor can be read
            self._exported_probabilities = self.mask_probabilities.tolist()
        return super().train(mode)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> QueryOutput:
        """Mask and class logits of the queries for images of any size; in training also those before each block."""
        height, width = images.shape[2:]
        patch = self.backbone.patch_size
        if self.config.remainder == "drop" and height >= patch[0] and width >= patch[1]:
            height, width = height // patch[0] * patch[0], width // patch[1] * patch[1]
            images = images[..., :height, :width]
        images = F.pad(images, (0, -width % patch[1], 0, -height % patch[0]))
        tokens, rope, grid = self.backbone.embed(images)
        first = len(self.backbone.network.blocks) - self.config.query_blocks
        for index in range(first):
            tokens = self.backbone.block(index, tokens, rope)
        queries = self.queries.weight.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        tokens = torch.cat([queries, tokens], 1)
        auxiliary, mask = [], None
        for number, probability in enumerate(self._probabilities()):
            if self.training or probability > 0.5:
                auxiliary.append(self._predict(tokens, grid))
                mask = self._attention_mask(auxiliary[-1][0], grid, probability)
            tokens = self.backbone.block(first + number, tokens, rope, mask)
            mask = None
        masks, classes = self._predict(tokens, grid)
        # Rounded up in integers: a program of torch.export cannot be saved with a ceil.
        rows, columns = (-(-side * masks.shape[2] // (grid[0] * patch[0])) for side in (height, width))
        cut = [(each[..., :rows, :columns], scores) for each, scores in auxiliary] if self.training else []
        return QueryOutput(masks[..., :rows, :columns], classes, tuple(cut))

    def _probabilities(self) -> list[float]:
        if torch.compiler.is_exporting() or self.mask_probabilities.is_meta:
            return self._exported_probabilities
        probabilities: list[float] = self.mask_probabilities.tolist()
        return probabilities

    def _predict(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Mask logits [N, queries, h, w] and class logits [N, queries, classes + 1]."""
        tokens = self.backbone.norm(tokens)
        queries = tokens[:, : self.config.queries]
        patches = self.backbone.to_map(tokens, self.config.queries + self.backbone.prefix, grid)
        features = self.head["upscale"](patches)
        masks = self.head["masks"](queries) @ features.flatten(2)
        return masks.unflatten(2, features.shape[2:]), self.head["classes"](queries)

    def _attention_mask(
        self, masks: Tensor, grid: tuple[int, int], probability: float
    ) -> Bool[Tensor, "images 1 tokens tokens"] | None:
        """Which tokens attend to which: with this probability a query to the patches in its mask only."""
        if probability == 0:
            return None
        inside = F.interpolate(masks.float(), grid, mode="bilinear").flatten(2) > 0
        if self.training and probability < 1:
            free = torch.rand(inside.shape[:2], device=inside.device) > probability
            inside |= free[..., None]
        count = self.config.queries
        start = count + self.backbone.prefix
        total = start + inside.shape[2]
        mask = torch.ones(masks.shape[0], 1, total, total, dtype=torch.bool, device=masks.device)
        mask[:, 0, :count, start:] = inside
        return mask


class Upscale(nn.Module):
    """Doubles the size of a map: transposed convolution, activation, depthwise 3x3 convolution, layer norm."""

    def __init__(self, channels: int, activation: str = "gelu") -> None:
        super().__init__()
        self.activation = activation_layer(activation)
        self.up = nn.ConvTranspose2d(channels, channels, 2, stride=2)
        self.smooth = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Float[Tensor, "images channels h w"]) -> Float[Tensor, "images channels h2 w2"]:
        """The map at twice its size."""
        x = self.smooth(self.activation(self.up(x)))
        output: Tensor = self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return output


def _upscale_count(config: EoMTConfig, backbone: VisionTransformer) -> int:
    return max(1, int(log2(backbone.patch_size[0])) - 2) if config.upscale is None else config.upscale
