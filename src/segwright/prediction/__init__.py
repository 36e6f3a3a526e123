"""Prediction: images, folders and globs in; masks, polygons, drawings and official file formats out.

- ``predict``: ``load`` a model, ``predict`` images from Python
- ``image_prediction``: ``ImagePrediction``, the result for one image: maps, masks, polygons, areas, a drawing
- ``image_arrays``: the kinds of images that ``predict`` takes: paths, arrays, PIL images, tensors
- ``inputs``: the images to predict, and the names of their outputs
- ``image_ids``: the ids of images in official files
- ``predict_files``: predicts files; writes PNG images and official formats
- ``writers``: one writer per official file format: COCO panoptic, COCO instances, Cityscapes, class maps; a new format
  goes here
"""

from segwright.prediction.image_arrays import ImageSource
from segwright.prediction.image_prediction import ImagePrediction
from segwright.prediction.inputs import find_images
from segwright.prediction.predict import load, predict
from segwright.prediction.predict_files import predict_files
from segwright.prediction.writers import (
    WRITERS,
    CityscapesWriter,
    InstanceWriter,
    PanopticWriter,
    PredictionWriter,
    SemanticWriter,
)

__all__ = [
    "WRITERS",
    "CityscapesWriter",
    "ImagePrediction",
    "ImageSource",
    "InstanceWriter",
    "PanopticWriter",
    "PredictionWriter",
    "SemanticWriter",
    "find_images",
    "load",
    "predict",
    "predict_files",
]
