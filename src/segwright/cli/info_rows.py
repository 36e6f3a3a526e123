"""What ``segwright info`` prints, as rows of a name and a text."""

from __future__ import annotations

from math import inf
from typing import Any

from segwright.cli.tables import percent
from segwright.wording import count_of


def info_rows(info: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows for a run, a model file or a recipe: ``analysis.models.info``."""
    cost, labels, file, training = info["cost"], info["labels"], info["file"], info["training"]
    height, width = cost["size"]
    rows = [
        ("name", info["name"] or "-"),
        ("network", info["network"].strip()),
        ("decoder", info["decoder"].strip()),
        ("parameters", f"{cost['parameters'] / 1e6:.3f} M, {bytes_text(cost['weight_bytes'])}"),
        (
            f"at {height} x {width}",
            f"{cost['flops'] / 1e9:.2f} GFLOPs ({cost['multiply_adds'] / 1e9:.2f} G multiply-adds), peak memory "
            f"{bytes_text(cost['peak_memory_bytes'])}",
        ),
        ("input", _input_text(info["input"])),
        *_labels_rows(labels),
    ]
    if file:
        rows += [
            ("file", f"{file['path']}, {bytes_text(file['bytes'])}, format version {file['format_version']}"),
            ("sha256", file["sha256"]),
            ("origin", _origin_text(info["origin"])),
        ]
    if training:
        rows.append(("training", _training_text(training)))
    return rows


def _input_text(values: dict[str, Any]) -> str:
    """The preprocessing of a model in one line."""
    return ", ".join(f"{name} {_listed(value)}" for name, value in values.items())


def _labels_rows(labels: dict[str, Any]) -> list[tuple[str, str]]:
    """A row with the classes and, if there are any, one with the things among them."""
    rows = [("classes", f"{labels['count']} ({labels['name']}): {', '.join(labels['names'])}")]
    return rows + ([("things", ", ".join(labels["things"]))] if labels["things"] else [])


def _origin_text(origin: dict[str, Any]) -> str:
    """A line per record of pretrained weights, then what else the file says."""
    lines = [
        "pretrained: " + ", ".join(f"{name} {_listed(value)}" for name, value in record.items() if value)
        for record in origin.get("pretrained", [])
    ]
    lines += [f"{name}: {text}" for name, text in origin.items() if name != "pretrained"]
    return "\n".join(lines) or "no pretrained weights, no source and no license recorded"


def _training_text(training: dict[str, Any]) -> str:
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


def exported_rows(info: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows for an exported file: ``analysis.models.exported_info``."""
    opset = "" if info["opset"] is None else f", opset {info['opset']}"
    file = info["file"]
    return [
        ("name", info["name"] or "-"),
        ("format", f"{info['format']}{opset}, {info['precision']}, output {info['kind']}"),
        ("images", _images_text(info)),
        ("inputs", _shapes_text(info["inputs"])),
        ("outputs", _shapes_text(info["outputs"])),
        ("maps", ", ".join(info["maps"]) or "none: post-processing is not part of the file"),
        ("decoder", info["decoder"].strip()),
        ("input", _input_text(info["input"])),
        *_labels_rows(info["labels"]),
        ("file", f"{file['path']}, {bytes_text(file['bytes'])}"),
        ("sha256", file["sha256"]),
        ("weights", f"sha256 {file['weights_sha256']}"),
        ("origin", _origin_text(info["origin"])),
        ("parity", _parity_text(info["parity"])),
    ]


def _images_text(info: dict[str, Any]) -> str:
    batch = info["inputs"]["images"][0]
    number = "any batch size" if isinstance(batch, str) else f"batches of {batch}"
    if info["size"] is not None:
        return f"{number}, {info['size'][0]} x {info['size'][1]} pixels"
    return f"{number}, any height and width that are multiples of {info['input']['multiple']}"


def _shapes_text(shapes: dict[str, Any]) -> str:
    return "\n".join(f"{name} [{', '.join(map(str, shape))}]" for name, shape in shapes.items())


def _parity_text(parity: dict[str, Any] | None) -> str:
    if parity is None:
        return "not known: the JSON file beside it does not exist, has none, or describes another file"
    from segwright.evaluation.result import TITLES

    score = parity["score"]
    original, exported = (parity["latency"][which]["p50"] * 1e3 for which in ("original", "exported"))
    metric, difference = TITLES[score["metric"]], parity["max_logit_difference"]
    scores = " and ".join(percent(score[which], " %") for which in ("exported", "original"))
    return (
        f"{parity['equal_pixels']:.4%} equal pixels on {count_of(parity['images'], 'image')}, largest difference "
        f"{inf if difference is None else difference:.2e}\n{metric} {scores} of the original\n"
        f"{exported:.1f} ms and {original:.1f} ms of the original per image"
    )


def bytes_text(count: int) -> str:
    """A number of bytes with its unit."""
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
