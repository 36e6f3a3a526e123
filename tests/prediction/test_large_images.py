"""Images that are predicted in strips have the class map of the image predicted as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from tests import small
from tests.data.test_damaged import png_that_says
from tests.inference.test_test_time_augmentation import network, photo
from torch import nn

import segwright
from segwright.cli.main import main
from segwright.contracts import InputContract, Model
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError
from segwright.files import WriteError, atomic_write
from segwright.inference.single_pass import InferenceMode
from segwright.inference.sliding_windows import SlidingWindows
from segwright.inference.test_time_augmentation import TestTimeAugmentation
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.weights.model_file import write_model
from segwright.prediction import large_images
from segwright.prediction.large_images import predict_in_strips, strip_windows
from segwright.prediction.predict_files import predict_files

LIMIT = "segwright.prediction.large_images.STRIPS_ABOVE"
WINDOWS = SlidingWindows((64, 96))
GEOREFERENCE = [
    (33550, 12, 3, (0.5, 0.5, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 4.1e5, 5.3e6, 0.0), True),
    (34735, 3, 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
]


@pytest.fixture(scope="module")
def model() -> Model:
    return network(centers=False)


@pytest.fixture
def strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every image is large."""
    monkeypatch.setattr(LIMIT, 0)
    monkeypatch.setattr("segwright.prediction.large_images.SEGMENTS_UP_TO", 0)
    monkeypatch.setattr("segwright.prediction.large_images._MAP_BYTES", 4 * 6 * 64 * 60)  # 60 columns
    monkeypatch.setattr("segwright.prediction.large_images._OVERLAY_SIDE", 100)


def written(path: Path, image: np.ndarray, **options: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, image, photometric="rgb", **options)
    else:
        cv2.imwrite(str(path), image[..., ::-1])
    return path


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize("centers", [False, True])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_the_class_map_is_that_of_the_whole_image(name: str, centers: bool, tmp_path: Path) -> None:
    model, image = network(centers=centers), photo(150, 230)
    path, out = written(tmp_path / name, image), tmp_path / "out"
    windows = strip_windows(model, path, WINDOWS)
    assert windows == WINDOWS
    predict_in_strips(model, path, out, "folder/a", windows=WINDOWS)
    whole = segwright.predict(model, image, inference=WINDOWS)
    index = read_map(out / "index" / "folder" / "a.png")
    assert (index == model.labels.to_raw(whole.semantic)).mean() >= 0.9995  # rounding, where two classes tie
    color = cv2.imread(str(out / "color" / "folder" / "a.png"))
    assert color is not None and (color[..., ::-1] == model.labels.palette()[index]).all()
    overlay = cv2.imread(str(out / "overlay" / "folder" / "a.png"))
    assert overlay is not None and overlay.shape == (50, 77, 3)
    assert (out / "index" / "folder" / "a.tif").exists() == (name == "a.tif")
    if name == "a.tif":
        assert (tifffile.imread(out / "index" / "folder" / "a.tif") == index).all()
    files = sorted(file.name for file in out.rglob("*") if file.is_file())
    assert files == ["a.png"] * 3 + ["a.tif"] * (name == "a.tif")  # nothing temporary is left


@pytest.mark.usefixtures("strips")
@pytest.mark.parametrize("inference", [WINDOWS, TestTimeAugmentation(flip=True, inner=WINDOWS)])
def test_the_class_map_of_an_ensemble_is_that_of_the_whole_image(
    inference: InferenceMode, tmp_path: Path
) -> None:
    members, image = [network(centers=False), network(centers=False)], photo(150, 230)
    for parameter in members[1].parameters():
        nn.init.normal_(parameter, std=0.2)
    ensemble = segwright.ensemble(members)
    path = written(tmp_path / "a.png", image)
    windows = strip_windows(ensemble, path, inference)
    assert windows is not None
    predict_in_strips(ensemble, path, tmp_path, "b", windows=windows, kinds=["index"])
    whole = segwright.predict(ensemble, image, inference=windows)
    index = read_map(tmp_path / "index" / "b.png")
    assert (index == ensemble.labels.to_raw(whole.semantic)).mean() >= 0.999


@pytest.mark.usefixtures("strips")
def test_the_overlay_shows_the_image(model: Model, tmp_path: Path) -> None:
    image = photo(150, 230)
    predict_in_strips(model, written(tmp_path / "a.png", image), tmp_path, "b", windows=WINDOWS)
    overlay = cv2.imread(str(tmp_path / "overlay" / "b.png"))
    assert overlay is not None
    classes = read_map(tmp_path / "index" / "b.png")[::3, ::3]
    from segwright.visualization.label_maps import overlay as drawn

    assert (overlay[..., ::-1] == drawn(np.ascontiguousarray(image[::3, ::3]), classes, model.labels)).all()


