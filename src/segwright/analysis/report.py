"""The report of a run: one HTML file that needs nothing beside itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segwright.analysis import oracles, page, plots, segments
from segwright.labels import LabelSpace
from segwright.visualization import label_maps

Values = NDArray[np.float64]

MOST_CONFUSIONS = 15
MOST_PICTURES = 4
IMAGE_BUDGET = 4_500_000  # characters of all pictures of cases together
SIDES = (640, 480, 400, 320, 240, 160)  # longest sides to try until they fit the budget


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One image to look at: ``image`` RGB [H, W, 3], the maps [H, W] in class indices, scores 0..1.

    ``objects``: pictures with their captions that stand for those of the class maps where there are objects.
    """

    name: str
    miou: float
    pixel_accuracy: float
    image: NDArray[np.uint8]
    truth: NDArray[Any]
    prediction: NDArray[Any]
    group: Literal["worst", "best"]
    pq: float = math.nan
    objects: Sequence[tuple[str, NDArray[np.uint8]]] = ()

    @property
    def score(self) -> float:
        """By which cases are ranked: PQ where there are objects, else mIoU."""
        return self.miou if math.isnan(self.pq) else self.pq


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a report tells of a run; every part but the name and the labels may be empty.

    ``steps`` are the lines of the training log; their ``seconds`` count from the start of the process that
    wrote them, so they fall back where a run was resumed. ``evaluations`` are the scores during training;
    ``evaluation`` is the last one in full: the fields of ``Scores``, ``images``, ``split``, ``confusion``
    [C, C] or [C, C + 1] (rows are truth, the last column is pixels left without a class) and ``per_image``.
    ``pictures`` were kept during training, the newest last. ``oracle``: a study with parts replaced by the truth.
    """

    name: str
    labels: LabelSpace
    recipe_yaml: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    steps: Sequence[Mapping[str, Any]] = ()
    evaluations: Sequence[Mapping[str, Any]] = ()
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    pictures: Sequence[Path] = ()
    oracle: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A line of the table of classes; fractions, NaN where there is nothing to divide by."""

    name: str
    color: str
    iou: float
    recall: float
    precision: float
    truth: float
    predicted: float


@dataclass(frozen=True, slots=True)
class Mistake:
    """Pixels of one class that were taken for another; ``share`` is their part of the true class."""

    truth: str
    prediction: str
    truth_color: str
    prediction_color: str
    share: float
    pixels: int


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """A case as the page shows it: pictures are (caption, data), mistakes (truth, prediction, share)."""

    case: Case
    pictures: list[tuple[str, str]]
    mistakes: list[tuple[str, str, float]]


def render(run: Run, cases: Sequence[Case]) -> str:
    """The report as one HTML page: scores, curves, classes, confusions, images, recipe, environment.

    The page loads nothing from anywhere: figures are SVG, images are JPEG inside it, made as small as it
    takes to keep the file below about 6 MB. ``ValueError`` if the confusion matrix does not fit the labels.
    """
    counts = confusion(run)
    return page.render(
        "report.html",
        run=run,
        figures=key_figures(run),
        curves=_curves(run),
        classes=class_table(run, counts),
        segments=segments.class_rows(run.evaluation, run.labels),
        segment_totals=segments.totals(run.evaluation),
        oracle=oracles.section(run.oracle),
        mean_iou=page.number_of(run.evaluation.get("miou")),
        mean_recall=page.number_of(run.evaluation.get("class_accuracy")),
        matrices=_matrices(counts, run.labels),
        matrix_legend=[(share, round(share**plots.MATRIX_POWER, 3)) for share in (0.01, 0.05, 0.2, 0.5, 1.0)],
        mistakes=[] if counts is None else top_confusions(counts, run.labels),
        unclassified=0.0 if counts is None else _ratio(counts[:, len(run.labels) :].sum(), counts.sum()),
        spread=_spread(run, counts),
        groups=_groups(cases, run.labels),
        legend=_legend(cases, run.labels),
        error_legend=_error_legend(),
        pictures=_pictures(run.pictures),
        facts=list(_facts(run.environment)),
    )


