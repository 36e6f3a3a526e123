"""Recorded inputs and outputs of the older projects: weights from ``fill``, outputs with their rounding noise."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.golden import fill, recorded
from torch import Tensor, nn

from segwright.contracts import Output, PixelOutput
from segwright.importers import FAMILIES, convert, load
from segwright.importers.load import rename_key
from segwright.models.weights.model_file import read_model

TOLERANCE = 30  # allowed difference, in multiples of the recorded float32 noise of an output


@dataclass
class Fixture:
    """One recorded network."""

    metadata: dict[str, Any]
    arrays: dict[str, Any]
    states: list[dict[str, Tensor]]

    @classmethod
    def read(cls, name: str) -> Fixture:
        metadata = recorded.metadata(name)
        files = metadata["files"]
        if "keys" not in files[0]:  # a training step, with the keys of its model
            files = recorded.metadata(files[0]["keys_like"].removesuffix(".json"))["files"]
        gains = metadata["fill"]["gain_overrides"]
        states = [
            {key: torch.from_numpy(np.asarray(value)) for key, value in fill.state(f["keys"], gains).items()}
            for f in files
        ]
        return cls(metadata, recorded.arrays(name), states)

    def tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self.arrays[name])

    def images(self) -> dict[str, Tensor]:
        """Inputs by the suffix of their outputs."""
        return {
            suffix: self.tensor(f"image{suffix}") for suffix in ("", "_b") if f"image{suffix}" in self.arrays
        }

    def agrees(self, output: Tensor, name: str) -> None:
        """``output`` is the recorded one, up to its noise."""
        noise = self.metadata["outputs"][name]["max_abs_err_vs_float64"]
        expected = self.tensor(name)
        assert output.shape == expected.shape
        assert (output - expected).abs().max().item() <= TOLERANCE * noise, name


def tensors(output: Output) -> list[Tensor]:
    """Every tensor of an output."""
    if isinstance(output, PixelOutput):
        return [output.logits, *output.auxiliary]
    return [output.semantic, output.center, output.offset]


def through_files(fixture: Fixture, folder: Path, family: str, architecture: str) -> list[Path]:
    """The states as .pth files with the prefix and the wrapping of the published ones."""
    paths = []
    for number, (state, file) in enumerate(zip(fixture.states, fixture.metadata["files"], strict=True)):
        prefixed: Any = {file["key_prefix"] + key: value for key, value in state.items()}
        if "model_state_dict" in file["container"]:
            prefixed = {"epoch": 3, "model_state_dict": prefixed, "metrics": {"miou": [np.float64(0.5)]}}
        paths.append(folder / f"{number}.pth")
        torch.save(prefixed, paths[-1])
    return paths


def same_after_files(fixture: Fixture, folder: Path, family: str, architecture: str) -> None:
    """Published files -> our file -> model: outputs equal those of the state dicts, bit for bit."""
    images = fixture.images()[""]
    with torch.inference_mode():
        expected = load(files=fixture.states, family=family, architecture=architecture)(images)
    paths = through_files(fixture, folder, family, architecture)
    convert(paths, family, architecture, folder / "model.safetensors")
    model = read_model(folder / "model.safetensors")
    with torch.inference_mode():
        output = model(images)
    assert len(tensors(output)) == len(tensors(expected))
    assert all(torch.equal(a, b) for a, b in zip(tensors(output), tensors(expected), strict=True))
    for path in (*paths, folder / "model.safetensors"):
        path.unlink()  # hundreds of megabytes, which pytest would keep


class Step:
    """A model in training mode without dropout, in float64, and our names of the keys of its file."""

    def __init__(self, fixture: Fixture, family: str, architecture: str) -> None:
        self.fixture = fixture
        self.model = load(files=fixture.states, family=family, architecture=architecture).double().train()
        for module in self.model.modules():
            if isinstance(module, nn.Dropout | nn.Dropout2d):
                module.eval()
        parts = FAMILIES[family].parts
        pairs = zip(parts, fixture.states, strict=True)
        prefix = len(parts) > 1
        state = {f"{part}.{k}" if prefix else k: v for part, states in pairs for k, v in states.items()}
        self.renames = FAMILIES[family].describe(architecture, state).renames

    def name(self, key: str) -> str:
        """Our name of ``model/conv1.weight``, ``encoder/layer2.0.bn1`` and so on."""
        return rename_key(key.removeprefix("model/").replace("/", ".") + ".", self.renames)[:-1]

    def check(self, loss: Tensor) -> None:
        """Loss and gradient norms are those recorded in float64; the running statistics moved as recorded."""
        metadata = self.fixture.metadata
        assert loss.item() == pytest.approx(metadata["float64_values"]["loss"], rel=1e-9)
        loss.backward()
        gradients = {name: p.grad for name, p in self.model.named_parameters() if p.grad is not None}
        for key, norm in metadata["float64_grad_norm"].items():
            assert gradients[self.name(key)].norm().item() == pytest.approx(norm, rel=1e-7), key
        total = torch.stack([g.norm() for g in gradients.values()]).norm()
        assert total.item() == pytest.approx(metadata["float64_grad_norm_all_parameters"], rel=1e-7)
        layer = self.model.get_submodule(self.name(metadata["running_stats_after"]["layer"]))
        for name in ("running_mean", "running_var"):
            expected = self.fixture.tensor(f"after_{name}")
            torch.testing.assert_close(getattr(layer, name).float(), expected, rtol=1e-5, atol=1e-6)
