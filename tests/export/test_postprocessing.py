from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.export.exported import PANOPTIC, SEMANTIC
from torch import Tensor

from segwright.contracts import CenterOutput, PixelOutput, QueryOutput
from segwright.decode.argmax import Argmax
from segwright.decode.binary import Threshold
from segwright.decode.default import DefaultDecoder
from segwright.decode.grouping import group_pixels
from segwright.decode.panoptic import CenterDecoder
from segwright.decode.query import QueryDecoder
from segwright.decode.uncertainty import WithUncertainty
from segwright.errors import UserError
from segwright.export.postprocessing import (
    class_map,
    graph_decoder,
    nearest_objects,
    panoptic_map,
    pixels_inside,
    upsample_offset,
)
from segwright.export.query_maps import query_class_map, query_panoptic_map
from segwright.models.layers.centers import upsample_centers

PADDED = (96, 128)


def center_output(seed: int, *, foreground: bool = False) -> CenterOutput:
    """Random maps at stride 4, smooth enough to make segments of several pixels."""
    random = torch.Generator().manual_seed(seed)

    def maps(channels: int) -> Tensor:
        coarse = torch.randn(1, channels, 6, 8, generator=random)
        return torch.nn.functional.interpolate(coarse, (24, 32), mode="bicubic")

    return CenterOutput(maps(4), maps(1).sigmoid(), 6 * maps(2), maps(1) + 0.5 if foreground else None)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("foreground", [False, True])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(96, 128), (75, 110)])
def test_the_panoptic_map_of_a_graph_equals_that_of_the_decoder(
    seed: int, foreground: bool, align_corners: bool, size: tuple[int, int]
) -> None:
    output = center_output(seed, foreground=foreground)
    decoder = CenterDecoder(threshold=0.4, nms_kernel=5, top_k=20, stuff_area=64, align_corners=align_corners)
    (expected,) = decoder(output, (size,), PADDED, PANOPTIC)
    classes, panoptic = panoptic_map(output, decoder, PANOPTIC, torch.tensor(size), PADDED)
    assert expected.panoptic is not None
    assert len(expected.segments) > 3
    assert (panoptic[0, : size[0], : size[1]].numpy() == expected.panoptic).all()
    assert (classes[0, : size[0], : size[1]].numpy() == expected.semantic).all()
    assert (panoptic[0, size[0] :] == -1).all()
    assert (classes[0, :, size[1] :] == 255).all()


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("size", [(1, 5), (5, 1), (1, 1), (3, 5)])
def test_offsets_grow_with_the_map_along_each_side(size: tuple[int, int], align_corners: bool) -> None:
    padded = size[0] * 16, size[1] * 16
    one, two = torch.randn(1, 1, *size), torch.randn(1, 2, *size)
    expected = upsample_centers(CenterOutput(one, one, two), padded, align_corners=align_corners).offset
    torch.testing.assert_close(upsample_offset(two, padded, align_corners=align_corners), expected)


def test_without_a_center_there_are_no_objects() -> None:
    output = replace(center_output(0), center=torch.zeros(1, 1, 24, 32))
    decoder = CenterDecoder(top_k=20, stuff_area=64)
    (expected,) = decoder(output, (PADDED,), PADDED, PANOPTIC)
    _, panoptic = panoptic_map(output, decoder, PANOPTIC, torch.tensor(PADDED), PADDED)
    assert (panoptic[0].numpy() == expected.panoptic).all()
    assert not (panoptic % 1000 > 0)[panoptic >= 0].any()


def test_of_more_centers_than_top_k_the_highest_are_kept() -> None:
    output = replace(center_output(3), center=torch.rand(1, 1, 24, 32))
    decoder = CenterDecoder(threshold=0.1, nms_kernel=3, top_k=17, stuff_area=64)
    (expected,) = decoder(output, (PADDED,), PADDED, PANOPTIC)
    _, panoptic = panoptic_map(output, decoder, PANOPTIC, torch.tensor(PADDED), PADDED)
    assert (panoptic[0].numpy() == expected.panoptic).all()