def confusion(run: Run) -> NDArray[np.int64] | None:
    """The confusion matrix [C, C + 1] of the last evaluation, None if it has none or counted nothing."""
    rows = run.evaluation.get("confusion")
    if rows is None:
        return None
    counts, classes = np.array(rows, dtype=np.int64), len(run.labels)
    if counts.shape not in {(classes, classes), (classes, classes + 1)}:
        raise ValueError(
            f"confusion matrix is {counts.shape}, label space {run.labels.name!r} has {classes} classes; "
            f"expected {(classes, classes)} or {(classes, classes + 1)}: is it of another data set?"
        )
    if counts.shape[1] == classes:
        counts = np.pad(counts, ((0, 0), (0, 1)))
    return counts if counts.any() else None


def class_table(run: Run, counts: NDArray[np.int64] | None) -> list[ClassRow]:
    """One row a class: its IoU as evaluated, and what the matrix says; a class that is absent has NaN."""
    classes = len(run.labels)
    unknown = np.full(classes, np.nan)
    iou = recall = precision = truth_share = predicted_share = unknown
    if counts is not None:
        hit, truth, predicted = counts.diagonal(), counts.sum(1), counts[:, :classes].sum(0)
        iou = _ratios(hit, truth + predicted - hit)
        recall, precision = _ratios(hit, truth), _ratios(hit, predicted)
        truth_share, predicted_share = (
            _ratios(part, np.full(classes, counts.sum())) for part in (truth, predicted)
        )
    given = run.evaluation.get("class_iou") or {}
    return [
        ClassRow(
            name=name,
            color=page.hex_of(run.labels.colors[index]),
            iou=page.number_of(given[name]) if name in given else float(iou[index]),
            recall=float(recall[index]),
            precision=float(precision[index]),
            truth=float(truth_share[index]),
            predicted=float(predicted_share[index]),
        )
        for index, name in enumerate(run.labels.names)
    ]


