from __future__ import annotations

import io
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from segwright.data.reading.images import apply_orientation, image_size, orientation, read_bands, read_image
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError


def photograph(path: Path, *, size: tuple[int, int] = (30, 20), **options: object) -> Image.Image:
    random = np.random.default_rng(3).integers(0, 255, (size[1] // 10, size[0] // 10, 3), np.uint8)
    picture = Image.fromarray(random).resize(size)
    picture.save(path, **options)
    return picture


@pytest.mark.parametrize("orient", range(1, 9))
def test_every_orientation_is_shown_upright(tmp_path: Path, orient: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orient
    path = tmp_path / "a.jpg"
    photograph(path, exif=exif, quality=95, subsampling=0)
    with Image.open(path) as stored:
        upright = np.array(ImageOps.exif_transpose(stored).convert("RGB"))
        flat = np.array(stored)
    read = read_image(path)
    assert np.abs(read.astype(int) - upright).max() <= 3  # two JPEG decoders
    assert image_size(path) == read.shape[:2]
    assert orientation(path) == orient
    assert (apply_orientation(flat, orient) == upright).all()


def test_a_reduced_photograph_is_its_part_in_size(tmp_path: Path) -> None:
    photograph(tmp_path / "a.jpg", size=(45, 31), quality=95)
    for reduce in (2, 4, 8):
        height, width = read_image(tmp_path / "a.jpg", reduce=reduce).shape[:2]
        assert (height, width) == (-(-31 // reduce), -(-45 // reduce))


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_bands_of_arrays_come_as_they_are(tmp_path: Path, bands: int, kind: type) -> None:
    stored = np.random.default_rng(0).integers(0, 200, (5, 6, bands)).astype(kind)
    np.save(tmp_path / "a.npy", stored)
    read = read_bands(tmp_path / "a.npy", bands)
    assert read.dtype == kind
    assert (read == stored).all()
    assert image_size(tmp_path / "a.npy") == (5, 6)


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_16_bit_tiff_and_png_keep_values_and_order(tmp_path: Path, bands: int) -> None:
    stored = np.random.default_rng(1).integers(0, 60000, (5, 6, bands), np.uint16)
    swapped = stored[..., [2, 1, 0, *range(3, bands)]] if bands > 2 else stored
    for name in ("a.tif", "a.png"):
        cv2.imwrite(str(tmp_path / name), swapped)  # OpenCV writes BGR as RGB
        assert (read_bands(tmp_path / name, bands) == stored).all()


def test_a_tiff_with_one_page_a_band_is_stacked(tmp_path: Path) -> None:
    pages = [np.full((5, 6), value, np.uint16) for value in (100, 2000, 30000, 7, 9)]
    cv2.imwritemulti(str(tmp_path / "a.tif"), pages)
    read = read_bands(tmp_path / "a.tif", 5)
    assert read[0, 0].tolist() == [100, 2000, 30000, 7, 9]


def test_another_number_of_bands_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((5, 6, 4), np.uint8))
    with pytest.raises(UserError, match=r"a\.npy: shape \(5, 6, 4\); expected \[height, width, 3\]"):
        read_bands(tmp_path / "a.npy", 3)


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (np.zeros((5, 6, 2), np.complex64), "values are complex64"),
        (np.full((5, 6, 2), 2**24 + 1), "values are int64 beyond 2"),
        (np.full((5, 6, 2), np.nan, np.float32), "NaN or infinite"),
    ],
)
def test_values_that_no_network_takes_are_refused(tmp_path: Path, stored: np.ndarray, message: str) -> None:
    np.save(tmp_path / "a.npy", stored)
    with pytest.raises(UserError, match=message):
        read_bands(tmp_path / "a.npy", 2)


@pytest.mark.parametrize("stored", ["int8", "int16", "int64", "uint32", "float16", "float64", ">f4", ">i8"])
def test_other_numbers_become_float32_if_it_holds_them(tmp_path: Path, stored: str) -> None:
    values = np.arange(60).reshape(5, 6, 2).astype(stored)
    np.save(tmp_path / "a.npy", values)
    read = read_bands(tmp_path / "a.npy", 2)
    assert read.dtype == np.float32 and read.dtype.isnative and (read == values).all()
    np.save(tmp_path / "a.npy", values.astype(">u2"))
    assert read_bands(tmp_path / "a.npy", 2).dtype == np.uint16


def test_an_array_file_never_runs_code(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}]), allow_pickle=True)
    with pytest.raises(UserError, match="not an array that can be read"):
        read_bands(tmp_path / "a.npy", 1)


