"""segwright: semantic, instance and panoptic segmentation, from data check to served model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from segwright.version import VERSION as __version__

if TYPE_CHECKING:
    from segwright.analysis.run_report import report as report
    from segwright.contracts import InputContract as InputContract
    from segwright.evaluation.evaluate import evaluate as evaluate
    from segwright.labels import LabelSpace as LabelSpace
    from segwright.prediction.predict import load as load
    from segwright.prediction.predict import predict as predict
    from segwright.recipe import Recipe as Recipe
    from segwright.recipe import check as check
    from segwright.training.train import train as train

_PLACES = {
    "InputContract": "contracts",
    "LabelSpace": "labels",
    "Recipe": "recipe",
    "check": "recipe",
    "evaluate": "evaluation.evaluate",
    "load": "prediction.predict",
    "predict": "prediction.predict",
    "report": "analysis.run_report",
    "train": "training.train",
}
__all__ = [  # noqa: PLE0604 - the names are strings, once listed above
    "__version__",
    *sorted(_PLACES),
]


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first used: ``segwright --help`` must not wait for torch."""
    if name not in _PLACES:
        raise AttributeError(f"module 'segwright' has no attribute {name!r}")
    return getattr(importlib.import_module(f"segwright.{_PLACES[name]}"), name)
