"""The graph of a model traced by ``torch.export``, for images of one size or of all sizes."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import Any

import jaxtyping
import torch
from torch import Tensor

from segwright.contracts import Model
from segwright.errors import UserError
from segwright.export.graph import ExportGraph, example_images

LARGEST_BATCH, LARGEST_SIDE = 1024, 1 << 14
SMALLEST_SIDE = 64
"""In pixels, of networks that cannot be traced for smaller images as well."""


def trace(model: Model, graph: ExportGraph, *, size: tuple[int, int] | None) -> torch.export.ExportedProgram:
    """The program of ``graph``; the batch size is free, but 1 where the graph takes ``size`` as an input.

    ``size``: the (height, width) that images are padded to, or None for all multiples of ``model.input.multiple``.
    ``UserError`` if the network cannot be traced for all sizes.
    """
    count = 1 if graph.takes_size else 2
    images = example_images(model, size, count=count)
    inputs: tuple[Tensor, ...] = (images,)
    shapes: dict[str, Any] = {"images": _dynamic_shape(model, any_size=size is None, any_count=count > 1)}
    if graph.takes_size:
        inputs, shapes = (images, torch.tensor(images.shape[2:])), {**shapes, "size": None}
    if size is not None:
        try:
            return _traced(graph, inputs, shapes)
        except Exception as error:
            raise UserError(f"the network cannot be exported: {_reason(error)}") from error
    try:
        return _traced(graph, inputs, shapes)
    except Exception as error:  # some networks take another path where a feature map is a single pixel
        if "data-dependent" in str(error):
            raise UserError(
                f"the network cannot be exported: it decides by the values of a tensor ({_reason(error)})"
            ) from error
        shapes["images"] |= _sides(model, smallest=SMALLEST_SIDE)
    try:
        return _traced(graph, inputs, shapes)
    except Exception as error:
        raise UserError(
            f"the network cannot be exported for all image sizes ({_reason(error)}); choose one: --size H,W"
        ) from error


def _traced(graph: ExportGraph, inputs: tuple[Tensor, ...], shapes: Any) -> torch.export.ExportedProgram:
    # Under pytest jaxtyping checks annotations, but symbolic sides are no integers.
    disabled = jaxtyping.config.jaxtyping_disable
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        with torch.no_grad(), quiet():
            return torch.export.export(graph, inputs, dynamic_shapes=shapes, strict=False)
    finally:
        jaxtyping.config.update("jaxtyping_disable", disabled)


class quiet(warnings.catch_warnings):
    """Within the block, warnings, logs and graphs that exporters print are not shown; errors are raised."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
        self.disabled = logging.root.manager.disable
        logging.disable(logging.WARNING)
        self.stderr = contextlib.redirect_stderr(io.StringIO())
        self.stderr.__enter__()

    def __exit__(self, *details: Any) -> None:
        self.stderr.__exit__(*details)
        logging.disable(self.disabled)
        super().__exit__(*details)


def _dynamic_shape(model: Model, *, any_size: bool, any_count: bool) -> dict[int, Any]:
    shape: dict[int, Any] = {0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH)} if any_count else {}
    return shape | _sides(model) if any_size else shape


def _sides(model: Model, smallest: int = 1) -> dict[int, Any]:
    """Height and width: all multiples of ``model.input.multiple`` from ``smallest`` pixels on."""
    multiple = model.input.multiple
    sides: dict[int, Any] = {}
    for axis, name in ((2, "height"), (3, "width")):
        side = torch.export.Dim(
            f"{name}_{multiple}", min=-(-smallest // multiple), max=LARGEST_SIDE // multiple
        )
        sides[axis] = multiple * side if multiple > 1 else side
    return sides


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:160] if lines else ''}"
