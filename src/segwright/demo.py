"""The demo: train, evaluate, predict and report on generated scenes, with nothing to download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segwright.analysis.run_report import report
from segwright.data.reading.label_maps import write_png
from segwright.files import write_json
from segwright.prediction.predict import load
from segwright.prediction.predict_files import predict_files
from segwright.recipe import Recipe
from segwright.recipes.street import panoptic_quick, quick
from segwright.training.train import train


def demo(out: Path, *, device: str | None = None, scenes: int = 4) -> dict[str, Any]:
    """Run the whole road twice: classes into ``out``, cars and persons one by one into ``out/panoptic``.

    The summary of the first, with the panoptic quality ``pq`` of the second and the paths of both pages.
    """
    summary = _run(quick(), out, device, scenes)
    second = _run(panoptic_quick(), out / "panoptic", device, scenes)
    summary |= {name: second[name] for name in ("pq", "sq", "rq", "ap")} | {
        "panoptic_report": second["report"]
    }
    write_json(out / "summary.json", summary)
    return summary


def _run(recipe: Recipe, out: Path, device: str | None, scenes: int) -> dict[str, Any]:
    summary = train(recipe, None, out, device=device)
    data = recipe.data.open(None, "val")
    for index in range(scenes):
        sample = data[index]
        write_png(out / "scenes" / f"{sample.name}.png", sample.image)
    list(predict_files(load(out), [str(out / "scenes")], out / "predictions"))
    summary["report"] = str(report(out))
    write_json(out / "summary.json", summary)
    return summary
