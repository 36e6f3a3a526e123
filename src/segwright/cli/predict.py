"""The verb ``segwright predict``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segwright.cli.inference import add_inference, inference_from_options
from segwright.cli.options import add_code, add_device, add_verb

if TYPE_CHECKING:
    pass


def add(verbs: Any) -> None:
    """Add the verb to the parser."""
    example = "segwright predict runs/camvid photo.jpg --out predictions"
    predict = add_verb(verbs, "predict", _predict, "predict images", example)
    predict.add_argument("model", type=Path, help="run folder or .safetensors file")
    predict.add_argument("images", nargs="+", help="images, folders or globs")
    text = "output folder for label maps (index/), color maps, overlays and, of panoptic models, COCO files"
    predict.add_argument("--out", type=Path, required=True, metavar="DIR", help=text)
    text = (
        "further output: instances, cityscapes, semantic (official file formats), centers, heatmap, offset "
    )
    text += "(visualizations)"
    predict.add_argument("--save", nargs="+", default=[], metavar="A,B", help=text)
    text = "COCO JSON file with the image ids to write into official files (default: ids from file names)"
    predict.add_argument("--ids", type=Path, metavar="TRUTH.json", help=text)
    add_inference(predict)
    add_code(predict)
    add_device(predict)


def _predict(options: argparse.Namespace) -> int:
    from segwright.prediction.predict import load
    from segwright.prediction.predict_files import OUTPUTS, predict_files
    from segwright.training.processes import choose_device

    inference = inference_from_options(options)
    model = load(options.model, device=choose_device(options.device), code=options.code)
    done = skipped = 0
    save = [name for names in options.save for name in names.split(",")]
    out, ids = Path(options.out), options.ids
    for path, problem in predict_files(model, options.images, out, save=save, inference=inference, ids=ids):
        if problem is None:
            done += 1
        else:
            skipped += 1
            print(f"segwright: skipped {path}: {problem.removeprefix(f'{path}: ')}", file=sys.stderr)
    outputs = [path for path in out.glob("*") if path.stem in OUTPUTS]
    print(
        f"{done} predicted into {out}: {', '.join(sorted(path.name for path in outputs))}"
        + (f"; {skipped} skipped" if skipped else "")
    )
    if "instances" in save and (out / "instances.json").read_text(encoding="utf-8") == "[]":
        text = "no object was found in any image; pycocotools cannot load such an empty list of results"
        print(f"segwright: {out / 'instances.json'}: {text}", file=sys.stderr)
    return 1 if skipped else 0
