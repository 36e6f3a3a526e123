"""Every command of README, docs, docstrings and help runs, on small data; only the size of trainings is changed."""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from segwright import recipes
from segwright.cli.main import build_parser, main
from segwright.config import walk
from segwright.data.datasets.street import StreetScenes
from segwright.labels import LabelSpace
from segwright.models.backbones.timm import TimmConfig
from segwright.models.weights.model_file import without_weights, write_model
from segwright.recipes import describe_recipe, recipe_names
from segwright.training import length
from segwright.training.recipe import Recipe
from tests.command_files import published_weights, write_files

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]
PROGRAMS = ("segwright", "torchrun", "make", "pip", "python", "docker", "curl", "uvicorn")

NOT_RUN = {
    "pip install 'segwright[pretrained]'": "installs the package",
    "pip install -e '.[pretrained]'": "installs the package",
    "pip install 'segwright[onnx]'": "installs a package",
    "pip install 'segwright[serve]'": "installs a package",
    "make test": "runs this test",
    "make install": "makes the environment in which this test runs",
    "make check": "runs ruff and mypy, not the package",
    "make test-browser": "needs a headless browser",
    "make dist": "builds the package",
    "make test-faults": "kills processes and fills disks",
    "make docs": "tests/recipes/test_page.py compares the generated page",
    "segwright demo": "tests/test_demo.py runs it, shorter",
    **dict.fromkeys(
        (
            "segwright serve runs/own",
            "segwright serve runs/scenes",
            "segwright serve runs/camvid --port 8000",
            "curl -F image=@photo.jpg 'http://127.0.0.1:8000/predict?output=index' -o index.png",
            "curl -F image=@photo.jpg 'http://127.0.0.1:8000/predict?output=json'",
        ),
        "tests/serving starts servers and sends images",
    ),
    **dict.fromkeys(
        (
            "segwright score sequence --kind stq --truth panoptic_maps/val --prediction predictions --json stq.json",
            "segwright score sequence --kind vpq --truth video_sequence/val --prediction predictions --frames 1 2 3 4",
        ),
        "tests/evaluation has sequences of both formats",
    ),
    "segwright score instance --truth gtFine/val --prediction predictions/cityscapes --disparit"
    "y disparity/val --camera camera/val": "tests/evaluation/files has disparity and camera files",
    "segwright score instance --truth validation/v1.2/instances --prediction vistas --config co"
    "nfig_v1.2.json": "tests/evaluation/files has files of Mapillary Vistas",
    "segwright train own.semantic --data both --out runs/both --init runs/round1": "tests/prediction/"
    "test_annotations.py reads such a folder",
    "segwright predict runs/camvid --camera 0 --out predictions": "needs a camera",
    "docker build -t segwright .": "needs Docker",
    'docker run --rm -p 127.0.0.1:8000:8000 -v "$PWD/runs/camvid:/model:ro" -e SEGWRIGHT_TOKEN=secret '
    "segwright": "needs Docker",
    "segwright predict runs/camvid s3://bucket/photos --out /shared/predictions --save index parquet --ray auto "
    "--resume": "needs an object store and a Ray cluster; tests/prediction has both, small",
    **dict.fromkeys(
        (
            "segwright export runs/camvid --out camvid.onnx --json parity.json",
            "segwright export runs/scenes --out scenes.onnx",
            "segwright export RUN --out model.onnx",
            "segwright export RUN --out model.onnx --int8 --calibration DIR",
            "segwright export RUN --out FILE.onnx",
            "segwright export runs/camvid --out camvid.onnx --with-postprocessing --size 720,960",
            "segwright export runs/camvid --out camvid.xml --int8 --calibration photographs",
            "segwright export runs/camvid --out camvid.onnx --triton models",
            "segwright info camvid.onnx",
            "segwright bench camvid.onnx --size 720,960",
            "segwright serve camvid.onnx",
            "segwright predict camvid.onnx photo.jpg --out predictions",
            "segwright evaluate camvid.onnx --recipe camvid.quick --data CAMVID",
        ),
        "tests/export runs these commands, with a smaller network",
    ),
    **dict.fromkeys(
        (
            "segwright train own.panoptic_large --data ROOT --out runs/own",
            "segwright train own.panoptic_large --data ROOT --out runs/small --set "
            "model.backbone=vit_small_patch14_reg4_dinov2",
            "segwright train own.panoptic_large --data ROOT --out runs/tuned --init eomt.safetensors --skip-head "
            "--set model.backbone.weights=null",
            "segwright train own.semantic_large --data ROOT --out RUN",
            "segwright train eomt.coco_panoptic_large --data COCO",
            "segwright convert model.safetensors --family eomt --out eomt.safetensors",
            "segwright convert pytorch_model.bin --family eomt --out eomt.safetensors",
            "segwright convert pytorch_model.bin dinov3/model.safetensors --family eomt --out eomt.safetensors",
        ),
        "needs a large network; tests/importers and tests/contract have small ones",
    ),
    "segwright train RECIPE --data ROOT --out RUN [--set a.b=c ...]": "the form of a command",
}
"""Commands that no test here runs, each with the reason."""

