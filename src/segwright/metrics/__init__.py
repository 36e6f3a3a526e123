"""Metrics: they add counts over all images and divide once, at the end. Nothing here imports torch.

``add`` counts one image (or a batch), ``combine`` adds the counts of another process or file, ``result`` gives the
scores, all fractions 0..1. In a loop of your own::

    metric = ConfusionMatrix(classes=3)
    metric.add(logits.argmax(1), target)  # tensors or arrays, [H, W] or [N, H, W], 255 = ignored
    metric.result().miou

- ``confusion``: ``ConfusionMatrix``: mIoU, per-class IoU, precision, recall and F1, pixel and class accuracy
- ``label_scores``: IoU of categories and iIoU, as cityscapesScripts computes them, from counts
- ``boundary``: ``BoundaryIoU``, and ``TrimapIoU`` near the edges of the ground truth
- ``instance_iou``: ``CategoryIoU`` and ``InstanceIoU`` (iIoU)
- ``calibration``: ``Calibration``: expected calibration error, reliability diagram
- ``by_name``: ``metrics_from_text``, the metrics of ``--metrics``
- ``binary``: ``BinaryConfusion``: IoU, F1, precision and recall of sigmoid heads
- ``panoptic_quality``: ``PanopticQuality``: PQ, SQ, RQ as panopticapi computes them
- ``tracking_quality``: ``TrackingQuality``: STQ of sequences, as deeplab2 computes it
- ``video_panoptic_quality``: ``VideoPanopticQuality``: VPQ of sequences, as ViP-DeepLab computes it
- ``frame_pairs``: ``SegmentPairs``, the counts of one frame for both of them
- ``average_precision``: ``AveragePrecision`` of masks, boundaries or boxes as pycocotools computes it
- ``object_boundaries``: the boundaries of segments and masks, for boundary PQ and boundary AP
- ``cityscapes_ap``: ``CityscapesAP`` as cityscapesScripts computes it
- ``vistas_ap``: ``VistasAP`` as the tool of Mapillary Vistas computes it
- ``metric``: ``Metric``, the protocol of a metric of your own in ``Recipe.metrics``
- ``arrays``: conversion of maps to NumPy, adding of counts, ratios: what all metrics use
"""

from segwright.metrics.average_precision import AveragePrecision
from segwright.metrics.binary import BinaryConfusion
from segwright.metrics.boundary import BoundaryIoU, TrimapIoU
from segwright.metrics.by_name import metrics_from_text
from segwright.metrics.calibration import Calibration
from segwright.metrics.cityscapes_ap import CityscapesAP
from segwright.metrics.confusion import ConfusionMatrix, semantic_scores
from segwright.metrics.instance_iou import CategoryIoU, InstanceIoU
from segwright.metrics.metric import Metric
from segwright.metrics.panoptic_quality import PanopticQuality, panoptic_scores
from segwright.metrics.tracking_quality import TrackingQuality
from segwright.metrics.video_panoptic_quality import VideoPanopticQuality
from segwright.metrics.vistas_ap import VistasAP

__all__ = [
    "AveragePrecision",
    "BinaryConfusion",
    "BoundaryIoU",
    "Calibration",
    "CategoryIoU",
    "CityscapesAP",
    "ConfusionMatrix",
    "InstanceIoU",
    "Metric",
    "PanopticQuality",
    "TrackingQuality",
    "TrimapIoU",
    "VideoPanopticQuality",
    "VistasAP",
    "metrics_from_text",
    "panoptic_scores",
    "semantic_scores",
]
