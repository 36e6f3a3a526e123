"""Any plain vision transformer of timm, block by block: DINOv2, DINOv3, EVA-02, SigLIP, AugReg and others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from segwright.errors import UserError
from segwright.models.backbones.timm import check_name, timm_features
from segwright.models.layers.features import Features
from segwright.models.weights.pretrained import source_record
from segwright.models.weights.sources import WeightFile, find_weights

FREE = ("apache", "mit", "bsd", "cc0")
"""Beginnings of the names of licenses that need no consent."""


@dataclass(slots=True)
class ViTConfig:
    """The vision transformer of timm called ``name``, for example "vit_small_patch14_reg4_dinov2".

    ``weights``: see ``segwright.models.backbones``. ``patch_size``: side of the patches, in pixels; pretrained patches
    are resampled. ``image_size``: height and width in pixels for which there is a position embedding; it is resampled
    for images of another size. ``depth``, ``channels``, ``heads``, ``registers``, ``mlp_ratio``, ``activation`` (of the
    MLPs, a name of timm such as "gelu"), ``rope_temperature`` (the base of rotary position embeddings) and ``norm_eps``
    (of all layer norms) change the network; None: those of ``name``.

    ``accept_license``: agree to the license of the pretrained weights. It is needed where this is no free license, as
    for DINOv3: its terms apply to all models that start from these weights.
    """

    NAMED_BY: ClassVar[str] = "name"  # where a backbone is expected, a name alone stands for this class

    name: str = "vit_small_patch14_reg4_dinov2"
    weights: str | None = None
    patch_size: int | None = 16
    image_size: tuple[int, int] = (512, 512)
    depth: int | None = None
    channels: int | None = None
    heads: int | None = None
    registers: int | None = None
    mlp_ratio: float | None = None
    activation: str | None = None
    rope_temperature: float | None = None
    norm_eps: float | None = None
    accept_license: bool = False

    def build(self, channels: int) -> VisionTransformer:
        """The network for images of ``channels`` bands; ``UserError`` for a name that is no plain transformer."""
        check_name(self.name)
        _check_kind(self.name)
        file = None if self.weights is None else find_weights(self.weights, self.name)
        if file is not None:
            self._check_license(file)
        network = timm_features(self.name, file=file, channels=channels, **self._options())
        for norm in network.modules():
            if isinstance(norm, nn.LayerNorm) and self.norm_eps is not None:
                norm.eps = self.norm_eps
        if self.activation is not None:
            blocks: Any = network.blocks
            for block in blocks:
                block.mlp.act = activation_layer(self.activation)
        backbone = VisionTransformer(network, self.name)
        if file is not None:
            backbone.pretrained = source_record(file, self.name)
        return backbone

    def shrink(self) -> None:
        """Make it a small network, in place, for tests of a recipe: 6 blocks of 48 channels."""
        self.depth, self.channels, self.heads, self.image_size = 6, 48, 3, (64, 64)

    def _options(self) -> dict[str, Any]:
        """The arguments of ``timm.create_model``."""
        from timm.models import model_entrypoint

        registers = (
            "num_reg_tokens" if model_entrypoint(self.name).__module__.endswith("eva") else "reg_tokens"
        )
        values: dict[str, Any] = {
            "patch_size": self.patch_size,
            "depth": self.depth,
            "embed_dim": self.channels,
            "num_heads": self.heads,
            registers: self.registers,
            "mlp_ratio": self.mlp_ratio,
            "rope_temperature": self.rope_temperature,
        }
        fixed = {"features_only": False, "num_classes": 0, "global_pool": "", "dynamic_img_size": True}
        return {**fixed, "img_size": self.image_size, **{k: v for k, v in values.items() if v is not None}}

    def _check_license(self, file: WeightFile) -> None:
        license = file.license
        if license is None or license.lower().startswith(FREE) or self.accept_license:
            return
        raise UserError(
            f"the weights of {self.name} have the license {license!r}, which also applies to models trained from them; "
            "read it, then agree with --set model.backbone.accept_license=true, or choose other weights"
        )


def activation_layer(name: str) -> nn.Module:
    """The activation that timm calls ``name``, for example "gelu" or "silu"; ``UserError`` for an unknown name."""
    from timm.layers.create_act import get_act_layer

    try:
        layer: nn.Module = get_act_layer(name)()
    except KeyError:
        raise UserError(
            f"timm has no activation {name!r}; expected one such as gelu, gelu_tanh, quick_gelu, silu or relu"
        ) from None
    return layer


def _check_kind(name: str) -> None:
    """``UserError`` unless timm builds the network called ``name`` from plain transformer blocks."""
    from timm.models import model_entrypoint

    if model_entrypoint(name).__module__.rpartition(".")[2] not in ("vision_transformer", "eva"):
        raise UserError(
            f"{name} is no plain vision transformer; expected one such as vit_small_patch14_reg4_dinov2 or "
            "vit_small_patch16_dinov3"
        )


class VisionTransformer(Features):
    """A vision transformer whose blocks can be run one by one; ``forward`` gives the last feature map.

    ``patch_size``: (height, width) of a patch. ``prefix``: the number of tokens before the patches (class, registers).
    """

    def __init__(self, network: nn.Module, name: str = "network") -> None:
        super().__init__()
        parts: Any = network
        if isinstance(parts.norm, nn.Identity):
            raise UserError(f"{name} has no norm after its last block; expected a transformer with one")
        self.network, self.name = parts, name
        self.patch_size: tuple[int, int] = parts.patch_embed.patch_size
        self.prefix: int = parts.num_prefix_tokens
        self.channels, self.strides = (parts.embed_dim,), (self.patch_size[0],)

    def embed(self, images: Float[Tensor, "images c height width"]) -> tuple[Tensor, Any, tuple[int, int]]:
        """Tokens [N, prefix + patches, channels], rotary position embedding (or None), and the grid of patches."""
        patches = self.network.patch_embed(images)
        height, width = patches.shape[1:3]
        embedded = self.network._pos_embed(patches)
        tokens, rope = embedded if isinstance(embedded, tuple) else (embedded, None)
        return self.network.norm_pre(tokens), rope, (height, width)

    def block(self, index: int, tokens: Tensor, rope: Any, mask: Tensor | None = None) -> Tensor:
        """The tokens after a block; ``mask`` [N, 1, tokens, tokens]: True where a token may attend to another."""
        block = self.network.blocks[index]
        if rope is None:
            output: Tensor = block(tokens, attn_mask=mask)
        else:
            own = rope[index] if getattr(self.network, "rope_mixed", False) else rope
            output = block(tokens, rope=own, attn_mask=mask)
        return output

    def norm(self, tokens: Tensor) -> Tensor:
        """The tokens after the last norm."""
        output: Tensor = self.network.norm(tokens)
        return output

    def forward(self, images: Float[Tensor, "images c height width"]) -> list[Tensor]:
        """One feature map [N, channels, H / patch, W / patch]."""
        tokens, rope, grid = self.embed(images)
        for index in range(len(self.network.blocks)):
            tokens = self.block(index, tokens, rope)
        return [self.to_map(self.norm(tokens), self.prefix, grid)]

    @staticmethod
    def to_map(tokens: Tensor, prefix: int, grid: tuple[int, int]) -> Float[Tensor, "images c h w"]:
        """The tokens of the patches as a map; ``prefix``: how many tokens come before them."""
        patches = tokens[:, prefix:].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], *grid)