NAMES = {
    "RECIPE": "own.semantic", "NAME": "folder", "FOLDER": "CAMVID/val", "photos": "CAMVID/val", "RUN": "runs/first",
    "IMAGE": "photo.jpg", "720,960": "72,96", "360,480": "72,96",
}  # fmt: skip
"""What stands for the words that a reader replaces by a name of their own, and smaller sizes of images."""

INSTEAD = {
    (
        "torchrun --nproc-per-node 4 -m segwright train eomt.ade20k_panoptic_large --data ADE20K --init runs/coco "
        "--skip-head"
    ): "segwright train eomt.ade20k_panoptic_large --data ADE20K_PANOPTIC --init runs/coco --skip-head",
    "segwright train camvid.quick --data CAMVID --out runs/camvid --extend 2000":
        "segwright train camvid.quick --data CAMVID --out runs/camvid --extend 2",
    "segwright predict runs/camvid photos --save uncertainty --out predictions":
        "segwright predict runs/camvid CAMVID/val --save uncertainty --out predictions",
    "segwright train RECIPE.yaml --data shards":
        "segwright train camvid.quick --data CAMVID --out runs/shards",
    'segwright data convert street --to semantic --out scenes --set train=150 val=30 "size=[240,360]"':
        "segwright data convert street --to semantic --out scenes --set train=3 val=2 size=[48,64]",
    "segwright train own.semantic --data scenes --out runs/scenes --set training.steps=300 "
    "training.evaluate_every=0.25 --extend 300":
        "segwright train own.semantic --data scenes --out runs/scenes --set training.evaluate_every=0.25 --extend 1",
    "segwright data convert street --to instance --out objects --set panoptic=true train=100 val=20":
        "segwright data convert street --to instance --out objects --set panoptic=true train=2 val=1",
    "segwright train own.semantic --data ROOT --out runs/bands --set data.bands=6":
        "segwright train own.semantic --data BANDS --out runs/bands --set data.bands=6",
    "segwright data stats ROOT --set bands=6":
        "segwright data stats BANDS --set bands=6",
}  # fmt: skip
"""Commands whose ROOT is another dataset than elsewhere on the page."""

FINDS_PROBLEMS = {
    "segwright data get cityscapes --data CITYSCAPES": "a few small images are not the published files"
}
"""Commands that end with exit code 2 on these files."""

HEAVY = {
    "segwright train cityscapes.pspnet_r101 --data CITYSCAPES --set data.truth=instances",
    "segwright convert CS_scenes_40000.pth --family toolbox --architecture pspnet --labels cityscapes "
    "--out pspnet.safetensors",
    "segwright evaluate pspnet.safetensors --recipe cityscapes.pspnet_r101 --data CITYSCAPES",
    "segwright train tuned.py:tuned --data ROOT --out runs/tuned",
    "segwright train pspnet.py:recipe --data ROOT --out runs/pspnet",
    "segwright train mine.py:upernet --data ADE20K",
    "torchrun --nproc-per-node 8 -m segwright train camvid.unet_resnet34 --data CAMVID --out runs/camvid",
}
"""Commands with large networks: slow tests."""

