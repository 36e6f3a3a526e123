"""What an exported file says about itself, inside of it and in the JSON file beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, get_args

import torch

from segwright import contracts
from segwright.config import from_yaml, to_yaml
from segwright.contracts import Decoder, InputContract, Model
from segwright.decode.default import decoder_of
from segwright.errors import UserError
from segwright.export.graph import ExportGraph
from segwright.files import parse_json
from segwright.labels import LabelSpace
from segwright.version import VERSION

KEY, FORMAT_VERSION = "segwright", 1
"""The name of the entry in a file's metadata that holds the description as JSON; the version of its format."""


@dataclass(frozen=True, slots=True)
class Description:
    """Everything that a program needs to use an exported file.

    ``kind``: the class of the network's output; ``outputs``: its tensors in order; ``maps``: the outputs of
    post-processing. ``size``: the (height, width) that images must be padded to, or None for any multiple of
    ``input.multiple``. ``decoder``: YAML. ``origin``: sources and licenses of the weights. ``weights_sha256``: of the
    values of all weights in the order of the state dict, before the precision was changed.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    maps: tuple[str, ...]
    labels: LabelSpace
    input: InputContract
    decoder: str
    size: tuple[int, int] | None = None
    precision: str = "fp32"
    opset: int | None = None
    name: str = ""
    weights_sha256: str = ""
    origin: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values, with the versions of the format and of the programs."""
        values = {name: getattr(self, name) for name in self.__slots__}
        values |= {"labels": self.labels.to_json(), "input": asdict(self.input)}
        versions = {"version": FORMAT_VERSION, "segwright": VERSION, "torch": torch.__version__}
        return {"format": KEY, **versions, **values}

    @classmethod
    def from_json(cls, text: str | None, path: Path) -> Description:
        """The description in the metadata of the file ``path``; ``UserError`` if there is none."""
        if not text:
            raise UserError(
                f"{path}: contains no description of segwright; expected a file of 'segwright export'"
            )
        try:
            values = parse_json(text)
            version = values["version"]
            if version == FORMAT_VERSION:
                return cls._of(values)
            remedy = "update segwright" if version > FORMAT_VERSION else "export it again"
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: its description is damaged ({error}); export it again") from None
        raise UserError(f"{path}: exported file of version {version}; expected {FORMAT_VERSION}; {remedy}")

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> Description:
        names = ("kind", "decoder", "precision", "opset", "name", "weights_sha256", "origin")
        tuples: dict[str, Any] = {name: tuple(values[name]) for name in ("inputs", "outputs", "maps")}
        preprocessing: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in values["input"].items()
        }
        return cls(
            **{name: values[name] for name in names},
            **tuples,
            labels=LabelSpace.from_json(values["labels"]),
            input=InputContract(**preprocessing),
            size=None if values["size"] is None else (int(values["size"][0]), int(values["size"][1])),
        )

    def output_class(self, path: Path) -> Any:
        """The class ``kind``; ``UserError`` for one that this version does not know."""
        kinds = {kind.__name__: kind for kind in get_args(contracts.Output)}
        if self.kind not in kinds:
            raise UserError(
                f"{path}: its output is a {self.kind}; expected {' or '.join(kinds)}; update segwright"
            )
        return kinds[self.kind]

    def built_decoder(self, path: Path, code: ModuleType | None = None) -> Decoder:
        """The decoder of the model."""
        decoder: Decoder = from_yaml(self.decoder, where=f"{path}, decoder", code=code)
        return decoder


def describe(
    model: Model,
    graph: ExportGraph,
    *,
    size: tuple[int, int] | None = None,
    precision: str = "fp32",
    opset: int | None = None,
    name: str = "",
    origin: Mapping[str, Any] = MappingProxyType({}),
) -> Description:
    """The description of a model that is exported as ``graph``."""
    return Description(
        kind=graph.kind.__name__,
        inputs=graph.input_names,
        outputs=graph.field_names,
        maps=graph.output_names[len(graph.field_names) :],
        labels=model.labels,
        input=model.input,
        decoder=to_yaml(decoder_of(model)),
        size=size,
        precision=precision,
        opset=opset,
        name=name,
        weights_sha256=weights_sha256(model),
        origin=dict(origin),
    )


def weights_sha256(model: Model) -> str:
    """SHA-256 of the values of all weights, in the order of the state dict."""
    digest = hashlib.sha256()
    for value in model.state_dict().values():
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
