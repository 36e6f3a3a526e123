"""Scores of prediction files in official formats, equal to those of the official tools.

semantic.py  mIoU of folders of class maps
panoptic.py  panoptic quality of COCO panoptic files, as panopticapi computes it
instance.py  average precision: COCO results as pycocotools, folders of Cityscapes as cityscapesScripts
"""

from __future__ import annotations

from segwright.evaluation.files.instance import score_cityscapes as score_cityscapes
from segwright.evaluation.files.instance import score_instances as score_instances
from segwright.evaluation.files.panoptic import score_panoptic as score_panoptic
from segwright.evaluation.files.semantic import score_semantic as score_semantic
