"""Faults of runs, weights and exported files."""

from __future__ import annotations

from pathlib import Path

from tests.faults.damage import (
    both,
    copied,
    cut,
    data,
    external_onnx,
    foreign_onnx,
    metadata,
    pickled_program,
    removed,
    replaced,
    text,
)
from tests.faults.fault import MODEL, PREDICT, TRAIN, Fault

CONVERT = "convert published.pth --family toolbox --architecture pspnet --out new.safetensors"


FAULTS: dict[str, list[Fault]] = {
    "Weights and runs": [
        Fault(
            "a run that does not exist",
            "predict missing photo.jpg --out new",
            "missing: file does not exist; expected a .safetensors model or a run folder",
        ),
        Fault(
            "a folder that is no run",
            "predict photos photo.jpg --out new",
            "photos: contains no best.safetensors; expected a run that was evaluated once",
        ),
        Fault(
            "a model file cut short",
            PREDICT,
            "run/best.safetensors: not a complete safetensors file (…); expected a model of segwright",
            cut(MODEL),
        ),
        Fault(
            "an empty model file",
            PREDICT,
            "run/best.safetensors: not a complete safetensors file (…); expected a model of segwright",
            data(MODEL, b""),
        ),
        Fault(
            "a model file with a header of 2^60 bytes",
            PREDICT,
            "run/best.safetensors: not a complete safetensors file (…); expected a model of segwright",
            data(MODEL, b"\xff" * 7 + b"\x0f" + b"{}"),
        ),
        Fault(
            "safetensors of another program",
            PREDICT,
            "run/best.safetensors: not a segwright model (format None); convert it with 'segwright convert'",
            metadata(MODEL, lambda m: m.clear()),
        ),
        Fault(
            "a model file of a later version",
            PREDICT,
            "run/best.safetensors: model file of version 99; this segwright reads version 2; update "
            "segwright",
            metadata(MODEL, lambda m: m.update(version="99")),
        ),
        Fault(
            "a model file without labels",
            PREDICT,
            "run/best.safetensors: its description of the model is damaged (…); copy the file again, or "
            "train or convert it again",
            metadata(MODEL, lambda m: m.pop("labels")),
        ),
        Fault(
            "a model file whose labels are no JSON",
            PREDICT,
            "run/best.safetensors: its description of the model is damaged (…); copy the file again, or "
            "train or convert it again",
            metadata(MODEL, lambda m: m.update(labels="{")),
        ),
        Fault(
            "a model file with a class of its own",
            PREDICT,
            "run/best.safetensors, model, line 1: mine:Net is not of segwright; name the file that defines "
            "it with --code FILE.py",
            metadata(MODEL, lambda m: m.update(model="!mine:Net {}")),
        ),
        Fault(
            "a model file whose network has other weights",
            PREDICT,
            "run/best.safetensors: the weights do not fit the network of this version of segwright (size "
            "mismatch for pyramid.context.weight: copying a param with shape torch.Size([8, 16, 1, 1]) "
            "from checkpoint, the shape in current model is torch.Size([16, 16); train or convert it again",
            metadata(
                MODEL,
                lambda m: m.update(model=m["model"].replace("decoder_channels: 8", "decoder_channels: 16")),
            ),
        ),
        Fault(
            "a PyTorch file as a model",
            "predict published.pth photo.jpg --out new",
            "published.pth: not a .safetensors file; expected a model file or a run folder; a published file needs "
            "'segwright convert', or load with family and architecture",
        ),
        Fault(
            "--init with a missing file",
            TRAIN + " --init missing.safetensors",
            "missing.safetensors: file does not exist; expected a .safetensors model or a run folder",
        ),
        Fault(
            "--init with other classes",
            TRAIN + " --init objects.safetensors",
            "objects.safetensors: its classes differ: only in the file: road, car, only in the dataset: "
            "leaf, stone; --skip-head starts from the weights that fit",
        ),
        Fault(
            "--init with a file cut short",
            TRAIN + " --init a.safetensors",
            "a.safetensors: not a complete safetensors file (…); expected a model of segwright",
            both(copied(MODEL, "a.safetensors"), cut("a.safetensors")),
        ),
        Fault(
            "pretrained weights that are not there",
            TRAIN + " --set model=unet model.backbone=resnet18 model.backbone.weights=missing.pth",
            "missing.pth: file does not exist; expected weights of the backbone resnet18; put them there",
        ),
        Fault(
            "all checkpoints cut short",
            "train recipe.yaml --data data --out run",
            "run/checkpoints: no checkpoint can be read (…); start in a new folder",
            both(*(cut(f"run/checkpoints/step-0000000{step}.pt") for step in (1, 2))),
            code=1,
        ),
        Fault(
            "resuming with another recipe",
            "train recipe.yaml --data data --out run --set training.seed=5",
            "run: contains a run of another recipe (- seed: 0 + seed: 5); choose another --out, or restore "
            "the recipe",
        ),
        Fault(
            "extending a run that does not exist",
            TRAIN + " --extend 5",
            "--extend 5: new contains no finished run; start without --extend",
        ),
        Fault(
            "extending by a negative number",
            "train recipe.yaml --data data --out run --extend -5",
            "--extend -5: expected at least 1 step",
        ),
        Fault(
            "a run folder that is a file",
            TRAIN,
            "new: is a file; expected a folder for the run; choose another --out",
            text("new", "x"),
        ),
        Fault(
            "evaluating with data that moved",
            "evaluate run",
            "moved: no such folder; expected the folder of the dataset; check --data",
            both(removed("data"), replaced("run/run.json", "/data", "/moved")),
        ),
        Fault(
            "evaluating on a split that is not there",
            "evaluate run --split tset",
            "data: no split 'tset'; expected images/tset/ or tset/images/ or images/ with a list tset.txt "
            "of one image name per line; check --data and the split, or set data.images",
        ),
        Fault(
            "evaluating with a damaged recipe",
            "evaluate run",
            "run/recipe.yaml, line 1: not valid YAML (…)",
            text("run/recipe.yaml", "!Recipe {"),
        ),
        Fault(
            "evaluating with a damaged run.json",
            "evaluate run",
            "run/run.json: not JSON (…); write it again, or restore a copy of it",
            text("run/run.json", "{"),
        ),
        Fault(
            "evaluating where no JSON can be written",
            "evaluate run --json data",
            "data: is a folder; expected the name of a file to write",
        ),
        Fault(
            "an oracle of a model without objects",
            "evaluate run --oracle center",
            "oracle: Argmax decodes only classes; expected a model that predicts object centers",
        ),
        Fault(
            "scales of zero",
            "evaluate run --scales 0",
            "scales are (0.0,); expected positive factors, for example 0.5 1 1.5",
        ),
        Fault(
            "windows that are no size",
            "evaluate run --windows big",
            "segwright evaluate: argument --windows: 'big'; expected height and width, for example 512,1024; see "
            "segwright evaluate --help",
        ),
        Fault(
            "an ensemble of models of other classes",
            "evaluate run objects.safetensors",
            "model 2 of the ensemble has the class 'road', unlike the first; expected models of the same "
            "classes",
        ),
        Fault(
            "a report on a run that does not exist",
            "report missing",
            "missing: not a run folder that was evaluated; expected run.json and evaluation/val.json; check the path, "
            "or train first",
        ),
        Fault(
            "a report on a run that has not started",
            "report run",
            "run: not a run folder that was evaluated; expected run.json and evaluation/val.json; check the path, "
            "or train first",
            both(removed("run"), lambda: Path("run").mkdir()),
        ),
        Fault(
            "a report with an ending that is not .html",
            "report run --out new.pdf",
            "--out new.pdf: expected a name that ends in .html",
        ),
        Fault(
            "the average of different networks",
            "average run objects.safetensors --out new.safetensors",
            "objects.safetensors: class 0 is 'road', and 'sky' in run/best.safetensors; expected models of "
            "the same architecture, classes and preprocessing",
        ),
        Fault(
            "the average of one model",
            "average run --out new.safetensors",
            "an average of 1 models; expected at least 2",
        ),
        Fault(
            "information about a missing file",
            "info missing.safetensors",
            "missing.safetensors: file does not exist; expected a .safetensors model or a run folder",
        ),
        Fault(
            "a size of zero",
            "info run --size 0,0",
            "segwright info: argument --size: '0,0'; expected height and width, for example 512,1024; see "
            "segwright info --help",
        ),
        Fault(
            "a benchmark of no images",
            "bench run --batch 0",
            "segwright bench: argument --batch: '0'; expected a whole number from 1; see segwright bench --help",
        ),
        Fault(
            "models of a pattern that nothing fits",
            "models zzz*",
            "no network or backbone matches 'zzz*'; 'segwright models \"*\"' lists all names",
        ),
    ],
    "Published weights": [
        Fault(
            "a family that does not exist",
            "convert published.pth --family mmseg --architecture fcn --out new.safetensors",
            "unknown family 'mmseg'; expected one of toolbox, csail, deeplab-voc, tutorial, "
            "panoptic-deeplab, torchvision, smp, mmsegmentation, eomt",
        ),
        Fault(
            "an architecture that does not exist",
            "convert published.pth --family toolbox --architecture fcn99 --out new.safetensors",
            "unknown toolbox architecture 'fcn99'; expected one of pspnet, deeplabv3",
        ),
        Fault(
            "a file that is not there",
            "convert missing.pth --family toolbox --architecture pspnet --out new.safetensors",
            "missing.pth: file does not exist; expected weights (.pth, .pth.tar, .pkl or .safetensors)",
        ),
        Fault(
            "weights of another network",
            "convert published.pth --family toolbox --architecture pspnet --labels cityscapes --out new.safetensors",
            "the file has 1 keys, but not head.1.bias; check that it is of this architecture",
        ),
        Fault(
            "a file cut short",
            CONVERT,
            "published.pth: not a complete PyTorch file (…)",
            cut("published.pth"),
        ),
        Fault(
            "a file that is text",
            CONVERT,
            "published.pth: refused to unpickle (it contains more than tensors); expected a file of plain "
            "tensors; where it was trained, write one with torch.save(model.state_dict(), FILE)",
            text("published.pth", "<html>"),
        ),
        Fault(
            "a name that does not end in .safetensors",
            "convert published.pth --family toolbox --architecture pspnet --out new.pth",
            "new.pth: expected a name that ends in .safetensors",
        ),
        Fault(
            "labels that do not exist",
            "convert published.pth --family toolbox --architecture pspnet --labels cityscape --out new.safetensors",
            "unknown dataset 'cityscape'; did you mean 'cityscapes'?",
        ),
    ],
    "Exported files": [
        Fault(
            "an unknown ending",
            "export run --out new.tflite",
            "new.tflite: expected a name that ends in .onnx or .pt2 or .xml",
        ),
        Fault(
            "a format that does not fit the ending",
            "export run --format onnx --out new.pt2",
            "new.pt2: expected a name that ends in .onnx",
        ),
        Fault(
            "8 bits without images",
            "export run --out new.onnx --int8",
            "--int8 and --calibration DIR belong together; give both or none of them",
        ),
        Fault(
            "calibration images that are not there",
            "export run --out new.onnx --int8 --calibration missing",
            "missing: does not exist; expected a folder of images",
        ),
        Fault(
            "no images for the comparison",
            "export run --out new.onnx --images labelme/b",
            "labelme/b: does not exist; expected a folder of images",
        ),
        Fault(
            "operators of an unknown version",
            "export run --out new.onnx --opset 5",
            "--opset is 5; expected 18 to 23",
        ),
        Fault(
            "an ONNX file that is not there",
            "predict missing.onnx photo.jpg --out new",
            "missing.onnx: file does not exist; expected a file of 'segwright export'",
        ),
        Fault(
            "an ONNX file that is text",
            "predict a.onnx photo.jpg --out new",
            "a.onnx: onnxruntime cannot open it (…); expected a complete ONNX file",
            text("a.onnx", "no"),
        ),
        Fault(
            "an ONNX file of another program",
            "predict a.onnx photo.jpg --out new",
            "a.onnx: contains no description of segwright; expected a file of 'segwright export'",
            foreign_onnx("a.onnx"),
        ),
        Fault(
            "an ONNX file whose weights lie outside its folder",
            "predict a.onnx photo.jpg --out new",
            "a.onnx: onnxruntime cannot open it (…); expected a complete ONNX file",
            external_onnx("a.onnx"),
        ),
        Fault(
            "a .pt2 file that is text",
            "predict a.pt2 photo.jpg --out new",
            "a.pt2: refused (…); expected a .pt2 file of 'segwright export'",
            text("a.pt2", "no"),
        ),
        Fault(
            "a .pt2 file that contains a pickle",
            "predict a.pt2 photo.jpg --out new",
            "a.pt2: refused (it contains a pickle); expected a .pt2 file of 'segwright export'",
            pickled_program("a.pt2"),
        ),
        Fault(
            "an OpenVINO file that is text",
            "predict a.xml photo.jpg --out new",
            "a.xml: not a file of OpenVINO; expected FILE.xml and FILE.bin",
            text("a.xml", "no"),
        ),
    ],
}
