"""The comparison of two runs: reads both run folders, counts their errors, predicts the images that changed most."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from segwright.analysis.comparisons.comparison_page import (
    ChangedImage,
    Comparison,
    RunLines,
    difference_table,
    render,
)
from segwright.analysis.comparisons.comparison_scores import ComparedScores, compare_pixels, compare_segments
from segwright.analysis.comparisons.recipe_differences import environment_differences, recipe_differences
from segwright.analysis.errors.split_errors import ImageErrors, SplitErrors
from segwright.analysis.reports import image_table
from segwright.analysis.reports.run_report import REMEDY, EvaluatedRun
from segwright.data.check import Progress
from segwright.errors import UserError, refuse_damage
from segwright.files import check_writable, write_text
from segwright.prediction.predict import predict
from segwright.training.log import read_lines
from segwright.visualization.label_maps import as_rgb
from segwright.visualization.segments import colorize_prediction, draw_ground_truth

CHANGED = 4
"""How many images are shown that got better most, and how many that got worse most."""

_REMEDY = "compare runs that were evaluated on one dataset"


def compare(
    first: Path | str,
    second: Path | str,
    *,
    out: Path | str | None = None,
    data: Path | str | None = None,
    code: Path | str | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Path:
    """Write one HTML page that compares two runs, and a CSV file with a row per image beside it; returns its path.

    The page has the scores of both and their differences, with paired bootstrap intervals over the images; the images
    that changed most; the settings that differ; and the learning curves together. ``out``: by default
    ``comparison-with-A.html`` in the folder of the ``second`` run. Errors are counted with the best model of each run,
    once (``error_pass``). ``data``, ``code``: as in ``run_report.report``. ``progress`` is called with (what is
    done, images done, images).

    ``UserError`` unless both runs were evaluated on the same images, with the same ground truth and classes.
    """
    source = None if code is None else Path(code)
    a, b = (EvaluatedRun.open(Path(run), data, source) for run in (first, second))
    path = Path(out) if out is not None else b.path / f"comparison-with-{a.name}.html"
    csv = path.with_name(f"{path.stem}-images.csv")
    check_writable(path, csv)
    with refuse_damage(f"{first} or {second}", REMEDY):
        check_comparable(a, b)
        errors = a.errors(device, _of(progress, "A")), b.errors(device, _of(progress, "B"))
        pixels, segments = compared_scores(a, b, errors)
        comparison = Comparison(
            names=(a.name, b.name) if a.name != b.name else (str(a.path), str(b.path)),
            labels=a.labels,
            evaluations=(a.evaluation, b.evaluation),
            pixels=pixels,
            segments=segments,
            lines=(_lines(a), _lines(b)),
            settings=recipe_differences(a.recipe_yaml, b.recipe_yaml),
            environment=environment_differences(a.metadata, b.metadata),
        )
        table = difference_table(comparison)
        changed = changed_images(comparison, a, b, device, progress)
        page = render(comparison, changed, table, csv_name=csv.name)
        text = image_table.to_csv(table)
    write_text(csv, text)
    write_text(path, page)
    return path


def check_comparable(a: EvaluatedRun, b: EvaluatedRun) -> None:
    """``UserError`` unless both runs have the same classes and were evaluated on the same images."""
    if a.labels.names != b.labels.names:
        only = sorted(set(a.labels.names) ^ set(b.labels.names))
        detail = f"{only[0]!r} is a class of only one of them" if only else "in another order"
        raise UserError(f"{a.path} and {b.path} have different classes ({detail}); {_REMEDY}")
    names = [[image["name"] for image in run.evaluation["per_image"]] for run in (a, b)]
    if len(names[0]) != len(names[1]):
        raise UserError(
            f"{a.path} was evaluated on {len(names[0])} images, {b.path} on {len(names[1])}; {_REMEDY}"
        )
    for first, second in zip(*names, strict=True):
        if first != second:
            raise UserError(
                f"{a.path} was evaluated on image {first!r}, {b.path} on {second!r} instead; {_REMEDY}"
            )


def compared_scores(
    a: EvaluatedRun, b: EvaluatedRun, errors: tuple[SplitErrors | None, SplitErrors | None]
) -> tuple[ComparedScores | None, ComparedScores | None]:
    """The scores of pixels and of segments; None where a run has no error counts, or no segments.

    ``UserError`` if the ground truth of an image has other pixels per class in the other run.
    """
    first, second = errors
    if first is None or second is None:
        return None, None
    for left, right in zip(first.images, second.images, strict=True):
        if left.name != right.name or not _same_truth(left, right):
            raise UserError(
                f"{a.path} and {b.path} have different ground truth of image {left.name!r}; {_REMEDY}"
            )
    counts = [np.stack([image.classes for image in one.images]) for one in (first, second)]
    pixels = compare_pixels(counts[0], counts[1])
    if not (first.has_segments and second.has_segments):
        return pixels, None
    segments = [np.stack([image.segments for image in one.images]) for one in (first, second)]  # type: ignore[misc]
    return pixels, compare_segments(segments[0], segments[1])


def changed_images(
    comparison: Comparison,
    a: EvaluatedRun,
    b: EvaluatedRun,
    device: torch.device | str,
    progress: Progress | None = None,
) -> list[ChangedImage]:
    """The images whose main score changed most, at most ``CHANGED`` in each direction; none without the dataset."""
    if a.dataset is None or comparison.main is None:
        return []
    difference = comparison.main.second - comparison.main.first
    order = [int(i) for i in np.argsort(np.nan_to_num(difference), kind="stable")]
    worse = [i for i in order[:CHANGED] if difference[i] < 0]
    better = [i for i in order[::-1][:CHANGED] if difference[i] > 0]
    if not (worse or better):
        return []
    models = [(run, run.model(device)) for run in (a, b)]
    changed: list[ChangedImage] = []
    for position in better + worse:
        image = a.evaluation["per_image"][position]
        sample = a.dataset[image["index"]]
        pictures = [as_rgb(sample.image), draw_ground_truth(sample, a.labels)]
        for run, model in models:
            with run.autocast(device):
                prediction = predict(model, sample.image).prediction
            pictures.append(colorize_prediction(prediction, a.labels))
        scores = float(comparison.main.first[position]), float(comparison.main.second[position])
        changed.append(ChangedImage(position, image["name"], *scores, tuple(pictures)))
        if progress is not None:
            progress("changed images", len(changed), len(better) + len(worse))
    return changed


def _of(progress: Progress | None, run: str) -> Progress | None:
    """Tells the passes of both runs apart."""
    if progress is None:
        return None
    return lambda split, done, images: progress(f"{run}, {split}", done, images)


def _same_truth(left: ImageErrors, right: ImageErrors) -> bool:
    return bool(np.array_equal(left.classes[:, 1], right.classes[:, 1]))


def _lines(run: EvaluatedRun) -> RunLines:
    return RunLines(read_lines(run.path, "step"), read_lines(run.path, "evaluation"))
