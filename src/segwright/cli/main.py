"""The command line: one verb, one function. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segwright.cli import (
    average,
    data,
    doctor,
    evaluate,
    export,
    models,
    predict,
    report,
    score,
    serve,
    suggest,
    tools,
)
from segwright.cli.options import (
    Parser,
    Verb,
    add_code,
    add_data_root,
    add_device,
    add_labels,
    add_set,
    add_stopped_code,
    add_verb,
    add_verb_group,
    check_stopped_code,
    labels_from_option,
)
from segwright.cli.recipe_list import recipe_list
from segwright.cli.tables import print_scores
from segwright.errors import RunError, UserError, explained, one_line
from segwright.files import check_writable, read_json
from segwright.version import VERSION

if TYPE_CHECKING:
    from segwright.training.recipe import Recipe


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code.

    0: done. 1: the run failed, or some inputs were skipped. 2: wrong use or wrong data.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # file names need not be text that the console can show
            stream.reconfigure(errors="backslashreplace")
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
    except Exception as raised:
        error = explained(raised)
        code = _exit_code(error)
        if code is None:
            raise
        print(f"segwright: {one_line(str(error.args[0]))}", file=sys.stderr)
        return code


def _exit_code(error: Exception) -> int | None:
    """The exit code of an error that explains itself; None for one that needs a traceback."""
    if isinstance(error, UserError | OSError):
        return 2
    return 1 if isinstance(error, RunError) else None


def _demo(options: argparse.Namespace) -> int:
    from segwright.demo import demo

    demo(options.out, device=options.device)
    return 0


def _train(options: argparse.Namespace) -> int:
    from segwright.config import override
    from segwright.recipes import load_recipe
    from segwright.training.train import train

    check_stopped_code(options)
    recipe = load_recipe(options.recipe, code=options.code)
    override(recipe, [*options.set, *(["training.compile=true"] if options.compile else [])])
    _refuse_steps(options.set, recipe)
    if options.out is None:
        options.out = Path("runs") / recipe.name
    summary = train(
        recipe,
        options.data,
        options.out,
        init=options.init,
        skip_head=options.skip_head,
        extend=options.extend,
        device=options.device,
    )
    if summary["miou"] is not None and _is_main():
        print_scores(read_json(Path(options.out) / "evaluation" / "val.json") or summary)
        print(f"run: {options.out}  (segwright report {options.out})")
    return 0 if summary["finished"] else options.stopped_code


def _convert(options: argparse.Namespace) -> int:
    from segwright.config import settings
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
    for line in recipe_list():
        print(line)
    return 0


def _recipe_show(options: argparse.Namespace) -> int:
    from segwright.config import override, to_yaml
    from segwright.recipes import load_recipe

    recipe = load_recipe(options.name, code=options.code)
    override(recipe, options.set)
    print(to_yaml(recipe), end="")
    return 0


def _refuse_steps(changes: list[str], recipe: Recipe) -> None:
    """``UserError`` if steps are given for a recipe whose length is a time or a number of epochs: that one counts."""
    for name in ("minutes", "epochs"):
        length = getattr(recipe.training, name)
        if length is not None and (given := [text for text in changes if text.startswith("training.steps=")]):
            raise UserError(
                f"--set {given[-1]} has no effect, since training.{name} is {length:g}; add training.{name}=null to "
                "train that many steps, or remove it"
            )


def _is_main() -> bool:
    return os.environ.get("RANK", "0") == "0"


def build_parser() -> argparse.ArgumentParser:
    """The parser of all verbs and options."""
    text = (
        "Semantic, instance and panoptic segmentation: check data, train, evaluate, predict, export, serve. "
        "'segwright VERB --help' explains a verb and shows an example."
    )
    parser = Parser("segwright", description=text)
    parser.add_argument("--version", action="version", version=f"segwright {VERSION}")
    # In the order in which they are needed.
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    _add_demo(verbs)
    doctor.add(verbs)
    data.add_verbs(add_verb_group(verbs, "data", "check, count, draw, download, split and convert datasets"))
    _add_recipe(verbs)
    models.add(verbs)
    _add_train(verbs)
    evaluate.add(verbs)
    report.add(verbs)
    predict.add(verbs)
    serve.add(verbs)
    export.add(verbs)
    text = "score prediction files of any program, as the official tools do"
    score.add_verbs(add_verb_group(verbs, "score", text))
    tools.add(verbs)
    average.add(verbs)
    _add_convert(verbs)
    return parser


def _add_demo(verbs: Any) -> None:
    text = "train, evaluate and predict on generated street scenes: two minutes, nothing to download"
    demo = add_verb(verbs, "demo", _demo, text, "segwright demo")
    demo.add_argument(
        "--out", type=Path, default=Path("runs/demo"), help="output folder (default: %(default)s)"
    )
    add_device(demo)


def _add_train(verbs: Any) -> None:
    text = "train a recipe, or resume a training; on several GPUs or machines: torchrun -m segwright train ... (DDP)"
    example = "segwright train camvid.quick --data CAMVID --out runs/camvid"
    train = add_verb(verbs, "train", _train, text, example)
    train.add_argument("recipe", help="recipe: NAME, FILE.yaml or FILE.py:function")
    add_data_root(train)
    train.add_argument("--out", type=Path, metavar="RUN", help="run folder (default: runs/NAME)")
    text = "fine-tune: start from the weights of this run folder or .safetensors file"
    train.add_argument("--init", type=Path, metavar="WEIGHTS", help=text)
    text = "with --init: skip weights that do not fit, such as those of a head for other classes"
    train.add_argument("--skip-head", action="store_true", help=text)
    text = "continue a finished run for N more steps, with a new learning rate schedule"
    train.add_argument("--extend", type=int, metavar="N", help=text)
    text = "compile the model with torch.compile (training.compile=true)"
    train.add_argument("--compile", action="store_true", help=text)
    add_stopped_code(train)
    add_set(train)
    add_code(train)
    add_device(train)


def _add_convert(verbs: Any) -> None:
    text = "convert published weights of another project into a model file"
    example = (
        "segwright convert CS_scenes.pth --family toolbox --architecture pspnet --out pspnet.safetensors"
    )
    convert = add_verb(verbs, "convert", _convert, text, example)
    convert.add_argument("files", nargs="+", type=Path, help="weight file, or encoder file and decoder file")
    text = "project of the file: toolbox, csail, deeplab-voc, tutorial, torchvision, ..."
    convert.add_argument("--family", required=True, help=text)
    text = "architecture; docs/published-weights.md lists those of each project (eomt: not needed)"
    convert.add_argument("--architecture", help=text)
    text = "set fields of the model config, for example dilation=[false,true,true]"
    convert.add_argument("--set", nargs="+", action="extend", default=[], metavar="a=b", help=text)
    add_labels(convert, "class_0, class_1, ...")
    text = "model file to write"
    convert.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors", help=text)


def _add_recipe(verbs: Any) -> None:
    recipe = add_verb_group(verbs, "recipe", "list, show and suggest recipes (complete training runs)")
    text = "list all built-in recipes, and which one to use for what"
    add_verb(recipe, "list", _recipe_list, text, "segwright recipe list")
    example = "segwright recipe show camvid.quick > mine.yaml"
    show = add_verb(recipe, "show", _recipe_show, "print a recipe as YAML", example)
    show.add_argument("name", help="NAME, FILE.yaml or FILE.py:function")
    add_set(show)
    add_code(show)
    suggest.add(recipe)


if __name__ == "__main__":
    sys.exit(main())
