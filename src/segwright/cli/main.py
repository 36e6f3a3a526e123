"""The command line: one verb, one function. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segwright.version import VERSION

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; its exit code: 0 done, 1 the run failed or inputs were skipped, 2 wrong use or wrong data."""
    options = _parser().parse_args(arguments)
    verb: Verb = options.verb
    if options.debug:
        return verb(options)
    try:
        return verb(options)
    except KeyboardInterrupt:
        print("segwright: interrupted", file=sys.stderr)
        return 1
    except Exception as error:
        code = _exit_code(error)
        if code is None:
            raise
        text = error if isinstance(error, OSError) else error.args[0]
        print(f"segwright: {text}", file=sys.stderr)
        return code


def _exit_code(error: Exception) -> int | None:
    """The exit code of a failure that explains itself; None for one that needs a traceback."""
    from segwright.errors import RunError, UserError

    if isinstance(error, UserError | OSError):  # an OSError names the file and the reason
        return 2
    return 1 if isinstance(error, RunError) else None


def _demo(options: argparse.Namespace) -> int:
    from segwright.demo import demo

    summary = demo(Path(options.out), device=options.device)
    print(f"report: {summary['report']}")
    print(f"report: {summary['panoptic_report']}")
    print(f"mIoU {summary['miou']:.2%}, PQ {summary['pq']:.2%} on {summary['images']} scenes")
    return 0


def _train(options: argparse.Namespace) -> int:
    from segwright.config import override
    from segwright.files import read_json
    from segwright.recipes import find
    from segwright.training.train import train

    recipe = find(options.recipe, code=_code(options))
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
    inference, oracle = _forward(options), _oracle(options)
    code, device = _code(options), choose_device(options.device)
    model: Any = load(options.model, device=device, code=code)
    recipe, dataset = _data_of(options, code)
    _refuse_other_classes(options.model, model.labels.names, dataset.labels.names)
    detections = options.max_detections or recipe.max_detections
    settings = {"inference": inference, "device": device, "max_detections": detections}
    result, table = _scored(model, dataset, oracle, table=options.oracle_table, settings=settings)
    if not result.counts.any():
        raise UserError(
            f"split {options.split!r}: has no truth to score against; 'segwright predict' writes predictions"
        )
    about = {name: getattr(options, name) for name in ("split", "scales", "flip", "fuse")}
    parts = ({"oracle": list(oracle.parts)} if oracle else {}) | ({"oracle_table": table} if table else {})
    values = {"model": str(options.model), **about, **parts, **result.to_json()}
    if options.json:
        write_json(Path(options.json), values)
    if table and options.model.is_dir():  # for the report
        write_json(options.model / "evaluation" / "oracle.json", {**about, "rows": table})
    print_scores(values)
    if table:
        print_oracles(table)
    return 0


def _scored(
    model: Any, dataset: Any, oracle: Any, *, table: bool, settings: dict[str, Any]
) -> tuple[Any, Any]:
    """The evaluation, and with ``table`` the rows of the oracle study, of which it is the first."""
    from segwright.decode.default import decoder_of
    from segwright.evaluation.evaluate import evaluate
    from segwright.evaluation.oracle_study import oracle_study

    if not table:
        return evaluate(model, dataset, decoder_of(model), oracle=oracle, **settings), []
    rows = oracle_study(model, dataset, decoder_of(model), **settings)
    return rows[0].evaluation, [row.to_json() for row in rows]


def _predict(options: argparse.Namespace) -> int:
    from segwright.prediction.predict import load, predict_files
    from segwright.training.processes import choose_device

    inference = _forward(options)
    model = load(options.model, device=choose_device(options.device), code=_code(options))
    done = skipped = 0
    save = [name for names in options.save for name in names.split(",")]
    out, ids = Path(options.out), options.ids
    for path, problem in predict_files(model, options.images, out, save=save, inference=inference, ids=ids):
        if problem is None:
            done += 1
        else:
            skipped += 1
            print(f"segwright: skipped {path}: {problem}", file=sys.stderr)
    print(
        f"{done} predicted into {out}: {', '.join(sorted(path.name for path in out.glob('*')))}"
        + (f"; {skipped} skipped" if skipped else "")
    )
    return 1 if skipped else 0


def _report(options: argparse.Namespace) -> int:
    from segwright.analysis.run_report import report

    print(f"report: {report(options.run, data=options.data, code=options.code)}")
    return 0


