"""Model repositories for Triton: the form of the configuration, and its agreement with the ONNX file."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.export.exported import recipe_model

from segwright.errors import UserError
from segwright.export import ExportedModel, Parity, export_model, load_exported, write_triton
from segwright.export.triton import check_triton

pytest.importorskip("onnxruntime")

# The part of ModelConfig that a model of one framework needs: field -> whether it may be repeated.
FIELDS: dict[str, dict[str, bool]] = {
    "": {"name": False, "platform": False, "max_batch_size": False, "input": True, "output": True,
         "dynamic_batching": False, "parameters": True},
    "input": {"name": False, "data_type": False, "dims": True},
    "output": {"name": False, "data_type": False, "dims": True},
    "parameters": {"key": False, "value": False},
    "value": {"string_value": False},
    "dynamic_batching": {},
}  # fmt: skip


def parse(text: str) -> dict[str, Any]:
    """The message in text format; AssertionError for a field that ``ModelConfig`` does not have, or has only once."""
    tokens = re.findall(r'"(?:[^"\\\n]|\\["\\])*"|[A-Za-z_][A-Za-z0-9_]*|-?\d+|\S', text)
    stream = iter(tokens)
    message = parse_message(stream, "")
    assert next(stream, None) is None
    return message


def parse_message(tokens: Iterator[str], kind: str) -> dict[str, Any]:
    message: dict[str, Any] = {}
    for token in tokens:
        if token == "}":
            assert kind
            return message
        assert token in FIELDS[kind], f"{token!r} in {kind!r}"
        value: Any
        following = next(tokens)
        if following == "{":
            value = parse_message(tokens, token)
        else:
            assert following == ":"
            value = next(tokens)
            value = parse_list(tokens) if value == "[" else scalar(value)
        if FIELDS[kind][token]:
            message.setdefault(token, []).extend(value if isinstance(value, list) else [value])
        else:
            assert token not in message
            message[token] = value
    assert not kind
    return message


def parse_list(tokens: Iterator[str]) -> list[Any]:
    values = []
    for token in tokens:
        if token == "]":
            return values
        if token != ",":
            values.append(scalar(token))
    raise AssertionError("a list that does not end")


def scalar(token: str) -> Any:
    if token.startswith('"'):
        return json.loads(token)
    return int(token) if re.fullmatch(r"-?\d+", token) else token


TYPES = {"tensor(float)": "TYPE_FP32", "tensor(int64)": "TYPE_INT64", "tensor(int32)": "TYPE_INT32"}


def check_tensors(config: dict[str, Any], model: ExportedModel) -> None:
    """Names, types and sides of the configuration are those that onnxruntime reads from the file."""
    session: Any = model.runtime.session  # type: ignore[attr-defined]
    batched = config["max_batch_size"] > 0
    for key, tensors in (("input", session.get_inputs()), ("output", session.get_outputs())):
        assert [each["name"] for each in config[key]] == [tensor.name for tensor in tensors]
        for each, tensor in zip(config[key], tensors, strict=True):
            assert each["data_type"] == TYPES[tensor.type]
            sides = [side if isinstance(side, int) else -1 for side in tensor.shape]
            assert each["dims"] == (sides[1:] if batched else sides)
            if batched:
                assert sides[0] == -1


@pytest.fixture(scope="module")
def exported(semantic_onnx: tuple[Path, Parity]) -> ExportedModel:
    return load_exported(semantic_onnx[0])


def test_a_repository_contains_the_file_and_its_configuration(
    exported: ExportedModel, tmp_path: Path
) -> None:
    folder = write_triton(exported, tmp_path / "models", "street-1")
    assert folder == tmp_path / "models" / "street-1"
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert files == ["1/model.onnx", "config.pbtxt"]
    assert (folder / "1" / "model.onnx").read_bytes() == exported.path.read_bytes()
    config = parse((folder / "config.pbtxt").read_text(encoding="ascii"))
    assert (config["name"], config["platform"]) == ("street-1", "onnxruntime_onnx")
    assert config["max_batch_size"] == 8 and config["dynamic_batching"] == {}
    check_tensors(config, exported)
    assert [each["name"] for each in config["output"]] == ["logits", "classes"]
    (parameter,) = config["parameters"]
    assert parameter["key"] == "segwright"
    about = json.loads(parameter["value"]["string_value"])
    assert about == json.loads(json.dumps(exported.description.to_json()))
    assert load_exported(folder / "1" / "model.onnx").labels == exported.labels


def test_the_configuration_is_the_message_of_triton(exported: ExportedModel, tmp_path: Path) -> None:
    text_format = pytest.importorskip("google.protobuf.text_format")
    client = pytest.importorskip("tritonclient")
    file = Path(client.__path__[0]) / "grpc" / "model_config_pb2.py"  # the package itself needs gRPC
    spec = importlib.util.spec_from_file_location("model_config_pb2", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = write_triton(exported, tmp_path, "street")
    message = text_format.Parse((folder / "config.pbtxt").read_text(), module.ModelConfig())
    assert message.input[0].data_type == module.DataType.Value("TYPE_FP32")
    assert list(message.input[0].dims) == [3, -1, -1]
    assert message.max_batch_size == 8 and message.HasField("dynamic_batching")
    about = json.loads(message.parameters["segwright"].string_value)
    assert about["labels"]["names"] == list(exported.labels.names)


@pytest.mark.slow
def test_a_panoptic_graph_takes_one_image_and_its_size(tmp_path: Path) -> None:
    model = export_model(
        recipe_model("street.panoptic_quick"), tmp_path / "pan.onnx", postprocessing=True
    ).model
    config = parse((write_triton(model, tmp_path, "pan") / "config.pbtxt").read_text())
    assert config["max_batch_size"] == 0 and "dynamic_batching" not in config
    check_tensors(config, model)
    assert [each["data_type"] for each in config["input"]] == ["TYPE_FP32", "TYPE_INT64"]


@pytest.mark.parametrize("name", ["", "a b", "../up", ".hidden", "größe", 'a"b'])
def test_names_that_are_no_folders_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot name a model"):
        check_triton(Path("model.onnx"), name)


def test_other_formats_are_refused() -> None:
    with pytest.raises(UserError, match=r"no ONNX file; choose --format onnx"):
        check_triton(Path("model.xml"), "model")
