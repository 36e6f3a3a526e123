"""How much of the network's own rate `segwright predict` reaches, and what each stage costs.

    python benchmarks/throughput.py --data CAMVID [--images 1000] [--rounds 5] [--save index ...] [--model RUN]
                                    [--batch N] [--device cuda]

The network is that of camvid.quick, with random weights unless ``--model`` names a run. The images are those of
CamVid val, repeated. In every round the network alone runs on one image in memory, normalization included, and then
``predict`` runs on the files. Printed are images per second of both and their ratio, per round and as medians; then
the CPU milliseconds of each stage for one image, in one thread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from segwright.contracts import Model
from segwright.data.loading.batches import pad_and_stack
from segwright.data.reading.images import read_image
from segwright.decode.default import decoder_of
from segwright.inference.batches import device_of
from segwright.prediction.inputs import InputImage
from segwright.prediction.outputs import Outputs
from segwright.prediction.predict import load
from segwright.prediction.predict_files import predict_files
from segwright.recipes import load_recipe


def main() -> None:
    """Print the rates and the costs."""
    options = _options()
    recipe = load_recipe("camvid.quick")
    dataset = recipe.data.open(options.data, "val")
    torch.manual_seed(0)
    model = load(options.model) if options.model else recipe.model.build(dataset.labels, recipe.input).eval()
    model = model.to(options.device)
    paths = [dataset.files(index)[0] for index in range(len(dataset))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repeat(paths, folder / "images", options.images)
        rates = []
        for number in range(options.rounds + 1):
            network = _network_rate(model, paths[0], options.batch or 1, seconds=options.seconds)
            prediction = _prediction_rate(model, folder, options)
            if number:  # the first one warms up
                rates.append((network, prediction))
                print(
                    f"network {network:7.2f}  predict {prediction:7.2f} images/s  {prediction / network:.2f}"
                )
        network, prediction = (statistics.median(column) for column in zip(*rates, strict=True))
        ratio = statistics.median(prediction / network for network, prediction in rates)
        print(f"median  {network:7.2f}  predict {prediction:7.2f} images/s  {ratio:.2f}")
        _print_costs(model, paths[:20], folder / "costs", options.save)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the network alone, per round")
    parser.add_argument("--save", nargs="+", default=[])
    parser.add_argument("--batch", type=int)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


def repeat(paths: list[Path], folder: Path, count: int) -> None:
    """Links to ``count`` images in a new folder: these images over and over."""
    folder.mkdir()
    for number in range(count):
        path = paths[number % len(paths)]
        (folder / f"{number:06d}{path.suffix}").symlink_to(path.resolve())


def _network_rate(model: Model, path: Path, batch: int, *, seconds: float) -> float:
    """Images per second of normalization and network."""
    images, _ = pad_and_stack([read_image(path)] * batch, model.input)
    images = images.to(device_of(model))
    count, start = 0, time.perf_counter()
    with torch.inference_mode():
        while time.perf_counter() < start + seconds:
            model.outputs(model.input.normalize(images))
            if images.is_cuda:
                torch.cuda.synchronize()
            count += batch
    return count / (time.perf_counter() - start)


def _prediction_rate(model: Model, folder: Path, options: argparse.Namespace) -> float:
    start = time.perf_counter()
    results = predict_files(
        model, [str(folder / "images")], folder / "out", save=options.save, batch=options.batch
    )
    problems = [problem for _, problem in results]
    assert len(problems) == options.images and not any(problems)
    return len(problems) / (time.perf_counter() - start)


def _print_costs(model: Model, paths: list[Path], out: Path, save: list[str]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    costs: dict[str, list[float]] = {}

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        start = time.process_time()
        result = work()
        costs.setdefault(stage, []).append(1e3 * (time.process_time() - start))
        return result

    outputs, decoder = Outputs(out, model.labels, save), decoder_of(model)
    for path in paths:
        pixels = timed("read", partial(read_image, path))
        images, sizes = timed("pad", partial(pad_and_stack, [pixels], model.input))
        with torch.inference_mode():
            images = images.to(device_of(model))
            normalized = timed("normalize", partial(model.input.normalize, images))
            output = timed("network", partial(model.outputs, normalized))
            padded = (images.shape[2], images.shape[3])
            (prediction,) = timed("decode", partial(decoder, output, sizes, padded, model.labels))
        outputs.settle(prediction)
        image = InputImage(path, path.stem, 0)
        timed("draw and write", partial(outputs.write, image, pixels, prediction))
    torch.set_num_threads(threads)
    print("CPU ms per image: " + ", ".join(f"{k} {statistics.median(v):.2f}" for k, v in costs.items()))


if __name__ == "__main__":
    main()
