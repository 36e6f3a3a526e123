from __future__ import annotations

import pytest
import torch

from segwright.contracts import CenterOutput, InputContract
from segwright.labels import LabelSpace
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.small_panoptic_fpn import SmallPanopticFPNConfig

LABELS = LabelSpace("two", ("wall", "car"), ((90, 90, 90), (40, 80, 200)), (0, 1), things=("car",))
SMALL = SmallFPNConfig(channels=(8, 8, 8, 8), depths=(1, 1, 1, 1), stem_channels=8, decoder_channels=8)


@pytest.mark.parametrize("size", [(64, 96), (40, 56), (33, 47)])
@pytest.mark.parametrize("foreground", [True, False])
def test_every_output_has_half_the_resolution(size: tuple[int, int], foreground: bool) -> None:
    model = SmallPanopticFPNConfig(SMALL, branch_channels=8, foreground=foreground).build(
        LABELS, InputContract()
    )
    output = model(torch.randn(2, 3, *size))
    assert isinstance(output, CenterOutput)
    rows, columns = output.semantic.shape[2:]
    assert rows == 2 * -(-size[0] // 4)
    assert output.semantic.shape == (2, 2, rows, columns)
    assert output.center.shape == (2, 1, rows, columns)
    assert output.offset.shape == (2, 2, rows, columns)
    assert (output.foreground is not None) == foreground


def test_offset_scale_is_the_unit_of_offsets() -> None:
    torch.manual_seed(0)
    near = (
        SmallPanopticFPNConfig(SMALL, branch_channels=8, offset_scale=1.0)
        .build(LABELS, InputContract())
        .eval()
    )
    far = (
        SmallPanopticFPNConfig(SMALL, branch_channels=8, offset_scale=8.0)
        .build(LABELS, InputContract())
        .eval()
    )
    far.load_state_dict(near.state_dict())
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(far(images).offset, 8 * near(images).offset)
