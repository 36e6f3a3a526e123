"""The prediction for one image: class map, segments, masks, polygons, areas, a drawing."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.rle import RLE, encode_masks
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import PredictedSegment, Prediction, index_of
from segwright.visualization.classes import class_shares, class_sheet, draw_legend, isolate_class
from segwright.visualization.label_maps import as_rgb
from segwright.visualization.segment_names import draw_names
from segwright.visualization.segments import draw_prediction


@dataclass(frozen=True, slots=True, eq=False)
class ImagePrediction:
    """What ``predict`` returns for one image; all maps have the size of that image.

    ``prediction`` is the result of the decoder, ``image`` the input [H, W, C], ``labels`` the classes of the model,
    ``name`` the name of the file without its extension.

    ``masks``, ``polygons``, ``rles`` and ``areas`` have one entry per segment, in the order of ``segments``. For a
    model that predicts only classes they have one entry per class, in the order of ``labels.names``; with one sigmoid
    output per class these masks may overlap.
    """

    prediction: Prediction
    image: NDArray[Any]
    labels: LabelSpace
    name: str = "image"

    @property
    def semantic(self) -> NDArray[Any]:
        """Class indices [H, W]; 255 where there is no class."""
        return self.prediction.semantic

    @property
    def panoptic(self) -> NDArray[np.int32] | None:
        """Segment ids, int32 [H, W], -1 = void; None for a model that predicts only classes."""
        return self.prediction.panoptic

    @property
    def segments(self) -> tuple[PredictedSegment, ...]:
        """Id, class index, area in pixels and score of every segment of ``panoptic``."""
        return self.prediction.segments

    def masks(self) -> NDArray[np.bool_]:
        """Masks, bool [K, H, W]."""
        overlapping = self._overlapping()
        if overlapping is not None:
            return overlapping
        index, count = self._index()
        return np.asarray(index == np.arange(count).reshape(-1, 1, 1))

    def areas(self) -> NDArray[np.int64]:
        """Pixels of each mask, int64 [K]."""
        overlapping = self._overlapping()
        if overlapping is not None:
            return np.asarray(overlapping.sum((1, 2)), dtype=np.int64)
        index, count = self._index()
        return np.bincount(index[index >= 0], minlength=count).astype(np.int64)

    def polygons(self, *, tolerance: float = 0.0) -> list[list[NDArray[np.float32]]]:
        """The outlines of each mask: K lists of polygons, each float32 [N, 2] of points (x, y) in pixels.

        (0, 0) is the center of the top left pixel; points are centers of pixels of the mask. A mask has one polygon per
        connected part and one per hole. Outer polygons run counterclockwise as seen on the image, holes clockwise,
        through the pixels around the hole. ``cv2.fillPoly`` with all polygons of a mask in one call gives back exactly
        this mask. A part of one pixel is a polygon of one point, a straight line of pixels one of two points.

        ``tolerance`` above 0 simplifies: the largest distance in pixels of an outline from its polygon (Douglas and
        Peucker).
        """
        overlapping = self._overlapping()
        if overlapping is not None:
            return [_outlines(mask, tolerance) for mask in overlapping]
        index, count = self._index()
        return [_outlines(index == k, tolerance) for k in range(count)]

    def rles(self) -> list[RLE]:
        """Each mask as COCO RLE, in the form of pycocotools."""
        overlapping = self._overlapping()
        if overlapping is not None:
            return [encode_masks(mask, [1])[0] for mask in overlapping]
        index, count = self._index()
        return encode_masks(index, range(count))

    def shares(self) -> dict[str, float]:
        """The fraction of the image that each class covers, by name, largest first; only classes that occur."""
        return class_shares(self.semantic, self.labels)

    def isolate(self, name: str) -> NDArray[np.uint8]:
        """The image with the class ``name`` as it is and everything else light gray, RGB uint8 [H, W, 3].

        ``UserError`` for a name that the model does not know.
        """
        if name not in self.labels.names:
            near = difflib.get_close_matches(name, self.labels.names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(self.labels.names)}"
            raise UserError(f"unknown class {name!r}; {hint}")
        return isolate_class(as_rgb(self.image), self.semantic, self.labels.names.index(name), self.labels)

    def legend(self) -> NDArray[np.uint8]:
        """The classes that occur, with colors and shares, as a picture RGB uint8 [h, w, 3]."""
        return draw_legend(self.labels, self.shares())

    def sheet(self) -> NDArray[np.uint8]:
        """One picture with the image, its prediction, the legend, and each class alone, RGB uint8 [h, w, 3]."""
        return class_sheet(as_rgb(self.image), self.prediction, self.labels)

    def draw(self, *, names: bool = False) -> NDArray[np.uint8]:
        """The image under the colors of its classes, each object in its own shade, RGB uint8 [H, W, 3].

        ``names``: with the names of the segments and the scores of the objects.
        """
        picture = draw_prediction(as_rgb(self.image), self.prediction, self.labels)
        if self.panoptic is None or not names:
            return picture
        return draw_names(picture, self.panoptic, self.segments, self.labels)

    def _overlapping(self) -> NDArray[np.bool_] | None:
        """The masks of a model with one sigmoid output per class, bool [K, H, W]; None for other models."""
        masks = self.prediction.binary_masks
        return (
            masks if self.panoptic is None and masks is not None and len(masks) == len(self.labels) else None
        )

    def _index(self) -> tuple[NDArray[Any], int]:
        """The position of each pixel's segment or class, -1 where there is none, and the number of positions."""
        if self.panoptic is None:
            return index_of(self.semantic, range(len(self.labels))), len(self.labels)
        return index_of(self.panoptic, [segment.id for segment in self.segments]), len(self.segments)


def _outlines(mask: NDArray[np.bool_], tolerance: float) -> list[NDArray[np.float32]]:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if tolerance > 0:
        contours = [cv2.approxPolyDP(contour, tolerance, True) for contour in contours]
    return [np.asarray(contour[:, 0], dtype=np.float32) for contour in contours]
