"""The demo: train, evaluate, predict and report on generated scenes, with nothing to download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segwright.analysis.run_report import report
from segwright.data.maps import write_png
from segwright.decode.semantic import Argmax
from segwright.evaluation.evaluate import evaluate
from segwright.prediction.predict import load, predict_files
from segwright.recipes.street import quick
from segwright.training.record import read_json, write_json
from segwright.training.train import train


def demo(out: Path, *, device: str | None = None, scenes: int = 4) -> dict[str, Any]:
    """Run the whole road into ``out``; the summary, with ``report`` the path of the page."""
    recipe = quick()
    train(recipe, None, out, device=device)
    model, data = load(out), recipe.data.open(None, "val")
    result = evaluate(model, data, Argmax())
    for index in range(scenes):
        sample = data[index]
        write_png(out / "scenes" / f"{sample.name}.png", sample.image)
    list(predict_files(model, [str(out / "scenes")], out / "predictions"))
    scores = {
        k: v for k, v in result.to_json().items() if k in ("miou", "pixel_accuracy", "class_iou", "images")
    }
    summary = {**read_json(out / "summary.json"), **scores, "report": str(report(out))}
    write_json(out / "summary.json", summary)
    return summary
