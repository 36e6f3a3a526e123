"""Panoptic-DeepLab (Cheng et al., CVPR 2020, arXiv 1911.10194) as in panoptic-deeplab and Detectron2.

Two decoders share one backbone. The semantic one predicts classes. The instance one is class-agnostic: it predicts a
heat map of object centers, and the offset from each pixel to the center of its object.
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
from segwright.models.layers.centers import in_fp32
from segwright.models.layers.conv import initialize
from segwright.models.layers.decoder import AtrousDecoder, ConvStack, DecoderBranch
from segwright.models.layers.features import Backbone, Features
from segwright.models.layers.norm_config import Norm


@dataclass(slots=True)
class PanopticDeepLabConfig:
    """Panoptic-DeepLab: one decoder for classes, one for object centers and offsets.

    ``skip_strides``: strides of the backbone's feature maps that refine both decoders, the coarsest first.

    panoptic-deeplab uses 8, 4 with output stride 16, and 16, 8, 4 with output stride 32. ``instance`` None: a semantic
    network, whose output is a ``PixelOutput``. ``foreground``: one more logit per pixel from the instance decoder,
    positive on things; the report on panoptic-deeplab proposes it to suppress objects in void regions such as the ego
    vehicle. ``convs``: the convolutions that fuse feature maps and lead to predictions; ``center_convs``: those that
    lead to the heat map, if they differ. ``skip_first``: the order of concatenation; True in Detectron2, False in
    panoptic-deeplab. ``align_corners`` of all resizing: False in Detectron2. ``initial_std``: standard deviation of
    both decoders' initial weights, 0.001 in panoptic-deeplab; None: He et al. 2015.
    """

    backbone: Backbone = field(default_factory=lambda: ResNetConfig(50, output_stride=16))
    semantic: DecoderBranch = field(default_factory=DecoderBranch)
    instance: DecoderBranch | None = field(
        default_factory=lambda: DecoderBranch(skip_channels=(32, 16), channels=128, hidden_channels=32)
    )
    skip_strides: tuple[int, ...] = (8, 4)
    foreground: bool = False
    convs: ConvStack = field(default_factory=ConvStack)
    center_convs: ConvStack | None = None  # Detectron2: two dense 3x3, even if the others are separable
    skip_first: bool = False
    align_corners: bool = True
    initial_std: float | None = None
    norm: Norm = field(default_factory=Norm)

    def build(self, labels: LabelSpace, input: InputContract) -> PanopticDeepLab:
        """The network."""
        if self.foreground and self.instance is None:
            raise UserError(
                "foreground is predicted by the instance decoder, but instance is None; expected a DecoderBranch"
            )
        return PanopticDeepLab(self, self.backbone.build(len(input.mean)), labels, input)


class PanopticDeepLab(Model):
    """The network; the stride of its output is the last of ``skip_strides``."""

    def __init__(
        self, config: PanopticDeepLabConfig, backbone: Features, labels: LabelSpace, input: InputContract
    ) -> None:
        super().__init__(labels, input)
        self.backbone = backbone
        self.head = PanopticDeepLabHead(config, backbone, len(labels))
        initialize(self.head, std=config.initial_std)

    def forward(self, images: Float[Tensor, "images channels height width"]) -> CenterOutput | PixelOutput:
        """Class logits, centers and offsets for normalized images; without an instance decoder class logits alone."""
        output: CenterOutput | PixelOutput = self.head(self.backbone(images))
        return output


class PanopticDeepLabHead(nn.Module):
    """Both decoders with their heads."""

    def __init__(self, config: PanopticDeepLabConfig, backbone: Features, classes: int) -> None:
        super().__init__()
        self.semantic = PanopticBranch(config, config.semantic, backbone, {"semantic": classes})
        channels = {"center": 1, "offset": 2} | ({"foreground": 1} if config.foreground else {})
        self.instance = (
            None if config.instance is None else PanopticBranch(config, config.instance, backbone, channels)
        )

    def forward(self, maps: Sequence[Tensor]) -> CenterOutput | PixelOutput:
        """All predictions, from the backbone's feature maps."""
        semantic = self.semantic(maps)["semantic"]
        if self.instance is None:
            return PixelOutput(semantic)
        instance = self.instance(maps)
        return CenterOutput(semantic, instance["center"], instance["offset"], instance.get("foreground"))


class PanopticBranch(nn.Module):
    """One decoder and its heads. ``channels``: the number of output channels of each head, by name."""

    def __init__(
        self,
        config: PanopticDeepLabConfig,
        branch: DecoderBranch,
        backbone: Features,
        channels: Mapping[str, int],
    ) -> None:
        super().__init__()
        self.decoder = AtrousDecoder(
            branch,
            backbone,
            config.skip_strides,
            config.norm,
            convs=config.convs,
            align_corners=config.align_corners,
            skip_first=config.skip_first,
        )
        self.scores = nn.ModuleDict()
        for name, count in channels.items():
            convs = config.center_convs if name == "center" else None
            self.scores[name] = _head(branch, count, convs or config.convs, config.norm)

    def forward(self, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """The output of each head, by its name."""
        x = self.decoder(maps)
        outputs = {}
        for name, head in self.scores.items():
            hidden, classifier = head.get_submodule("hidden"), head.get_submodule("classifier")
            precise = name in ("center", "offset")
            outputs[name] = in_fp32(classifier, hidden(x)) if precise else head(x)
        return outputs


def _head(branch: DecoderBranch, out_channels: int, convs: ConvStack, norm: Norm) -> nn.Sequential:
    """Convolutions, of which the last one reduces the channels, then a 1x1 convolution."""
    channels = [*[branch.channels] * convs.count, branch.hidden_channels]
    hidden = convs.build(channels, norm) if branch.hidden_channels else nn.Sequential()
    classifier = nn.Conv2d(branch.hidden_channels or branch.channels, out_channels, 1)
    return nn.Sequential(OrderedDict(hidden=hidden, classifier=classifier))
