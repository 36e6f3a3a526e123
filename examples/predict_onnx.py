"""Predict an image with numpy, pillow and onnxruntime alone: python predict_onnx.py MODEL.onnx IMAGE OUT.png

MODEL.onnx is written by: segwright export RUN --with-postprocessing --out MODEL.onnx
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = json.loads(session.get_modelmeta().custom_metadata_map["segwright"])
rule, labels = about["input"], about["labels"]
image = np.asarray(ImageOps.exif_transpose(Image.open(sys.argv[2])).convert("RGB"))
height, width = image.shape[:2]
padded = about["size"] or [-(-side // rule["multiple"]) * rule["multiple"] for side in (height, width)]
values = np.empty((*padded, 3), np.float32)
values[:] = np.round(rule["fill_value"])
values[:height, :width] = image
values = values[..., ::-1] if rule["channels"] == "BGR" else values
values = np.log1p(values / np.float32(rule["log_scale"])) if rule["log_scale"] else values
values = (values - np.float32(rule["mean"])) / np.float32(rule["std"])
inputs = {"images": np.ascontiguousarray(values.transpose(2, 0, 1)[None])}
if "size" in about["inputs"]:  # panoptic models
    inputs["size"] = np.array([height, width])
classes = session.run(about["maps"][:1], inputs)[0][0, :height, :width]
table = np.full(65536, labels["ignored"][0], np.int32)  # class index -> value in the files of the dataset
table[: len(labels["raw_values"])] = labels["raw_values"]
Image.fromarray(table[classes].astype(np.uint8 if table.max() < 256 else np.uint16)).save(sys.argv[3])
