"""The report of a run folder: gathers what the run left, predicts its worst and best images again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from segwright.analysis import segments
from segwright.analysis.report import Case, Run, render
from segwright.config import from_yaml, load_code
from segwright.decode.default import decoder_of, with_center_maps
from segwright.errors import UserError
from segwright.files import read_json
from segwright.labels import LabelSpace
from segwright.models.weights.model_file import read_model
from segwright.prediction.predict import predict
from segwright.samples import Dataset
from segwright.training.log import read_lines
from segwright.training.loop import BEST
from segwright.visualization.label_maps import as_rgb


def report(
    run: Path | str,
    *,
    data: Path | str | None = None,
    worst: int = 8,
    best: int = 4,
    code: Path | None = None,
) -> Path:
    """Write ``report.html`` into the run folder; its path.

    The pictures of the ``worst`` and ``best`` images need the data, where the run found them or under
    ``data``; without them the report says so and shows the rest.
    """
    folder = Path(run)
    evaluation, about = read_json(folder / "evaluation" / "val.json"), read_json(folder / "run.json")
    if evaluation is None or about is None:
        raise UserError(
            f"{folder}: not a run folder that has evaluated once; expected run.json and evaluation/val.json"
        )
    labels = LabelSpace.from_json(evaluation["labels"])
    recipe_yaml = (folder / "recipe.yaml").read_text(encoding="utf-8")
    page = render(
        Run(
            name=folder.resolve().name,
            labels=labels,
            recipe_yaml=recipe_yaml,
            environment=about,
            steps=read_lines(folder, "step"),
            evaluations=read_lines(folder, "evaluation"),
            evaluation=evaluation,
            pictures=sorted((folder / "pictures").glob("step-*.png")),
            oracle=read_json(folder / "evaluation" / "oracle.json"),
        ),
        _cases(folder, evaluation, _open(recipe_yaml, about, data, code), worst, best),
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _open(
    recipe_yaml: str, about: dict[str, Any], data: Path | str | None, code: Path | None
) -> Dataset | None:
    root = data or about["data"]["root"]
    recipe = from_yaml(recipe_yaml, where="recipe.yaml", code=load_code(code) if code else None)
    try:
        return recipe.data.open(Path(root) if root else None, "val")  # type: ignore[no-any-return]
    except UserError:
        if data is not None:
            raise
        return None  # the data moved since: the report does without the pictures


def _cases(
    folder: Path, evaluation: dict[str, Any], data: Dataset | None, worst: int, best: int
) -> list[Case]:
    if data is None:
        return []
    known = [image for image in evaluation["per_image"] if image["miou"] is not None]
    key = "pq" if known and all(image.get("pq") is not None for image in known) else "miou"
    ranked = sorted(known, key=lambda image: image[key])
    worst_ones = ranked[:worst]
    best_ones = [image for image in ranked[::-1][:best] if image not in worst_ones]
    model = read_model(folder / BEST)
    decoder = with_center_maps(decoder_of(model))
    cases = []
    for image in worst_ones + best_ones:
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
                group="worst" if image in worst_ones else "best",
                pq=float(image[key]) if key == "pq" else math.nan,
                objects=segments.pictures(sample, prediction, data.labels),
            )
        )
    return cases
