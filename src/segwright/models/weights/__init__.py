"""Weights on disk: reading, writing, and starting from them.

- ``model_file``: model files of segwright (.safetensors), and fine-tuning from one
- ``averaging``: ``average_models``, one model file with the mean of several
- ``foreign_file``: weight files of other projects
- ``position_embedding``: resampled, where a transformer was trained with images of another size
- ``shards``: networks in several files
- ``sources``: where pretrained weights lie: files, folders, installed packages, timm's hub
- ``pretrained``: pretrained weights of backbones, and the record of where they came from
- ``shapes_only``: networks without initial weights, to ask for their shapes or to load all of them
- ``safe_pickle``: arrays in a pickle, read without running code
"""

from segwright.models.weights.averaging import average_models
from segwright.models.weights.foreign_file import read_pickle, read_tensors, unwrap_state_dict
from segwright.models.weights.model_file import (
    Initialization,
    read_file,
    read_model,
    start_from,
    write_model,
)
from segwright.models.weights.pretrained import load_pretrained, pretrained_records
from segwright.models.weights.safe_pickle import read_arrays
from segwright.models.weights.sources import WeightFile, find_weights

__all__ = [
    "Initialization",
    "WeightFile",
    "average_models",
    "find_weights",
    "load_pretrained",
    "pretrained_records",
    "read_arrays",
    "read_file",
    "read_model",
    "read_pickle",
    "read_tensors",
    "start_from",
    "unwrap_state_dict",
    "write_model",
]
