"""Prediction: images, folders and globs in; masks, polygons, drawings and official file formats out.

- ``predict``: ``load`` a model, ``predict`` images from Python
- ``image_prediction``: ``ImagePrediction``, the result for one image: maps, masks, polygons, areas, a drawing
- ``image_arrays``: the kinds of images that ``predict`` takes: paths, arrays, PIL images, tensors
- ``inputs``: the images to predict, and the names of their outputs
- ``image_ids``: the ids of images in official files
- ``large_images``: images of any size, in strips of sliding windows
- ``predict_files``: predicts files, once or resumed, all or a shard of them
- ``pipeline``: the stages side by side: read, run the network, decode, write
- ``outputs``: which outputs are written, and the files of one image
- ``journal``: the file that says which images are done; ``resume_settings``: what must be equal to resume
- ``shard``: the part of the images that one of several processes predicts
- ``video``: ``predict_video`` and ``predict_frames``, videos and cameras
- ``tracking``: ``SegmentTracker``, objects keep their ids over the frames of a video
- ``remote_images``: images at URLs: fetched before they are read
- ``ray_prediction``: ``predict_on_ray``, prediction on a Ray cluster
- ``annotations``: predictions in the files of annotation tools, to be corrected there
- ``parquet``: class shares and run-length segments of all images in one Parquet file
- ``writers``: one writer per official file format: COCO panoptic, COCO instances, Cityscapes, class maps, a
  table; a new format goes here
"""

from segwright.prediction.image_arrays import ImageSource
from segwright.prediction.image_prediction import ImagePrediction
from segwright.prediction.inputs import find_images
from segwright.prediction.predict import load, predict
from segwright.prediction.predict_files import FilePrediction, predict_files
from segwright.prediction.shard import Shard
from segwright.prediction.tracking import SegmentTracker
from segwright.prediction.video import VideoResult, predict_frames, predict_video
from segwright.prediction.writers import (
    WRITERS,
    CityscapesWriter,
    InstanceWriter,
    PanopticWriter,
    PredictionWriter,
    SemanticWriter,
    TableWriter,
)

__all__ = [
    "WRITERS",
    "CityscapesWriter",
    "FilePrediction",
    "ImagePrediction",
    "ImageSource",
    "InstanceWriter",
    "PanopticWriter",
    "PredictionWriter",
    "SegmentTracker",
    "SemanticWriter",
    "Shard",
    "TableWriter",
    "VideoResult",
    "find_images",
    "load",
    "predict",
    "predict_files",
    "predict_frames",
    "predict_video",
]
