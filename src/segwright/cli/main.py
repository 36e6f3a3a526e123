"""The command line: one verb, one function. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segwright.cli.options import (
    Verb,
    add_code,
    add_data_root,
    add_device,
    add_inference,
    add_json,
    add_labels,
    add_set,
    add_verb,
    add_verb_group,
    inference_from_options,
    labels_from_option,
    refuse_options,
)
from segwright.version import VERSION

if TYPE_CHECKING:
    from segwright.evaluation.oracle import Oracle
    from segwright.samples import Dataset
    from segwright.training.recipe import Recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code.

    0: done. 1: the run failed, or some inputs were skipped. 2: wrong use or wrong data.
    """
    options = build_parser().parse_args(arguments)
    verb: Verb = options.verb
    if options.debug:
        return verb(options)
    try:
        return verb(options)
    except KeyboardInterrupt:
        print("segwright: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, "head" for example, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        text = error if isinstance(error, OSError) else error.args[0]
        print(f"segwright: {text}", file=sys.stderr)
        return code


def _exit_code(error: Exception) -> int | None:
    """The exit code of an error that explains itself; None for one that needs a traceback."""
    from segwright.errors import RunError, UserError

    if isinstance(error, UserError | OSError):  # an OSError names the file and the reason
        return 2
    return 1 if isinstance(error, RunError) else None


def _demo(options: argparse.Namespace) -> int:
    from segwright.demo import demo

    demo(options.out, device=options.device)
    return 0


def _train(options: argparse.Namespace) -> int:
    from segwright.config import override
    from segwright.files import read_json
    from segwright.recipes import load_recipe
    from segwright.training.train import train

    recipe = load_recipe(options.recipe, code=options.code)
    override(recipe, [*options.set, *(["training.compile=true"] if options.compile else [])])
    if options.out is None:
        options.out = Path("runs") / recipe.name
    summary = train(
        recipe,
        options.data,
        options.out,
        init=options.init,
        skip_head=options.skip_head,
        device=options.device,
    )
    if summary["miou"] is not None and _is_main():
        from segwright.cli.tables import print_scores

        print_scores(read_json(Path(options.out) / "evaluation" / "val.json") or summary)
        print(f"run: {options.out}  (segwright report {options.out})")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    from segwright.cli.tables import print_oracles, print_scores
    from segwright.errors import UserError
    from segwright.files import check_writable, write_json
    from segwright.prediction.predict import load
    from segwright.training.processes import choose_device

    check_writable(options.json)
    if options.max_detections is not None and options.max_detections < 1:
        raise UserError(f"--max-detections is {options.max_detections}; expected at least 1")
    inference, oracle = inference_from_options(options), _oracle(options)
    model = load(options.model, device=choose_device(options.device), code=options.code)
    recipe, dataset = _open_dataset(options)
    if not len(dataset) or dataset[0].segments is None:
        refuse_options(options, "max_detections", reason="without ground truth of objects")
    detections = options.max_detections or recipe.max_detections
    settings = {"inference": inference, "max_detections": detections, "metrics": recipe.metrics}
    result, table = _scored(model, dataset, oracle, table=options.oracle_table, settings=settings)
    if not result.confusion.any():
        raise UserError(
            f"split {options.split!r}: no ground truth to evaluate on; 'segwright predict' writes predictions"
        )
    if result.average_precision is None:
        refuse_options(options, "max_detections", reason="on a model that predicts only classes")
    metadata = {name: getattr(options, name) for name in ("split", "scales", "flip", "fuse")}
    parts = ({"oracle": list(oracle.parts)} if oracle else {}) | ({"oracle_table": table} if table else {})
    values = {"model": str(options.model), **metadata, **parts, **result.to_json()}
    if options.json:
        write_json(Path(options.json), values)
    if table and options.model.is_dir():  # for the report
        write_json(options.model / "evaluation" / "oracle.json", {**metadata, "rows": table})
    print_scores(values)
    if table:
        print_oracles(table)
    return 0


def _scored(
    model: Any, dataset: Any, oracle: Any, *, table: bool, settings: dict[str, Any]
) -> tuple[Any, Any]:
    """The evaluation and, with ``table``, the rows of the oracle study; its first row is the evaluation."""
    from segwright.decode.default import decoder_of
    from segwright.evaluation.evaluate import evaluate
    from segwright.evaluation.oracle_study import oracle_study

    if not table:
        return evaluate(model, dataset, oracle=oracle, **settings), []
    rows = oracle_study(model, dataset, decoder_of(model), **settings)
    return rows[0].evaluation, [row.to_json() for row in rows]


def _predict(options: argparse.Namespace) -> int:
    from segwright.prediction.predict import load
    from segwright.prediction.predict_files import OUTPUTS, predict_files
    from segwright.training.processes import choose_device

    inference = inference_from_options(options)
    model = load(options.model, device=choose_device(options.device), code=options.code)
    done = skipped = 0
    save = [name for names in options.save for name in names.split(",")]
    out, ids = Path(options.out), options.ids
    for path, problem in predict_files(model, options.images, out, save=save, inference=inference, ids=ids):
        if problem is None:
            done += 1
        else:
            skipped += 1
            print(f"segwright: skipped {path}: {problem.removeprefix(f'{path}: ')}", file=sys.stderr)
    outputs = [path for path in out.glob("*") if path.stem in OUTPUTS]
    print(
        f"{done} predicted into {out}: {', '.join(sorted(path.name for path in outputs))}"
        + (f"; {skipped} skipped" if skipped else "")
    )
    if "instances" in save and (out / "instances.json").read_text(encoding="utf-8") == "[]":
        text = "no object was found in any image; pycocotools cannot load such an empty list of results"
        print(f"segwright: {out / 'instances.json'}: {text}", file=sys.stderr)
    return 1 if skipped else 0


def _report(options: argparse.Namespace) -> int:
    from segwright.analysis.run_report import report

    print(f"report: {report(options.run, data=options.data, code=options.code)}")
    return 0


def _convert(options: argparse.Namespace) -> int:
    from segwright.config import settings
    from segwright.errors import UserError
    from segwright.files import check_writable
    from segwright.importers import convert

    labels = None if options.labels is None else labels_from_option(options.labels)
    if options.out.suffix != ".safetensors":
        raise UserError(f"{options.out}: expected a name that ends in .safetensors")
    check_writable(options.out)
    fields = settings(options.set)
    if wrong := sorted({"files", "family", "architecture", "labels", "out"} & fields.keys()):
        raise UserError(f"--set {wrong[0]}: not a field of the model config; use the option --{wrong[0]}")
    model = convert(options.files, options.family, options.architecture, options.out, labels=labels, **fields)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{options.out}: {count / 1e6:.3f} M parameters, {len(model.labels)} classes")
    return 0


def _recipe_list(_: argparse.Namespace) -> int:
    from segwright.recipes import recipe_names, recipe_summary

    width = max(map(len, recipe_names()))
    for name in recipe_names():
        print(f"{name:<{width}}  {recipe_summary(name)}")
    return 0


def _recipe_show(options: argparse.Namespace) -> int:
    from segwright.config import override, to_yaml
    from segwright.recipes import load_recipe

    recipe = load_recipe(options.name, code=options.code)
    override(recipe, options.set)
    print(to_yaml(recipe), end="")
    return 0


def _oracle(options: argparse.Namespace) -> Oracle | None:
    from segwright.evaluation.oracle import Oracle

    return Oracle.parsed(options.oracle) if options.oracle else None


def _open_dataset(options: argparse.Namespace) -> tuple[Recipe, Dataset]:
    """The recipe of ``--recipe``, else of the run, and the split of its dataset."""
    from segwright.errors import UserError
    from segwright.recipes import load_recipe

    root = options.data
    if options.recipe:
        recipe = load_recipe(options.recipe, code=options.code)
        return recipe, recipe.data.open(root, options.split)
    folder = options.model if options.model.is_dir() else options.model.parent
    if not (folder / "recipe.yaml").is_file():
        raise UserError(f"{options.model}: no recipe.yaml in its folder; name the dataset with --recipe NAME")
    if root is None:
        recorded = json.loads((folder / "run.json").read_text(encoding="utf-8"))["data"]["root"]
        root = Path(recorded) if recorded else None
    recipe = load_recipe(str(folder / "recipe.yaml"), code=options.code)
    return recipe, recipe.data.open(root, options.split)


def _is_main() -> bool:
    import os

    return os.environ.get("RANK", "0") == "0"


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs and options."""
    parser = argparse.ArgumentParser("segwright", description="Semantic, instance and panoptic segmentation.")
    parser.add_argument("--version", action="version", version=f"segwright {VERSION}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    _add_demo(verbs)
    _add_train(verbs)
    _add_evaluate(verbs)
    _add_predict(verbs)
    _add_report(verbs)
    _add_convert(verbs)
    _add_verb_groups(verbs)
    return parser


def _add_demo(verbs: Any) -> None:
    text = "train, evaluate and report on generated street scenes"
    demo = add_verb(verbs, "demo", _demo, text, "segwright demo")
    demo.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="output folder (default: %(default)s)"
    )
    add_device(demo)


def _add_train(verbs: Any) -> None:
    text = "start or resume a training; torchrun -m segwright train ... uses several GPUs or machines (DDP)"
    example = "segwright train camvid.quick --data CAMVID --out runs/camvid"
    train = add_verb(verbs, "train", _train, text, example)
    train.add_argument("recipe", help="NAME, FILE.yaml or FILE.py:function")
    add_data_root(train)
    train.add_argument("--out", type=Path, metavar="RUN", help="run folder (default: runs/NAME)")
    text = "fine-tune: start from the weights of this .safetensors model or run folder"
    train.add_argument("--init", type=Path, metavar="WEIGHTS", help=text)
    text = "with --init: skip weights that do not fit, such as a head for other classes"
    train.add_argument("--skip-head", action="store_true", help=text)
    text = "compile the model with torch.compile (training.compile=true)"
    train.add_argument("--compile", action="store_true", help=text)
    add_set(train)
    add_code(train)
    add_device(train)


def _add_evaluate(verbs: Any) -> None:
    text = "evaluate a run or a model file on a split of a dataset"
    example = "segwright evaluate runs/camvid --data CAMVID --split val --json val.json"
    evaluate = add_verb(verbs, "evaluate", _evaluate, text, example)
    evaluate.add_argument("model", type=Path, help="run folder or .safetensors file")
    add_data_root(evaluate, "the run's")
    evaluate.add_argument("--split", default="val", help="split to evaluate on (default: %(default)s)")
    text = "recipe with the dataset, needed for a model file outside a run folder (default: the run's)"
    evaluate.add_argument("--recipe", help=text)
    add_json(evaluate)
    text = "max. detections per image for AP (default: the recipe's)"
    evaluate.add_argument("--max-detections", type=int, metavar="N", help=text)
    oracles = evaluate.add_mutually_exclusive_group()
    text = (
        "replace parts of a panoptic model's output with ground truth: semantic, foreground, center, offset"
    )
    oracles.add_argument("--oracle", metavar="A,B", help=text)
    text = "evaluate with every combination of --oracle, to find the part to improve"
    oracles.add_argument("--oracle-table", action="store_true", help=text)
    add_inference(evaluate)
    add_code(evaluate)
    add_device(evaluate)


def _add_predict(verbs: Any) -> None:
    example = "segwright predict runs/camvid photo.jpg --out predictions"
    predict = add_verb(verbs, "predict", _predict, "predict images", example)
    predict.add_argument("model", type=Path, help="run folder or .safetensors file")
    predict.add_argument("images", nargs="+", help="images, folders or globs")
    text = "output folder for label maps (index/), color maps, overlays and, of panoptic models, COCO files"
    predict.add_argument("--out", type=Path, required=True, metavar="DIR", help=text)
    text = (
        "further output: instances, cityscapes, semantic (official file formats), centers, heatmap, offset "
    )
    text += "(visualizations)"
    predict.add_argument("--save", nargs="+", default=[], metavar="A,B", help=text)
    text = "COCO JSON file with the image ids to write into official files (default: ids from file names)"
    predict.add_argument("--ids", type=Path, metavar="TRUTH.json", help=text)
    add_inference(predict)
    add_code(predict)
    add_device(predict)


def _add_report(verbs: Any) -> None:
    text = "write one self-contained HTML file about a run"
    report = add_verb(verbs, "report", _report, text, "segwright report runs/camvid")
    report.add_argument("run", type=Path, help="run folder")
    add_data_root(report, "the run's")
    add_code(report)


def _add_convert(verbs: Any) -> None:
    text = "convert published weights of another project to a segwright model file"
    example = (
        "segwright convert CS_scenes.pth --family toolbox --architecture pspnet --out pspnet.safetensors"
    )
    convert = add_verb(verbs, "convert", _convert, text, example)
    convert.add_argument("files", nargs="+", type=Path, help="weight file, or encoder file and decoder file")
    text = "project of the file: toolbox, csail, deeplab-voc, tutorial, torchvision, ..."
    convert.add_argument("--family", required=True, help=text)
    text = "architecture, in the words of the project; docs/published-weights.md lists them"
    convert.add_argument("--architecture", required=True, help=text)
    text = "set fields of the model config, for example dilation=[false,true,true]"
    convert.add_argument("--set", nargs="+", action="extend", default=[], metavar="a=b", help=text)
    add_labels(convert, "class_0, class_1, ...")
    text = "model file to write"
    convert.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors", help=text)


def _add_verb_groups(verbs: Any) -> None:
    from segwright.cli import data, score

    data.add_verbs(
        add_verb_group(verbs, "data", "validate, count, draw and convert datasets; what to download")
    )
    score.add_verbs(
        add_verb_group(verbs, "score", "score prediction files of any program, as the official tools do")
    )

    recipe = add_verb_group(verbs, "recipe", "list and show recipes (complete training runs)")
    add_verb(recipe, "list", _recipe_list, "list all built-in recipes", "segwright recipe list")
    example = "segwright recipe show camvid.quick > mine.yaml"
    show = add_verb(recipe, "show", _recipe_show, "print a recipe as YAML", example)
    show.add_argument("name", help="NAME, FILE.yaml or FILE.py:function")
    add_set(show)
    add_code(show)


if __name__ == "__main__":
    sys.exit(main())
