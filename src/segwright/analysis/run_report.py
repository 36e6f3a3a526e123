"""The report of a run folder: reads the files of the run and predicts its worst and best images."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from segwright.analysis import segments
from segwright.analysis.report_cases import Case
from segwright.analysis.report_page import RunReport, render
from segwright.config import from_yaml, load_code
from segwright.decode.default import decoder_of, with_center_maps
from segwright.errors import UserError
from segwright.files import read_json
from segwright.labels import LabelSpace
from segwright.models.weights.model_file import BEST, read_model
from segwright.prediction.predict import predict
from segwright.samples import Dataset
from segwright.training.log import read_lines
from segwright.visualization.label_maps import as_rgb


def report(
    run: Path | str,
    *,
    data: Path | str | None = None,
    worst: int = 8,
    best: int = 4,
    code: Path | str | None = None,
) -> Path:
    """Write ``report.html`` into the folder of a run; returns its path.

    The report shows the ``worst`` and the ``best`` images. They are read from ``data``, by default the folder that the
    run was trained on; if this folder does not exist any more, the report has no images. ``code``: the Python file with
    the classes of the recipe that are not segwright's. ``UserError`` if ``run`` is no run folder that was evaluated.
    """
    folder = Path(run)
    evaluation, metadata = read_json(folder / "evaluation" / "val.json"), read_json(folder / "run.json")
    if evaluation is None or metadata is None:
        raise UserError(
            f"{folder}: not a run folder that was evaluated; expected run.json and evaluation/val.json"
        )
    labels = LabelSpace.from_json(evaluation["labels"])
    recipe_yaml = (folder / "recipe.yaml").read_text(encoding="utf-8")
    page = render(
        RunReport(
            name=folder.resolve().name,
            labels=labels,
            recipe_yaml=recipe_yaml,
            environment=metadata,
            steps=read_lines(folder, "step"),
            evaluations=read_lines(folder, "evaluation"),
            evaluation=evaluation,
            visualizations=sorted((folder / "pictures").glob("step-*.png")),
            oracle=read_json(folder / "evaluation" / "oracle.json"),
        ),
        _cases(folder, evaluation, _open(recipe_yaml, metadata, data, code), worst, best),
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _open(
    recipe_yaml: str, metadata: dict[str, Any], data: Path | str | None, code: Path | str | None
) -> Dataset | None:
    root = data or metadata["data"]["root"]
    recipe = from_yaml(recipe_yaml, where="recipe.yaml", code=load_code(Path(code)) if code else None)
    try:
        return recipe.data.open(Path(root) if root else None, "val")  # type: ignore[no-any-return]
    except UserError:
        if data is not None:
            raise
        return None  # the data were moved or deleted: a report without images


def _cases(
    folder: Path, evaluation: dict[str, Any], data: Dataset | None, worst: int, best: int
) -> list[Case]:
    if data is None:
        return []
    scored = [image for image in evaluation["per_image"] if image["miou"] is not None]
    key = "pq" if scored and all(image.get("pq") is not None for image in scored) else "miou"
    ranked = sorted(scored, key=lambda image: image[key])
    worst_images = ranked[:worst]
    best_images = [image for image in ranked[::-1][:best] if image not in worst_images]
    model = read_model(folder / BEST)
    decoder = with_center_maps(decoder_of(model))
    cases = []
    for image in worst_images + best_images:
        sample = data[image["index"]]
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
                drawings=segments.drawings(sample, prediction.prediction, data.labels),
            )
        )
    return cases
