"""What an importer says of a file: the network it belongs to, and how its keys are called here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from segwright.contracts import Decoder, InputContract, ModelConfig
from segwright.errors import UserError

State = Mapping[str, Tensor]
Renames = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Description:
    """``renames``: regular expressions over the file's keys, the first that matches at the start counts.

    ``decoder``: how its outputs were decoded, where that is not what their kind gets anyway.
    """

    config: ModelConfig
    input: InputContract
    renames: Renames
    classes: int
    decoder: Decoder | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """One ancestor: the function that describes its files, what they are called, what their keys may begin with.

    ``options`` of ``load`` that ``describe`` takes; all others are fields of the config.
    """

    describe: Callable[..., Description]
    parts: tuple[str, ...] = ("model",)
    prefixes: tuple[str, ...] = ("module.",)
    options: tuple[str, ...] = ()


CAFFE_MEAN = (104.00698793, 116.66876762, 122.67891434)  # blue, green, red


def caffe_contract(mean: tuple[float, ...] = CAFFE_MEAN, *, multiple: int = 1) -> InputContract:
    """BGR, 0..255 minus a mean, no division (S1, S3, early S2); the padding is the mean, in the files' RGB."""
    return InputContract("BGR", mean=mean, std=(1.0, 1.0, 1.0), fill_value=mean[::-1], multiple=multiple)


def output_channels(state: State, *keys: str) -> int:
    """The number of classes: the length of the first of ``keys`` that is there."""
    for key in keys:
        if key in state:
            return int(state[key].shape[0])
    raise UserError(f"no {' or '.join(keys)} among {len(state)} keys; is it of another architecture?")


def known(architecture: str, table: Mapping[str, Any], family: str) -> Any:
    """The entry of an architecture; ``UserError`` lists what the family has."""
    if architecture not in table:
        raise UserError(f"{family} has no architecture {architecture!r}; expected one of {', '.join(table)}")
    return table[architecture]
