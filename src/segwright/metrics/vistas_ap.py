"""Average precision (AP) of instances by the rules of Mapillary Vistas.

Neuhold et al.: The Mapillary Vistas Dataset for Semantic Understanding of Street Scenes, ICCV 2017; the rules as
mapillary_vistas, the authors' tool, applies them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segwright.metrics.cityscapes_ap import (
    IOU_THRESHOLDS,
    CityscapesAP,
    InstanceOverlaps,
    area_under_steps,
    examples_by_threshold,
)


@dataclass(slots=True)
class VistasAP(CityscapesAP):
    """Average precision of instance masks; the IoU must be at least 0.5, 0.55, ... 0.95.

    It differs from that of Cityscapes in these points. An IoU equal to the threshold is a match. There are no groups.
    A prediction that only matches a small object is a false positive, unless the fraction of it that lies in void and
    small objects reaches the threshold. A class that is predicted but does not occur has an AP of 0.
    """

    def _examples(
        self, image: InstanceOverlaps, k: int, truth: NDArray[np.bool_], predicted: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        intersections = image.intersections[truth][:, predicted]
        truth_area, area = image.truth_area[truth], image.prediction_area[predicted]
        scores, small = image.scores[predicted], self._too_small_or_far(image)[truth]
        iou = intersections / (truth_area[:, None] + area - intersections)
        excused = (image.void[predicted] + intersections[small].sum(0)) / area
        rows: list[tuple[int, int, float, float]] = []
        for index, threshold in enumerate(IOU_THRESHOLDS.tolist()):
            match = (iou >= threshold)[~small]
            for own_matches in match:
                matched = scores[own_matches]
                # Of equal scores the first one is the hit.
                rows += [
                    (k, index, score, float(n == matched.argmax()))
                    for n, score in enumerate(matched.tolist())
                ]
            unmatched = scores[~match.any(0) & (excused < threshold)]
            rows += [(k, index, score, 0.0) for score in unmatched.tolist()]
        return np.array(rows, dtype=np.float64).reshape(-1, 4)

    def _class_ap(self, k: int, examples: NDArray[np.float64]) -> list[float]:
        objects, predictions = self.counts[k].tolist()
        if not objects:
            return [0.0 if predictions else float("nan")] * len(IOU_THRESHOLDS)
        return [
            area_under_steps(rows[:, 2], rows[:, 3], objects) if len(rows) else 0.0
            for rows in examples_by_threshold(examples, k)
        ]
