"""The report of a run as one HTML page that works offline."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.analysis.errors.split_errors import (
    SplitErrors,
    class_iou,
    mean_of_classes,
    ratios,
    sum_of_classes,
)
from segwright.analysis.pages import page, plots
from segwright.analysis.reports import error_section, image_table, oracle_section, segment_section
from segwright.analysis.reports.confusions import ratio, top_confusions
from segwright.analysis.reports.error_examples import ExampleView
from segwright.analysis.reports.image_table import ImageTable
from segwright.analysis.reports.report_cases import Case, case_groups, class_legend, error_legend
from segwright.labels import LabelSpace
from segwright.visualization import label_maps

MAX_VISUALIZATIONS = 4


@dataclass(frozen=True, slots=True, eq=False)
class RunReport:
    """The content of a report; everything except ``name`` and ``labels`` may be empty.

    ``steps`` are the lines of the training log; their ``seconds`` count from the start of the process that wrote them,
    so they start again at 0 where a run was resumed. ``evaluations`` are the scores during training. ``evaluation`` is
    the last one, as ``EvaluationResult.to_json`` returns it. ``visualizations``: images drawn during training, the
    newest last. ``oracle``: scores with outputs replaced by the ground truth, as ``segwright evaluate --oracle-table``
    writes them. ``errors``: the error counts of the split, and ``examples``, pictures of them.
    """

    name: str
    labels: LabelSpace
    recipe_yaml: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    steps: Sequence[Mapping[str, Any]] = ()
    evaluations: Sequence[Mapping[str, Any]] = ()
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    visualizations: Sequence[Path] = ()
    oracle: Mapping[str, Any] | None = None
    errors: SplitErrors | None = None
    examples: Sequence[ExampleView] = ()


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A row of the table of classes: fractions 0..1; NaN where undefined.

    ``truth`` and ``predicted`` are the fractions of pixels of the class in ground truth and prediction.
    """

    name: str
    color: str
    iou: float
    recall: float
    precision: float
    truth: float
    predicted: float


def render(
    run: RunReport,
    cases: Sequence[Case],
    *,
    table: ImageTable | None = None,
    csv_name: str = "report-images.csv",
) -> str:
    """The report as one HTML page: scores, curves, per-class IoU, confusions, errors, images, recipe, environment.

    ``table``: the table of all images, by default made of the evaluation; ``csv_name``: its file beside the page.

    The page works offline: it contains its figures as SVG and its images as JPEG, resized to keep the file below about
    8 MB. ``ValueError`` if the confusion matrix does not fit the labels.
    """
    counts = confusion_matrix(run)
    table = table or image_table.image_table(run.evaluation, run.errors, run.labels)
    return page.render(
        "report.html",
        run=run,
        figures=key_figures(run),
        curves=_curves(run),
        classes=class_table(run, counts),
        segments=segment_section.class_rows(run.evaluation, run.labels),
        segment_totals=segment_section.totals(run.evaluation),
        oracle=oracle_section.section(run.oracle),
        mean_iou=page.number_of(run.evaluation.get("miou")),
        mean_recall=page.number_of(run.evaluation.get("class_accuracy")),
        matrices=_matrices(counts, run.labels),
        matrix_legend=[
            (fraction, round(fraction**plots.MATRIX_POWER, 3)) for fraction in (0.01, 0.05, 0.2, 0.5, 1.0)
        ],
        confusions=[] if counts is None else top_confusions(counts, run.labels, errors=run.errors),
        confusion_images=run.errors is not None,
        unclassified=0.0 if counts is None else ratio(counts[:, len(run.labels) :].sum(), counts.sum()),
        distributions=_distributions(run, counts),
        errors=error_section.section(run.errors, run.examples),
        recount=recount_note(run),
        measured=error_section.confidence_figures(run.evaluation),
        table=image_table.section(table, csv_name=csv_name, anchors=_anchors(run, cases)),
        groups=case_groups(cases, run.labels),
        legend=class_legend(cases, run.labels),
        error_legend=error_legend(),
        metrics=metric_rows(run.evaluation),
        visualizations=_visualizations(run.visualizations),
        facts=list(_facts(run.environment)),
    )


def recount_note(run: RunReport) -> str:
    """A sentence if the error counts, made on this machine, do not give the evaluated mIoU; else empty.

    They differ if the evaluation ran in mixed precision or on other hardware.
    """
    evaluated = page.number_of(run.evaluation.get("miou"))
    if run.errors is None or math.isnan(evaluated):
        return ""
    counted = float(mean_of_classes(class_iou(sum_of_classes(run.errors))))
    if abs(counted - evaluated) < 5e-4:
        return ""
    return (
        f"Errors are counted by running the model again; here it has an mIoU of {page.percent(counted, 2)} %, in the "
        f"evaluation {page.percent(evaluated, 2)} %."
    )


def _anchors(run: RunReport, cases: Sequence[Case]) -> dict[int, str]:
    """The ids of the elements that show the images of ``cases``, by row of the table of all images."""
    shown = {case.index for case in cases if case.index is not None}
    images = run.evaluation.get("per_image") or ()
    return {row: f"image-{image['index']}" for row, image in enumerate(images) if image.get("index") in shown}


def confusion_matrix(run: RunReport) -> NDArray[np.int64] | None:
    """The confusion matrix [C, C + 1] of the last evaluation; None if it is missing or all zero.

    Rows are ground truth, columns predictions; the last column counts pixels that were predicted as no class.
    """
    rows = run.evaluation.get("confusion")
    if rows is None:
        return None
    counts, classes = np.array(rows, dtype=np.int64), len(run.labels)
    if counts.shape not in {(classes, classes), (classes, classes + 1)}:
        raise ValueError(
            f"confusion matrix is {counts.shape}, label space {run.labels.name!r} has {classes} classes; "
            f"expected {(classes, classes)} or {(classes, classes + 1)}; evaluate the run on its own dataset"
        )
    if counts.shape[1] == classes:
        counts = np.pad(counts, ((0, 0), (0, 1)))
    return counts if counts.any() else None


