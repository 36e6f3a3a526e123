"""The verb ``segwright convert``."""

from __future__ import annotations

import argparse
from pathlib import Path

from segwright.cli.options import Verbs, add_labels, add_verb, labels_from_option
from segwright.errors import UserError
from segwright.model_paths import check_new_model
from segwright.wording import count_of


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
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


def _convert(options: argparse.Namespace) -> int:
    from segwright.config import settings

    check_new_model(options.out)
    for path in options.files:
        if not path.exists():
            raise UserError(
                f"{path}: file does not exist; expected weights (.pth, .pth.tar, .pkl or .safetensors)"
            )
    labels = None if options.labels is None else labels_from_option(options.labels)
    fields = settings(options.set)
    if wrong := sorted({"files", "family", "architecture", "labels", "out"} & fields.keys()):
        raise UserError(f"--set {wrong[0]}: not a field of the model config; use the option --{wrong[0]}")
    # What is above refuses wrong options, names and paths before torch is imported.
    from segwright.importers import convert

    model = convert(options.files, options.family, options.architecture, options.out, labels=labels, **fields)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{options.out}: {count / 1e6:.3f} M parameters, {count_of(len(model.labels), 'class')}")
    return 0
