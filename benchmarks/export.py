"""Exported models beside eager PyTorch on this CPU: latency of the network on one image.

    python benchmarks/export.py [--size 360,480] [--networks camvid.quick ...] [--rounds 9] [--quick] [--json FILE]

The variants of a network take turns, so that a disturbance meets all of them: per round each runs once to warm up, then
for a fifth of a second, or once. Times are medians over the rounds, "x eager" are ratios of these medians. "of peak" is
the rate of floating-point operations, as ``segwright info`` counts them, as a share of that of a large matrix product.
"difference" is the largest one from the outputs of eager PyTorch, as a share of their largest value. Weights are
random, so 8 bits, calibrated on the timed image, may differ much. ``--quick`` leaves out torch.compile, which takes the
longest, and runs 3 rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import segwright as sw
from segwright.analysis.models.cost import model_cost
from segwright.contracts import Model, Output
from segwright.export import export_model, load_exported
from segwright.export.openvino_file import write_openvino
from segwright.export.quantization import quantize_onnx, quantize_openvino
from segwright.models import DeepLabV3Config, optimize
from segwright.models.backbones import ResNetConfig
from segwright.models.weights.model_file import without_weights
from segwright.recipes import load_recipe

try:
    import openvino
except ImportError:
    openvino = None

NETWORKS = ("camvid.quick", "own.semantic", "street.panoptic_quick", "DeepLabV3-R50")
TURN = 0.2
"""Seconds of a turn."""


def network(name: str) -> Model:
    labels = sw.LabelSpace.of(*(f"class_{i}" for i in range(11)))
    if name == "DeepLabV3-R50":
        return DeepLabV3Config(ResNetConfig(50)).build(labels, sw.InputContract()).eval()
    recipe = load_recipe(name)
    if recipe.task != "semantic":
        labels = sw.LabelSpace.of(*labels.names, things=labels.names[:2])
    config: Any = without_weights(recipe.model)
    model: Model = config.build(labels, recipe.input)
    model.decoder = recipe.decoder
    return model.eval()


def variants(model: Model, size: tuple[int, int], folder: Path, *, compiled: bool) -> dict[str, Model]:
    """The model in all its forms; the ONNX file is written once, the others are made of it."""
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    models = {"eager": model, "channels last, folded": optimize(model)}
    if compiled:
        models["compiled"] = optimize(model, compile=True)
    models["onnxruntime"] = plain = export_model(model, folder / "fp32.onnx", size=size).model
    int8 = replace(plain.description, precision="int8")
    quantize_onnx(plain.path, folder / "int8.onnx", [image], int8)
    if openvino:
        write_openvino(folder / "fp32.xml", plain.path, plain.description)
        models["OpenVINO"] = load_exported(folder / "fp32.xml")
    models["onnxruntime int8"] = load_exported(folder / "int8.onnx")
    if openvino:
        quantize_openvino(plain.path, folder / "int8.xml", [image], int8)
        models["OpenVINO int8"] = load_exported(folder / "int8.xml")
    return models


def measure(models: dict[str, Model], images: torch.Tensor, rounds: int) -> dict[str, float]:
    """The median seconds of each model."""
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            times[name].append(turn(model, images))
    return {name: statistics.median(several) for name, several in times.items()}


def turn(model: Model, images: torch.Tensor) -> float:
    model.outputs(images)
    runs, began = 0, time.perf_counter()
    while not runs or time.perf_counter() - began < TURN:
        model.outputs(images)
        runs += 1
    return (time.perf_counter() - began) / runs


def peak_rate(side: int = 2048, seconds: float = 3.0) -> float:
    """Floating-point operations per second of a large float32 matrix product: the practical maximum of the CPU."""
    matrix, best, began = torch.randn(side, side), float("inf"), time.perf_counter()
    while time.perf_counter() - began < seconds:
        start = time.perf_counter()
        matrix @ matrix
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def tensors(output: Output) -> Iterator[tuple[str, torch.Tensor]]:
    for field in fields(output):
        value = getattr(output, field.name)
        if isinstance(value, torch.Tensor):
            yield field.name, value.float()


def difference(model: Model, eager: Model, images: torch.Tensor) -> float:
    expected, actual = dict(tensors(eager.outputs(images))), dict(tensors(model.outputs(images)))
    return max(float((actual[k] - v).abs().max() / v.abs().max()) for k, v in expected.items())


def compare(name: str, wanted: tuple[int, int], options: argparse.Namespace, peak: float) -> dict[str, Any]:
    model = network(name)
    multiple = model.input.multiple
    height, width = (-(-side // multiple) * multiple for side in wanted)
    images = model.input.normalize(torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8))
    flops = model_cost(model, (height, width)).flops
    print(f"\n{name}, {height} x {width}, {flops / 1e9:.2f} GFLOPs", flush=True)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        models = variants(model, (height, width), Path(folder), compiled=not options.quick)
        with torch.inference_mode():
            seconds = measure(models, images, options.rounds)
            differences = {name: difference(other, model, images) for name, other in models.items()}
        for variant, median in seconds.items():
            ratio, rate = seconds["eager"] / median, flops / median
            other = differences[variant]
            results[variant] = {"seconds": median, "speedup": ratio, "flops": rate, "difference": other}
            share = "" if "int8" in variant else f"{rate / peak:6.1%} of peak"
            print(
                f"  {variant:<22} {median * 1e3:8.1f} ms  {ratio:5.2f} x eager  {rate / 1e9:7.1f} GFLOP/s  "
                f"difference {other:.1e}  {share}",
                flush=True,
            )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="360,480", metavar="H,W")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=NETWORKS, metavar="NAME")
    parser.add_argument("--rounds", type=int, help="default: 9, with --quick 3")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="without torch.compile, 3 rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.quick else 9)
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    height, width = (int(side) for side in options.size.split(","))
    began, peak = time.perf_counter(), peak_rate()
    print(f"{options.threads} threads, matrix product of 2048 x 2048: {peak / 1e9:.1f} GFLOP/s in float32")
    results = {name: compare(name, (height, width), options, peak) for name in options.networks}
    print(f"\n{time.perf_counter() - began:.0f} s in all")
    if options.json:
        values = {"threads": options.threads, "peak_flops": peak, "networks": results}
        options.json.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
