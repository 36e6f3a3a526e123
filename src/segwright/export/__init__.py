"""Export: a trained model as a file for other programs, compared with the original.

- ``export``: ``export_model``, writes the file, checks it, and writes the file beside it that describes it
- ``graph``: ``ExportGraph``, the network and its post-processing as one module that ``torch.export`` can trace
- ``postprocessing``: class maps and panoptic maps in fixed operations, for the graph
- ``query_maps``: the same of query models
- ``program``: the graph traced by ``torch.export``, for one size or for all
- ``onnx_file``, ``torch_file``, ``openvino_file``: writing and opening the files of each format
- ``triton``: ``write_triton``, a model repository for Triton Inference Server
- ``program_check``: what a file of ``torch.export`` may contain, so that a stranger's file runs no code
- ``quantization``: 8-bit weights and activations, by calibration images
- ``description``: what a file says about itself: preprocessing, classes, decoder, origin
- ``exported_model``: ``ExportedModel``, a model whose outputs an exported file computes
- ``load``: ``load_exported``, opens an exported file
- ``parity``: ``measure_parity``, how far an exported model and the original agree, and how fast both are
"""

from segwright.export.export import FORMATS, export_model
from segwright.export.exported_model import ExportedModel
from segwright.export.load import SUFFIXES, load_exported
from segwright.export.parity import Parity, measure_parity
from segwright.export.triton import write_triton

__all__ = [
    "FORMATS",
    "SUFFIXES",
    "ExportedModel",
    "Parity",
    "export_model",
    "load_exported",
    "measure_parity",
    "write_triton",
]
