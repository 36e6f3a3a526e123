"""No output replaces another one or an input: names, folders and ids are settled before the first image."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import small

from segwright.cli.main import main
from segwright.contracts import InputContract, Model
from segwright.data.datasets.coco_stuff import CLASSES as COCO_STUFF
from segwright.data.datasets.mapillary import CLASSES as VISTAS
from segwright.data.formats.coco import CocoAnnotations
from segwright.data.reading.label_maps import read_map, write_png
from segwright.errors import UserError
from segwright.evaluation.files.panoptic import score_panoptic
from segwright.inference.single_pass import SINGLE_PASS
from segwright.labels import LabelSpace
from segwright.models.weights.model_file import write_model
from segwright.prediction.image_ids import image_ids, image_ids_in
from segwright.prediction.inputs import InputImage, find_images, named_images
from segwright.prediction.predict_files import predict_files
from segwright.prediction.writers import CityscapesWriter, InstanceWriter, PanopticWriter
from segwright.samples import PredictedSegment, Prediction

KINDS = ("index", "color", "overlay")


@pytest.fixture(scope="module")
def semantic() -> Model:
    return small.semantic_model()


@pytest.fixture(scope="module")
def panoptic() -> Model:
    torch.manual_seed(0)
    return small.PANOPTIC.build(small.OBJECTS, InputContract()).eval()


def photograph(path: Path, gray: int = 128) -> Path:
    write_png(path, np.full((32, 40, 3), gray, np.uint8))
    return path


def run(model: Model, sources: list[Any], out: Path, **options: Any) -> dict[str, str | None]:
    """Path -> problem of every image."""
    return {str(path): problem for path, problem in predict_files(model, map(str, sources), out, **options)}


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_images_of_one_name_in_two_folders_both_have_outputs(semantic: Model, tmp_path: Path) -> None:
    folders = [tmp_path / "seq1", tmp_path / "seq2"]
    for folder in folders:
        photograph(folder / "000000.png")
    run(semantic, folders, tmp_path / "out", save=["semantic"])
    for kind in (*KINDS, "semantic"):
        assert written(tmp_path / "out" / kind) == ["seq1/000000.png", "seq2/000000.png"]


def test_folders_below_a_source_are_read_and_kept(semantic: Model, tmp_path: Path) -> None:
    for city in ("aachen", "bochum"):
        photograph(tmp_path / "val" / city / f"{city}_000000_000019_leftImg8bit.png")
    run(semantic, [tmp_path / "val"], tmp_path / "out")
    names = [f"{city}/{city}_000000_000019_leftImg8bit.png" for city in ("aachen", "bochum")]
    assert written(tmp_path / "out" / "index") == names


@pytest.mark.parametrize("way", ["absolute", "relative", "glob", "twice"])
def test_names_do_not_depend_on_how_a_folder_is_given(
    tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a/1.png", "b/1.png", "b/2.png"):
        photograph(tmp_path / "in" / name)
    monkeypatch.chdir(tmp_path)
    sources = {
        "absolute": [str(tmp_path / "in")],
        "relative": ["in"],
        "glob": ["in/*/*.png"],
        "twice": ["in", "./in/b", str(tmp_path / "in" / "a" / "1.png")],
    }[way]
    images = named_images(sources, Path("out"), KINDS)
    assert [image.name for image in images] == ["a/1", "b/1", "b/2"]


def test_a_collision_that_remains_is_refused_before_any_work(semantic: Model, tmp_path: Path) -> None:
    for name in ("a_png.png", "a.png", "a.jpg"):
        photograph(tmp_path / "in" / name)
    with pytest.raises(UserError, match="both outputs would be called a_png"):
        run(semantic, [tmp_path / "in"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_outputs_of_an_earlier_run_are_no_images(semantic: Model, tmp_path: Path) -> None:
    photograph(tmp_path / "in" / "a.png")
    out = tmp_path / "in" / "out"
    for _ in range(2):
        assert list(run(semantic, [tmp_path / "in"], out)) == [str(tmp_path / "in" / "a.png")]
    assert written(out / "index") == ["a.png"]


def test_an_image_is_never_replaced_by_an_output(semantic: Model, tmp_path: Path) -> None:
    image = photograph(tmp_path / "color" / "a.png")
    before = image.read_bytes()
    for sources in ([tmp_path / "color"], [image], [tmp_path]):
        with pytest.raises(UserError, match="where outputs are written; choose another --out"):
            run(semantic, sources, tmp_path)
    assert image.read_bytes() == before


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.sampled_from(["", "a", "a/b", "c"]), st.sampled_from(["1", "01", "1_png", "x.y"]),
                         st.sampled_from([".png", ".jpg", ".JPG"])), min_size=1, max_size=6),
       st.booleans())  # fmt: skip
def test_names_and_ids_are_unique_or_refused(
    tmp_path_factory: pytest.TempPathFactory, files: set[tuple[str, str, str]], apart: bool
) -> None:
    root = tmp_path_factory.mktemp("names")
    for folder, stem, extension in files:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{stem}{extension}").touch()
    sources = sorted({str(root / folder) for folder, *_ in files}) if apart else [str(root)]
    try:
        images = named_images(sources, root / "out", KINDS)
    except UserError as error:
        assert "both outputs would be called" in str(error)
        return
    names = [image.name for image in images]
    assert len(set(names)) == len(names) == len(files)
    assert len(set(image_ids(names).values())) == len(names)


def test_images_of_one_number_have_ids_of_their_own(panoptic: Model, tmp_path: Path) -> None:
    for folder in ("seq1", "seq2"):
        photograph(tmp_path / folder / "000000.png")
    run(panoptic, [tmp_path / "seq1", tmp_path / "seq2"], tmp_path / "out", save=["instances", "cityscapes"])
    rows = json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"]
    assert [row["image_id"] for row in rows] == ["seq1/000000", "seq2/000000"]
    for row in rows:
        assert (tmp_path / "out" / "panoptic" / row["file_name"]).is_file()
    assert image_ids(["1", "2"]) == {"1": 1, "2": 2}
    assert image_ids(["1", "01"]) == {"1": "1", "01": "01"}


def coco_file(path: Path, rows: list[tuple[Any, str]]) -> Path:
    path.write_text(json.dumps({"images": [{"id": i, "file_name": name} for i, name in rows]}))
    return path


@pytest.mark.parametrize(
    ("rows", "image", "expected"),
    [
        ([(5, "aachen_000000_000019_gtFine_leftImg8bit.png")], "aachen_000000_000019_leftImg8bit.png", 5),
        ([(5, "aachen_000000_000019_gtFine_panoptic.png")], "aachen_000000_000019_leftImg8bit.png", 5),
        ([(5, "aachen/aachen_1_2_leftImg8bit.png")], "in/aachen_1_2_leftImg8bit.png", 5),
        ([(1, "seq1/0.png"), (2, "seq2/0.png")], "seq2/0.png", 2),
        ([(1, "seq1\\0.png"), (2, "seq2\\0.png")], "seq1/0.png", 1),
        ([(1, "a.jpg"), (2, "a.png")], "in/a.png", 2),
        ([(7, "a.b.jpg")], "a.b.png", 7),
        ([("x", "0.png")], "0.png", "x"),
    ],
)
def test_ids_are_found_by_the_naming_of_the_dataset(
    panoptic: Model, tmp_path: Path, rows: list[tuple[Any, str]], image: str, expected: Any
) -> None:
    source = coco_file(tmp_path / "truth.json", rows)
    run(panoptic, [photograph(tmp_path / "images" / image)], tmp_path / "out", ids=source)
    (row,) = json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"]
    assert row["image_id"] == expected


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(1, "a.png")], r"contains no image b\.png \(1 of the 2 images are missing\)"),
        ([(1, "a.png"), (1, "b.png")], "both have id 1"),
        ([(1, "a.png"), (2, "b.png"), (3, "x/b.png"), (4, "y/b.png")], "ids 2 and 3 both have a file name"),
        ([(1, "a.png"), ([2], "b.png")], r"image \[2\] is not as expected"),
    ],
)
def test_ids_that_do_not_fit_are_refused_before_the_first_image(
    panoptic: Model, tmp_path: Path, rows: list[tuple[Any, str]], message: str
) -> None:
    images = [photograph(tmp_path / "in" / name) for name in ("a.png", "b.png")]
    source = coco_file(tmp_path / "truth.json", rows)
    with pytest.raises(UserError, match=message):
        run(panoptic, images, tmp_path / "out", ids=source)
    assert not (tmp_path / "out").exists()


def test_ids_without_effect_are_refused(semantic: Model, tmp_path: Path) -> None:
    image = photograph(tmp_path / "a.png")
    source = coco_file(tmp_path / "truth.json", [(1, "a.png")])
    with pytest.raises(UserError, match=r"--ids .* has no effect"):
        run(semantic, [image], tmp_path / "out", ids=source)


def test_a_name_that_a_format_cannot_hold_is_refused_before_the_first_image(
    panoptic: Model, tmp_path: Path
) -> None:
    images = [photograph(tmp_path / name) for name in ("a.png", "b c.png")]
    with pytest.raises(UserError, match="b c: contains a space"):
        run(panoptic, images, tmp_path / "out", save=["cityscapes"])
    assert not (tmp_path / "out").exists()


def test_images_that_cannot_be_read_or_written_are_skipped_and_the_rest_goes_on(
    panoptic: Model, tmp_path: Path
) -> None:
    images = [photograph(tmp_path / "in" / name) for name in ("1.png", "2.png", "3.png", "4.png")]
    images[1].write_bytes(b"no image")
    out = tmp_path / "out"
    (out / "overlay" / "3.png").mkdir(parents=True)  # cannot be written
    problems = run(panoptic, images, out, save=["semantic"])
    assert [Path(path).name for path, problem in problems.items() if problem] == ["2.png", "3.png"]
    assert "cannot be written" in (problems[str(images[2])] or "")
    rows = json.loads((out / "panoptic.json").read_text())["annotations"]
    assert [row["image_id"] for row in rows] == [1, 4]
    for kind in ("index", "color", "panoptic", "semantic"):
        assert written(out / kind) == ["1.png", "4.png"]


def test_a_link_to_itself_is_skipped(semantic: Model, tmp_path: Path) -> None:
    image = photograph(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "loop.png").symlink_to("loop.png")
    problems = run(semantic, [tmp_path / "in"], tmp_path / "out")
    assert [Path(path).name for path, problem in problems.items() if problem] == ["loop.png"]
    assert problems[str(image)] is None


def test_an_interruption_keeps_what_was_predicted(panoptic: Model, tmp_path: Path) -> None:
    images = [photograph(tmp_path / "in" / f"{number}.png", gray=number) for number in range(3)]

    def interrupted(model: Model, pixels: torch.Tensor, sizes: Any) -> Any:
        if pixels.min() == 2:
            raise KeyboardInterrupt
        return SINGLE_PASS(model, pixels, sizes)

    with pytest.raises(KeyboardInterrupt):
        run(panoptic, images, tmp_path / "out", inference=interrupted)
    rows = json.loads((tmp_path / "out" / "panoptic.json").read_text())["annotations"]
    assert [row["image_id"] for row in rows] == [0, 1]


def test_a_run_without_objects_says_that_pycocotools_cannot_load_the_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    model = small.PANOPTIC.build(replace(small.LABELS, things=("red",)), InputContract()).eval()
    with torch.no_grad():
        model.heads["center"][0].bias.fill_(-9.0)  # type: ignore[operator, union-attr]
    write_model(tmp_path / "m.safetensors", model, small.PANOPTIC)
    command = ["predict", str(tmp_path / "m.safetensors"), str(photograph(tmp_path / "1.png"))]
    assert main([*command, "--out", str(tmp_path / "out"), "--save", "instances", "--device", "cpu"]) == 0
    assert json.loads((tmp_path / "out" / "instances.json").read_text()) == []
    assert "no object was found in any image; pycocotools cannot load" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_made_is_refused_at_once(semantic: Model, tmp_path: Path) -> None:
    image = photograph(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png/out: cannot be created \(Not a directory\); choose another"):
        run(semantic, [image], image / "out")


def test_hidden_files_are_not_predicted(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png")
    photograph(tmp_path / "._a.png")
    assert [path.name for path in find_images([str(tmp_path)])] == ["a.png"]


def one_object(labels: LabelSpace, class_index: int) -> Prediction:
    ids = np.full((6, 8), class_index * 1000 + 1, np.int32)
    segment = PredictedSegment(class_index * 1000 + 1, class_index, 48, 0.5)
    return Prediction(np.full((6, 8), class_index, np.uint8), ids, (segment,))


def test_official_files_have_the_ids_of_the_dataset(tmp_path: Path) -> None:
    """Mapillary Vistas numbers its maps from 0 and its panoptic categories from 1."""
    assert (VISTAS.names[2], VISTAS.raw_values[2], VISTAS.coco_ids()[2]) == ("Curb", 2, 3)
    merged = VISTAS.remap(merge={"animal": ["Bird", "Ground Animal"]})
    assert (merged.coco_ids()[0], merged.coco_ids()[1]) == (1, 3)
    assert LabelSpace.from_json(VISTAS.to_json()) == VISTAS
    assert (COCO_STUFF.raw_values[0], COCO_STUFF.coco_ids()[0]) == (0, 1)  # its maps hold the id - 1
    prediction = one_object(VISTAS, 0)
    for writer in (PanopticWriter(tmp_path, VISTAS), InstanceWriter(tmp_path, VISTAS)):
        with writer:
            writer.add("one", prediction)
    with CityscapesWriter(tmp_path, VISTAS) as lists:
        lists.add("one", prediction)
    written_file = CocoAnnotations.read(tmp_path / "panoptic.json")
    assert written_file.annotations[0]["segments_info"][0]["category_id"] == 1
    assert written_file.categories[0] | {"color": 0} == {"id": 1, "name": "Bird", "color": 0, "isthing": 1}
    assert json.loads((tmp_path / "instances.json").read_text())[0]["category_id"] == 1
    assert (tmp_path / "cityscapes" / "one.txt").read_text().split()[1] == "0"  # lists have label ids
    truth = {
        "annotations": written_file.annotations,
        "categories": [*written_file.categories, {"id": 66, "name": "Unlabeled", "isthing": 0}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    scores = score_panoptic(
        tmp_path / "truth.json", tmp_path / "panoptic.json", truth_dir=tmp_path / "panoptic"
    )
    assert scores["class"]["Bird"]["pq"] == 1


def test_lists_in_folders_name_masks_next_to_them(tmp_path: Path) -> None:
    labels = replace(small.LABELS, things=("red", "blue"))
    with CityscapesWriter(tmp_path, labels) as writer:
        writer.add("aachen/x.1", one_object(labels, 1))
    (line,) = (tmp_path / "cityscapes" / "aachen" / "x.1.txt").read_text().splitlines()
    assert line == "masks/x.1_0.png 1 0.5"
    assert read_map(tmp_path / "cityscapes" / "aachen" / "masks" / "x.1_0.png").min() == 255


def test_a_name_alone_is_found_in_a_file_of_ids(tmp_path: Path) -> None:
    truth = coco_file(tmp_path / "t.json", [(3, "val/a.b.png")])
    assert image_ids_in(truth, [InputImage(Path("a.b.jpg"), "a.b")]) == {"a.b": 3}
