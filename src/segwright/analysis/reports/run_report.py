"""The report of a run folder: reads the files of the run, counts its errors, and predicts the images that it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from segwright.analysis.errors.error_pass import run_errors
from segwright.analysis.errors.split_errors import SplitErrors
from segwright.analysis.reports import image_table, segment_section
from segwright.analysis.reports.error_examples import ExampleView, example_views
from segwright.analysis.reports.query_masks import WithQueryOutput, draw_query_masks
from segwright.analysis.reports.report_cases import Case
from segwright.analysis.reports.report_page import RunReport, render
from segwright.config import from_yaml, load_code
from segwright.contracts import Model
from segwright.data.check import Progress
from segwright.decode.default import decoder_of, with_center_maps
from segwright.errors import UserError, refuse_damage
from segwright.files import check_writable, read_json, read_text, write_text
from segwright.labels import LabelSpace
from segwright.model_paths import check_evaluated
from segwright.prediction.predict import load, predict
from segwright.samples import Dataset, Sample
from segwright.training.log import read_lines
from segwright.training.precision import autocast
from segwright.training.recipe import Recipe
from segwright.visualization.label_maps import RGBImage, as_rgb

REMEDY = "expected the files that training and evaluation wrote; restore them, or evaluate the run again"
"""For a run folder with damaged files."""


def report(  # noqa: PLR0913 - each by its name
    run: Path | str,
    *,
    out: Path | str | None = None,
    data: Path | str | None = None,
    worst: int = 8,
    best: int = 4,
    count_errors: bool = True,
    code: Path | str | None = None,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
) -> Path:
    """Write the report of a run as one HTML page, and a CSV file with a row per image beside it; returns its path.

    ``out``: by default ``report.html`` in the run folder.

    The report shows the ``worst`` and the ``best`` images, and counts errors (``analysis.errors``) by running the best
    model over the validation split, once: the counts are kept in the run folder. ``count_errors=False`` leaves that
    out. Images are read from ``data``, by default the folder that the run was trained on; if this folder does not exist
    any more, the report has no images. ``code``: the Python file with the classes of the recipe that are not
    segwright's. ``progress`` is called with (what is done, images done, images).
    ``UserError`` if ``run`` is no run folder that was evaluated.
    """
    source = None if code is None else Path(code)
    folder = EvaluatedRun.open(Path(run), data, source)
    path = folder.path / "report.html" if out is None else Path(out)
    csv = path.with_name(f"{path.stem}-images.csv")
    check_writable(path, csv)
    errors = folder.errors(device, progress) if count_errors else None
    with refuse_damage(run, REMEDY):
        table = image_table.image_table(folder.evaluation, errors, folder.labels)
        page = render(
            RunReport(
                name=folder.name,
                labels=folder.labels,
                recipe_yaml=folder.recipe_yaml,
                environment=folder.metadata,
                steps=read_lines(folder.path, "step"),
                evaluations=read_lines(folder.path, "evaluation"),
                evaluation=folder.evaluation,
                visualizations=sorted((folder.path / "pictures").glob("step-*.png")),
                oracle=read_json(folder.path / "evaluation" / "oracle.json"),
                errors=errors,
                examples=_examples(folder, errors, device, progress),
            ),
            _cases(folder, worst, best, device, progress),
            table=table,
            csv_name=csv.name,
        )
        text = image_table.to_csv(table)
    write_text(csv, text)
    write_text(path, page)
    return path


@dataclass(frozen=True, slots=True)
class EvaluatedRun:
    """The files of a run that was evaluated, and its validation split; ``dataset`` is None if its folder is gone."""

    path: Path
    evaluation: dict[str, Any]
    metadata: Mapping[str, Any]
    labels: LabelSpace
    recipe_yaml: str
    recipe: Recipe
    dataset: Dataset | None
    code: Path | None

    @classmethod
    def open(cls, path: Path, data: Path | str | None, code: Path | None) -> EvaluatedRun:
        """The run in the folder ``path``; ``UserError`` if it is none."""
        check_evaluated(path)
        evaluation, metadata = read_json(path / "evaluation" / "val.json"), read_json(path / "run.json")
        recipe_yaml = read_text(path / "recipe.yaml")
        recipe = from_yaml(recipe_yaml, where="recipe.yaml", code=load_code(code) if code else None)
        with refuse_damage(path, REMEDY):
            dataset = _open_data(recipe, metadata, data)
            labels = LabelSpace.from_json(evaluation["labels"])
        return cls(path, evaluation, metadata, labels, recipe_yaml, recipe, dataset, code)

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.path.resolve().name

    def errors(self, device: torch.device | str, progress: Progress | None) -> SplitErrors | None:
        """Its error counts (``error_pass.run_errors``); ``UserError`` if the split has other images by now."""
        evaluated = len(self.evaluation["per_image"])
        if self.dataset is not None and len(self.dataset) != evaluated:
            raise UserError(
                f"{self.path}: was evaluated on {evaluated} images, the validation split now has {len(self.dataset)}; "
                "name the dataset of the run with --data"
            )
        return run_errors(
            self.path,
            self.labels,
            self.dataset,
            settings=self.recipe_yaml,
            device=device,
            autocast=self.autocast(device),
            code=self.code,
            progress=progress,
        )

    def model(self, device: torch.device | str) -> Model:
        """Its best model."""
        return load(self.path, device=device, code=self.code)

    def autocast(self, device: torch.device | str) -> AbstractContextManager[Any]:
        """The precision of its training, in which it was evaluated."""
        return autocast(self.recipe.training.precision, torch.device(device))


def _open_data(recipe: Recipe, metadata: Mapping[str, Any], data: Path | str | None) -> Dataset | None:
    root = data or metadata["data"]["root"]
    try:
        return recipe.data.open(Path(root) if root else None, "val")
    except UserError:
        if data is not None:
            raise
        return None  # the data were moved or deleted: a report without images


def _examples(
    run: EvaluatedRun, errors: SplitErrors | None, device: torch.device | str, progress: Progress | None
) -> list[ExampleView]:
    if errors is None or run.dataset is None or not errors.examples:
        return []
    with run.autocast(device):
        return example_views(errors.examples, run.model(device), run.dataset, progress=progress)


def _cases(
    run: EvaluatedRun, worst: int, best: int, device: torch.device | str, progress: Progress | None
) -> list[Case]:
    data = run.dataset
    if data is None:
        return []
    scored = [image for image in run.evaluation["per_image"] if image["miou"] is not None]
    key = "pq" if scored and all(image.get("pq") is not None for image in scored) else "miou"
    ranked = sorted(scored, key=lambda image: image[key])
    worst_images = ranked[:worst]
    best_images = [image for image in ranked[::-1][:best] if image not in worst_images]
    model = run.model(device)
    decoder = WithQueryOutput(with_center_maps(decoder_of(model)))
    cases: list[Case] = []
    for image in worst_images + best_images:
        sample = data[image["index"]]
        with run.autocast(device):
            prediction = predict(model, sample.image, decoder=decoder)
        cases.append(
            Case(
                name=image["name"],
                miou=float(image["miou"]),
                pixel_accuracy=float(image["pixel_accuracy"]),
                image=as_rgb(sample.image),
                truth=sample.semantic(),
                prediction=prediction.semantic,
                group="worst" if image in worst_images else "best",
                pq=float(image[key]) if key == "pq" else math.nan,
                drawings=segment_section.drawings(sample, prediction.prediction, data.labels),
                more_drawings=_query_masks(sample, decoder, data.labels),
                index=image["index"],
            )
        )
        if progress is not None:
            progress("worst and best images", len(cases), len(worst_images) + len(best_images))
    return cases


def _query_masks(
    sample: Sample, decoder: WithQueryOutput, labels: LabelSpace
) -> Sequence[tuple[str, RGBImage]]:
    """(caption, picture) of the masks of some queries; none for other models."""
    if decoder.output is None:
        return ()
    picture = draw_query_masks(as_rgb(sample.image), decoder.output, decoder.padded, labels)
    return (("masks of the queries with the highest scores", picture),)
