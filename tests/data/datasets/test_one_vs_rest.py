"""One class against the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.small import Blocks

from segwright.data.datasets.one_vs_rest import OneVsRest
from segwright.data.datasets.street import StreetScenes
from segwright.errors import UserError


def test_the_class_becomes_1_other_classes_0_and_ignored_pixels_stay_ignored() -> None:
    plain, data = Blocks().open(None, "val"), OneVsRest(Blocks(), "blue").open(None, "val")
    assert len(data) == len(plain)
    assert data.labels.names == ("other", "blue")
    assert data.labels.colors[1] == plain.labels.colors[2]
    for index in range(len(data)):
        before, after = plain[index], data[index]
        assert after.map.dtype == np.uint8
        assert (after.map == np.select([before.map == 255, before.map == 2], [255, 1], 0)).all()
        assert (after.image == before.image).all()
        assert data.files(index) == ()


def test_panoptic_samples_become_class_maps() -> None:
    car = OneVsRest(StreetScenes(train=2, val=2, panoptic=True), "car").open(None, "train")
    plain = StreetScenes(train=2, val=2).open(None, "train")
    assert car[1].segments is None
    assert ((car[1].map == 1) == (plain[1].map == 7)).all()


def test_an_unknown_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown class 'green'; expected one of dark, red, blue"):
        OneVsRest(Blocks(), "green").open(tmp_path, "train")