def _convert(options: argparse.Namespace) -> int:
    from segwright.config import settings
    from segwright.data.datasets import label_space
    from segwright.data.formats.file_dataset import apply_label_map
    from segwright.errors import UserError
    from segwright.importers import convert

    labels = None
    if options.labels is not None:
        is_file = options.labels.endswith((".yaml", ".yml"))
        labels = apply_label_map(Path(options.labels), None) if is_file else label_space(options.labels)
    if options.out.suffix != ".safetensors":
        raise UserError(f"{options.out}: expected a name that ends in .safetensors")
    fields = settings(options.set)
    if wrong := sorted({"files", "family", "architecture", "labels", "out"} & fields.keys()):
        raise UserError(f"--set {wrong[0]}: no field of a config; expected the option of that name")
    model = convert(options.files, options.family, options.architecture, options.out, labels=labels, **fields)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{options.out}: {count / 1e6:.3f} M parameters, {len(model.labels)} classes")
    return 0


def _recipe_list(_: argparse.Namespace) -> int:
    from segwright.recipes import names, summary

    for name in names():
        print(f"{name:<28} {summary(name)}")
    return 0


def _recipe_show(options: argparse.Namespace) -> int:
    from segwright.config import override, to_yaml
    from segwright.recipes import find

    recipe = find(options.name, code=_code(options))
    override(recipe, options.set)
    print(to_yaml(recipe), end="")
    return 0


def _forward(options: argparse.Namespace) -> Any:
    """How ``--scales``, ``--flip`` and ``--fuse`` want an image to be seen."""
    from segwright.inference.single_pass import SINGLE_PASS
    from segwright.inference.test_time_augmentation import TestTimeAugmentation

    if options.scales == [1.0] and not options.flip:
        return SINGLE_PASS
    return TestTimeAugmentation(tuple(options.scales), flip=options.flip, fuse=options.fuse)


def _oracle(options: argparse.Namespace) -> Any:
    from segwright.evaluation.oracle import Oracle

    return Oracle.parsed(options.oracle) if options.oracle else None


def _code(options: argparse.Namespace) -> Any:
    if not options.code:
        return None
    from segwright.config import load_code

    return load_code(Path(options.code))


def _data_of(options: argparse.Namespace, code: Any) -> tuple[Any, Any]:
    """The recipe of ``--recipe``, else of the run, and the split of its data set."""
    from segwright.errors import UserError
    from segwright.recipes import find

    root = options.data
    if options.recipe:
        recipe = find(options.recipe, code=code)
        return recipe, recipe.data.open(root, options.split)
    folder = options.model if options.model.is_dir() else options.model.parent
    if not (folder / "recipe.yaml").is_file():
        raise UserError(f"{options.model}: no recipe.yaml beside it; name the data set with --recipe NAME")
    if root is None:
        recorded = json.loads((folder / "run.json").read_text(encoding="utf-8"))["data"]["root"]
        root = Path(recorded) if recorded else None
    recipe = find(str(folder / "recipe.yaml"), code=code)
    return recipe, recipe.data.open(root, options.split)


def _refuse_other_classes(model: Path, own: tuple[str, ...], given: tuple[str, ...]) -> None:
    from segwright.errors import UserError

    if own != given:
        raise UserError(
            f"{model}: predicts {', '.join(own[:4])}, ...; the data have {', '.join(given[:4])}, ...; "
            "expected the same classes in the same order"
        )


def _is_main() -> bool:
    import os

    return os.environ.get("RANK", "0") == "0"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("segwright", description="Semantic, instance and panoptic segmentation.")
    parser.add_argument("--version", action="version", version=f"segwright {VERSION}")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    demo = _verb(verbs, "demo", _demo, "train, evaluate and report on generated scenes", "segwright demo")
    demo.add_argument("--out", type=Path, default=Path("runs/demo"), help="run folder (%(default)s)")
    _add_device(demo)

    text = "start or resume a training; torchrun -m segwright train ... uses several GPUs or machines"
    train = _verb(
        verbs, "train", _train, text, "segwright train camvid.quick --data CAMVID --out runs/camvid"
    )
    train.add_argument("recipe", help="NAME, FILE.yaml or FILE.py:function")
    train.add_argument("--data", type=Path, metavar="ROOT", help="folder of the data set")
    train.add_argument("--out", type=Path, metavar="RUN", help="run folder (runs/NAME)")
    train.add_argument("--init", type=Path, metavar="WEIGHTS", help="start from this .safetensors model")
    train.add_argument(
        "--skip-head", action="store_true", help="with --init: leave out weights that do not fit"
    )
    train.add_argument("--compile", action="store_true", help="compile the model (training.compile=true)")
    _add_set(train)
    _add_device(train)

    example = "segwright evaluate runs/camvid --data CAMVID --split val --json val.json"
    evaluate = _verb(verbs, "evaluate", _evaluate, "score a run or a model file on a split", example)
    evaluate.add_argument("model", type=Path, help="run folder or .safetensors file")
    evaluate.add_argument("--data", type=Path, metavar="ROOT", help="folder of the data set (the run's)")
    evaluate.add_argument("--split", default="val", help="split to score (%(default)s)")
    evaluate.add_argument("--recipe", help="recipe whose data set is meant, for a bare model file")
    evaluate.add_argument("--json", type=Path, metavar="FILE", help="write all numbers to this file")
    text = "objects of an image that AP looks at (the recipe's, 100)"
    evaluate.add_argument("--max-detections", type=int, metavar="N", help=text)
    what = evaluate.add_mutually_exclusive_group()
    text = "put the truth in place of these: semantic, foreground, center, offset"
    what.add_argument("--oracle", metavar="A,B", help=text)
    what.add_argument("--oracle-table", action="store_true", help="scores with every combination of these")
    _add_views(evaluate)
    _add_device(evaluate)

    example = "segwright predict runs/camvid photo.jpg --out predictions"
    predict = _verb(verbs, "predict", _predict, "predict images", example)
    predict.add_argument("model", type=Path, help="run folder or .safetensors file")
    predict.add_argument("images", nargs="+", help="images, folders or globs")
    predict.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for index, color, overlay, panoptic"
    )
    text = "and: instances, cityscapes, semantic (official files); centers, heatmap, offset (pictures)"
    predict.add_argument("--save", nargs="+", default=[], metavar="A,B", help=text)
    text = "COCO file that gives images their ids in official files (else their names)"
    predict.add_argument("--ids", type=Path, metavar="TRUTH.json", help=text)
    _add_views(predict)
    _add_device(predict)

    _add_model_verbs(verbs)
    _add_nested_verbs(verbs)
    return parser


