"""Official scores of prediction files, as the official tools compute them. No file here imports torch.

categories.py  the categories of COCO files
semantic.py    folders of label maps: the pixel-level scores of cityscapesScripts, and further metrics
map_pairs.py   which files of two folders belong together
label_files.py counting one pair of label maps, with the instances of the ground truth
panoptic.py    COCO panoptic files: PQ of panopticapi
instance.py    COCO results: AP of pycocotools; Cityscapes instance folders: AP of cityscapesScripts
vistas.py      instance folders of Mapillary Vistas: AP of its own tool
sequences.py   panoptic maps of sequences, KITTI-STEP and Cityscapes-DVPS: STQ and VPQ
mask_lists.py  lists of predicted masks, as Cityscapes and Vistas expect them
distances.py   distances of objects from the camera, from the disparity maps of Cityscapes
parallel_images.py  work on many images on all cores
"""

from __future__ import annotations

from segwright.evaluation.files.instance import score_cityscapes as score_cityscapes
from segwright.evaluation.files.instance import score_instances as score_instances
from segwright.evaluation.files.panoptic import read_ids as read_ids
from segwright.evaluation.files.panoptic import score_panoptic as score_panoptic
from segwright.evaluation.files.semantic import score_semantic as score_semantic
from segwright.evaluation.files.sequences import score_sequences as score_sequences
from segwright.evaluation.files.vistas import score_vistas as score_vistas

__all__ = [
    "read_ids",
    "score_cityscapes",
    "score_instances",
    "score_panoptic",
    "score_semantic",
    "score_sequences",
    "score_vistas",
]
