from __future__ import annotations

import io
import struct
import warnings
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image, PngImagePlugin

from segwright.data.reading.label_maps import read_map, write_png
from segwright.data.reading.png_decoder import decode_png
from segwright.errors import UserError

GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}


def chunk(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(
    rows: bytes,
    width: int,
    height: int,
    *,
    depth: int = 8,
    color: int = GRAY,
    parts: int = 1,
    interlace: int = 0,
) -> bytes:
    """A PNG file of rows that are filtered already, compressed, in ``parts`` chunks."""
    compressed = zlib.compress(rows)
    cuts = np.linspace(0, len(compressed), parts + 1).astype(int).tolist()
    data = [chunk(b"IDAT", compressed[a:b]) for a, b in pairwise(cuts)]
    palette = [chunk(b"PLTE", bytes(768))] if color == PALETTE else []
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + b"".join([header, *palette, *data, chunk(b"IEND")])


def pillow(data: bytes) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image)


def assert_like_pillow(data: bytes) -> None:
    decoded, expected = decode_png(data), pillow(data)
    assert decoded is not None
    assert decoded.dtype == expected.dtype
    assert np.array_equal(decoded, expected)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_every_filter_and_type_gives_the_pixels_of_pillow(data: st.DataObject) -> None:
    depth, color = data.draw(st.sampled_from([(8, GRAY), (16, GRAY), (8, RGB), (8, PALETTE), (8, RGBA)]))
    width, height = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 12))
    bytes_per_row = width * CHANNELS[color] * depth // 8
    values = data.draw(st.sampled_from([st.integers(0, 255), st.sampled_from([0, 0, 0, 0, 1, 200])]))
    rows = data.draw(arrays.arrays(np.uint8, (height, 1 + bytes_per_row), elements=values))
    rows[:, 0] = data.draw(arrays.arrays(np.uint8, height, elements=st.integers(0, 4)))
    parts = data.draw(st.integers(1, 3))
    assert_like_pillow(png(rows.tobytes(), width, height, depth=depth, color=color, parts=parts))


@pytest.mark.parametrize(("color", "shape"), [(RGB, (300, 700)), (GRAY, (257, 255)), (RGBA, (3, 70_000))])
def test_images_of_several_bands_and_blocks(color: int, shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    height, width = shape
    rows = random.integers(0, 256, (height, 1 + width * CHANNELS[color]), np.uint8)
    rows[:, 0] = random.integers(0, 5, height)
    data = png(rows.tobytes(), width, height, color=color)
    assert_like_pillow(data)
    with_alpha = decode_png(data, alpha=True)
    assert with_alpha is not None
    if color == RGB:
        assert (with_alpha[..., 3] == 255).all()
        with_alpha = with_alpha[..., :3]
    assert np.array_equal(with_alpha, decode_png(data))  # type: ignore[arg-type]


def test_bands_of_16_bits() -> None:
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (300, 1 + 2 * 500), np.uint8)
    rows[:, 0] = random.integers(0, 5, 300)
    assert_like_pillow(png(rows.tobytes(), 500, 300, depth=16))


def test_files_of_opencv_and_pillow(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for dtype, shape in ((np.uint8, (40, 50)), (np.uint16, (40, 50)), (np.uint8, (40, 50, 3))):
        values = random.integers(0, 200, shape).astype(dtype).repeat(3, axis=1)
        write_png(tmp_path / "cv2.png", values)
        Image.fromarray(values).save(tmp_path / "pil.png", dpi=(72, 72))
        for name in ("cv2.png", "pil.png"):
            data = (tmp_path / name).read_bytes()
            assert_like_pillow(data)
            assert np.array_equal(decode_png(data), values)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_file_is_left_to_other_decoders(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 5)))
    rows = random.integers(0, 3, (9, 1 + 7 * 3), np.uint8)
    whole = png(rows.tobytes(), 7, 9, color=RGB, parts=2)
    damaged = bytearray(whole)
    index = data.draw(st.integers(0, len(whole) - 1))
    damaged[index] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(whole) - 1))
    # A checksum covers every byte of a chunk, so that no change stays unseen.
    for content in (bytes(damaged), whole[:cut], whole + b"more", b""):
        assert decode_png(content) is None


def filtered(values: Any) -> bytes:
    return np.array(values, np.uint8).tobytes()


@pytest.mark.parametrize(
    "data",
    [
        png(filtered([[0, 0b10000000]] * 4), 4, 4, depth=1),
        png(filtered([[0, 0x12, 0x34]] * 2), 4, 2, depth=4, color=PALETTE),
        png(filtered([[0, *range(12)]] * 2), 2, 2, depth=16, color=RGB),
        png(filtered([[0, *range(8)]] * 2), 4, 2, color=GRAY_ALPHA),
        png(filtered([[0, 1], [0, 2]]), 1, 2, interlace=1),
        png(filtered([[5, 1], [0, 2]]), 1, 2),  # there is no filter 5
        png(filtered([[0, 1]]), 1, 2),  # a row too few
        png(filtered([[0, 1]] * 3), 1, 2),  # a row too many
        png(b"", 0, 0),
        png(filtered([[0, 1, 2]]), 2, 1)[:33] + chunk(b"eXIf", b"MM") + png(filtered([[0, 1, 2]]), 2, 1)[33:],
        png(filtered([[0, 1, 2]]), 2, 1)[:33] + chunk(b"IEND"),
        b"GIF89a" + bytes(50),
    ],
)  # fmt: skip
def test_unusual_files_are_left_to_other_decoders(data: bytes) -> None:
    assert decode_png(data) is None


def test_pixels_between_other_chunks_are_left_to_other_decoders() -> None:
    data = png(filtered([[0, *range(50)]]), 50, 1, parts=2)
    second = data.rindex(b"IDAT") - 4
    assert decode_png(data) is not None
    assert decode_png(data[:second] + chunk(b"tEXt", b"a\0b") + data[second:]) is None


def test_a_map_turned_by_exif_is_upright_and_a_map_with_text_is_read(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(values).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_map(tmp_path / "turned.png"), np.rot90(values, -1))
    text = PngImagePlugin.PngInfo()
    text.add_text("Software", "a tool")
    Image.fromarray(values).save(tmp_path / "text.png", pnginfo=text)
    assert decode_png((tmp_path / "text.png").read_bytes()) is not None
    assert np.array_equal(read_map(tmp_path / "text.png"), values)


def test_a_damaged_map_is_named(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.arange(3000, dtype=np.uint16).reshape(30, 100))
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"a\.png: not a map that can be read"):
        read_map(tmp_path / "a.png")


def test_without_the_decoder_maps_are_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    write_png(tmp_path / "a.png", values)
    monkeypatch.setitem(__import__("sys").modules, "pyspng", None)
    assert decode_png((tmp_path / "a.png").read_bytes()) is None
    assert np.array_equal(read_map(tmp_path / "a.png"), values)


@pytest.mark.parametrize(
    "folder", ["facade/panoptic_val", "camvid/valannot", "nuclei/val/instances", "voc_sample"]
)
def test_real_maps(shared: Path, folder: str) -> None:
    paths = sorted((shared / "data" / folder).rglob("*.png"))[:6]
    if not paths:
        pytest.skip(f"no {folder} in {shared / 'data'}")
    for path in paths:
        assert_like_pillow(path.read_bytes())