def _add_model_verbs(verbs: Any) -> None:
    report = _verb(
        verbs, "report", _report, "write one offline HTML file about a run", "segwright report runs/camvid"
    )
    report.add_argument("run", type=Path, help="run folder")
    report.add_argument("--data", type=Path, metavar="ROOT", help="folder of the data set (the run's)")

    text = "turn published files of older toolboxes into a model of segwright"
    example = (
        "segwright convert CS_scenes.pth --family toolbox --architecture pspnet --out pspnet.safetensors"
    )
    convert = _verb(verbs, "convert", _convert, text, example)
    convert.add_argument("files", nargs="+", type=Path, help="the file, or encoder and decoder")
    convert.add_argument(
        "--family", required=True, help="toolbox, csail, deeplab-voc, tutorial, torchvision, ..."
    )
    convert.add_argument(
        "--architecture", required=True, help="in the words of the family: docs/published-weights.md"
    )
    what = "fields of the config that the name does not say: dilation=[false,true,true]"
    convert.add_argument("--set", nargs="+", action="extend", default=[], metavar="a=b", help=what)
    convert.add_argument("--labels", metavar="NAME|FILE", help="classes: a data set's name or a label map")
    convert.add_argument(
        "--out", type=Path, required=True, metavar="FILE.safetensors", help="model file to write"
    )


def _add_nested_verbs(verbs: Any) -> None:
    from segwright.cli.data import add_verbs

    text = "before training: is the data right, what is in it, how does it look"
    add_verbs(verbs.add_parser("data", help=text).add_subparsers(required=True, metavar="VERB"), _verb)

    from segwright.cli.score import add_verbs as add_scores

    text = "official file formats in, official numbers out"
    add_scores(verbs.add_parser("score", help=text).add_subparsers(required=True, metavar="VERB"), _verb)

    recipe = verbs.add_parser("recipe", help="list and show recipes").add_subparsers(
        required=True, metavar="VERB"
    )
    _verb(recipe, "list", _recipe_list, "all shipped recipes", "segwright recipe list")
    show = _verb(
        recipe, "show", _recipe_show, "a recipe as YAML", "segwright recipe show camvid.quick > mine.yaml"
    )
    show.add_argument("name", help="NAME, FILE.yaml or FILE.py:function")
    _add_set(show)


def _verb(verbs: Any, name: str, verb: Verb, text: str, example: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=text, description=text, epilog=f"example: {example}"
    )
    parser.set_defaults(verb=verb)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    parser.add_argument("--code", type=Path, metavar="FILE.py", help="file with classes of your own")
    return parser


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="a.b=c", help="change fields of the recipe"
    )


def _add_views(parser: argparse.ArgumentParser) -> None:
    text = "factors by which an image is resized, to be seen at each size (1)"
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0], metavar="S", help=text)
    parser.add_argument("--flip", action="store_true", help="see its mirror image as well")
    text = "which class scores of several views are averaged; max: the highest logit (%(default)s)"
    fuses = ("probabilities", "logits", "max")
    parser.add_argument("--fuse", choices=fuses, default=fuses[0], help=text)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="cpu, cuda or cuda:N (a GPU if there is one)")


if __name__ == "__main__":
    sys.exit(main())
