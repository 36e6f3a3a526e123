"""Plain datasets of (image, mask) pairs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests import small
from torch.utils.data import TensorDataset

from segwright.config import to_yaml
from segwright.data.datasets.arrays import ImageMaskPairs, MapStyleDataset, PairDataset
from segwright.errors import UserError
from segwright.evaluation.evaluate import evaluate
from segwright.files import read_json
from segwright.samples import DataConfig, Dataset
from segwright.training.train import train

LABELS = small.LABELS
RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (10, 14, 3), np.uint8)
MASK = RANDOM.choice(np.array([0, 1, 2, 255], np.uint8), (10, 14))
CHANNELS_FIRST = IMAGE.transpose(2, 0, 1).copy()


def one(image: Any, mask: Any = MASK) -> PairDataset:
    return PairDataset([(image, mask)], LABELS)


@pytest.mark.parametrize(
    "image",
    [
        IMAGE,
        IMAGE / 255,
        IMAGE.astype(np.float32) / 255,
        Image.fromarray(IMAGE),
        torch.from_numpy(CHANNELS_FIRST),
        torch.from_numpy(CHANNELS_FIRST).float() / 255,
        (torch.from_numpy(CHANNELS_FIRST).double() / 255).requires_grad_(),
    ],
    ids=["uint8", "float64", "float32", "pil", "tensor", "float tensor", "tensor with gradient"],
)
def test_rgb_images_of_all_kinds_become_uint8(image: Any) -> None:
    sample = one(image)[0]
    assert sample.image.dtype == np.uint8
    assert sample.image.flags.c_contiguous
    assert (sample.image == IMAGE).all()
    assert (sample.map == MASK).all()
    assert sample.segments is None


@pytest.mark.parametrize(
    "mask",
    [
        MASK,
        MASK.astype(np.int64),
        torch.from_numpy(MASK.astype(np.int64)),
        torch.from_numpy(MASK)[None],
        Image.fromarray(MASK),
    ],
    ids=["uint8", "int64", "tensor", "tensor with channel", "pil"],
)
def test_masks_of_all_kinds_become_class_maps(mask: Any) -> None:
    sample = one(IMAGE, mask)[0]
    assert sample.map.dtype == np.uint8
    assert (sample.map == MASK).all()


def test_masks_may_be_boolean_and_palette_images() -> None:
    two = MASK == 1
    assert (one(IMAGE, two)[0].map == two).all()
    palette = Image.fromarray(np.minimum(MASK, 2), "L").convert("P")
    palette.putpalette([200, 0, 0, 0, 200, 0, 0, 0, 200])
    assert (one(IMAGE, palette)[0].map == np.asarray(palette)).all()


def test_gray_pil_images_become_rgb() -> None:
    assert (one(Image.fromarray(IMAGE[..., 0]))[0].image == IMAGE[..., :1]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("bands", [1, 5])
def test_bands_stay_unchanged(dtype: type, bands: int) -> None:
    image = RANDOM.integers(0, 200, (10, 14, bands)).astype(dtype)
    assert one(image)[0].image.dtype == dtype
    assert (one(image)[0].image == image).all()
    assert (one(torch.from_numpy(image.transpose(2, 0, 1).copy()))[0].image == image).all()


def test_it_is_an_opened_dataset_with_names() -> None:
    data = PairDataset([(IMAGE, MASK), (IMAGE, MASK)], LABELS)
    assert isinstance(data, Dataset)
    assert len(data) == 2
    assert (data[1].name, data.files(1)) == ("pair_00001", ())
    assert PairDataset([(IMAGE, MASK)], LABELS, names=["field.png"])[0].name == "field.png"
    with pytest.raises(UserError, match="1 names for 2 pairs; expected one name per pair"):
        PairDataset([(IMAGE, MASK)] * 2, LABELS, names=["a"])


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ({"image": IMAGE, "mask": MASK}, r"pair_00000: found a dict; expected a pair \(image, mask\)"),
        ((IMAGE, MASK, 0), "found a tuple of 3 items; expected a pair"),
        ((IMAGE[..., 0], MASK), r"image is uint8 \[10, 14\]; expected an array \[H, W, C\] or a tensor \[C, H, W\]"),
        ((CHANNELS_FIRST, MASK), r"image is 3x10, its mask 10x14 .*arrays are \[H, W, C\], tensors \[C, H, W\]"),
        ((torch.from_numpy(IMAGE), MASK), "image is 14x3, its mask 10x14"),
        ((IMAGE, MASK[:9]), r"image is 10x14, its mask 9x14 \(height x width\); expected one size"),
        ((IMAGE.astype(np.int64), MASK), r"image is int64 \[10, 14, 3\]; expected uint8, or floats from 0 to 1"),
        (("a.jpg", "a.png"), r"image is <U5 \[\]; expected an array"),
        ((IMAGE.astype(np.float32), MASK), r"float values from 0 to 255; expected 0 to 1, or uint8; do not normalize"),
        (((IMAGE / 255 - 0.45) / 0.22, MASK), r"float values from -2\.045 to 2\.5; expected 0 to 1"),
        ((np.full(IMAGE.shape, np.nan), MASK), "float values from nan to nan; expected 0 to 1"),
        ((IMAGE, MASK.astype(np.float32)), r"mask is float32 \[10, 14\]; expected integers \[H, W\]"),
        ((IMAGE, IMAGE), r"mask is uint8 \[10, 14, 3\]; expected integers \[H, W\]"),
        ((IMAGE, np.full((10, 14), 3)), "mask has value 3; expected class indices 0 to 2 .*'blocks'.*255 for ignored"),
        ((IMAGE, np.full((10, 14), -100)), "mask has value -100; expected class indices 0 to 2"),
        ((IMAGE, np.arange(140).reshape(10, 14)), r"mask has value 3, 4, 5, 6, 7, 8, 9, 10, \.\.\.; expected class"),
    ],
)  # fmt: skip
def test_wrong_pairs_are_refused(pair: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        _ = PairDataset([pair], LABELS)[0]
    assert "\n" not in str(raised.value)


def tensors(split: str) -> TensorDataset:
    """The blocks of ``small`` as a dataset of torch."""
    data = small.Blocks().open(None, split)
    images = np.stack([data[i].image for i in range(len(data))]).transpose(0, 3, 1, 2)
    masks = np.stack([data[i].map for i in range(len(data))]).astype(np.int64)
    return TensorDataset(torch.from_numpy(images).float() / 255, torch.from_numpy(masks))


def test_a_recipe_trains_and_evaluates_on_datasets_of_torch(tmp_path: Path) -> None:
    recipe = small.recipe()
    recipe.data = MapStyleDataset(train=tensors("train"), val=tensors("val"), labels=LABELS)
    assert isinstance(recipe.data, DataConfig)
    recipe.training = replace(recipe.training, steps=2)
    summary = train(recipe, None, tmp_path / "pairs")
    assert summary["finished"]
    plain = small.recipe()
    plain.training = replace(plain.training, steps=2)
    assert train(plain, None, tmp_path / "plain")["class_iou"] == summary["class_iou"]
    values = read_json(tmp_path / "pairs" / "run.json")
    assert values is not None
    assert values["data"]["train"]["images"] == 13


def test_a_recipe_with_pairs_is_written_the_same_way_in_every_run() -> None:
    texts = {to_yaml(MapStyleDataset(tensors("train"), [(IMAGE, MASK)] * 2, LABELS)) for _ in range(2)}
    (text,) = texts
    assert "train: !unwritable 'TensorDataset of 13 pairs'" in text
    assert "val: !unwritable 'list of 2 pairs'" in text


def test_a_run_on_pairs_can_be_resumed(tmp_path: Path) -> None:
    for _ in range(2):
        recipe = small.recipe()
        recipe.data = MapStyleDataset(train=tensors("train"), val=tensors("val"), labels=LABELS)
        recipe.training = replace(recipe.training, steps=1)
        assert train(recipe, None, tmp_path)["finished"]


def test_a_model_can_be_evaluated_on_pairs() -> None:
    model = small.recipe().model.build(LABELS, small.recipe().input)
    pairs = MapStyleDataset(tensors("train"), tensors("val"), LABELS).open(None, "val")
    plain = small.Blocks().open(None, "val")
    results = [evaluate(model, data) for data in (pairs, plain)]
    assert results[0].summary() == results[1].summary()


def test_splits_are_named() -> None:
    data = MapStyleDataset([(IMAGE, MASK)], [(IMAGE, MASK)] * 2, LABELS)
    assert [len(data.open(None, split)) for split in ("train", "val")] == [1, 2]
    with pytest.raises(UserError, match="no split 'test' of pairs; expected train or val"):
        data.open(None, "test")
    assert len(replace(data, test=[(IMAGE, MASK)]).open(None, "test")) == 1
    data.train = iter([(IMAGE, MASK)])  # type: ignore[assignment]
    with pytest.raises(
        UserError, match=r"data\.train: list_iterator has no length or no items; expected a dataset"
    ):
        data.open(None, "train")
    assert isinstance(tensors("val"), ImageMaskPairs)


def test_torch_is_not_needed() -> None:
    code = (
        "import sys, numpy as np; from segwright.data.datasets.arrays import PairDataset; "
        "from segwright.labels import LabelSpace; labels = LabelSpace('a', ('b',), ((0, 0, 0),), (0,)); "
        "PairDataset([(np.zeros((2, 2, 3), np.uint8), np.eye(2, dtype=int) * 0)], labels)[0]; "
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
