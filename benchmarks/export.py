"""Exported models beside eager PyTorch on this CPU: latency of the network on one image.

    python benchmarks/export.py [--size 360,480] [--seconds 5] [--threads 2] [--compile]

Networks have random weights, so the figures are speed only. 8 bits are calibrated on the timed image.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import segwright as sw
from segwright.contracts import Model
from segwright.export import export_model
from segwright.models import DeepLabV3Config, optimize
from segwright.models.backbones import ResNetConfig
from segwright.models.weights.model_file import without_weights
from segwright.recipes import load_recipe


def networks() -> Iterator[tuple[str, Model]]:
    labels = sw.LabelSpace.of(*(f"class_{i}" for i in range(11)))
    things = sw.LabelSpace.of(*labels.names, things=labels.names[:2])
    for name in ("camvid.quick", "own.semantic", "street.panoptic_quick"):
        recipe = load_recipe(name)
        config = without_weights(recipe.model)
        model = config.build(labels if recipe.task == "semantic" else things, recipe.input)
        model.decoder = recipe.decoder
        yield name, model.eval()
    yield "DeepLabV3-R50", DeepLabV3Config(ResNetConfig(50)).build(labels, sw.InputContract()).eval()


def variants(model: Model, size: tuple[int, int], *, compiled: bool) -> Iterator[tuple[str, Model]]:
    yield "eager", model
    yield "channels last, folded", optimize(model)
    if compiled:
        yield "compiled", optimize(model, compile=True)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("onnx", "xml"):
            for bits, calibration in (("fp32", None), ("int8", [image])):
                path = Path(folder) / f"{bits}.{suffix}"
                yield f"{suffix} {bits}", export_model(model, path, size=size, calibration=calibration).model


def median_seconds(model: Model, images: torch.Tensor, seconds: float) -> float:
    times: list[float] = []
    with torch.inference_mode():
        model.outputs(images)
        began = time.perf_counter()
        while len(times) < 5 or time.perf_counter() - began < seconds:
            start = time.perf_counter()
            model.outputs(images)
            times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="360,480")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    wanted = tuple(int(side) for side in options.size.split(","))
    for name, model in networks():
        multiple = model.input.multiple
        height, width = (-(-side // multiple) * multiple for side in wanted)
        images = model.input.normalize(torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8))
        eager = 0.0
        for variant, changed in variants(model, (height, width), compiled=options.compile):
            elapsed = median_seconds(changed, images, options.seconds)
            eager = eager or elapsed
            print(
                f"{name:<24} {height} x {width}  {variant:<22} {elapsed * 1e3:8.1f} ms  {eager / elapsed:5.2f} x eager"
            )


if __name__ == "__main__":
    main()
