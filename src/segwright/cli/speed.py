"""Options that make a model faster: ``evaluate``, ``predict`` and ``bench`` share them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from segwright.cli.options import refuse_options

if TYPE_CHECKING:
    from segwright.contracts import Model


def add_speed(parser: argparse.ArgumentParser) -> None:
    """``--fast`` and ``--compile``."""
    text = "fold batch norms into convolutions, and use channels-last memory and, if the hardware computes in it, bf16"
    group = parser.add_argument_group("speed")
    group.add_argument("--fast", action="store_true", help=text)
    text = "compile the model with torch.compile; the first image of each size then takes minutes"
    group.add_argument("--compile", action="store_true", help=text)


def faster_model(options: argparse.Namespace, model: Model) -> Model:
    """The model as ``--fast`` and ``--compile`` ask for; the model itself without them."""
    if not (options.fast or options.compile):
        return model
    from segwright.export.exported_model import ExportedModel
    from segwright.models.optimize import optimize
    from segwright.training.precision import precision_of

    if isinstance(model, ExportedModel):
        refuse_options(options, "fast", "compile", reason="on an exported model")
    if not options.fast:
        return optimize(model, fold_batch_norm=False, channels_last=False, compile=True)
    parameter = next(model.parameters(), None)
    bf16 = parameter is not None and precision_of("auto", parameter.device) == "bf16"
    return optimize(model, dtype="bf16" if bf16 else None, compile=options.compile)
