"""The verbs ``segwright info`` and ``segwright bench``: what a model is, and how fast it is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segwright.cli.options import add_code, add_data_root, add_device, add_json, add_verb
from segwright.cli.speed import add_speed, faster_model

if TYPE_CHECKING:
    from segwright.contracts import Model


def add(verbs: Any) -> None:
    """Add the verbs to the parser."""
    text = "show parameters, FLOPs, memory, preprocessing, classes, origin and training of a model"
    info = add_verb(verbs, "info", _info, text, "segwright info runs/camvid --size 720,960")
    info.add_argument("model", help="run folder, .safetensors file or recipe")
    _add_size(info)
    add_data_root(info, "the classes that the dataset of the recipe always has")
    add_json(info, "everything")
    add_code(info)

    text = "measure images per second, latency, memory, and the time of each stage of a prediction"
    bench = add_verb(verbs, "bench", _bench, text, "segwright bench runs/camvid --size 720,960 --fast")
    bench.add_argument("model", help="run folder, .safetensors file or recipe (random weights)")
    _add_size(bench)
    bench.add_argument("--batch", type=int, default=1, metavar="N", help="batch size (default: 1)")
    text = "how long to measure (default: %(default)s)"
    bench.add_argument("--seconds", type=float, default=5.0, metavar="S", help=text)
    text = "also find the largest batch that fits the memory"
    bench.add_argument("--largest-batch", action="store_true", help=text)
    add_data_root(bench, "the classes that the dataset of the recipe always has")
    add_json(bench, "all figures")
    add_speed(bench)
    add_code(bench)
    add_device(bench)


def _add_size(parser: argparse.ArgumentParser) -> None:
    text = "size of the images (default: 512,512)"
    parser.add_argument("--size", type=parse_size, default=(512, 512), metavar="H,W", help=text)


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of an option H,W."""
    sides = [int(side) if side.strip().isdigit() else 0 for side in text.split(",")]
    if len(sides) != 2 or min(sides) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected height and width, for example 512,1024")
    return sides[0], sides[1]


def _is_recipe(name: str) -> bool:
    recipe_file = name.endswith((".yaml", ".yml")) or ".py:" in name
    return recipe_file or not (Path(name).exists() or "/" in name or name.endswith(".safetensors"))


def _info(options: argparse.Namespace) -> int:
    from segwright.analysis.info import model_info, recipe_info
    from segwright.files import check_writable, write_json

    check_writable(options.json)
    if _is_recipe(options.model):
        info = recipe_info(options.model, size=options.size, code=options.code, data=options.data)
    else:
        _refuse_data(options)
        info = model_info(options.model, size=options.size, code=options.code)
    if options.json:
        write_json(options.json, info)
    _print_rows(_info_rows(info))
    return 0


def _bench(options: argparse.Namespace) -> int:
    from segwright.analysis.speed import benchmark, largest_batch
    from segwright.errors import UserError
    from segwright.files import check_writable, write_json

    check_writable(options.json)
    if options.batch < 1 or options.seconds < 0:
        wrong = f"--batch is {options.batch}" if options.batch < 1 else f"--seconds is {options.seconds:g}"
        raise UserError(f"{wrong}; expected at least {1 if options.batch < 1 else 0}")
    plain = _opened(options)
    model = faster_model(options, plain)
    settings: dict[str, Any] = {"batch": options.batch, "seconds": options.seconds}
    values: dict[str, Any] = {"model": options.model, "fast": options.fast, "compile": options.compile}
    values |= benchmark(model, options.size, **settings).to_json()
    if model is not plain:
        baseline = benchmark(plain, options.size, **settings).to_json()
        values["baseline"] = baseline
        values["speedup"] = values["network_images_per_second"] / baseline["network_images_per_second"]
    if options.largest_batch:
        values["largest_batch"] = largest_batch(plain, options.size)
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
    from segwright.cli.options import refuse_options

    refuse_options(options, "data", reason="on a trained model, which contains its classes")


def _print_rows(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        first, *others = text.splitlines() or ["-"]
        print(f"{name:<{width}}  {first}")
        for line in others:
            print(f"{'':<{width}}  {line}")


def _info_rows(info: dict[str, Any]) -> list[tuple[str, str]]:
    cost, labels, file, training = info["cost"], info["labels"], info["file"], info["training"]
    height, width = cost["size"]
    rows = [
        ("name", info["name"] or "-"),
        ("network", info["network"].strip()),
        ("decoder", info["decoder"].strip()),
        ("parameters", f"{cost['parameters'] / 1e6:.3f} M, {_bytes(cost['weight_bytes'])}"),
        (
            f"at {height} x {width}",
            f"{cost['flops'] / 1e9:.2f} GFLOPs ({cost['multiply_adds'] / 1e9:.2f} G multiply-adds), peak memory "
            f"{_bytes(cost['peak_memory_bytes'])}",
        ),
        ("input", ", ".join(f"{name} {_listed(value)}" for name, value in info["input"].items())),
        ("classes", f"{labels['count']} ({labels['name']}): {', '.join(labels['names'])}"),
    ]
    if labels["things"]:
        rows.append(("things", ", ".join(labels["things"])))
    if file:
        rows += [
            ("file", f"{file['path']}, {_bytes(file['bytes'])}, format version {file['format_version']}"),
            ("sha256", file["sha256"]),
        ]
        rows.append(("origin", _origin_text(info["origin"])))
    if training:
        rows.append(("training", _training_text(training)))
    return rows


def _origin_text(origin: dict[str, Any]) -> str:
    """A line per record of pretrained weights, then what else the file says."""
    lines = [
        "pretrained: " + ", ".join(f"{name} {_listed(value)}" for name, value in record.items() if value)
        for record in origin.get("pretrained", [])
    ]
    lines += [f"{name}: {text}" for name, text in origin.items() if name != "pretrained"]
    return "\n".join(lines) or "no pretrained weights, no source and no license recorded"


def _training_text(training: dict[str, Any]) -> str:
    from segwright.cli.tables import percent

    scores = ", ".join(f"{name} {percent(score, ' %')}" for name, score in training["scores"].items())
    seconds = training["training_seconds"]
    images = ", ".join(f"{count} {split}" for split, count in training["images"].items())
    lines = [
        f"step {training['step']} of {training['steps']}, best at step {training['best_step']}"
        + (f", {seconds:.0f} s" if seconds else ""),
        f"best scores on val: {scores or '-'}",
        f"images: {images or '-'}; data: {training['data'] or 'generated'}",
        f"started {training['started']} on {training['device']}, seed {training['seed']}, "
        f"segwright {training['segwright']}, torch {training['torch']}",
    ]
    return "\n".join(lines)


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
        ("memory", "-" if memory is None else f"{_bytes(memory)} at the peak"),
    ]
    if "speedup" in values:
        rows.append(("speedup", f"{values['speedup']:.2f} times the network as it is"))
    if "largest_batch" in values:
        rows.append(("largest batch", str(values["largest_batch"])))
    return rows


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


def _listed(value: Any) -> str:
    return (
        "[" + ", ".join(f"{item:g}" for item in value) + "]"
        if isinstance(value, list | tuple)
        else str(value)
    )