@pytest.mark.usefixtures("strips")
def test_bands_of_sixteen_bits(tmp_path: Path) -> None:
    input = InputContract("bands", mean=(900.0,) * 4, std=(300.0,) * 4, fill_value=(900.0,) * 4)
    model = SmallFPNConfig(channels=(8, 8), depths=(1, 1), stem_channels=8, decoder_channels=8).build(
        small.LABELS, input
    )
    bands = np.random.default_rng(0).integers(0, 2000, (100, 130, 4)).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", bands, photometric="minisblack", planarconfig="contig", tile=(32, 32)
    )
    predict_in_strips(model.eval(), tmp_path / "a.tif", tmp_path, "b", windows=WINDOWS)
    whole = segwright.predict(model, tmp_path / "a.tif", inference=WINDOWS).semantic
    assert (read_map(tmp_path / "index" / "b.png") == whole).mean() > 0.999


@pytest.mark.usefixtures("strips")
def test_a_geotiff_keeps_its_georeference(model: Model, tmp_path: Path) -> None:
    path = written(tmp_path / "a.tif", photo(100, 120), tile=(32, 32), extratags=GEOREFERENCE)
    predict_in_strips(model, path, tmp_path, "b", windows=WINDOWS)
    same_georeference(path, tmp_path / "index" / "b.tif")


def test_a_small_geotiff_keeps_its_georeference(model: Model, tmp_path: Path) -> None:
    path, out = written(tmp_path / "a.tif", photo(70, 90), extratags=GEOREFERENCE), tmp_path / "out"
    assert dict(predict_files(model, [str(path)], out)) == {path: None}
    same_georeference(path, out / "index" / "a.tif")
    assert (tifffile.imread(out / "index" / "a.tif") == read_map(out / "index" / "a.png")).all()


def same_georeference(path: Path, target: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(path) as source, rasterio.open(target) as result:
        assert result.crs == source.crs and result.crs.to_epsg() == 32633
        assert result.transform == source.transform
        assert (result.count, result.shape) == (1, source.shape)


@pytest.mark.usefixtures("strips")
def test_scales_and_flips_run_in_each_window(model: Model, tmp_path: Path) -> None:
    inference = TestTimeAugmentation((0.5, 1.0), flip=True, inner=WINDOWS)
    path = written(tmp_path / "a.png", photo(100, 120))
    windows = strip_windows(model, path, inference)
    assert windows == SlidingWindows((64, 96), inner=TestTimeAugmentation((0.5, 1.0), flip=True))
    assert strip_windows(model, path, TestTimeAugmentation((0.5,))) is None
    predict_in_strips(model, path, tmp_path, "b", windows=windows, kinds=["index"])
    assert not (tmp_path / "color").exists()


def test_only_large_images_are_predicted_in_strips(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.png", photo(100, 120))
    assert strip_windows(model, path, WINDOWS) is None
    monkeypatch.setattr(LIMIT, 100 * 120 - 1)
    assert strip_windows(model, path, WINDOWS) == WINDOWS
    assert strip_windows(network(centers=True), path, WINDOWS) is None  # as a whole, because of the segments
    monkeypatch.setattr("segwright.prediction.large_images.SEGMENTS_UP_TO", 100 * 120 - 1)
    assert strip_windows(network(centers=True), path, WINDOWS) == WINDOWS


def test_images_above_the_limits_are_refused(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_that_says(20000, 20000))
    with pytest.raises(UserError, match=r"header reports 20000x20000 pixels; expected at most 268,435,456"):
        strip_windows(model, path, WINDOWS)
    with pytest.raises(UserError, match=r"without sliding windows at most .* add --windows"):
        strip_windows(model, path, segwright.inference.SINGLE_PASS, max_pixels=10**9)
    assert strip_windows(model, path, WINDOWS, max_pixels=10**9) == WINDOWS


@pytest.mark.usefixtures("strips")
def test_a_failure_leaves_no_output(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.tif", photo(100, 120), tile=(32, 32), compression="zlib")
    with tifffile.TiffFile(path) as file:
        offset = file.pages[0].dataoffsets[-1]
    with path.open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"damaged!")
    out = tmp_path / "out"
    assert "not a TIFF that can be decoded" in str(
        dict(predict_files(model, [str(path)], out, inference=WINDOWS))[path]
    )
    path = written(tmp_path / "b.tif", photo(100, 120))
    monkeypatch.setattr(large_images, "write_tiled_tiff", full_disk)
    with pytest.raises(WriteError, match="No space left"):
        dict(predict_files(model, [str(path)], out, inference=WINDOWS))
    assert [file.name for file in out.rglob("*") if file.is_file()] == ["done.jsonl"]


def full_disk(*_: Any, **__: Any) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.usefixtures("strips")
def test_an_output_that_strips_do_not_have_is_one_line(model: Model, tmp_path: Path) -> None:
    path = written(tmp_path / "a.png", photo(100, 120))
    results = dict(predict_files(model, [str(path)], tmp_path / "out", inference=WINDOWS, save=["semantic"]))
    assert str(results[path]).endswith("in strips have index, color, overlay")


@pytest.mark.usefixtures("strips")
def test_images_of_any_size_are_predicted_in_order_and_once(model: Model, tmp_path: Path) -> None:
    for index, (height, width) in enumerate([(40, 50), (100, 120), (90, 130), (40, 50), (100, 90)]):
        written(tmp_path / "images" / f"{index}.png", photo(height, width, index))
    (tmp_path / "images" / "5.png").write_bytes(png_that_says(20000, 20000))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LIMIT, 5000)
        results = list(predict_files(model, [str(tmp_path / "images")], tmp_path / "out", inference=WINDOWS))
        again = predict_files(
            model, [str(tmp_path / "images")], tmp_path / "out", inference=WINDOWS, resume=True
        )
        assert [path.name for path, _ in again] == ["5.png"]
    assert [path.name for path, _ in results] == [f"{index}.png" for index in range(6)]
    assert [problem is None for _, problem in results] == [True] * 5 + [False]
    for index in range(5):
        whole = segwright.predict(model, tmp_path / "images" / f"{index}.png", inference=WINDOWS).semantic
        assert (read_map(tmp_path / "out" / "index" / f"{index}.png") == whole).mean() > 0.999


@pytest.mark.usefixtures("strips")
def test_a_large_image_of_a_panoptic_model_is_done_without_a_panoptic_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LIMIT, 5000)
    model, source, out = network(centers=True), tmp_path / "images", tmp_path / "out"
    written(source / "large.png", photo(100, 120))
    written(source / "small.png", photo(40, 50))
    assert not any(dict(predict_files(model, [str(source)], out, inference=WINDOWS)).values())
    assert [path.name for path in (out / "panoptic").iterdir()] == ["small.png"]
    assert not dict(predict_files(model, [str(source)], out, inference=WINDOWS, resume=True))