def class_table(run: RunReport, counts: NDArray[np.int64] | None) -> list[ClassRow]:
    """One row per class: its IoU as evaluated, the rest from the confusion matrix; NaN for an absent class."""
    classes = len(run.labels)
    unknown = np.full(classes, np.nan)
    iou = recall = precision = truth_fraction = predicted_fraction = unknown
    if counts is not None:
        correct, truth, predicted = counts.diagonal(), counts.sum(1), counts[:, :classes].sum(0)
        iou = ratios(correct, truth + predicted - correct)
        recall, precision = ratios(correct, truth), ratios(correct, predicted)
        truth_fraction, predicted_fraction = (
            ratios(pixels, np.full(classes, counts.sum())) for pixels in (truth, predicted)
        )
    evaluated = run.evaluation.get("class_iou") or {}
    return [
        ClassRow(
            name=name,
            color=page.hex_of(run.labels.colors[index]),
            iou=page.number_of(evaluated[name]) if name in evaluated else float(iou[index]),
            recall=float(recall[index]),
            precision=float(precision[index]),
            truth=float(truth_fraction[index]),
            predicted=float(predicted_fraction[index]),
        )
        for index, name in enumerate(run.labels.names)
    ]


def metric_rows(evaluation: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The results of ``Recipe.metrics``, (dotted name, text); fractions 0..1 in percent, other numbers as they are."""
    names = evaluation.get("metrics") or {}
    results = names if isinstance(names, Mapping) else {name: evaluation.get(name) for name in names}
    return list(_facts(results, text=_metric_text))


def _metric_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{page.percent(value, 2)} %" if 0 <= value <= 1 else f"{value:.6g}"
    return page.DASH if value is None else str(value)


def key_figures(run: RunReport) -> list[tuple[str, str]]:
    """The numbers at the top of the page: (title, value as text), scores first."""
    evaluation = run.evaluation
    scores = (
        segment_section.key_figures(evaluation)
        if evaluation.get("panoptic")
        else {
            "mIoU": "miou",
            "Pixel accuracy": "pixel_accuracy",
            "Class accuracy": "class_accuracy",
            "Frequency-weighted IoU": "frequency_weighted_iou",
        }
    )
    last = max((int(line["step"]) for line in (*run.steps, *run.evaluations) if "step" in line), default=None)
    return [
        *((title, page.percent(evaluation.get(key), 2)) for title, key in scores.items()),
        ("Images", page.count(evaluation.get("images"))),
        ("Split", str(evaluation.get("split") or page.DASH)),
        ("Steps", page.count(last)),
        ("Training time", page.duration(training_seconds(run.steps))),
    ]


def training_seconds(steps: Sequence[Mapping[str, Any]]) -> float:
    """Seconds of the run; the seconds of log lines start again at 0 where a run was resumed."""
    total = previous = 0.0
    for line in steps:
        now = page.number_of(line.get("seconds"))
        if math.isnan(now):
            continue
        total += now - previous if now >= previous else now
        previous = now
    return total if previous else math.nan


def _curves(run: RunReport) -> list[str]:
    figures = (
        plots.validation(run.evaluations),
        plots.losses(run.steps),
        plots.learning_rate(run.steps),
        plots.throughput(run.steps),
    )
    return [svg for svg in figures if svg]


def _matrices(counts: NDArray[np.int64] | None, labels: LabelSpace) -> list[str]:
    if counts is None:
        return []
    classes = len(labels)
    used = counts if counts[:, classes:].any() else counts[:, :classes]
    columns = [*labels.names, "(no class)"][: used.shape[1]]
    normalizations = (
        ("confusion matrix, % of each true class", used.sum(1, keepdims=True)),
        ("confusion matrix, % of each predicted class", used.sum(0, keepdims=True)),
    )
    return [
        plots.matrix(ratios(used, np.broadcast_to(total, used.shape)), labels.names, columns, title)
        for title, total in normalizations
    ]


def _distributions(run: RunReport, counts: NDArray[np.int64] | None) -> list[str]:
    """Figures: how scores are distributed over images, and pixels over classes."""
    images = [page.number_of(image.get("miou")) for image in run.evaluation.get("per_image") or ()]
    figures = [plots.histogram(np.array(images, dtype=np.float64))]
    if counts is not None:
        truth, predicted = counts.sum(1), counts[:, : len(run.labels)].sum(0)
        total = counts.sum()
        figures.append(plots.class_fractions(truth / total, predicted / total, run.labels.names))
    return [svg for svg in figures if svg]


def _visualizations(paths: Sequence[Path]) -> list[tuple[str, str]]:
    """The newest images that can be read, as (name, data URI)."""
    import cv2

    images = []
    for path in paths[-MAX_VISUALIZATIONS:]:
        image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
        if image is not None:
            rgb = np.ascontiguousarray(image[..., ::-1], dtype=np.uint8)
            images.append((path.stem, label_maps.data_uri(rgb, 1280)))
    return images


def _fact_text(value: Any) -> str:
    return page.DASH if value is None else str(value)


def _facts(
    values: Mapping[str, Any], path: str = "", *, text: Callable[[Any], str] = _fact_text
) -> Iterator[tuple[str, str]]:
    """Nested values as (dotted name, text); those that are not nested come first."""
    for key, value in sorted(values.items(), key=lambda item: isinstance(item[1], Mapping)):
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _facts(value, name, text=text)
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(text, value)) or page.DASH
        else:
            yield name, text(value)
