"""Predict a folder of images and write how many pixels each class, or each object, covers.

python areas_to_csv.py RUN FOLDER OUT.csv
"""

import csv
import sys
from pathlib import Path

import segwright as sw

EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")

run, folder, out = sys.argv[1:]
model = sw.load(run)  # a run folder, a .safetensors file or an exported .onnx file
paths = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in EXTENSIONS)

with open(out, "w", newline="", encoding="utf-8") as file:
    table = csv.writer(file)
    table.writerow(("image", "class", "object", "pixels", "share", "score"))
    for path in paths:
        prediction = sw.predict(model, path)
        name, size = path.relative_to(folder), prediction.semantic.size
        if prediction.panoptic is None:  # classes only
            for class_name, pixels in zip(model.labels.names, prediction.areas(), strict=True):
                table.writerow((name, class_name, "", pixels, f"{pixels / size:.6f}", ""))
        for number, segment in enumerate(prediction.segments, start=1):
            class_name, share = model.labels.names[segment.class_index], segment.area / size
            table.writerow((name, class_name, number, segment.area, f"{share:.6f}", f"{segment.score:.4f}"))
print(f"{len(paths)} images: {out}")
