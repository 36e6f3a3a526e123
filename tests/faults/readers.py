"""Everything that reads files of strangers, as functions of one file: for mutated files and for the fuzzer.

A reader either reads a file or refuses it in one line. ``check`` raises ``Finding`` for anything else.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import torch
from PIL import Image
from tests.data.exports import tools
from tests.data.exports.platforms import PLATFORMS
from tests.faults import files
from tests.serving import models

from segwright.cli.main import main
from segwright.config import override
from segwright.contracts import InputContract
from segwright.data.archives import unpack
from segwright.data.exports.object_shapes import shape_to_rle
from segwright.data.reading.blocks import open_image
from segwright.data.reading.images import image_size, orientation, read_bands, read_image
from segwright.data.reading.label_maps import read_map
from segwright.data.reading.rle import decode_mask
from segwright.errors import RunError, UserError, run_error_of
from segwright.models.weights.foreign_file import read_tensors
from segwright.models.weights.model_file import read_model, write_model
from segwright.recipes import load_recipe
from segwright.training import checkpoint
from segwright.training.recipe_check import check as check_recipe

Read = Callable[[Path], object]
MEMORY = 2 * 2**30
"""Bytes that a reader may take beyond those of the process before."""
SLOW = 20.0
"""Seconds of computation for one file."""


class Finding(Exception):
    """A file that ended neither in a result nor in one line."""


@dataclass(frozen=True)
class Target:
    """A reader and what it reads.

    ``make`` fills an empty folder; ``name`` is the file in it that is damaged, and ``read`` reads it. ``mutations``:
    how many damaged files the tests read.
    """

    make: Callable[[Path], object]
    name: str
    read: Read
    mutations: int = 30


def check(target: Target, folder: Path, data: bytes) -> None:
    """Read ``data`` in place of the file of ``target``, whose other files are in ``folder``; ``Finding``."""
    path = folder / target.name
    path.write_bytes(data)
    output, errors = io.StringIO(), io.StringIO()
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(errors),
        ):
            warnings.simplefilter("error")
            target.read(path)
    except (UserError, RunError, OSError) as error:
        if "\n" in str(error):
            raise Finding(f"more than one line: {error}") from error
    except Exception as error:
        if run_error_of(error) is None:
            raise Finding(f"{type(error).__name__}: {error}") from error
        raise Finding(f"memory or worker: {type(error).__name__}: {error}") from error


def _image(kind: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        pixels = np.random.default_rng(5).integers(0, 255, (20, 30, 3), np.uint8)
        path = folder / f"a.{kind}"
        if kind == "npy":
            np.save(path, pixels)
        elif kind == "tif":
            tifffile.imwrite(path, pixels, photometric="rgb", compression="deflate")
        else:
            exif = Image.Exif()
            exif[274] = 6
            more: Any = {} if kind in ("bmp", "gif") else {"exif": exif}
            Image.fromarray(pixels).save(path, "JPEG" if kind == "jpg" else kind, **more)

    return make


def _read_image(path: Path) -> None:
    readers: tuple[Read, ...] = (
        read_image, lambda path: read_image(path, reduce=4), lambda path: read_bands(path, 3), image_size,
        orientation, read_map, lambda path: read_map(path, "rgb"), _read_block,
    )  # fmt: skip
    problem: Finding | None = None
    for read in readers:
        try:
            read(path)
        except UserError as error:
            if "\n" in str(error):
                problem = Finding(f"more than one line: {error}")
    if problem:
        raise problem


def _read_block(path: Path) -> None:
    with open_image(path) as image:
        height, width = image.size
        image.read(slice(0, min(height, 64)), slice(0, min(width, 64)))


def _verb(*arguments: str) -> Read:
    """A verb, run in the folder of the target."""

    def read(path: Path) -> None:
        folder = next(parent for parent in path.parents if (parent / ".target").is_file())
        with contextlib.chdir(folder) if hasattr(contextlib, "chdir") else _chdir(folder):
            code = main(arguments)
        if code not in (0, 1, 2):
            raise Finding(f"exit code {code}")

    return read


@contextlib.contextmanager
def _chdir(folder: Path) -> Iterator[None]:
    import os

    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _layout(name: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        (tools.LAYOUTS | PLATFORMS)[name](folder / "export")

    return make


def _settings(path: Path) -> None:
    recipe = load_recipe("camvid.quick")
    override(recipe, [path.read_bytes().decode("utf-8", "surrogateescape")])
    check_recipe(recipe)


def _recipe(path: Path) -> None:
    check_recipe(load_recipe(str(path)))


def _text(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text, encoding="utf-8")


def _run_lengths(path: Path) -> None:
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return
    decode_mask(shape_to_rle(value, (40, 50), "a.json"))


def _model(folder: Path) -> None:
    write_model(folder / "a.safetensors", models.semantic_model(), models.SEMANTIC, name="a")


def _pickle(folder: Path) -> None:
    torch.save(
        {"state_dict": {"a.weight": torch.ones(2, 3)}, "best": 0.5, "args": [1, "x"]}, folder / "a.pth"
    )


def _legacy_pickle(folder: Path) -> None:
    torch.save({"a.weight": torch.ones(2, 3)}, folder / "a.pth", _use_new_zipfile_serialization=False)


def _array_pickle(folder: Path) -> None:
    import pickle

    values = {"model": {"a.weight": np.ones((2, 3), np.float32)}, "__author__": "x"}
    (folder / "a.pkl").write_bytes(pickle.dumps(values, protocol=2))


def _checkpoint(folder: Path) -> None:
    checkpoint.save(folder, 5, {"model": {"w": torch.ones(3)}, "optimizers": [], "best": 0.1}, keep=2)


def _archive(kind: str) -> Callable[[Path], object]:
    def make(folder: Path) -> None:
        if kind == "zip":
            with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
                file.writestr("x/a.txt", "text " * 50)
        else:
            with tarfile.open(folder / "a.tar.gz", "w:gz") as tar:
                entry = tarfile.TarInfo("x/a.txt")
                entry.size = 5
                tar.addfile(entry, io.BytesIO(b"texts"))

    return make


def _unpack(path: Path) -> None:
    unpack(path, path.parent)


def _upload(path: Path) -> None:
    from fastapi import HTTPException

    from segwright.serving.limits import Limits
    from segwright.serving.upload import decode_upload

    with contextlib.suppress(HTTPException):
        decode_upload(path.read_bytes(), "a.png", InputContract(), Limits(pixels=10**6))


def _data(folder: Path) -> None:
    files.dataset(folder / "data")


def _scored(folder: Path) -> None:
    files.scored_files(folder)


def _tar(folder: Path) -> None:
    files.dataset(folder / "data")
    (folder / "recipe.yaml").write_text(files.RECIPE)
    with contextlib.chdir(folder):  # type: ignore[attr-defined, unused-ignore]
        assert main(["data", "convert", "folder", "data", "--to", "tar", "--out", "shards"]) == 0


def _run(folder: Path) -> None:
    files.dataset(folder / "data")
    (folder / "recipe.yaml").write_text(files.RECIPE)
    with contextlib.chdir(folder):  # type: ignore[attr-defined, unused-ignore]
        command = ["train", "recipe.yaml", "--data", "data", "--out", "run", "--device", "cpu"]
        assert main(command) == 0
        command = ["predict", "run", "data/images/val", "--out", "predicted", "--device", "cpu"]
        assert main([*command, "--resume"]) == 0


def _photos(folder: Path) -> None:
    files.photo(folder / "photos" / "a.png", 3, (24, 32))
    (folder / "list.txt").write_text("photos/a.png\n")


FOLDER = ("data", "check", "folder", "--data", "data", "--workers", "0")
COCO = ("data", "check", "coco_instances", "--data", "data", "--workers", "0", "--set", "json=instances_{split}.json",
        "images=images/{split}")  # fmt: skip
PANOPTIC = ("score", "panoptic", "--truth", "panoptic_val.json", "--prediction", "found/panoptic_val.json")
INSTANCE = ("score", "instance", "--truth", "instances_val.json", "--prediction", "results.json")
REPORT = ("report", "run", "--no-errors", "--device", "cpu")
RESUME = ("predict", "run", "data/images/val", "--out", "predicted", "--device", "cpu", "--resume")

TARGETS: dict[str, Target] = {
    **{f"image {kind}": Target(_image(kind), f"a.{kind}", _read_image)
       for kind in ("png", "jpg", "webp", "bmp", "gif", "tif", "npy")},
    "setting": Target(_text("a", "optim.lr=3e-4"), "a", _settings),
    "setting of an object": Target(_text("a", "model=unet"), "a", _settings),
    "recipe": Target(_text("a.yaml", files.RECIPE), "a.yaml", _recipe),
    "classes": Target(_data, "data/classes.yaml", _verb(*FOLDER)),
    "class map": Target(_data, "data/labels/train/train0.png", _verb(*FOLDER)),
    "coco": Target(_data, "data/instances_train.json", _verb(*COCO)),
    "run lengths": Target(_text("a.json", '{"size": [40, 50], "counts": [10, 1990]}'), "a.json", _run_lengths),
    "compressed run lengths": Target(_text("a.json", '{"size": [40, 50], "counts": ":Vn1"}'), "a.json", _run_lengths),
    "panoptic truth": Target(_scored, "panoptic_val.json", _verb(*PANOPTIC)),
    "panoptic prediction": Target(_scored, "found/panoptic_val.json", _verb(*PANOPTIC)),
    "panoptic map": Target(_scored, "found/panoptic_val/x.png", _verb(*PANOPTIC)),
    "instance truth": Target(_scored, "instances_val.json", _verb(*INSTANCE)),
    "instance results": Target(_scored, "results.json", _verb(*INSTANCE)),
    "safetensors": Target(_model, "a.safetensors", read_model),
    "foreign safetensors": Target(_model, "a.safetensors", read_tensors),
    "pickle": Target(_pickle, "a.pth", read_tensors),
    "legacy pickle": Target(_legacy_pickle, "a.pth", read_tensors),
    "array pickle": Target(_array_pickle, "a.pkl", read_tensors),
    "checkpoint": Target(
        _checkpoint, "step-00000005.pt", lambda path: checkpoint.newest(path.parent, torch.device("cpu"))
    ),
    "zip": Target(_archive("zip"), "a.zip", _unpack),
    "tar.gz": Target(_archive("tar.gz"), "a.tar.gz", _unpack),
    "upload": Target(_image("png"), "a.png", _upload),
    "tar shard": Target(_tar, "shards/train/000000.tar", _verb(
        "data", "check", "tar_shards", "--data", "shards", "--split", "train", "--workers", "0")),
    "labels of shards": Target(_tar, "shards/labels.json", _verb(
        "data", "check", "tar_shards", "--data", "shards", "--split", "train", "--workers", "0")),
    "recipe of a run": Target(_run, "run/recipe.yaml", _verb(*REPORT), 8),
    "run.json": Target(_run, "run/run.json", _verb(*REPORT), 8),
    "summary.json": Target(_run, "run/summary.json", _verb(*REPORT), 8),
    "log.jsonl": Target(_run, "run/log.jsonl", _verb(*REPORT), 8),
    "val.json": Target(_run, "run/evaluation/val.json", _verb(*REPORT), 8),
    "run.json, resumed": Target(_run, "run/run.json", _verb(
        "train", "recipe.yaml", "--data", "data", "--out", "run", "--device", "cpu"), 8),
    "journal": Target(_run, "predicted/done.jsonl", _verb(*RESUME)),
    "list of images": Target(_photos, "list.txt", _verb("data", "convert", "list.txt", "--to", "coco", "--out", "x")),
    **{
        f"{layout}: {name}": Target(
            _layout(layout), f"export/{name}", _verb("data", "check", "export", "--workers", "0"))
        for layout, name in (
            ("yolo", "data.yaml"), ("yolo", "labels/train/a.txt"), ("yolo_lists", "lists/train.txt"),
            ("coco", "annotations/instances_default.json"), ("cvat", "annotations.xml"),
            ("cvat_mask", "labelmap.txt"), ("voc", "class_names.txt"), ("labelme", "a.json"),
            ("label_studio", "project-3.json"), ("supervisely", "meta.json"),
            ("supervisely", "train/ann/a.png.json"), ("via", "via_project.json"), ("via_csv", "via.csv"),
            ("roboflow_masks", "train/_classes.csv"), ("kaggle_rle", "train.csv"),
            ("hugging_face", "train/metadata.csv"), ("hugging_face", "id2label.json"),
            ("parquet", "data/train-00000-of-00001.parquet"), ("darwin", "releases/latest/annotations/train/a.json"),
            ("labelbox", "export.ndjson"), ("segments_ai", "animals-v1.json"),
            ("sagemaker", "manifests/output/output.manifest"), ("superannotate", "annotations/a.png.json"),
            ("superannotate_pixel", "a.png___pixel.json"), ("via3", "via_project.json"),
            ("datumaro", "annotations/default.json"),
        )
    },
}  # fmt: skip


def slug(name: str) -> str:
    """The name of a target as the name of a folder."""
    return "".join(c if c.isalnum() else "-" for c in name)


@contextlib.contextmanager
def limited_memory() -> Iterator[None]:
    """In the block, this process can take ``MEMORY`` bytes more than it has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def prepare(target: Target, folder: Path) -> bytes:
    """Fill the empty ``folder`` with the files of ``target``; the content of the file that is damaged."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ".target").touch()
    with contextlib.redirect_stdout(io.StringIO()):
        target.make(folder)
    return (folder / target.name).read_bytes()


def mutations(data: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Damaged copies: cut, with changed bytes, with parts repeated or removed, with numbers and words exchanged."""
    random = np.random.default_rng(seed)
    pieces = (b"-1", b"1e999", b"99999999999999999999", b"null", b"[]", b"{}", b'""', b"\x00", b"\xff\xfe", b"NaN",
              b"../../", b"0", b"\n", b'"', b"[[[[", b"&a", b"*a", b"true")  # fmt: skip
    for number in range(count):
        changed = bytearray(data)
        for _ in range(int(random.integers(1, 5))):
            last = max(1, len(changed))
            start = int(random.integers(0, (min(last, 60), min(last, 400), last)[number % 3]))
            length = int(random.integers(1, 12))
            kind = int(random.integers(0, 5))
            if kind == 0:
                changed[start : start + 1] = bytes([int(random.integers(0, 256))])
            elif kind == 1:
                del changed[start : start + length]
            elif kind == 2:
                changed[start:start] = pieces[int(random.integers(0, len(pieces)))]
            elif kind == 3:
                changed[start : start + length] = pieces[int(random.integers(0, len(pieces)))]
            else:
                changed[start:start] = changed[start : start + length]
        yield bytes(changed[: int(random.integers(0, len(changed) + 1))] if number % 7 == 0 else changed)
