"""The boundaries of segments and masks: their pixels close to the contour.

Cheng, Girshick, Dollar, Berg, Kirillov: Boundary IoU: Improving object-centric image segmentation evaluation, CVPR
2021. A pixel of a segment is on its boundary if a pixel outside of the segment, or of the image, is at most ``width``
rows and columns away.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segwright.data.reading.rle import RLE, decode_mask, encode_crop, run_starts
from segwright.metrics.boundary import edge_band

_MAX_SEGMENTS = 1 << 16  # OpenCV compares uint16, but no int32
BOUNDARY_RATIO = 0.02
"""The width of boundaries as a fraction of the image diagonal, as the paper uses it for COCO."""


def boundary_width(size: tuple[int, ...], ratio: float) -> int:
    """The width of boundaries in an image of ``size`` (height, width): ``ratio`` of its diagonal, at least one."""
    return max(1, round(ratio * math.sqrt(sum(side**2 for side in size))))


def segment_boundaries(ids: NDArray[Any], width: int) -> NDArray[np.bool_]:
    """Whether each pixel of a map of segment ids [H, W] is on the boundary of its segment."""
    start = run_starts(ids)
    known, index = np.unique(ids.reshape(-1)[start], return_inverse=True)
    if len(known) > _MAX_SEGMENTS:
        raise ValueError(f"{len(known)} segments in one image; expected at most {_MAX_SEGMENTS}")
    compact = np.repeat(index.astype(np.uint16), np.diff(start, append=ids.size)).reshape(ids.shape)
    return edge_band(compact, width)


def mask_boundary(mask: RLE, ratio: float) -> RLE:
    """The boundary of a run-length encoded mask, encoded as well; its width is ``ratio`` of the image diagonal."""
    pixels = decode_mask(mask).view(np.uint8)
    x, y, columns, rows = cv2.boundingRect(pixels)
    inside = pixels[y : y + rows, x : x + columns]  # outside of its box there is nothing to do
    if inside.size:
        framed = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        square = np.ones((3, 3), dtype=np.uint8)
        interior = cv2.erode(framed, square, iterations=boundary_width(pixels.shape, ratio))[1:-1, 1:-1]
        inside = inside & (interior == 0)
    return encode_crop(inside, (y, x), (pixels.shape[0], pixels.shape[1]))
