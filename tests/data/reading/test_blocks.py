"""Parts of images equal the same parts of the image read as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile

from segwright.data.reading.blocks import open_image, tiff_georeference
from segwright.data.reading.images import image_size, read_bands, read_image
from segwright.errors import UserError

HEIGHT, WIDTH = 83, 131
LAYOUTS: dict[str, dict[str, Any]] = {
    "uncompressed": {},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "strips": {"rowsperstrip": 9, "compression": "zlib", "predictor": True},
    "one strip": {"compression": "lzw"},
    "uncompressed strips": {"rowsperstrip": 9},
    "tiles": {"tile": (32, 48)},
    "compressed tiles": {"tile": (32, 48), "compression": "zlib", "predictor": True},
    "tiles larger than the image": {"tile": (128, 256), "compression": "lzw"},
    "planes": {"planarconfig": "separate"},
    "planes in tiles": {"planarconfig": "separate", "tile": (32, 48), "compression": "zlib"},
    "planes in strips": {"planarconfig": "separate", "rowsperstrip": 9, "compression": "zlib"},
    "JPEG tiles": {"tile": (32, 48), "compression": "jpeg"},
    "rotated": {"extratags": [(274, 3, 1, 6, True)]},
}
PARTS = [(0, HEIGHT, 0, WIDTH), (0, 1, 0, 1), (82, 83, 130, 131), (31, 33, 47, 49), (5, 70, 90, 131)]
PARTS += [(8, 9, 3, 120)]


def photo(bands: int = 3, dtype: Any = np.uint8) -> np.ndarray:
    small = np.random.default_rng(0).integers(0, 255, (9, 14, bands)).astype(np.float32)
    image = cv2.resize(small, (WIDTH, HEIGHT)).reshape(HEIGHT, WIDTH, bands)
    return image.astype(dtype) if dtype != np.uint16 else (image * 200).astype(dtype)


def same_parts(path: Path, whole: np.ndarray, bands: int | None = None) -> None:
    with open_image(path, bands) as image:
        assert image.size == whole.shape[:2] == image_size(path)
        for top, bottom, left, right in PARTS:
            if bottom > whole.shape[0] or right > whole.shape[1]:
                continue
            part = image.read(slice(top, bottom), slice(left, right))
            assert part.dtype == whole.dtype
            assert (part == whole[top:bottom, left:right]).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_parts_of_rgb_tiffs(layout: str, tmp_path: Path) -> None:
    path, image = tmp_path / "a.tif", photo()
    options = LAYOUTS[layout]
    separate = options.get("planarconfig") == "separate"
    tifffile.imwrite(path, image.transpose(2, 0, 1) if separate else image, photometric="rgb", **options)
    same_parts(path, read_image(path))


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "JPEG tiles"])
def test_parts_of_bands_of_sixteen_bits(layout: str, tmp_path: Path) -> None:
    path, image = tmp_path / "a.tif", photo(5, np.uint16)
    options = LAYOUTS[layout]
    separate = options.get("planarconfig") == "separate"
    array = image.transpose(2, 0, 1) if separate else image
    tifffile.imwrite(
        path, array, photometric="minisblack", **({"planarconfig": "contig"} | options), metadata=None
    )
    same_parts(path, read_bands(path, 5), 5)


def test_parts_of_pages_with_one_band_each(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    bands = photo(3, np.float32).transpose(2, 0, 1)
    tifffile.imwrite(path, bands, photometric="minisblack", tile=(16, 16), compression="zlib")
    same_parts(path, read_bands(path, 3), 3)


def test_parts_of_gray_inverted_bilevel_palette_and_alpha(tmp_path: Path) -> None:
    gray, colors = photo(1)[..., 0], np.random.default_rng(1).integers(0, 65535, (3, 256), np.uint16)
    pictures: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "gray": (gray, {"photometric": "minisblack"}),
        "inverted": (gray, {"photometric": "miniswhite"}),
        "bilevel": (gray > 100, {"photometric": "minisblack"}),
        "palette": (gray, {"photometric": "palette", "colormap": colors}),
        "alpha": (np.dstack([photo(), gray]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
    }
    for name, (values, options) in pictures.items():
        path = tmp_path / f"{name}.tif"
        tifffile.imwrite(path, values, tile=(32, 48), **options)
        same_parts(path, read_image(path))


def test_parts_of_other_formats(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), photo())
        same_parts(tmp_path / name, read_image(tmp_path / name))
    np.save(tmp_path / "a.npy", photo(4, np.float32))
    same_parts(tmp_path / "a.npy", read_bands(tmp_path / "a.npy", 4), 4)


def test_tiles_that_the_file_does_not_store_are_zeros(tmp_path: Path) -> None:
    path = tmp_path / "sparse.tif"
    tile = np.full((32, 32), 7, np.uint8)
    tifffile.imwrite(
        path, iter([tile, None, None, tile]), shape=(64, 64), dtype=np.uint8, tile=(32, 32), compression="zlib"
    )  # fmt: skip
    with open_image(path, 1) as image:
        part = image.read(slice(16, 48), slice(16, 48))[..., 0]
    assert (part == np.kron([[7, 0], [0, 7]], np.ones((16, 16)))).all()


def test_only_the_tiles_of_the_part_are_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, photo(), tile=(16, 16), compression="zlib", photometric="rgb")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[-1]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"damaged!")
    with open_image(path) as image:
        assert image.read(slice(0, 60), slice(0, WIDTH)).shape == (60, WIDTH, 3)
        with pytest.raises(UserError, match=r"a\.tif: not a TIFF that can be decoded"):
            image.read(slice(0, HEIGHT), slice(0, WIDTH))


def test_images_above_the_limit_are_refused_by_their_header(tmp_path: Path) -> None:
    pixels = HEIGHT * WIDTH
    tifffile.imwrite(tmp_path / "a.tif", photo(), photometric="rgb")
    for name in ("a.png", "a.jpg"):
        cv2.imwrite(str(tmp_path / name), photo())
    for name in ("a.tif", "a.png", "a.jpg"):
        path = tmp_path / name
        with open_image(path, max_pixels=pixels) as image:
            assert image.size == (HEIGHT, WIDTH)
        expected = f"{name}: header reports {WIDTH}x{HEIGHT} pixels; expected at most {pixels - 1:,} in all"
        with pytest.raises(UserError, match=expected), open_image(path, max_pixels=pixels - 1):
            pass
        with pytest.raises(UserError, match=expected):
            read_image(path, max_pixels=pixels - 1)


def test_the_header_of_a_huge_image_is_read(tmp_path: Path) -> None:
    from tests.data.test_damaged import png_that_says

    (tmp_path / "a.png").write_bytes(png_that_says(50000, 40000))
    assert image_size(tmp_path / "a.png") == (40000, 50000)
    with pytest.raises(UserError, match="header reports 50000x40000"), open_image(tmp_path / "a.png"):
        pass


def test_only_tiffs_with_the_tags_have_a_georeference(tmp_path: Path) -> None:
    tags = [(33550, 12, 3, (0.5, 0.5, 0.0), True), (33922, 12, 6, (0, 0, 0, 4e5, 5e6, 0), True)]
    tifffile.imwrite(tmp_path / "geo.tif", photo(), photometric="rgb", extratags=tags)
    tifffile.imwrite(tmp_path / "plain.tif", photo(), photometric="rgb")
    cv2.imwrite(str(tmp_path / "a.png"), photo())
    assert [tag[:4] for tag in tiff_georeference(tmp_path / "geo.tif")] == [tag[:4] for tag in tags]
    assert tiff_georeference(tmp_path / "plain.tif") == tiff_georeference(tmp_path / "a.png") == ()
