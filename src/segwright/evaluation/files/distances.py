"""The distances of objects from the camera, from the disparity maps and camera files of Cityscapes.

Cordts et al.: The Cityscapes Dataset for Semantic Urban Scene Understanding, CVPR 2016, rate objects within 50 m and
100 m. Their tool takes the distance of an object from a file that is not public, so it is computed here: the median
distance of the pixels of the object that have a disparity. It is known if these are at least half of its pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.label_maps import read_map
from segwright.errors import UserError
from segwright.files import parse_json

_MIN_DENSITY = 0.5
_DISPARITY, _CAMERA = "_disparity.png", "_camera.json"


@dataclass(frozen=True, slots=True)
class StereoFiles:
    """``*_disparity.png`` and ``*_camera.json`` by the name of the image, CITY_SEQUENCE_FRAME."""

    disparity: dict[str, Path]
    camera: dict[str, Path]

    @classmethod
    def find(cls, disparity: Path, camera: Path) -> StereoFiles:
        """The files in two folders and the folders in them."""
        return cls(_by_name(disparity, _DISPARITY), _by_name(camera, _CAMERA))

    def distances(self, name: str, ids: NDArray[Any], wanted: NDArray[np.int64]) -> NDArray[np.float64]:
        """The distance of each wanted id of a map [H, W], in meters; infinite where it is unknown.

        ``UserError`` names the file that is missing or cannot be used.
        """
        for files, ending in ((self.disparity, _DISPARITY), (self.camera, _CAMERA)):
            if name not in files:
                raise UserError(
                    f"{name}: has no file {name}{ending}; expected one for each image with ground truth; check "
                    "--disparity and --camera"
                )
        values = read_map(self.disparity[name])
        if values.shape != ids.shape:
            raise UserError(
                f"{self.disparity[name]}: {values.shape[1]}x{values.shape[0]}; expected {ids.shape[1]}x{ids.shape[0]}, "
                "the size of the ground truth; download it again"
            )
        # Stored is 256 times the disparity in pixels, plus 1; 0 where there is none.
        scale = 256 * _baseline_times_focal_length(self.camera[name])
        distances = []
        for identity in wanted.tolist():
            own = values[ids == identity]
            known = own[own > 0].astype(np.float64)
            if not own.size or known.size / own.size < _MIN_DENSITY:
                distances.append(np.inf)
                continue
            with np.errstate(divide="ignore"):
                distances.append(float(np.median(scale / (known - 1))))
        return np.array(distances, dtype=np.float64)


def _by_name(folder: Path, ending: str) -> dict[str, Path]:
    return {path.name.removesuffix(ending): path for path in sorted(folder.rglob(f"*{ending}"))}


def _baseline_times_focal_length(path: Path) -> float:
    """In meters times pixels."""
    try:
        camera = parse_json(path.read_bytes())
        return float(camera["extrinsic"]["baseline"]) * float(camera["intrinsic"]["fx"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: not a camera file of Cityscapes ({type(error).__name__}: {error}); expected extrinsic.baseline "
            "and intrinsic.fx; download it again"
        ) from None
