"""Faults of command lines, recipes and settings."""

from __future__ import annotations

from tests.faults.damage import aliases, data, replaced, text
from tests.faults.fault import RECIPE, TRAIN, Fault

DEEP = "a: " + "[" * 10_000
LAUGHS = aliases(12)


FAULTS: dict[str, list[Fault]] = {
    "Command lines": [
        Fault(
            "an unknown verb",
            "trian recipe.yaml",
            "argument VERB: invalid choice: 'trian' (…); did you mean train?; see segwright --help",
        ),
        Fault(
            "no verb",
            "",
            "the following arguments are required: VERB; see segwright --help",
        ),
        Fault(
            "an unknown option",
            "train recipe.yaml --dta data",
            "segwright train: unknown option --dta; did you mean --data?; see segwright train --help",
        ),
        Fault(
            "an option without its value",
            "train recipe.yaml --data",
            "segwright train: argument --data: expected one argument; see segwright train --help",
        ),
        Fault(
            "a missing argument",
            "evaluate",
            "segwright evaluate: the following arguments are required: model; example: segwright evaluate …; see "
            "segwright evaluate --help",
        ),
        Fault(
            "a missing required option",
            "predict run photo.jpg",
            "segwright predict: the following arguments are required: --out; example: segwright predict …; see "
            "segwright predict --help",
        ),
        Fault(
            "text where a number is expected",
            "predict run photo.jpg --out new --batch many",
            "segwright predict: argument --batch: 'many'; expected a whole number from 1; see segwright predict --help",
        ),
        Fault(
            "an unknown choice",
            "evaluate run --fuse median",
            "segwright evaluate: argument --fuse: invalid choice: 'median' (…); see segwright evaluate "
            "--help",
        ),
        Fault(
            "an unknown device",
            "evaluate run --device gpu",
            "--device gpu: unknown device; expected cpu, cuda or cuda:N",
        ),
        Fault(
            "a GPU that is not there",
            "evaluate run --device cuda:7",
            "--device cuda:7: PyTorch … finds no GPU; use --device cpu",
        ),
        Fault(
            "an option without effect",
            TRAIN + " --skip-head",
            "--skip-head has no effect without --init; name the model to start from with --init",
        ),
        Fault(
            "two options that exclude each other",
            "export run --out new.onnx --size 32,32 --dynamic",
            "segwright export: argument --dynamic: not allowed with argument --size; see segwright export "
            "--help",
        ),
    ],
    "Recipes and settings": [
        Fault(
            "an unknown recipe",
            "train camvid.quik --data data --out new",
            "unknown recipe 'camvid.quik'; did you mean 'camvid.quick'?",
        ),
        Fault(
            "a recipe file that does not exist",
            "train missing.yaml --data data --out new",
            "missing.yaml: does not exist; 'segwright recipe show NAME > missing.yaml' writes one to edit",
        ),
        Fault(
            "an empty recipe file",
            TRAIN,
            "recipe.yaml: contains no recipe; expected '!Recipe' and its fields; 'segwright recipe show "
            "NAME > recipe.yaml' writes one to edit",
            text(RECIPE, ""),
        ),
        Fault(
            "broken YAML",
            TRAIN,
            "recipe.yaml, line 3: not valid YAML (…)",
            text(RECIPE, "!Recipe\nname: [1, 2\n"),
        ),
        Fault(
            "tabs in YAML",
            TRAIN,
            "recipe.yaml, line 2: not valid YAML (…)",
            text(RECIPE, "!Recipe\n\tname: a\n"),
        ),
        Fault(
            "a recipe without a tag",
            TRAIN,
            "recipe.yaml: contains no recipe; expected '!Recipe' and its fields; 'segwright recipe show "
            "NAME > recipe.yaml' writes one to edit",
            replaced(RECIPE, "!Recipe\n", ""),
        ),
        Fault(
            "a file that is no text",
            TRAIN,
            "recipe.yaml: not text in UTF-8 (…); expected the YAML file of a recipe",
            data(RECIPE, bytes(range(256))),
        ),
        Fault(
            "an unknown class",
            TRAIN,
            "recipe.yaml, line 11: segwright has no class 'CrosEntropy'; did you mean !CrossEntropy?",
            replaced(RECIPE, "!CrossEntropy", "!CrosEntropy"),
        ),
        Fault(
            "a tag that names a Python module",
            TRAIN,
            "recipe.yaml, line 11: not valid YAML (…)",
            replaced(RECIPE, "!CrossEntropy {}", "!!python/object/apply:os.system [id]"),
        ),
        Fault(
            "a class that is not part of segwright",
            TRAIN,
            "recipe.yaml, line 11: os:system is not of segwright; name the file that defines it with "
            "--code FILE.py",
            replaced(RECIPE, "!CrossEntropy {}", "!os:system {}"),
        ),
        Fault(
            "an unknown field",
            TRAIN,
            "recipe.yaml, line 14: Training has no field 'stepps'; did you mean 'steps'?",
            replaced(RECIPE, "steps: 2", "stepps: 2"),
        ),
        Fault(
            "a field that is missing",
            TRAIN,
            "recipe.yaml, line 1: Recipe cannot be built (…)",
            replaced(RECIPE, "loss: !CrossEntropy {}\n", ""),
        ),
        Fault(
            "a field of the wrong type",
            TRAIN,
            "recipe.yaml, line 14, Training.steps: 'two' is not of type int",
            replaced(RECIPE, "steps: 2", "steps: two"),
        ),
        Fault(
            "an object of the wrong kind",
            TRAIN,
            "recipe.yaml, line 1, Recipe.loss: Argmax is another kind of object; expected a Loss",
            replaced(RECIPE, "loss: !CrossEntropy {}", "loss: !Argmax {}"),
        ),
        Fault(
            "a recipe of a later version",
            TRAIN,
            "recipe.yaml, line 1: format 99; this version of segwright reads format 1; update segwright",
            replaced(RECIPE, "format: 1", "format: 99"),
        ),
        Fault(
            "a recipe file of nested aliases (billion laughs)",
            TRAIN,
            "recipe.yaml: not valid YAML (its aliases stand for more than 1,000,000 values)",
            text(RECIPE, LAUGHS),
        ),
        Fault(
            "a recipe that refers to itself",
            TRAIN,
            "recipe.yaml: not valid YAML (it is nested too deeply, or refers to itself)",
            text(RECIPE, "!Recipe\nname: &a [*a]\n"),
        ),
        Fault(
            "a recipe nested 10,000 deep",
            TRAIN,
            "recipe.yaml: not valid YAML (it is nested too deeply, or refers to itself)",
            text(RECIPE, DEEP),
        ),
        Fault(
            "a Python file without the function",
            "train own.py:missing --data data --out new",
            "own.py: has no function 'missing'; expected one that returns a Recipe",
        ),
        Fault(
            "a Python file whose function returns no recipe",
            "train own.py:number --data data --out new",
            "own.py:number: is a int; expected a Recipe",
        ),
        Fault(
            "a Python file with an error",
            "train own.py:tiny --data data --out new",
            "own.py, line 1: ModuleNotFoundError: No module named 'missing_package'; correct the file "
            "(--debug shows the traceback)",
            text("own.py", "import missing_package\n"),
        ),
        Fault(
            "a Python file that does not compile",
            "train own.py:tiny --data data --out new",
            "own.py, line 1: not valid Python (…); correct it",
            text("own.py", "def tiny(:\n"),
        ),
        Fault(
            "a Python file that calls exit",
            "train own.py:tiny --data data --out new",
            "own.py: ends the program (…); expected code that returns",
            text("own.py", "import sys\nsys.exit(0)\n"),
        ),
        Fault(
            "--code with a file that does not exist",
            TRAIN + " --code missing.py",
            "missing.py: does not exist; expected a file with Python code",
        ),
        Fault(
            "a setting without =",
            TRAIN + " --set training.steps",
            "--set training.steps: no '='; expected a.b=value, for example optim.lr=3e-4",
        ),
        Fault(
            "a setting of an unknown field",
            TRAIN + " --set training.stps=3",
            "--set training.stps=3: Training has no field 'stps'; did you mean 'steps'?",
        ),
        Fault(
            "a setting below a number",
            TRAIN + " --set training.steps.first=3",
            "--set training.steps.first=3: int has no fields, so 'first' cannot be set",
        ),
        Fault(
            "a setting with an empty value",
            TRAIN + " --set training.steps=",
            "--set training.steps=: '' is not of type int",
        ),
        Fault(
            "a negative number of steps",
            TRAIN + " --set training.steps=-1",
            "training.steps is -1; expected a whole number from 1",
        ),
        Fault(
            "no steps",
            TRAIN + " --set training.steps=0",
            "training.steps is 0; expected a whole number from 1",
        ),
        Fault(
            "a huge number",
            TRAIN + " --set training.steps=1e30",
            "--set training.steps=1e30: 1e+30 is not of type int",
        ),
        Fault(
            "a learning rate that is no number",
            TRAIN + " --set optim.lr=nan",
            "optim.lr is nan; expected a positive number",
        ),
        Fault(
            "an infinite learning rate",
            TRAIN + " --set optim.lr=inf",
            "optim.lr is inf; expected a positive number",
        ),
        Fault(
            "a fraction above 1",
            TRAIN + " --set training.evaluate_every=7",
            "training.evaluate_every is 7.0; expected a fraction, 0 < x <= 1",
        ),
        Fault(
            "an unknown precision",
            TRAIN + " --set training.precision=fp8",
            "--set training.precision=fp8: 'fp8' is not one of auto, fp32, bf16, fp16",
        ),
        Fault(
            "an unknown network",
            TRAIN + " --set model=unett",
            "--set model=unett: 'unett' is no ModelConfig; did you mean unet?",
        ),
        Fault(
            "an unknown backbone",
            TRAIN + " --set model=unet model.backbone=resnet51",
            "timm has no network 'resnet51'; similar names: resnet51q, resnet50, resnet18, resnet61q, "
            "resnet50t",
        ),
        Fault(
            "an unknown metric",
            TRAIN + " --set metrics=[MeanIoUU]",
            "--set metrics=[MeanIoUU]: 'MeanIoUU' is no Metric; expected one of boundaryiou, calibration, "
            "categoryiou, instanceiou, trimapiou",
        ),
        Fault(
            "a score to monitor that does not exist",
            TRAIN + " --set monitor=accuracy",
            "monitor: unknown score 'accuracy'; expected one of …",
        ),
        Fault(
            "class weights for another number of classes",
            TRAIN + " --set loss.class_weights=[1,2]",
            "CrossEntropy.class_weights has 2 values, the dataset has 3 classes; expected one value per "
            "class, or null",
        ),
        Fault(
            "a mean for another number of channels",
            TRAIN + " --set input.mean=[1,2]",
            "input.mean and input.std differ in length; expected one value per channel; input.mean and "
            "input.fill_value differ in length; expected one value per channel",
        ),
        Fault(
            "a standard deviation of 0",
            TRAIN + " --set input.std=[0,1,1]",
            "input.std is [0.0, 1.0, 1.0]; expected a positive number",
        ),
        Fault(
            "a batch that cannot be divided",
            TRAIN + " --set training.batch=3 training.accumulate=2",
            "training.batch 3 is not a multiple of training.accumulate 2",
        ),
        Fault(
            "a batch above the memory",
            TRAIN + " --set training.batch=1000000 augmentation.steps.0.stages.0.size=[8192,8192]",
            "1000000 images of 8192x8192 pixels need 187,500 GiB, this machine has … GiB; lower "
            "training.batch, the crops of the augmentation, or input.multiple",
        ),
        Fault(
            "several lengths at once",
            TRAIN + " --set training.epochs=1 training.minutes=1",
            "training.epochs and training.minutes are both given; expected one of them",
        ),
        Fault(
            "a recipe to show that does not exist",
            "recipe show nothing.here",
            "unknown recipe 'nothing.here'; did you mean 'own.semantic_large'?",
        ),
        Fault(
            "a suggestion for no dataset",
            "recipe suggest missing --data data",
            "unknown dataset 'missing'; did you mean 'masks'? (a folder? there is none of this name: check the path)",
        ),
        Fault(
            "a suggestion for no minutes",
            "recipe suggest folder --data data --minutes 0",
            "--minutes 0: expected a number above 0",
        ),
    ],
}
