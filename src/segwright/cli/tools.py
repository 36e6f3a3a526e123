"""The verbs ``segwright info`` and ``segwright bench``: what a model is, and how fast it is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segwright.cli.ensembles import MODEL_SUFFIXES
from segwright.cli.info_rows import bytes_text, exported_rows, info_rows
from segwright.cli.options import add_code, add_data_root, add_device, add_json, add_verb, refuse_options
from segwright.cli.speed import add_speed, faster_model
from segwright.errors import UserError
from segwright.files import check_writable, write_json

if TYPE_CHECKING:
    from segwright.contracts import Model

_SIZE = (512, 512)


def add(verbs: Any) -> None:
    """Add the verbs to the parser."""
    text = (
        "show what a model is: parameters, FLOPs, memory, preprocessing, classes, origin of weights, training"
    )
    info = add_verb(verbs, "info", _info, text, "segwright info runs/camvid --size 720,960")
    text = "run folder, .safetensors file, recipe, or exported file (.onnx, .xml, .pt2)"
    info.add_argument("model", help=text)
    _add_size(info)
    add_data_root(info, "none; needed by recipes whose dataset has no fixed classes")
    add_json(info, "everything")
    add_code(info)

    text = "measure how fast a model is: images per second, latency, memory, time of each stage"
    bench = add_verb(verbs, "bench", _bench, text, "segwright bench runs/camvid --size 720,960 --fast")
    text = "run folder, .safetensors file, recipe (random weights), or exported file (.onnx, .xml, .pt2)"
    bench.add_argument("model", help=text)
    _add_size(bench)
    bench.add_argument("--batch", type=int, default=1, metavar="N", help="batch size (default: 1)")
    text = "how long to measure (default: %(default)s)"
    bench.add_argument("--seconds", type=float, default=5.0, metavar="S", help=text)
    text = "also find the largest batch that fits the memory"
    bench.add_argument("--largest-batch", action="store_true", help=text)
    add_data_root(bench, "none; needed by recipes whose dataset has no fixed classes")
    add_json(bench, "all figures")
    add_speed(bench)
    add_code(bench)
    add_device(bench)


def _add_size(parser: argparse.ArgumentParser) -> None:
    text = f"size of the images (default: {_SIZE[0]},{_SIZE[1]}; of a file exported for one size: that size)"
    parser.add_argument("--size", type=parse_size, metavar="H,W", help=text)


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of an option H,W."""
    sides = [int(side) if side.strip().isdigit() else 0 for side in text.split(",")]
    if len(sides) != 2 or min(sides) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected height and width, for example 512,1024")
    return sides[0], sides[1]


def _is_recipe(name: str) -> bool:
    recipe_file = name.endswith((".yaml", ".yml")) or ".py:" in name
    model_file = "/" in name or name.endswith(MODEL_SUFFIXES)
    return recipe_file or not (Path(name).exists() or model_file)


def _is_exported(name: str) -> bool:
    return name.endswith(MODEL_SUFFIXES[1:]) and not Path(name).is_dir()


def _info(options: argparse.Namespace) -> int:
    from segwright.analysis.info import model_info, recipe_info

    check_writable(options.json)
    size = options.size or _SIZE
    if _is_exported(options.model):
        info, rows = _exported_info(options)
    elif _is_recipe(options.model):
        info = recipe_info(options.model, size=size, code=options.code, data=options.data)
        rows = info_rows(info)
    else:
        _refuse_data(options)
        info = model_info(options.model, size=size, code=options.code)
        rows = info_rows(info)
    if options.json:
        write_json(options.json, info)
    _print_rows(rows)
    return 0


def _exported_info(options: argparse.Namespace) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    from segwright.analysis.exported_info import exported_info

    refuse_options(options, "size", "data", reason="on an exported file")
    info = exported_info(Path(options.model), code=options.code)
    return info, exported_rows(info)


def _bench(options: argparse.Namespace) -> int:
    from segwright.analysis.speed import benchmark, largest_batch

    check_writable(options.json)
    if options.batch < 1 or options.seconds < 0:
        wrong = f"--batch is {options.batch}" if options.batch < 1 else f"--seconds is {options.seconds:g}"
        raise UserError(f"{wrong}; expected at least {1 if options.batch < 1 else 0}")
    if _is_exported(options.model):
        refuse_options(options, "largest_batch", reason="on an exported file, whose memory is not known")
    plain = _opened(options)
    model = faster_model(options, plain)
    size = options.size or getattr(getattr(plain, "description", None), "size", None) or _SIZE
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
    _print_rows(_bench_rows(values))
    return 0


def _opened(options: argparse.Namespace) -> Model:
    from segwright.analysis.info import untrained_model
    from segwright.prediction.predict import load
    from segwright.recipes import load_recipe
    from segwright.training.processes import choose_device

    device = choose_device(options.device)
    if _is_recipe(options.model):
        return untrained_model(load_recipe(options.model, code=options.code), options.data).to(device)
    _refuse_data(options)
    return load(options.model, device=device, code=options.code)


def _refuse_data(options: argparse.Namespace) -> None:
    refuse_options(options, "data", reason="on a trained model, which contains its classes")


def _print_rows(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        first, *others = text.splitlines() or ["-"]
        print(f"{name:<{width}}  {first}")
        for line in others:
            print(f"{'':<{width}}  {line}")


def _bench_rows(values: dict[str, Any]) -> list[tuple[str, str]]:
    height, width = values["size"]
    latency, total = values["latency"], sum(values["stages"].values())
    memory = values["memory_bytes"]
    rows = [
        ("device", f"{values['device']}, {values['threads']} threads"),
        ("images", f"{height} x {width}, batch {values['batch']}, {values['batches']} batches timed"),
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