@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
def test_nearest_centers_equal_those_of_the_decoder(count: int) -> None:
    offset = 9 * torch.randn(2, 40, 56)
    centers = torch.stack([torch.randint(0, 40, (count,)), torch.randint(0, 56, (count,))], 1).float()
    where = torch.rand(40, 56) > 0.3
    assert torch.equal(nearest_objects(offset, centers, where), group_pixels(offset, centers, where))


def test_class_maps_equal_those_of_the_decoder() -> None:
    output = PixelOutput(torch.randn(2, 3, 24, 32))
    expected = Argmax()(output, (PADDED, PADDED), PADDED, SEMANTIC)
    for actual, prediction in zip(class_map(output, Argmax(), PADDED), expected, strict=True):
        assert (actual.numpy() == prediction.semantic).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_thresholds_equal_those_of_the_decoder(channels: int) -> None:
    output = PixelOutput(torch.randn(1, channels, 24, 32))
    decoder = Threshold(0.3 if channels == 1 else (0.3, 0.5, 0.8))
    (expected,) = decoder(output, (PADDED,), PADDED, SEMANTIC)
    assert (class_map(output, decoder, PADDED)[0].numpy() == expected.semantic).all()


def test_the_decoder_of_the_graph_is_the_one_that_reads_the_output() -> None:
    output = center_output(0)
    decoder = CenterDecoder(top_k=5)
    assert graph_decoder(WithUncertainty(decoder), output, PANOPTIC) is decoder
    assert isinstance(graph_decoder(None, output, PANOPTIC), CenterDecoder)
    assert isinstance(graph_decoder(DefaultDecoder(), PixelOutput(output.semantic), PANOPTIC), Argmax)


def test_a_decoder_that_no_graph_can_contain_is_refused() -> None:
    with pytest.raises(UserError, match=r"class_aware.*without --with-postprocessing"):
        graph_decoder(CenterDecoder(class_aware=True), center_output(0), PANOPTIC)


def query_output(seed: int, images: int = 1, queries: int = 20) -> QueryOutput:
    """Masks of blobs and confident classes of five, the last of which is "no object"."""
    random = torch.Generator().manual_seed(seed)
    coarse = 6 * torch.randn(images, queries, 6, 8, generator=random)
    masks = torch.nn.functional.interpolate(coarse, (24, 32), mode="bicubic")
    return QueryOutput(masks, 5 * torch.randn(images, queries, len(PANOPTIC) + 1, generator=random))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [PADDED, (75, 110), (1, 1)])
def test_panoptic_maps_of_queries_equal_those_of_the_decoder(seed: int, size: tuple[int, int]) -> None:
    output = query_output(seed)
    decoder = QueryDecoder(threshold=0.5, overlap_threshold=0.3)
    (expected,) = decoder(output, (size,), PADDED, PANOPTIC)
    inside = pixels_inside(torch.tensor(size), PADDED)
    classes, panoptic = query_panoptic_map(output, decoder, PANOPTIC, inside)
    assert expected.panoptic is not None
    assert size == (1, 1) or expected.segments
    assert (panoptic[0, : size[0], : size[1]].numpy() == expected.panoptic).all()
    assert (classes[0, : size[0], : size[1]].numpy() == expected.semantic).all()
    assert (panoptic[0][~inside] == -1).all() and (classes[0][~inside] == 255).all()


def test_without_a_sure_query_the_map_is_void() -> None:
    output = query_output(0)
    decoder = QueryDecoder(threshold=1.0)
    inside = torch.ones(PADDED, dtype=torch.bool)
    classes, panoptic = query_panoptic_map(output, decoder, PANOPTIC, inside)
    assert (panoptic == -1).all() and (classes == 255).all()


def test_class_maps_of_queries_equal_those_of_the_decoder() -> None:
    output = query_output(1, images=2)
    expected = QueryDecoder("semantic")(output, (PADDED, PADDED), PADDED, PANOPTIC)
    for actual, prediction in zip(query_class_map(output, PADDED), expected, strict=True):
        assert (actual.numpy() == prediction.semantic).all()


def test_overlapping_instances_of_queries_are_refused() -> None:
    with pytest.raises(UserError, match="overlap"):
        graph_decoder(QueryDecoder("instance"), query_output(0), PANOPTIC)