def png_that_says(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 10)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_that_says(60000, 60000))
    with pytest.raises(UserError, match=r"bomb\.png: header reports 60000x60000"):
        read_image(tmp_path / "bomb.png")


CLAIMS = {
    "bmp": lambda w, h: b"BM" + struct.pack("<IIIIiiHHIIiiII", 100, 0, 54, 40, w, h, 1, 24, 0, 0, 0, 0, 0, 0),
    "gif": lambda w, h: b"GIF89a" + struct.pack("<HHBBB", w, h, 0, 0, 0) + b",\0\0\0\0" + struct.pack("<HHB", w, h, 0)
    + b"\x08\x01\0\0;",
    "ppm": lambda w, h: f"P6 {w} {h} 255 ".encode() + bytes(100),
    "hdr": lambda w, h: f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {h} +X {w}\n".encode() + bytes(100),
    "png": png_that_says,
}  # fmt: skip


@pytest.mark.parametrize("kind", CLAIMS)
@pytest.mark.parametrize(
    "read",
    [
        read_image,
        lambda path: read_image(path, reduce=4),
        lambda path: read_bands(path, 3),
        image_size,
        read_map,
    ],
    ids=["read_image", "reduced", "read_bands", "image_size", "read_map"],
)
def test_an_image_of_any_format_is_refused_by_the_size_in_its_header(
    kind: str, read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(CLAIMS[kind](50000, 50000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if read is image_size:
        assert read(path) == (50000, 50000)
    else:
        with pytest.raises(
            UserError, match=r"header reports 50000x50000|cannot identify|truncated or damaged"
        ):
            read(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


def test_the_limit_of_the_caller_holds_for_every_format(tmp_path: Path) -> None:
    for kind, claim in CLAIMS.items():
        path = tmp_path / f"a.{kind}"
        path.write_bytes(claim(300, 200))
        with pytest.raises(UserError, match="header reports 300x200 pixels; expected at most 1,000 in all"):
            read_image(path, max_pixels=1000)


def test_a_tiff_of_many_bands_in_few_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 8), np.uint8), planarconfig="contig", photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages[0].tags
        tags["ImageWidth"].overwrite(16000)
        tags["ImageLength"].overwrite(16000)
        tags["SamplesPerPixel"].overwrite(60000)
    with pytest.raises(UserError, match=r"a\.tif: \d+\.\d GiB of values in a file of [\d,]+ bytes"):
        read_bands(path, 60000)


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_truncated_photograph_is_refused(tmp_path: Path, ending: str, part: float) -> None:
    path = tmp_path / f"a.{ending}"
    photograph(path, size=(300, 200))
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    with pytest.raises(UserError, match=rf"a\.{ending}: truncated"):
        read_image(path)


def test_a_jpeg_with_data_behind_its_end_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    photograph(path)
    path.write_bytes(path.read_bytes() + b"a film" * 5000)
    assert read_image(path).shape == (20, 30, 3)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_photograph(tmp_path: Path) -> None:
    small = io.BytesIO()
    Image.new("RGB", (16, 16)).save(small, "JPEG")
    path = tmp_path / "a.jpg"
    photograph(path, size=(300, 200))
    data = path.read_bytes()
    inside = b"\xff\xe5" + struct.pack(">H", len(small.getvalue()) + 2) + small.getvalue()
    path.write_bytes((data[:2] + inside + data[2:])[: len(data) // 2 + len(inside)])
    with pytest.raises(UserError, match="truncated"):
        read_image(path)


def test_gray_images_become_rgb(tmp_path: Path) -> None:
    write_png(tmp_path / "a.png", np.full((4, 5), 77, np.uint8))
    assert (read_image(tmp_path / "a.png") == 77).all()
