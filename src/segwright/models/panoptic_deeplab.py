"""Panoptic-DeepLab (Cheng et al., CVPR 2020, arXiv 1911.10194), S5's and Detectron2's: two decoders on one backbone.

One scores classes. The other knows no classes: it gives a heat map of object centers, and the offsets to them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor, nn

from segwright.contracts import CenterOutput, InputContract, Model, PixelOutput
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.models.backbones.resnet import ResNetConfig
from segwright.models.backbones.timm import Backbone, Features
from segwright.models.layers.conv import initialize
from segwright.models.layers.decoder import AtrousDecoder, ConvStack, DecoderBranch
from segwright.models.layers.norm_config import Norm


@dataclass(slots=True)
class PanopticDeepLabConfig:
    """``strides`` of the maps that refine both pyramids: S5 has 8, 4 beside output stride 16, and 16, 8, 4 beside 32.

    ``instance`` None: the classes alone, as ``PixelOutput``. ``foreground``: a third score of the instance branch,
    positive on things; S5's report proposes it against objects in void regions, such as one's own car.
    ``convs`` fuse maps and lead to scores, to the heat map ``center_convs`` if not None.
    """

    backbone: Backbone = field(default_factory=lambda: ResNetConfig(50, output_stride=16))
    semantic: DecoderBranch = field(default_factory=DecoderBranch)
    instance: DecoderBranch | None = field(
        default_factory=lambda: DecoderBranch(projected=(32, 16), width=128, hidden=32)
    )
    strides: tuple[int, ...] = (8, 4)
    foreground: bool = False
    convs: ConvStack = field(default_factory=ConvStack)
    center_convs: ConvStack | None = None  # Detectron2: two plain 3x3, also where the others are separable
    finer_first: bool = False  # Detectron2 concatenates the finer map first, S5 last
    align_corners: bool = True  # Detectron2: False
    initial_std: float | None = None  # of both decoders' weights, S5: 0.001; None: He et al. 2015
    norm: Norm = field(default_factory=Norm)

    def build(self, labels: LabelSpace, input: InputContract) -> PanopticDeepLab:
        """The network."""
        if self.foreground and self.instance is None:
            raise UserError(
                "foreground is a score of the instance branch; expected an instance branch beside it"
            )
        return PanopticDeepLab(self, self.backbone.build(len(input.mean)), labels, input)


class PanopticDeepLab(Model):
    """The network; its maps have the stride of the finest map that refines them."""

    def __init__(
        self, config: PanopticDeepLabConfig, backbone: Features, labels: LabelSpace, input: InputContract
    ) -> None:
        super().__init__(labels, input)
        self.backbone = backbone
        self.head = PanopticDeepLabHead(config, backbone, len(labels))
        initialize(self.head, std=config.initial_std)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> CenterOutput | PixelOutput:
        """Classes, centers and offsets of normalized images, or classes alone."""
        output: CenterOutput | PixelOutput = self.head(self.backbone(images))
        return output


class PanopticDeepLabHead(nn.Module):
    """Both branches."""

    def __init__(self, config: PanopticDeepLabConfig, backbone: Features, classes: int) -> None:
        super().__init__()
        self.semantic = ScoredBranch(config, config.semantic, backbone, {"semantic": classes})
        scores = {"center": 1, "offset": 2} | ({"foreground": 1} if config.foreground else {})
        self.instance = (
            None if config.instance is None else ScoredBranch(config, config.instance, backbone, scores)
        )

    def forward(self, maps: Sequence[Tensor]) -> CenterOutput | PixelOutput:
        """All scores, from the backbone's maps."""
        classes = self.semantic(maps)["semantic"]
        if self.instance is None:
            return PixelOutput(classes)
        found = self.instance(maps)
        return CenterOutput(classes, found["center"], found["offset"], found.get("foreground"))


class ScoredBranch(nn.Module):
    """A decoder and its ``scores``: their channels by name."""

    def __init__(
        self,
        config: PanopticDeepLabConfig,
        branch: DecoderBranch,
        backbone: Features,
        scores: Mapping[str, int],
    ) -> None:
        super().__init__()
        self.decoder = AtrousDecoder(
            branch,
            backbone,
            config.strides,
            config.norm,
            convs=config.convs,
            align_corners=config.align_corners,
            finer_first=config.finer_first,
        )
        self.scores = nn.ModuleDict()
        for name, channels in scores.items():
            own = config.center_convs if name == "center" else None
            self.scores[name] = _score(branch, channels, own or config.convs, config.norm)

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """The scores by name."""
        x = self.decoder(maps)
        return {name: score(x) for name, score in self.scores.items()}


def _score(branch: DecoderBranch, channels: int, convs: ConvStack, norm: Norm) -> nn.Sequential:
    """Hidden convolutions that narrow with the last one, then a 1x1 to the score."""
    widths = [*[branch.width] * convs.count, branch.hidden]
    hidden = convs.build(widths, norm) if branch.hidden else nn.Sequential()
    classifier = nn.Conv2d(branch.hidden or branch.width, channels, 1)
    return nn.Sequential(OrderedDict(hidden=hidden, classifier=classifier))