FOR_TESTS = {"convnext_tiny": "test_convnext", "tf_efficientnet_lite0": "test_efficientnet"}
"""Networks of the same families that timm has for tests; tests/contract trains the large ones."""

SMALLER = ["training.steps=1", "training.batch=2", "training.accumulate=1", "training.workers=0"]
LIGHT = ("camvid.quick", "facade", "nuclei", "own", "sigmoid", "street", "minicity.unet")


def commands(page: Path) -> list[str]:
    """The command lines of a page in its order: lines of code blocks, and commands with options in the text."""
    lines, fenced = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            lines.append(re.sub(r"\s+#.*", "", line.strip()))
        else:
            lines += [
                text for text in re.findall(r"`(segwright [^`]*)`", line) if re.search("--(data|out) ", text)
            ]
    return [line for line in lines if line.startswith(tuple(f"{name} " for name in PROGRAMS))]


def examples(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The examples in the help of every verb."""
    if parser.epilog:
        yield parser.epilog.removeprefix("example: ")
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb in action.choices.values():
                yield from examples(verb)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all files that the commands name, and three trained runs."""
    root = tmp_path_factory.mktemp("commands")
    write_files(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        _use_tiny_recipes(patch)
        for recipe, data, run in (
            ("camvid.quick", "CAMVID", "camvid"),
            ("facade.panoptic_quick", "FACADE", "facade"),
            ("own.semantic", "ROOT", "first"),
        ):
            _run(f"segwright train {recipe} --data {data} --out runs/{run}", root)
    for run, source in (
        ("a", "camvid"),
        ("b", "camvid"),
        ("c", "camvid"),
        ("city", "camvid"),
        ("other", "first"),
    ):
        shutil.copytree(root / "runs" / source, root / "runs" / run, copy_function=_copy_or_link)
    return root


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one; the recipes are tiny."""
    monkeypatch.chdir(tmp_path)
    _use_tiny_recipes(monkeypatch)
    return tmp_path


def _copy_named(lines: Iterable[str], files: Path, place: Path) -> None:
    """Copy the files and folders whose names occur in the command lines, or in other text."""
    text = "\n".join([*lines, *(" ".join(_words(line)) for line in lines)])
    for source in [*files.iterdir(), *(files / "runs").iterdir()]:
        name = source.relative_to(files).as_posix()
        if name == "runs" or name not in text:
            continue
        if source.is_dir():
            shutil.copytree(source, place / name, copy_function=_copy_or_link)
        else:
            shutil.copy2(source, place / name)


def _words(line: str) -> list[str]:
    """The words of a command line, with the names of our files."""
    return [NAMES.get(word, word) for word in shlex.split(INSTEAD.get(line.strip(), line))]


def _copy_or_link(source: str, target: str) -> None:
    """Large files are weights; commands replace them and never change them in place."""
    if Path(source).stat().st_size > 2**20:
        Path(target).hardlink_to(source)
    else:
        shutil.copy2(source, target)


def _use_tiny_recipes(patch: pytest.MonkeyPatch) -> None:
    load = recipes.load_recipe

    def load_tiny(name: str, **options: Any) -> Recipe:
        recipe = load(name, **options).tiny()
        for config in walk(recipe.data):
            if isinstance(config, StreetScenes):
                config.train, config.val = 4, 2
        for config in walk(recipe.model):
            if isinstance(config, TimmConfig):
                config.name = FOR_TESTS.get(config.name, config.name)
        return recipe

    patch.setattr(recipes, "load_recipe", load_tiny)
    patch.setattr(length, "TRIAL_STEPS", length.WARM_UP_STEPS + 2)


def _run(command: str, place: Path) -> None:
    """Run a command line in this process; a pipe into ``tee`` writes the file."""
    command, _, reader = command.partition("|")
    words = _words(command)
    words = words[words.index("segwright") :]  # torchrun: one process of it
    target = reader.split() if reader else words[words.index(">") :] if ">" in words else []
    words = words[: words.index(">")] if ">" in words else words
    if "train" in words[:2]:
        downloads = "tuned.py" in command or "weights=imagenet" in command
        changes = [f"training.{length}=null" for length in ("epochs", "minutes") if f".{length}=" in command]
        changes += [*SMALLER, *(["model.backbone.weights=null"] if downloads else [])]
        words += ["--device", "cpu", "--set", *changes]
    if words[1] == "bench":
        words += ["--seconds", "0"]
    _make_room(words, place)
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = main(words[1:])
    assert code == (2 if command in FINDS_PROBLEMS else 0), f"{command}: {errors.getvalue()}"
    if target:
        assert target[0] in ("tee", ">"), command
        (place / target[1]).write_text(output.getvalue(), encoding="utf-8")


def _make_room(words: list[str], place: Path) -> None:
    """Remove what a conversion writes: it replaces nothing."""
    if words[1:3] != ["data", "convert"]:
        return
    if words[3] in ("rgb", "labelme", "coco"):
        shutil.rmtree(place / words[words.index("--out") + 1].split("/")[0], ignore_errors=True)
    for path in place.glob("CITYSCAPES/gtFine/cityscapes_panoptic_*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _write_snippets(page: Path, place: Path) -> None:
    """The Python files that a page shows: blocks that begin with the name of a file."""
    for code in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        if match := re.match(r"# (\w+\.py)\n", code):
            (place / match[1]).write_text(code, encoding="utf-8")


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_the_commands_of_a_page_run_in_its_order(page: Path, files: Path, place: Path) -> None:
    lines = [command for command in commands(page) if command not in NOT_RUN and command not in HEAVY]
    _copy_named(lines, files, place)
    _write_snippets(page, place)
    for command in lines:
        _run(command, place)


@pytest.mark.slow
def test_the_commands_with_large_networks_run(files: Path, place: Path) -> None:
    _copy_named(sorted(HEAVY), files, place)
    published_weights(place / "CS_scenes_40000.pth")
    done = []
    for page in PAGES:
        _write_snippets(page, place)
        for command in commands(page):
            if command in HEAVY:
                if "runs/camvid" in command:
                    shutil.rmtree(place / "runs" / "camvid")
                _run(command, place)
                done.append(command)
    assert {*done} == HEAVY  # none of them left the documents


def light_or_slow(name: str) -> object:
    return pytest.param(name, marks=() if name.startswith(LIGHT) else pytest.mark.slow)


@pytest.mark.parametrize("name", [light_or_slow(name) for name in recipe_names()])
def test_the_command_of_a_recipe_runs(name: str, files: Path, place: Path) -> None:
    command = describe_recipe(name).command
    assert command, "the docstring has no command"
    _copy_named([command.partition(" --out ")[0]], files, place)
    _write_weights(command, name, place)
    _run(command, place)


def _write_weights(command: str, recipe: str, place: Path) -> None:
    """The file or run that a training starts from, with random weights of the same network."""
    words = shlex.split(command)
    if "--init" in words:
        loaded = recipes.load_recipe(recipe)
        config = without_weights(loaded.model)
        model = config.build(LabelSpace.of("a", "b"), loaded.input)
        path = place / words[words.index("--init") + 1]
        path = path if path.suffix else path / "best.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_model(path, model, config)


def test_the_examples_of_the_help_run(files: Path, place: Path) -> None:
    found = [*examples(build_parser())]
    assert len(found) >= 15
    predict = (
        "segwright predict runs/facade FACADE/val --out predictions --save instances --ids panoptic_val.json"
    )
    _copy_named([predict, *found], files, place)
    _run(predict, place)
    for command in found:
        # Minutes: tests/test_documents.py runs the page on export. tests/evaluation has sequences.
        if command.startswith(("segwright export", "segwright score sequence")):
            continue
        if command not in NOT_RUN and "CS_scenes" not in command:  # the page on published weights has it
            if " train " in command:
                shutil.rmtree(place / command.split("--out ")[1].split()[0], ignore_errors=True)
            _run(command, place)


def test_what_is_not_run_is_in_the_documents() -> None:
    written = {command for page in PAGES for command in commands(page)}
    assert set(NOT_RUN) <= written, set(NOT_RUN) - written
    assert set(HEAVY) <= written, set(HEAVY) - written
