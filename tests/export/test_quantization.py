"""8 bits: which layers stay in float; and what OpenVINO and NNCF are kept from."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest

from segwright.errors import UserError
from segwright.export.openvino_file import import_silently


def test_the_layers_next_to_the_image_and_to_the_outputs_stay_in_float() -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from segwright.export.quantization import _outer_layers

    node, float32 = onnx.helper.make_node, onnx.TensorProto.FLOAT
    nodes = [
        node("Conv", ["images", "w0"], ["a"], name="stem"),
        node("Relu", ["a"], ["b"], name="relu"),
        node("Conv", ["b", "w1"], ["c"], name="semantic head"),
        node("Conv", ["b", "w2"], ["d"], name="branch"),
        node("Conv", ["d", "w3"], ["e"], name="center head"),
        node("Shape", ["a"], ["size"], name="size of the feature map"),
        node("Reshape", ["e", "size"], ["center"]),
        node("MatMul", ["b", "w4"], ["queries"], name="query head"),
        node("MatMul", ["queries", "c"], ["masks"], name="product"),
    ]
    shape = [1, 4, 8, 8]
    tensors = [onnx.helper.make_tensor_value_info(x, float32, shape) for x in ("images", "masks", "center")]
    weights = [onnx.numpy_helper.from_array(np.ones((4, 4, 1, 1), np.float32), f"w{i}") for i in range(5)]
    graph = onnx.helper.make_graph(nodes, "g", tensors[:1], tensors[1:], weights)
    assert _outer_layers(graph) == ["center head", "query head", "semantic head", "stem"]


def test_what_reports_its_use_is_imported_without_the_reporter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openvino_telemetry.py").write_text("")
    (tmp_path / "reporting_runtime.py").write_text(
        "try:\n    import openvino_telemetry as reporter\nexcept ImportError:\n    reporter = None\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert import_silently("reporting_runtime").reporter is None
    assert importlib.import_module("openvino_telemetry")  # of others it is not taken away


def test_a_package_that_is_missing_is_named_with_its_remedy() -> None:
    with pytest.raises(
        UserError, match=r"no_such_runtime is not installed; .*pip install 'segwright\[openvino\]'"
    ):
        import_silently("no_such_runtime")