def top_confusions(
    counts: NDArray[np.int64], labels: LabelSpace, *, most: int = MOST_CONFUSIONS
) -> list[Mistake]:
    """The largest off-diagonal entries of the matrix [C, C or C + 1], by pixels, at most so many."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    names = [*labels.names, "(no class)"]
    colors = [*(page.hex_of(color) for color in labels.colors), "transparent"]
    places = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [(int(p) // wrong.shape[1], int(p) % wrong.shape[1]) for p in places]
    return [
        Mistake(
            truth=names[row],
            prediction=names[column],
            truth_color=colors[row],
            prediction_color=colors[column],
            share=_ratio(wrong[row, column], counts[row].sum()),
            pixels=int(wrong[row, column]),
        )
        for row, column in pairs
        if wrong[row, column] > 0
    ]


def key_figures(run: Run) -> list[tuple[str, str]]:
    """What stands at the top of the page: (what, value as text), scores first."""
    evaluation = run.evaluation
    scores = (
        segments.KEY_FIGURES
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
    """Seconds over all sittings of a run: the clock of a log line starts anew where a run was resumed."""
    total = before = 0.0
    for line in steps:
        now = page.number_of(line.get("seconds"))
        if math.isnan(now):
            continue
        total += now - before if now >= before else now
        before = now
    return total if before else math.nan


def _curves(run: Run) -> list[Any]:
    drawn = (
        plots.validation(run.evaluations),
        plots.losses(run.steps),
        plots.learning_rate(run.steps),
        plots.throughput(run.steps),
    )
    return [page.markup(svg) for svg in drawn if svg]


def _matrices(counts: NDArray[np.int64] | None, labels: LabelSpace) -> list[Any]:
    if counts is None:
        return []
    classes = len(labels)
    shown = counts if counts[:, classes:].any() else counts[:, :classes]
    columns = [*labels.names, "(no class)"][: shown.shape[1]]
    halves = (
        ("share of each true class, %", shown.sum(1, keepdims=True)),
        ("share of each predicted class, %", shown.sum(0, keepdims=True)),
    )
    return [
        page.markup(
            plots.matrix(_ratios(shown, np.broadcast_to(total, shown.shape)), labels.names, columns, title)
        )
        for title, total in halves
    ]


def _spread(run: Run, counts: NDArray[np.int64] | None) -> list[Any]:
    """How scores spread over images, and pixels over classes."""
    images = [page.number_of(image.get("miou")) for image in run.evaluation.get("per_image") or ()]
    drawn = [plots.histogram(np.array(images, dtype=np.float64))]
    if counts is not None:
        truth, predicted = counts.sum(1), counts[:, : len(run.labels)].sum(0)
        total = counts.sum()
        drawn.append(plots.class_shares(truth / total, predicted / total, run.labels.names))
    return [page.markup(svg) for svg in drawn if svg]


def _groups(cases: Sequence[Case], labels: LabelSpace) -> list[tuple[str, list[_View]]]:
    """Worst and best images, each with its pictures as data and its main mistakes."""
    pictures = [
        (
            *(
                case.objects
                or (
                    ("image and prediction", label_maps.overlay(case.image, case.prediction, labels)),
                    ("truth", label_maps.colorize(case.truth, labels)),
                    ("prediction", label_maps.colorize(case.prediction, labels)),
                )
            ),
            (
                "errors of classes" if case.objects else "errors",
                label_maps.errors(case.prediction, case.truth, labels),
            ),
        )
        for case in cases
    ]
    encoded: list[list[tuple[str, str]]] = []
    for side in SIDES:
        encoded = [
            [(title, label_maps.data_uri(picture, side)) for title, picture in row] for row in pictures
        ]
        if sum(len(data) for row in encoded for _, data in row) <= IMAGE_BUDGET:
            break
    views = [_View(case, row, _case_mistakes(case, labels)) for case, row in zip(cases, encoded, strict=True)]
    groups = []
    for group, title, sign in (("worst", "Worst images", 1), ("best", "Best images", -1)):
        members = [view for view in views if view.case.group == group]
        members.sort(key=lambda view: (math.isnan(view.case.score), sign * view.case.score))
        groups += [(title, members)] if members else []
    return groups


def _case_mistakes(case: Case, labels: LabelSpace) -> list[tuple[str, str, float]]:
    """The two largest confusions of one image: truth, prediction, share of its pixels that have truth."""
    classes = len(labels)
    known = (case.truth >= 0) & (case.truth < classes)
    said = case.prediction[known].astype(np.int64)
    said = np.where((said >= 0) & (said < classes), said, classes)
    key = case.truth[known].astype(np.int64) * (classes + 1) + said
    counts = np.bincount(key, minlength=classes * (classes + 1)).reshape(classes, classes + 1)
    top = top_confusions(counts, labels, most=2)
    return [(mistake.truth, mistake.prediction, mistake.pixels / len(key)) for mistake in top]


def _legend(cases: Sequence[Case], labels: LabelSpace) -> list[tuple[str, str]]:
    """Color and name of the classes that occur in the pictures."""
    seen = {
        int(index) for case in cases for part in (case.truth, case.prediction) for index in np.unique(part)
    }
    return [(page.hex_of(labels.colors[i]), labels.names[i]) for i in sorted(seen) if 0 <= i < len(labels)]


def _error_legend() -> list[tuple[str, str]]:
    return [
        (page.hex_of(label_maps.CORRECT), "correct"),
        (page.hex_of(label_maps.NEAR_BORDER), "wrong, near a border of the truth"),
        (page.hex_of(label_maps.WRONG), "wrong, inside"),
        (page.hex_of(label_maps.UNSCORED), "no truth"),
    ]


def _pictures(paths: Sequence[Path]) -> list[tuple[str, str]]:
    """The last pictures that can be read, as (name, data)."""
    import cv2

    shown = []
    for path in paths[-MOST_PICTURES:]:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
        if picture is not None:
            shown.append(
                (
                    path.stem,
                    label_maps.data_uri(np.ascontiguousarray(picture[..., ::-1], dtype=np.uint8), 1280),
                )
            )
    return shown


def _facts(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Nested values as (dotted name, text), plain ones before nested ones."""
    for key, value in sorted(values.items(), key=lambda item: isinstance(item[1], Mapping)):
        name = f"{path}.{key}" if path else str(key)
        if isinstance(value, Mapping):
            yield from _facts(value, name)
        elif isinstance(value, list | tuple):
            yield name, ", ".join(map(str, value)) or page.DASH
        else:
            yield name, page.DASH if value is None else str(value)


def _ratio(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole else math.nan


def _ratios(part: NDArray[Any], whole: NDArray[Any]) -> Values:
    result: Values = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result
