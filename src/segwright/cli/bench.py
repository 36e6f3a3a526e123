"""The verb ``segwright bench``: how fast a model is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from segwright.cli.info import SIZE, add_size, is_exported, named_recipe, print_rows
from segwright.cli.info_rows import bytes_text
from segwright.cli.options import (
    Verbs,
    add_code,
    add_data_root,
    add_device,
    add_json,
    add_verb,
    parse_count,
    refuse_options,
)
from segwright.cli.speed import add_speed, faster_model
from segwright.errors import UserError
from segwright.files import check_writable, write_json
from segwright.wording import count_of

if TYPE_CHECKING:
    from segwright.contracts import Model


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    text = "measure how fast a model is: images per second, latency, memory, time of each stage"
    bench = add_verb(verbs, "bench", _bench, text, "segwright bench runs/camvid --size 720,960 --fast")
    text = "run folder, .safetensors file, recipe (random weights), or exported file (.onnx, .xml, .pt2)"
    bench.add_argument("model", help=text)
    add_size(bench)
    bench.add_argument("--batch", type=parse_count, default=1, metavar="N", help="batch size (default: 1)")
    text = "how long to measure (default: %(default)s)"
    bench.add_argument("--seconds", type=float, default=5.0, metavar="S", help=text)
    text = "also find the largest batch that fits the memory"
    bench.add_argument("--largest-batch", action="store_true", help=text)
    add_data_root(bench, "none; needed by recipes whose dataset has no fixed classes")
    add_json(bench, "all figures")
    add_speed(bench)
    add_code(bench)
    add_device(bench)


def _bench(options: argparse.Namespace) -> int:
    check_writable(options.json)
    if options.seconds < 0:
        raise UserError(f"--seconds is {options.seconds:g}; expected at least 0")
    if is_exported(options.model):
        refuse_options(options, "largest_batch", reason="on an exported file, whose memory is not known")
    plain = _opened(options)
    from segwright.analysis.models.speed import benchmark, largest_batch

    model = faster_model(options, plain)
    size = options.size or getattr(getattr(plain, "description", None), "size", None) or SIZE
    settings: dict[str, Any] = {"batch": options.batch, "seconds": options.seconds}
    values: dict[str, Any] = {"model": options.model, "fast": options.fast, "compile": options.compile}
    values |= benchmark(model, size, **settings).to_json()
    if model is not plain:
        baseline = benchmark(plain, size, **settings).to_json()
        values["baseline"] = baseline
        values["speedup"] = values["network_images_per_second"] / baseline["network_images_per_second"]
    if options.largest_batch:
        values["largest_batch"] = largest_batch(plain, size)
    if options.json:
        write_json(options.json, values)
    print_rows(_bench_rows(values))
    return 0


def _opened(options: argparse.Namespace) -> Model:
    recipe = named_recipe(options)
    from segwright.analysis.models.info import untrained_model
    from segwright.prediction.predict import load
    from segwright.training.processes import choose_device

    device = choose_device(options.device)
    if recipe is not None:
        return untrained_model(recipe, options.data).to(device)
    return load(options.model, device=device, code=options.code)


def _bench_rows(values: dict[str, Any]) -> list[tuple[str, str]]:
    height, width = values["size"]
    latency, total = values["latency"], sum(values["stages"].values())
    memory = values["memory_bytes"]
    rows = [
        ("device", f"{values['device']}, {count_of(values['threads'], 'thread')}"),
        (
            "images",
            f"{height} x {width}, batch {values['batch']}, {count_of(values['batches'], 'batch')} timed",
        ),
        ("images per second", f"{values['images_per_second']:.2f}, all stages one after the other"),
        ("", f"{values['network_images_per_second']:.2f}, the network alone"),
        (
            "latency",
            ", ".join(f"{name} {latency[name] * 1e3:.1f} ms" for name in ("p50", "p95", "p99"))
            + " per batch",
        ),
        *(
            (name, f"{seconds * 1e3:.1f} ms, {seconds / total:.0%}")
            for name, seconds in values["stages"].items()
        ),
        ("memory", "-" if memory is None else f"{bytes_text(memory)} at the peak"),
    ]
    if "speedup" in values:
        rows.append(("speedup", f"{values['speedup']:.2f} times the network as it is"))
    if "largest_batch" in values:
        rows.append(("largest batch", str(values["largest_batch"])))
    return rows
