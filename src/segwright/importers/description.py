"""The result of an importer: the config of the network that a file belongs to, and a table that renames its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from segwright.contracts import Decoder, InputContract, ModelConfig
from segwright.errors import UserError

T = TypeVar("T")
State = Mapping[str, Tensor]
Renames = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Description:
    """How a file of weights becomes a model of segwright.

    ``renames``: pairs of a regular expression and its replacement; the first that matches the start of a key is
    applied. ``classes``: the number of output channels. ``decoder``: how the project decodes the outputs, if that
    differs from the default decoder.
    """

    config: ModelConfig
    input: InputContract
    renames: Renames
    classes: int
    decoder: Decoder | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """One project and its files of weights.

    ``describe(architecture, state, **options)`` gives the description of a file. ``parts``: the names of the files that
    make up a model. ``prefixes``: of keys, to be removed. ``options``: the arguments of ``load`` that are passed to
    ``describe``; all others set fields of the config. ``threshold``: the probability above which a network with
    a single output channel predicts class 1.

    ``architecture``: the one that is meant if none is given, for a project with a single architecture. ``arrange``
    makes the state dict that ``describe`` reads from those of all files, where renaming is not enough.
    ``settings_file``: the name of a JSON file next to the weights; both functions get its contents as ``settings``.
    """

    describe: Callable[..., Description]
    parts: tuple[str, ...] = ("model",)
    prefixes: tuple[str, ...] = ("module.",)
    options: tuple[str, ...] = ()
    threshold: float = 0.5
    architecture: str | None = None
    arrange: Callable[..., dict[str, Tensor]] | None = None
    settings_file: str | None = None


CAFFE_MEAN = (104.00698793, 116.66876762, 122.67891434)  # blue, green, red


def caffe_input(mean: tuple[float, ...] = CAFFE_MEAN, *, multiple: int = 1) -> InputContract:
    """The preprocessing of Caffe (toolbox, Pytorch-Deeplab, early CSAIL): BGR, 0..255, minus ``mean`` (BGR), std 1.

    Images are padded with the mean; ``InputContract`` has that value in the order RGB.
    """
    return InputContract("BGR", mean=mean, std=(1.0, 1.0, 1.0), fill_value=mean[::-1], multiple=multiple)


def output_channels(state: State, *keys: str) -> int:
    """The first dimension of the first of ``keys`` that the file contains; of a classifier the number of classes."""
    for key in keys:
        if key in state:
            return int(state[key].shape[0])
    raise UserError(
        f"the file has {len(state)} keys, but not {' or '.join(keys)}; check that it is of this architecture"
    )


def look_up(name: str, table: Mapping[str, T], kind: str) -> T:
    """The entry called ``name``; ``UserError`` lists the names. ``kind``: what the table contains, for the message."""
    if name not in table:
        raise UserError(f"unknown {kind} {name!r}; expected one of {', '.join(table)}")
    return table[name]
