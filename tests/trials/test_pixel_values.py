"""Pixel values are those of the file: TIFF in every layout, 16-bit and float images, orientation, label maps."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from segwright.data.formats.ground_truth import ClassMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.images import apply_orientation, image_size, orientation, read_bands, read_image
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.wording import count_of

HEIGHT, WIDTH = 33, 20
SPACE = LabelSpace("space", ("a", "b", "c"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), (0, 1, 2))


def pixels(bands: int, dtype: str, seed: int = 0) -> NDArray[Any]:
    values = np.random.default_rng(seed).integers(0, 250, (HEIGHT, WIDTH, bands))
    if dtype == "float32":
        return (values / 7 - 10).astype(np.float32)
    return (values * (1 if dtype == "uint8" else 120) - (9000 if dtype == "int16" else 0)).astype(dtype)


def write_tiff(path: Path, image: NDArray[Any], *, planar: str = "contig", **options: Any) -> None:
    values = np.moveaxis(image, 2, 0) if planar == "separate" and image.ndim == 3 else image
    options = {"photometric": "minisblack"} | options
    if image.ndim == 3 and image.shape[2] > 1:
        options["planarconfig"] = planar
    tifffile.imwrite(path, np.ascontiguousarray(values), **options)


LAYOUTS = [
    {"planar": planar, **storage, **compression, "bigtiff": bigtiff}
    for planar, storage, compression, bigtiff in itertools.product(
        ("contig", "separate"),
        ({"rowsperstrip": 7}, {"tile": (16, 16)}),
        (
            {},
            {"compression": "lzw"},
            {"compression": "zlib"},
            {"compression": "lzw", "predictor": True},
            {"compression": "zlib", "predictor": True},
            {"compression": "packbits"},
            {"compression": "zstd"},
        ),
        (False, True),
    )
]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("bands", range(1, 14))
def test_a_tiff_of_any_layout_gives_the_stored_values(tmp_path: Path, bands: int, dtype: str) -> None:
    stored = pixels(bands, dtype)
    for number, layout in enumerate(LAYOUTS):
        if number % 4 != bands % 4:  # each layout meets each type, and a quarter of the numbers of bands
            continue
        path = tmp_path / f"{number}.tif"
        write_tiff(path, stored, **layout)
        read = read_bands(path, bands)
        assert (read == stored).all(), layout
        assert read.dtype == ("float32" if dtype == "int16" else dtype), layout
        assert image_size(path) == (HEIGHT, WIDTH)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb", "separated"])
@pytest.mark.parametrize("extra", ["unspecified", "assocalpha", "unassalpha"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_neither_color_space_nor_alpha_changes_the_bands(
    tmp_path: Path, photometric: str, extra: str, planar: str
) -> None:
    colors = {"minisblack": 1, "miniswhite": 1, "rgb": 3, "separated": 4}[photometric]
    for more, dtype in itertools.product((1, 2, 3), ("uint8", "uint16", "float32")):
        stored = pixels(colors + more, dtype)
        path = tmp_path / "a.tif"
        write_tiff(path, stored, planar=planar, photometric=photometric, extrasamples=(extra,) * more)
        assert (read_bands(path, colors + more) == stored).all(), (more, dtype)


def test_big_endian_pages_stacks_and_default_layouts_give_the_stored_values(tmp_path: Path) -> None:
    stored = pixels(5, "uint16")
    path = tmp_path / "a.tif"
    write_tiff(path, stored, byteorder=">")
    assert (read_bands(path, 5) == stored).all()
    assert read_bands(path, 5).dtype.isnative
    tifffile.imwrite(path, np.moveaxis(stored, 2, 0).copy(), photometric="minisblack")  # one page per band
    assert (read_bands(path, 5) == stored).all()
    tifffile.imwrite(path, stored)  # as the documentation of tifffile: a page for each row
    assert (read_bands(path, 5) == stored).all()
    assert image_size(path) == (HEIGHT, WIDTH)


def test_overviews_and_masks_are_not_bands(tmp_path: Path) -> None:
    stored = pixels(4, "uint16")
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(stored, photometric="minisblack", planarconfig="contig", tile=(16, 16))
        file.write(stored[::2, ::2].copy(), photometric="minisblack", planarconfig="contig", subfiletype=1)
        file.write((stored[..., 0] > 0).copy(), subfiletype=4)
    assert (read_bands(path, 4) == stored).all()


def test_types_that_float32_holds_are_converted_and_others_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for dtype in ("int8", "int32", "uint32", "float16", "float64"):
        stored = pixels(2, "uint8").clip(0, 120).astype(dtype)
        write_tiff(path, stored)
        assert (read_bands(path, 2) == stored).all()
        assert read_bands(path, 2).dtype == np.float32
    write_tiff(path, np.full((4, 5, 2), 2**24 + 1, np.int32))
    with pytest.raises(UserError, match=r"values are int32 beyond 2\^24"):
        read_bands(path, 2)
    write_tiff(path, np.zeros((4, 5, 2), np.complex64))
    with pytest.raises(UserError, match="values are complex64"):
        read_bands(path, 2)


def test_a_gray_or_three_band_tiff_is_a_photograph(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    rgb = pixels(3, "uint8")
    for planar, photometric in itertools.product(("contig", "separate"), ("minisblack", "rgb")):
        write_tiff(path, rgb, planar=planar, photometric=photometric)
        assert (read_image(path) == rgb).all()
    write_tiff(path, rgb[..., 0])
    assert (read_image(path) == rgb[..., :1]).all()
    write_tiff(path, rgb[..., 0], photometric="miniswhite")
    assert (read_image(path) == 255 - rgb[..., :1]).all()
    Image.fromarray(rgb).quantize(16).save(path)
    assert (read_image(path) == np.asarray(Image.open(path).convert("RGB"))).all()
    Image.fromarray(rgb).convert("CMYK").save(path)
    assert np.abs(read_image(path).astype(int) - rgb).max() <= 2
    smooth = cv2.GaussianBlur(rgb, (0, 0), 3)
    Image.fromarray(smooth).save(path, compression="jpeg", quality=98)
    assert np.abs(read_image(path).astype(int) - smooth).mean() < 4
    Image.fromarray(rgb[..., 0] > 99).save(path, compression="group4")
    assert (read_image(path)[..., 0] == np.where(rgb[..., 0] > 99, 255, 0)).all()


@pytest.mark.parametrize("extra", ["assocalpha", "unassalpha"])
def test_transparency_changes_no_color(tmp_path: Path, extra: str) -> None:
    rgba = pixels(4, "uint8")
    write_tiff(tmp_path / "a.tif", rgba, photometric="rgb", extrasamples=(extra,))
    assert (read_image(tmp_path / "a.tif") == rgba[..., :3]).all()
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == rgba[..., :3]).all()
    write_tiff(tmp_path / "g.tif", rgba[..., :2], extrasamples=(extra,))
    assert (read_image(tmp_path / "g.tif") == rgba[..., :1]).all()


def test_photographs_of_another_depth_or_with_more_bands_name_what_is_there(tmp_path: Path) -> None:
    for bands, dtype in (
        (1, "uint16"),
        (3, "uint16"),
        (3, "int16"),
        (3, "float32"),
        (4, "uint8"),
        (6, "uint8"),
    ):
        write_tiff(tmp_path / "a.tif", pixels(bands, dtype))
        with pytest.raises(
            UserError, match=rf"{count_of(bands, 'band')} of {dtype}; .* set data\.bands={bands} "
        ):
            read_image(tmp_path / "a.tif")
        np.save(tmp_path / "a.npy", pixels(bands, dtype))
        with pytest.raises(
            UserError, match=rf"{count_of(bands, 'band')} of {dtype}; .* set data\.bands={bands} "
        ):
            read_image(tmp_path / "a.npy")
    for bands in (1, 3, 4):
        cv2.imwrite(str(tmp_path / "a.png"), pixels(bands, "uint16"))
        with pytest.raises(
            UserError, match=rf"{count_of(bands, 'band')} of uint16; .* set data\.bands={bands} "
        ):
            read_image(tmp_path / "a.png")
    write_tiff(tmp_path / "a.tif", pixels(4, "uint8"), photometric="rgb", extrasamples=("unspecified",))
    with pytest.raises(UserError, match=r"data\.bands=4"):  # near infrared, perhaps
        read_image(tmp_path / "a.tif")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((3, 33, 20), np.uint8), photometric="minisblack")
    with pytest.raises(UserError, match=r"3 pages or bands; .* set data\.bands=3 "):
        read_image(tmp_path / "a.tif")


def with_orientation(path: Path, image: NDArray[np.uint8], orient: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orient
    options: dict[str, Any] = {"lossless": True} if path.suffix == ".webp" else {}
    if path.suffix == ".jpg":
        options = {"quality": 98, "subsampling": 0}
    Image.fromarray(image).save(path, exif=exif, **options)


@pytest.mark.parametrize("orient", range(1, 9))
@pytest.mark.parametrize("ending", ["tif", "png", "jpg", "webp"])
def test_an_orientation_means_the_same_with_any_reduce_and_as_bands(
    tmp_path: Path, ending: str, orient: int
) -> None:
    flat = cv2.resize(pixels(3, "uint8")[:4, :5], (43, 26))
    path = tmp_path / f"a.{ending}"
    with_orientation(path, flat, orient)
    upright = apply_orientation(flat, orient)
    tolerance = 8 if ending == "jpg" else 0
    assert image_size(path) == upright.shape[:2]
    assert orientation(path) == orient
    assert np.abs(read_image(path).astype(int) - upright).max() <= tolerance
    assert np.abs(read_bands(path, 3).astype(int) - upright).max() <= tolerance
    class_map = (upright[..., 0] > 120).astype(np.uint8)
    for shown, reduce, bands in itertools.product((True, False), (1, 2, 4, 8), (None, 3)):
        back = {6: 8, 8: 6}.get(orient, orient)  # turns the upright map into the stored one
        write_png(tmp_path / "m.png", class_map if shown else apply_orientation(class_map, back))
        dataset = ImageDataset(SPACE, [path], ClassMaps([tmp_path / "m.png"]), bands=bands, reduce=reduce)
        sample = dataset[0]
        height, width = (-(-side // reduce) for side in upright.shape[:2])
        assert sample.image.shape == (height, width, 3)
        assert dataset.size(0) == (height, width)
        if orient in (1, 5, 6, 7, 8) or shown:  # equal sizes: the map is used as it is
            small = cv2.resize(upright, (width, height), interpolation=cv2.INTER_AREA)
            assert np.abs(sample.image.astype(int) - small).mean() < (25 if ending == "jpg" else 0.6)
            rows, columns = (
                np.minimum((np.arange(n) + 0.5) * reduce, side - 1).astype(int)
                for n, side in zip((height, width), class_map.shape, strict=True)
            )
            assert (sample.map == class_map[rows][:, columns]).all()


@pytest.mark.parametrize(
    "dtype", ["bool", *(f"{sign}int{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64))]
)
@pytest.mark.parametrize("ending", ["tif", "npy"])
def test_label_maps_of_any_integer_type_are_read(tmp_path: Path, ending: str, dtype: str) -> None:
    path = tmp_path / f"m.{ending}"
    values = np.arange(12).reshape(3, 4) % (2 if dtype == "bool" else 12)
    for stored in (values.astype(dtype), values.astype(dtype)[..., None]):
        if ending == "npy":
            np.save(path, stored)
        else:
            tifffile.imwrite(path, stored, photometric="minisblack")
        assert (read_map(path) == values).all()
        assert read_map(path).shape == values.shape


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("ending", ["tif", "npy"])
def test_float_maps_are_read_if_their_values_are_whole_numbers(
    tmp_path: Path, ending: str, dtype: str
) -> None:
    path = tmp_path / f"m.{ending}"
    values = np.arange(12, dtype=dtype).reshape(3, 4)
    for change, message in (
        (0.0, None),
        (0.5, "such as 0.5"),
        (np.nan, "such as nan"),
        (np.inf, "such as inf"),
    ):
        values[0, 0] = change
        np.save(path, values) if ending == "npy" else tifffile.imwrite(path, values)
        if message is None:
            assert (read_map(path) == values).all()
            continue
        with pytest.raises(UserError, match=rf"values are {dtype}, {message}; expected whole numbers"):
            read_map(path)


def test_values_that_no_map_can_hold_are_named(tmp_path: Path) -> None:
    for dtype in (np.uint32, np.int64, np.uint64):
        tifffile.imwrite(tmp_path / "m.tif", np.full((3, 4), 2**31, dtype))
        with pytest.raises(
            UserError, match=rf"values are {np.dtype(dtype)} from .* expected at most 2147483646"
        ):
            read_map(tmp_path / "m.tif")
    np.save(tmp_path / "m.npy", np.zeros((3, 4), np.complex64))
    with pytest.raises(UserError, match="complex64"):
        read_map(tmp_path / "m.npy")


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd"])
def test_a_map_in_tiff_of_any_layout_gives_its_values(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "m.tif"
    values = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH)
    for dtype, tile in itertools.product(("uint8", "uint16", "uint32"), (None, (16, 16))):
        tifffile.imwrite(path, values.astype(dtype), compression=compression, tile=tile)
        assert (read_map(path) == values.astype(dtype)).all()
    colors = pixels(3, "uint8")
    for planar in ("contig", "separate"):
        write_tiff(path, colors, planar=planar, photometric="rgb", compression=compression)
        assert (read_map(path, "rgb") == colors).all()


def test_maps_that_lose_values_or_are_ambiguous_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.tif"
    Image.new("L", (16, 16), 5).save(path, compression="jpeg")
    with pytest.raises(UserError, match="a map stored as JPEG in TIFF, which changes its values"):
        read_map(path)
    tifffile.imwrite(path, np.zeros((3, 33, 20), np.uint8), photometric="minisblack")
    with pytest.raises(UserError, match="3 pages; expected one map"):
        read_map(path)
    write_tiff(path, pixels(3, "uint16"), photometric="rgb")
    with pytest.raises(UserError, match="colors of uint16; expected 8 bits"):
        read_map(path, "rgb")


def test_a_16_bit_png_with_alpha_keeps_its_values(tmp_path: Path) -> None:
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    values = np.array([[1, 300, 2]], ">u2")
    row = b"\0" + np.stack([values, np.full_like(values, 65535)], -1).astype(">u2").tobytes()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 1, 16, 4, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    (tmp_path / "m.png").write_bytes(data)
    assert read_map(tmp_path / "m.png").tolist() == [[1, 300, 2]]


def test_a_damaged_tiff_ends_in_one_line(tmp_path: Path) -> None:
    path, random = tmp_path / "a.tif", np.random.default_rng(1)
    for options in ({}, {"compression": "lzw"}, {"compression": "zlib", "tile": (16, 16)}):
        write_tiff(path, pixels(3, "uint8"), **options)
        whole = path.read_bytes()
        for part in (0.1, 0.5, 0.98):
            path.write_bytes(whole[: int(len(whole) * part)])
            with pytest.raises(UserError, match=r"a\.tif: "):
                read_bands(path, 3)
        for _ in range(60):
            damaged = np.frombuffer(whole, np.uint8).copy()
            damaged[random.integers(0, 300, 4)] = random.integers(0, 256, 4)
            path.write_bytes(damaged.tobytes())
            for read in (read_image, read_map, image_size, orientation):
                try:
                    read(path)
                except UserError as error:
                    assert "\n" not in str(error)


def test_damaged_exif_data_and_the_orientation_of_xmp_do_not_turn_an_image(tmp_path: Path) -> None:
    flat = pixels(3, "uint8")
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(flat).save(tmp_path / "a.jpg", xmp=xmp)
    with_orientation(tmp_path / "b.jpg", flat, 6)
    data = (tmp_path / "b.jpg").read_bytes()
    # The number of values of the tag is far beyond the end of the data.
    (tmp_path / "b.jpg").write_bytes(
        data.replace(b"\x01\x12\x00\x03\x00\x00\x00\x01", b"\x01\x12\x00\x03\x00\xff\x00\x01")
    )
    assert image_size(tmp_path / "a.jpg") == read_image(tmp_path / "a.jpg").shape[:2] == (HEIGHT, WIDTH)
    assert image_size(tmp_path / "b.jpg") == (HEIGHT, WIDTH)  # and no warning, which would be an error here
