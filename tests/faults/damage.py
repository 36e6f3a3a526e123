"""How the faults of the table are made: small functions that damage files of the current folder."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from tests.data.trees import photo

Damage = Callable[[], object]


def nothing() -> None:
    """Everything is right; the command is wrong."""


def text(path: str, content: str) -> Damage:
    return data(path, content.encode())


def data(path: str, content: bytes) -> Damage:
    def damage() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(content)

    return damage


def replaced(path: str, old: str, new: str) -> Damage:
    def damage() -> None:
        content = Path(path).read_text(encoding="utf-8")
        assert old in content, (path, old)
        Path(path).write_text(content.replace(old, new), encoding="utf-8")

    return damage


def changed(path: str, change: Callable[[Any], object]) -> Damage:
    """``change`` gets the content of a JSON file and changes it in place."""

    def damage() -> None:
        values = json.loads(Path(path).read_bytes())
        change(values)
        Path(path).write_text(json.dumps(values))

    return damage


def removed(*paths: str) -> Damage:
    def damage() -> None:
        for path in paths:
            shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()

    return damage


def copied(source: str, target: str) -> Damage:
    def damage() -> None:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if Path(source).is_dir() else shutil.copy(source, target)

    return damage


def cut(path: str, share: float = 0.5) -> Damage:
    """The file ends early, as after a full disk or an interrupted copy."""

    def damage() -> None:
        content = Path(path).read_bytes()
        Path(path).write_bytes(content[: int(len(content) * share)])

    return damage


def appended(path: str, content: bytes) -> Damage:
    """These bytes behind those of the file."""

    def damage() -> None:
        with Path(path).open("ab") as file:
            file.write(content)

    return damage


def array(path: str, values: Any) -> Damage:
    """An image file, or .npy, with these values."""

    def damage() -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".npy"):
            np.save(path, values)
        elif path.endswith(".tif"):
            tifffile.imwrite(path, values, photometric="rgb")
        else:
            Image.fromarray(np.asarray(values)).save(path)

    return damage


def picture(path: str, height: int, width: int) -> Damage:
    return lambda: photo(Path(path), 5, (height, width))


def link(path: str, target: str) -> Damage:
    def damage() -> None:
        Path(path).unlink(missing_ok=True)
        os.symlink(target, path)

    return damage


def both(*damages: Damage) -> Damage:
    def damage() -> None:
        for each in damages:
            each()

    return damage


def huge_png(path: str, side: int = 100_000) -> Damage:
    """A PNG of a few bytes whose header says ``side`` x ``side`` pixels."""
    import zlib

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    content = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return data(path, b"\x89PNG\r\n\x1a\n" + content)


def huge_npy(path: str) -> Damage:
    """A .npy of a few bytes whose header says 40 GB."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000, 100000), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    return data(path, b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(100))


def metadata(path: str, change: Callable[[dict[str, str]], object]) -> Damage:
    """``change`` gets the metadata of a safetensors file and changes it in place."""

    def damage() -> None:
        from safetensors import safe_open
        from safetensors.torch import save_file

        with safe_open(path, "pt") as file:
            values = dict(file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        change(values)
        save_file(tensors, path, values)

    return damage


def scaled(path: str, factor: float) -> Damage:
    """The weights of a safetensors file, multiplied."""

    def damage() -> None:
        from safetensors import safe_open
        from safetensors.torch import save_file

        with safe_open(path, "pt") as file:
            values = dict(file.metadata())
            tensors = {name: file.get_tensor(name) * factor for name in file.keys()}  # noqa: SIM118
        save_file(tensors, path, values)

    return damage


def aliases(depth: int) -> str:
    """YAML of a few lines that stands for 10^depth values ("billion laughs")."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, depth)]
    return "\n".join(lines) + "\n"


def described(path: str, key: str, **fields: Any) -> Damage:
    """The metadata ``key`` of a safetensors file, which is JSON, with these fields."""

    def change(values: dict[str, str]) -> None:
        values[key] = json.dumps(json.loads(values[key]) | fields)

    return metadata(path, change)


def foreign_onnx(path: str) -> Damage:
    """An ONNX file of another program: it adds 1."""

    def damage() -> None:
        import onnx
        from onnx import TensorProto, helper

        shape = [1, 3, 8, 8]
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x", "y")]
        node = helper.make_node("Relu", ["x"], ["y"])
        graph = helper.make_graph([node], "a", values[:1], values[1:])
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)

    return damage


def external_onnx(path: str) -> Damage:
    """An ONNX file whose weights are said to lie in a file outside of its folder."""

    def damage() -> None:
        import onnx
        from onnx import TensorProto, helper

        weight = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
        weight.data_location = TensorProto.EXTERNAL
        entry = weight.external_data.add()
        entry.key, entry.value = "location", "../../../../../../../../etc/passwd"
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("x", "y")]
        graph = helper.make_graph(
            [helper.make_node("Add", ["x", "w"], ["y"])], "a", values[:1], values[1:], [weight]
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)

    return damage


def pickled_program(path: str) -> Damage:
    """A .pt2 file with a pickle in it, which torch.export.load would run."""
    import json
    import zipfile

    def damage() -> None:
        config = {
            "config": {
                "a": {"path_name": "weight_0", "is_param": True, "use_pickle": True, "tensor_meta": None}
            }
        }
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a/archive_format", "pt2")
            file.writestr("a/data/weights/model_weights_config.json", json.dumps(config))
            file.writestr("a/data/weights/weight_0", b"cos\nsystem\n(S'touch ran'\ntR.")

    return damage
