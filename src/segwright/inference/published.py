"""The inference modes by which other projects computed their published scores."""

from __future__ import annotations

from segwright.inference.single_pass import Size
from segwright.inference.sliding_windows import SlidingWindows
from segwright.inference.test_time_augmentation import TestTimeAugmentation

CSAIL_SHORT_EDGES = (300, 375, 450, 525, 600)


def toolbox_windows(size: Size = (769, 769)) -> SlidingWindows:
    """Sliding windows of the Inplace-ABN toolbox: overlap 1/3, the mean of the logits."""
    return SlidingWindows(
        size, overlap=1 / 3, blend="uniform", placement="toolbox", fuse="logits", align_corners=True
    )


def csail_scales(
    short_edges: tuple[int, ...] = CSAIL_SHORT_EDGES, max_long_edge: int = 1000
) -> TestTimeAugmentation:
    """Multi-scale inference of CSAIL semantic-segmentation-pytorch: the mean of the probabilities of five sizes."""
    return TestTimeAugmentation(
        short_edges=short_edges, max_long_edge=max_long_edge, stretch_to_multiple=True, pillow=True
    )


def eomt_windows(side: int = 512) -> TestTimeAugmentation:
    """Semantic inference of EoMT (Kerssies et al., CVPR 2025): the shorter side is resized to ``side``.

    As few squares as possible are then spread along the longer side; logits are averaged and resized to the image.
    """
    windows = SlidingWindows((side, side), overlap=0, blend="uniform", fuse="logits")
    return TestTimeAugmentation(
        short_edges=(side,), fuse="logits", pillow=True, round_sizes=True, inner=windows
    )
