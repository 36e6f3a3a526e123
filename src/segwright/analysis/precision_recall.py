"""The precision-recall curves of instances, as an image file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from segwright.analysis.pages.plots import SERIES
from segwright.errors import UserError
from segwright.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg", ".pdf")
_FEW_CLASSES = 12  # more names do not fit beside the curves


def check_format(path: Path) -> None:
    """``UserError`` if the ending of ``path`` is not one of ``FORMATS``."""
    if path.suffix.lower() not in FORMATS:
        raise UserError(
            f"{path}: unknown kind of image; expected a name with the ending {', '.join(FORMATS)}"
        )


def write_precision_recall(path: Path, curves: Mapping[str, Any]) -> None:
    """Draw ``precision_recall`` of ``AveragePrecision.result``.

    On the left the mean over the classes at each IoU threshold, on the right each class at 0.50.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    recall, classes = curves["recall"], curves["class"]
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    means, by_class = figure.subplots(1, 2, sharey=True)
    thresholds = list(next(iter(classes.values()))) if classes else []
    for index, threshold in enumerate(thresholds):
        mean = np.mean([own[threshold] for own in classes.values()], axis=0)
        strength = 1 - 0.08 * index
        means.plot(recall, mean, color=SERIES[0], alpha=strength, label=f"{threshold}: {mean.mean():.1%}")
    named = 0 < len(classes) <= _FEW_CLASSES
    for index, (name, own) in enumerate(classes.items()):
        values = own[thresholds[0]]
        style: dict[str, Any] = {"color": SERIES[0], "alpha": 0.35}
        if named:
            style = {"color": SERIES[index % len(SERIES)], "linestyle": "-" if index < len(SERIES) else "--"}
        by_class.plot(recall, values, linewidth=1.2, label=f"{name}: {np.mean(values):.1%}", **style)
    _finish(means, "mean over classes", "IoU: AP" if classes else None)
    _finish(by_class, "classes at IoU 0.50", "class: AP50" if named else None)
    means.set_ylabel("precision")
    atomic_write(path, lambda part: figure.savefig(part, format=path.suffix[1:].lower(), dpi=150))


def _finish(axes: Axes, title: str, legend: str | None) -> None:
    axes.set(title=title, xlabel="recall", xlim=(0, 1), ylim=(0, 1.01))
    axes.grid(visible=True, alpha=0.3)
    if legend is not None:
        axes.legend(title=legend, fontsize="small", frameon=False)
