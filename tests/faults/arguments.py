"""Faults of arguments: a file where a folder belongs, a folder where a file belongs, options that are misspelled."""

from __future__ import annotations

from tests.faults.damage import appended, changed
from tests.faults.fault import TRAIN, Fault

EVALUATED = "expected run.json and evaluation/val.json; check the path, or train first"
FOLDERS = "photo.jpg: is a file; expected a folder of images; check --truth and --prediction"

FAULTS: dict[str, list[Fault]] = {
    "Arguments": [
        Fault(
            "a misspelled option that is required",
            "predict run photo.jpg --ot new",
            "segwright predict: unknown option --ot; did you mean --out?; see segwright predict --help",
        ),
        Fault(
            "an option of another verb",
            "evaluate run --set a=b",
            "segwright evaluate: unknown option --set; …; see segwright evaluate --help",
        ),
        Fault(
            "too many arguments",
            "export run photos --out new.onnx",
            "segwright export: unexpected arguments: photos; expected no more; example: segwright export …",
        ),
        Fault(
            "a misspelled verb of a group",
            "data chek data",
            "segwright data: argument VERB: invalid choice: 'chek' (…); did you mean check?; see segwright data --help",
        ),
        Fault(
            "a score without its files",
            "score semantic",
            "segwright score semantic: the following arguments are required: --truth, --prediction, --labels; example: "
            "segwright score semantic --truth …; see segwright score semantic --help",
        ),
        Fault(
            "a folder as a recipe",
            "train photos --data data --out new",
            "photos: is a folder; expected NAME (see 'segwright recipe list'), FILE.yaml or FILE.py:function",
        ),
        Fault(
            "an image as a recipe",
            "train photo.jpg --data data --out new",
            "photo.jpg: is no recipe; expected NAME (see 'segwright recipe list'), FILE.yaml or FILE.py:function",
        ),
        Fault(
            "a file as the run folder of a training",
            "train recipe.yaml --data data --out photo.jpg",
            "photo.jpg: is a file; expected a folder for the run; choose another --out",
        ),
        Fault(
            "a file as the folder of the demo",
            "demo --out photo.jpg --device cpu",
            "photo.jpg: is a file; expected a folder; choose another path",
        ),
        Fault(
            "a result below a file",
            "evaluate run --data data --device cpu --json photo.jpg/a.json",
            "photo.jpg: is a file; expected a folder; choose another path",
        ),
        Fault(
            "a folder as the file for results",
            "evaluate run --data data --json photos",
            "photos: is a folder; expected the name of a file to write",
        ),
        Fault(
            "--init with a folder that is no run",
            TRAIN + " --init photos",
            "photos: contains no best.safetensors; expected a run that was evaluated once; check the path",
        ),
        Fault(
            "a mistyped run",
            "info rn",
            "unknown recipe 'rn'; 'segwright recipe list' lists all (a run or a file? there is none of this name: "
            "check the path)",
        ),
        Fault(
            "a report of an image",
            "report photo.jpg",
            f"photo.jpg: not a run folder that was evaluated; {EVALUATED}",
        ),
        Fault(
            "a file as ground truth",
            "score semantic --truth photo.jpg --prediction maps --labels classes.yaml",
            FOLDERS,
        ),
        Fault(
            "a file as predictions",
            "score semantic --truth truth --prediction photo.jpg --labels classes.yaml",
            FOLDERS,
        ),
        Fault(
            "a folder as a class file",
            "score semantic --truth truth --prediction maps --labels photos",
            "--labels photos: is no class file; expected FILE.yaml, FILE.json or the name of a dataset",
        ),
        Fault(
            "a class file that does not exist",
            "score semantic --truth truth --prediction maps --labels missing.yaml",
            "missing.yaml: not a class file that can be read (No such file or directory); expected YAML; "
            "check the path",
        ),
        Fault(
            "a folder as panoptic ground truth",
            "score panoptic --truth photos --prediction found/panoptic_val.json",
            "photos: cannot be read (Is a directory); expected COCO JSON; check the path",
        ),
        Fault(
            "a folder as published weights",
            "convert photos --family torchvision --architecture fcn_resnet50 --out new.safetensors",
            "photos: is a folder; expected weights (.pth, .pth.tar, .pkl or .safetensors); check the path",
        ),
        Fault(
            "text as published weights",
            "convert classes.yaml --family torchvision --architecture fcn_resnet50 --out new.safetensors",
            "classes.yaml: refused to unpickle (…); expected a file of plain tensors; …",
        ),
        Fault(
            "a format without its source",
            "data convert coco --out new",
            "data convert coco: the source is missing; expected its path after the format",
        ),
        Fault(
            "an image as an export",
            "data split photo.jpg --val 0.2 --out new",
            "photo.jpg: is a file; expected the folder that an annotation tool exported; check the path",
        ),
    ],
    "Damaged files of a run": [
        Fault(
            "a recipe that is no text",
            "report run --no-errors --device cpu",
            "run/recipe.yaml: not text in UTF-8 (…); write it again, or restore a copy of it",
            appended("run/recipe.yaml", b"\xff\xfe"),
        ),
        Fault(
            "scores of another shape",
            "report run --no-errors --device cpu",
            "run: damaged (…); expected the files that training and evaluation wrote; restore them, or evaluate the "
            "run again; --debug shows where it was read",
            changed("run/evaluation/val.json", lambda v: v.update(confusion=[[1], [2, 3]])),
        ),
        Fault(
            "a journal with lines of something else",
            "predict run photos --out done --device cpu --resume",
            "done/done.jsonl: …; …",
            appended("done/done.jsonl", b'{"name": "a.png"}\n'),
        ),
    ],
}