def test_predict_with_windows_on_the_command_line(tmp_path: Path) -> None:
    weights, config = tmp_path / "model.safetensors", small.recipe().model
    model = config.build(small.LABELS, InputContract()).eval()
    atomic_write(weights, lambda part: write_model(part, model, config))
    image, out = photo(100, 120), tmp_path / "out"
    write_png(tmp_path / "a.png", image)
    command = ["predict", str(weights), str(tmp_path / "a.png"), "--out", str(out), "--device", "cpu"]
    options = ["--windows", "64,96", "--overlap", "0.5", "--max-pixels", "500000000"]
    assert main([*command, *options]) == 0
    whole = segwright.predict(model, image, inference=SlidingWindows((64, 96))).semantic
    assert (read_map(out / "index" / "a.png") == model.labels.to_raw(whole)).all()
    assert main([*command, "--max-pixels", "11999"]) == 1


def test_the_result_with_ample_overlap_is_that_of_the_whole_image() -> None:
    """A network that sees 7 pixels to each side, windows that overlap by 64."""
    torch.manual_seed(0)
    layers = [layer for _ in range(7) for layer in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    net = nn.Sequential(nn.Conv2d(3, 8, 1), *layers, nn.Conv2d(8, 3, 1)).eval()
    model = segwright.wrap(net, labels=small.LABELS, input=InputContract(multiple=1))
    image = photo(333, 517)
    with torch.inference_mode():
        logits = net(model.input.normalize(torch.from_numpy(image).permute(2, 0, 1)[None]))
        net[-1].weight /= logits.std((0, 2, 3)).view(-1, 1, 1, 1)  # all classes occur
        net[-1].bias.copy_((net[-1].bias - logits.mean((0, 2, 3))) / logits.std((0, 2, 3)))
    whole = segwright.predict(model, image).semantic
    assert np.bincount(whole.ravel()).min() > 1000
    for blend, share in (("gaussian", 0.9995), ("linear", 0.99), ("uniform", 0.9)):
        windows = SlidingWindows((128, 128), blend=blend)  # type: ignore[arg-type]
        blended = segwright.predict(model, image, inference=windows).semantic
        assert (whole == blended).mean() >= share
