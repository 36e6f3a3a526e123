"""The verb ``segwright evaluate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segwright.cli.crf import add_crf_search, run_crf_search
from segwright.cli.ensembles import add_ensemble, check_models, load_models
from segwright.cli.inference import (
    add_batch,
    add_inference,
    check_inference,
    inference_from_options,
    inference_metadata,
)
from segwright.cli.options import (
    Verbs,
    add_code,
    add_data_root,
    add_device,
    add_json,
    add_metrics,
    add_verb,
    check_data_root,
    metrics_from_options,
    parse_count,
    refuse_options,
    require_ground_truth,
    warn_of_single_class,
)
from segwright.cli.progress import progress_bar
from segwright.cli.speed import add_speed, faster_model
from segwright.cli.tables import print_oracles, print_scores
from segwright.errors import UserError
from segwright.files import check_writable, read_json, write_json

if TYPE_CHECKING:
    from segwright.contracts import Model
    from segwright.evaluation.oracle import Oracle
    from segwright.evaluation.result import EvaluationResult
    from segwright.samples import Dataset
    from segwright.training.recipe import Recipe


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    text = "evaluate a run or a model file on a split of a dataset"
    example = "segwright evaluate runs/camvid --data CAMVID --split val --json val.json"
    evaluate = add_verb(verbs, "evaluate", _evaluate, text, example)
    evaluate.add_argument(
        "model", type=Path, help="run folder, .safetensors file, or exported file (.onnx, .xml, .pt2)"
    )
    text = "further models: evaluate the ensemble of all"
    evaluate.add_argument("more_models", nargs="*", default=[], type=Path, metavar="model", help=text)
    add_ensemble(evaluate)
    add_data_root(evaluate, "the run's")
    evaluate.add_argument("--split", default="val", help="split to evaluate on (default: %(default)s)")
    text = "recipe whose dataset is used; needed for a model file outside a run folder (default: the run's)"
    evaluate.add_argument("--recipe", help=text)
    add_json(evaluate)
    text = "at most N predictions per image and class count for AP (default: the recipe's)"
    evaluate.add_argument("--max-detections", type=parse_count, metavar="N", help=text)
    add_metrics(evaluate)
    oracles = evaluate.add_mutually_exclusive_group()
    text = (
        "replace parts of the model's output by the ground truth: semantic, foreground, center, offset; of a query "
        "model class, mask"
    )
    oracles.add_argument("--oracle", metavar="A,B", help=text)
    text = "evaluate with every combination of --oracle, to find the part to improve"
    oracles.add_argument("--oracle-table", action="store_true", help=text)
    add_batch(evaluate)
    add_inference(evaluate)
    add_crf_search(evaluate)
    add_speed(evaluate)
    add_code(evaluate)
    add_device(evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    _check_options(options)
    further = metrics_from_options(options)
    models = [options.model, *options.more_models]
    check_inference(options)
    check_models(models, options)
    recipe, root = _recipe_and_root(options)
    # What is above refuses wrong options, names and paths before torch is imported.
    from segwright.data.loading.batches import default_workers
    from segwright.training.processes import choose_device

    inference, oracle = inference_from_options(options), _oracle(options)
    device = choose_device(options.device)
    dataset = recipe.data.open(root, options.split)
    model = faster_model(options, load_models(models, options, device))
    metadata = {"model": ", ".join(map(str, models)), "split": options.split, **inference_metadata(options)}
    metadata |= {"fast": options.fast, "compile": options.compile}
    if options.crf_search is not None:
        run_crf_search(options, model, dataset, inference, metadata)
        return 0
    if not len(dataset) or dataset[0].segments is None:
        refuse_options(options, "max_detections", reason="without ground truth of objects")
        warn_of_single_class(dataset.labels)
    metrics = (*recipe.metrics, *further)
    detections = options.max_detections or recipe.max_detections
    settings = {"inference": inference, "max_detections": detections, "metrics": metrics}
    settings |= {"batch": options.batch, "workers": default_workers(device)}
    result, table = _scored(model, dataset, oracle, table=options.oracle_table, settings=settings)
    require_ground_truth(result, options.split)
    if result.average_precision is None:
        refuse_options(options, "max_detections", reason="on a model that predicts only classes")
    parts = ({"oracle": list(oracle.parts)} if oracle else {}) | ({"oracle_table": table} if table else {})
    values = {**metadata, **parts, **result.to_json()}
    if options.json:
        write_json(options.json, values)
    if table and options.model.is_dir():  # for the report
        write_json(options.model / "evaluation" / "oracle.json", {**metadata, "rows": table})
    print_scores(values)
    if table:
        print_oracles(table)
    return 0


def _check_options(options: argparse.Namespace) -> None:
    check_writable(options.json)
    if options.crf_search is not None:
        unused = ("crf", "oracle", "oracle_table", "max_detections")
        refuse_options(options, *unused, reason="with --crf-search")


def _scored(
    model: Model, dataset: Dataset, oracle: Oracle | None, *, table: bool, settings: dict[str, Any]
) -> tuple[EvaluationResult, list[dict[str, Any]]]:
    """The evaluation and, with ``table``, the rows of the oracle study; its first row is the evaluation."""
    from segwright.decode.default import decoder_of
    from segwright.evaluation.evaluate import evaluate
    from segwright.evaluation.oracle_study import oracle_study

    with progress_bar(len(dataset), "images") as advance:
        if not table:
            return evaluate(model, dataset, oracle=oracle, on_image=lambda *_: advance(), **settings), []
        rows = oracle_study(model, dataset, decoder_of(model), on_image=advance, **settings)
    return rows[0].evaluation, [row.to_json() for row in rows]


def _oracle(options: argparse.Namespace) -> Oracle | None:
    from segwright.evaluation.oracle import Oracle

    return Oracle.parsed(options.oracle) if options.oracle else None


def _recorded_root(folder: Path) -> Path | None:
    """The folder of the dataset that a run was trained on; None if it was generated."""
    try:
        recorded = read_json(folder / "run.json")["data"]["root"]
        return None if recorded is None else Path(recorded)
    except (KeyError, TypeError):
        raise UserError(
            f"{folder / 'run.json'}: does not say where the dataset is; name its folder with --data"
        ) from None


def open_dataset(options: argparse.Namespace) -> Dataset:
    """The split of the dataset of ``--recipe``, else of the run."""
    recipe, root = _recipe_and_root(options)
    return recipe.data.open(root, options.split)


def _recipe_and_root(options: argparse.Namespace) -> tuple[Recipe, Path | None]:
    """The recipe of ``--recipe``, else of the run, and the root folder of its dataset."""
    from segwright.recipes import load_recipe

    check_data_root(options)
    if options.recipe:
        return load_recipe(options.recipe, code=options.code), options.data
    folder = options.model if options.model.is_dir() else options.model.parent
    if not (folder / "recipe.yaml").is_file():
        raise UserError(
            f"{options.model}: no recipe.yaml in its folder; name the dataset with --recipe NAME; for your own images "
            "--recipe own.semantic, own.panoptic or own.instance"
        )
    root = _recorded_root(folder) if options.data is None else options.data
    return load_recipe(str(folder / "recipe.yaml"), code=options.code), root
