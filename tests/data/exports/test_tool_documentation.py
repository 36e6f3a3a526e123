"""What tools write by their documentation beyond plain polygons: groups, ellipses, bitmaps, adjusted masks."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from math import cos, hypot, pi, sin
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.data.exports.platforms import PLATFORMS
from tests.data.exports.tools import (
    CLASSES,
    COLORS,
    LAYOUTS,
    OBJECTS,
    SIZE,
    class_map,
    mask_of,
    photo,
    save,
)

from segwright.data.datasets import OwnData
from segwright.data.exports.object_shapes import shape_to_rle
from segwright.data.reading.png_encoder import encode_png
from segwright.data.reading.rle import decode_mask
from segwright.errors import UserError

Masks = dict[str, list[NDArray[np.bool_]]]
MANIFEST = "manifests/output/output.manifest"


def masks(root: Path) -> Masks:
    """Name of an image -> the masks of its objects."""
    export, _ = OwnData().everything(root)
    return {
        entry.image.stem: [
            decode_mask(shape_to_rle(row["segmentation"], entry.size or SIZE, str(row["where"])))
            for row in entry.objects
        ]
        for entry in export.entries
    }


def notes(root: Path) -> list[str]:
    return OwnData().everything(root)[0].notes


def changed(path: Path, change: Callable[[Any], Any]) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    save(path, values)


def ellipse_mask(center: tuple[float, float], radii: tuple[float, float], turn: float) -> NDArray[np.bool_]:
    """The pixels whose centers lie in an ellipse that is turned clockwise by ``turn`` (radians)."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]].astype(float)
    dx, dy = x - center[0], y - center[1]
    along, across = dx * cos(turn) + dy * sin(turn), dy * cos(turn) - dx * sin(turn)
    return np.asarray((along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1)


def is_ellipse(
    mask: NDArray[np.bool_], center: tuple[float, float], radii: tuple[float, float], turn: float = 0
) -> bool:
    """Whether a mask is an ellipse, to one and a half pixels at its border."""
    x, y = radii
    inner, outer = (ellipse_mask(center, (x + margin, y + margin), turn) for margin in (-1.5, 1.5))
    return bool((mask >= inner).all() and (mask <= outer).all())


def test_objects_of_a_pixel_project_have_the_colors_of_their_parts(tmp_path: Path) -> None:
    PLATFORMS["superannotate_pixel"](tmp_path)
    for name, found in masks(tmp_path).items():
        for mask, (_, points) in zip(found, OBJECTS[name], strict=True):
            np.testing.assert_array_equal(mask, mask_of(points))
    assert notes(tmp_path) == []  # the picture ___fuse.png is no image without annotation


def test_a_pixel_project_without_its_maps_says_which_is_missing(tmp_path: Path) -> None:
    PLATFORMS["superannotate_pixel"](tmp_path)
    (tmp_path / "a.png___save.png").unlink()
    with pytest.raises(UserError, match=r"a\.png___pixel\.json: its objects are in a\.png___save\.png, and"):
        OwnData().everything(tmp_path)


def test_polygons_of_one_group_are_one_object_and_keep_their_own_holes(tmp_path: Path) -> None:
    PLATFORMS["superannotate"](tmp_path)
    outer, hole, island = ([s, s, 35 - s, s, 35 - s, 35 - s, s, 35 - s] for s in (2, 8, 14))

    def change(values: Any) -> None:
        row = values["instances"][0] | {"groupId": 4, "className": "cat"}
        other = row | {"className": "dog", "points": [40, 2, 50, 2, 50, 9]}
        values["instances"] = [row | {"points": outer, "exclude": [hole]}, row | {"points": island}, other]

    changed(tmp_path / "annotations" / "a.png.json", change)
    cat, dog = masks(tmp_path)["a"]
    outlines = [mask_of(list(zip(p[::2], p[1::2], strict=True))) for p in (outer, hole, island)]
    np.testing.assert_array_equal(cat, outlines[0] & ~outlines[1] | outlines[2])
    np.testing.assert_array_equal(dog, mask_of([(40, 2), (50, 2), (50, 9)]))


def test_an_object_without_class_is_named_if_others_have_one(tmp_path: Path) -> None:
    PLATFORMS["superannotate"](tmp_path)
    changed(tmp_path / "annotations" / "a.png.json", lambda values: values["instances"][1].pop("className"))
    with pytest.raises(
        UserError, match=r"a\.png\.json: instance 1 has no class; .* choose it in SuperAnnotate"
    ):
        OwnData().everything(tmp_path)


def test_shapes_of_one_group_of_labelme_are_one_object_whatever_their_kind(tmp_path: Path) -> None:
    LAYOUTS["labelme"](tmp_path)

    def change(values: Any) -> None:
        for shape in values["shapes"]:
            shape |= {"label": "dog", "group_id": 1}

    changed(tmp_path / "a.json", change)  # a polygon and a mask
    (mask,) = masks(tmp_path)["a"]
    np.testing.assert_array_equal(mask, mask_of(OBJECTS["a"][0][1]) | mask_of(OBJECTS["a"][1][1]))


def test_shapes_of_one_group_of_cvat_are_one_object(tmp_path: Path) -> None:
    LAYOUTS["cvat"](tmp_path)
    path = tmp_path / "annotations.xml"
    text = path.read_text(encoding="utf-8").replace('label="dog"', 'label="dog" group_id="3"')
    save(path, text)
    found = masks(tmp_path)
    assert {name: len(rows) for name, rows in found.items()} == {"a": 2, "b c": 1, "empty": 0, "d": 1}
    np.testing.assert_array_equal(found["d"][0], class_map("d") > 0)


def test_an_ellipse_of_v7_is_turned_by_radians(tmp_path: Path) -> None:
    PLATFORMS["darwin_1"](tmp_path)
    ellipse = {"center": {"x": 30, "y": 20}, "radius": {"x": 15, "y": 6}, "angle": pi / 6}
    row = {"name": "cat", "ellipse": ellipse, "bounding_box": {"x": 1, "y": 1, "w": 2, "h": 2}}
    changed(tmp_path / "annotations" / "a.json", lambda values: values.update(annotations=[row]))
    (mask,) = masks(tmp_path)["a"]
    assert is_ellipse(mask, (30, 20), (15, 6), pi / 6)


def test_the_folder_of_an_item_in_v7_is_its_split(tmp_path: Path) -> None:
    PLATFORMS["darwin"](tmp_path)
    (tmp_path / "images" / "val").rename(tmp_path / "images" / "others")
    assert [sample.name for sample in OwnData(task="semantic").open(tmp_path, "val")] == ["d"]


def test_the_newest_mask_of_a_line_counts(tmp_path: Path) -> None:
    """An adjustment job of Ground Truth adds its mask to the lines of the first job."""
    PLATFORMS["sagemaker"](tmp_path)
    lines = [json.loads(line) for line in (tmp_path / MANIFEST).read_text(encoding="utf-8").splitlines()]
    metadata = lines[0]["job-ref-metadata"]
    adjusted = metadata | {"creation-date": "2024-05-20T22:18:13", "job-name": "adjust"}
    adjusted["internal-color-map"] = {
        "1": {"class-name": "cat", "hex-color": "#{:02x}{:02x}{:02x}".format(*COLORS[1])}
    }
    metadata["creation-date"] = "2024-03-05T12:00:00"
    (tmp_path / "adjusted").mkdir()
    (tmp_path / "adjusted" / "0.png").write_bytes(encode_png(np.full((*SIZE, 3), COLORS[1], np.uint8)))
    other = lines[0] | {"fixed-ref": "s3://bucket/adjusted/0.png", "fixed-metadata": adjusted}
    first = {"fixed-ref": other["fixed-ref"], "fixed-metadata": adjusted} | lines[0]
    for line in (other, first):
        (tmp_path / MANIFEST).write_text(json.dumps(line), encoding="utf-8")
        export, _ = OwnData().everything(tmp_path)
        assert [path.name for entry in export.entries for path in entry.maps] == ["0.png"]
        assert export.labels.names == ("background", "cat")


def bitmask(points: list[tuple[int, int]]) -> str:
    """A data URL as Label Studio writes it: black on transparent."""
    alpha = mask_of(points).astype(np.uint8) * 255
    file = io.BytesIO()
    Image.fromarray(np.dstack([np.zeros((*SIZE, 3), np.uint8), alpha])).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def test_bitmasks_of_label_studio_are_read_and_vectors_are_told(tmp_path: Path) -> None:
    LAYOUTS["label_studio"](tmp_path)
    size = {"original_width": SIZE[1], "original_height": SIZE[0]}

    def change(tasks: Any) -> None:
        label, points = OBJECTS["a"][0]
        vertices = [{"x": 1, "y": 1, "isBezier": False}, {"x": 9, "y": 1}, {"x": 9, "y": 9}]
        tasks[0]["annotations"][0]["result"] = [
            size | {"type": "bitmasklabels", "value": {"imageDataURL": bitmask(points), "bitmasklabels": [label]}},
            size | {"type": "vectorlabels", "value": {"vertices": vertices, "closed": True, "vectorlabels": ["dog"]}},
            {"type": "choices", "value": {"choices": ["good"]}},
        ]  # fmt: skip

    changed(tmp_path / "project-3.json", change)
    (mask,) = masks(tmp_path)["a"]
    np.testing.assert_array_equal(mask, mask_of(OBJECTS["a"][0][1]))
    assert any("project-3.json: 1 vectorlabels left out" in note for note in notes(tmp_path))


def test_a_shape_and_the_labels_of_another_control_are_one_object(tmp_path: Path) -> None:
    LAYOUTS["label_studio"](tmp_path)

    def change(tasks: Any) -> None:
        (row,) = tasks[1]["annotations"][0]["result"]
        value = row["value"]
        labels = value.pop("polygonlabels")
        shape = row | {"id": "x1", "type": "polygon", "from_name": "shape"}
        label = row | {
            "id": "x1",
            "type": "labels",
            "from_name": "label",
            "value": value | {"labels": labels},
        }
        tasks[1]["annotations"][0]["result"] = [shape, label]

    changed(tmp_path / "project-3.json", change)
    assert len(masks(tmp_path)["b c"]) == 1 and notes(tmp_path) == []


def test_extreme_points_of_via_3_give_rectangles_and_circles(tmp_path: Path) -> None:
    LAYOUTS["via3"](tmp_path)
    center, radius = (30.0, 20.0), 12.0
    angles = (0.3, 2.0, 4.5)
    circle = [
        v for angle in angles for v in (center[0] + radius * cos(angle), center[1] + radius * sin(angle))
    ]

    def change(values: Any) -> None:
        first, second = (row for row in values["metadata"].values() if row["vid"] == "1")
        first["xy"], second["xy"] = [8, 2, 10, 12, 3, 25, 7, 20, 18], [9, *circle]

    changed(tmp_path / "via_project.json", change)
    rectangle, disk = masks(tmp_path)["a"]
    np.testing.assert_array_equal(rectangle, mask_of([(2, 3), (25, 3), (25, 18), (2, 18)]))
    assert is_ellipse(disk, center, (radius, radius))
    changed(tmp_path / "via_project.json",
            lambda values: next(iter(values["metadata"].values())).update(xy=[9, 1, 1, 2, 2, 3, 3]))  # fmt: skip
    with pytest.raises(UserError, match="a circle through three points on a line"):
        OwnData().everything(tmp_path)


def test_an_attribute_of_files_is_not_the_class_of_regions(tmp_path: Path) -> None:
    LAYOUTS["via3"](tmp_path)
    weather = {
        "aname": "weather",
        "anchor_id": "FILE1_Z0_XY0",
        "type": 4,
        "options": {"0": "sun", "1": "rain"},
    }
    changed(
        tmp_path / "via_project.json",
        lambda values: values.update(
            attribute={"9": weather, "1": values["attribute"]["1"] | {"anchor_id": "FILE1_Z0_XY1"}}
        ),
    )
    export, _ = OwnData().everything(tmp_path)
    assert tuple(export.names) == CLASSES


def test_a_group_may_have_parts_outside_of_the_image(tmp_path: Path) -> None:
    LAYOUTS["datumaro"](tmp_path)

    def change(values: Any) -> None:
        rows = next(item for item in values["items"] if item["id"] == "d")["annotations"]
        rows[0] |= {"group": 2, "points": [90, 2, 99, 2, 99, 9]}
        rows[1] |= {"group": 2}

    changed(tmp_path / "annotations" / "default.json", change)
    (mask,) = masks(tmp_path)["d"]
    np.testing.assert_array_equal(mask, mask_of(OBJECTS["d"][1][1]))
    assert any(
        "d, annotation 0 (dog): reaches beyond its image (1 such outline); clipped" in n
        for n in notes(tmp_path)
    )


def test_an_ellipse_of_datumaro_is_stated_by_its_box(tmp_path: Path) -> None:
    LAYOUTS["datumaro"](tmp_path)

    def change(values: Any) -> None:
        rows = next(item for item in values["items"] if item["id"] == "d")["annotations"]
        rows[0] |= {"type": "ellipse", "points": [10, 8, 40, 30]}

    changed(tmp_path / "annotations" / "default.json", change)
    assert is_ellipse(masks(tmp_path)["d"][0], (25, 19), (15, 11))


def test_an_oriented_rectangle_of_labelme_is_a_polygon(tmp_path: Path) -> None:
    LAYOUTS["labelme"](tmp_path)
    corners = [(20, 2), (40, 12), (32, 28), (12, 18)]
    changed(
        tmp_path / "a.json",
        lambda values: values["shapes"][0].update(shape_type="oriented_rectangle", points=corners),
    )
    np.testing.assert_array_equal(masks(tmp_path)["a"][0], mask_of(corners))


def test_an_alpha_mask_of_supervisely_is_a_mask(tmp_path: Path) -> None:
    LAYOUTS["supervisely"](tmp_path)
    path = tmp_path / "train" / "ann" / "a.png.json"
    expected = masks(tmp_path)["a"]
    changed(path, lambda values: values["objects"][1].update(geometryType="alpha_mask"))
    np.testing.assert_array_equal(masks(tmp_path)["a"], expected)


def test_the_radius_of_a_circle_is_that_through_its_points() -> None:
    from segwright.data.exports.via3 import _circle

    x, y, radius = _circle([1.0, 5.0, -2.0], [7.0, 3.0, 4.0])
    for point in ((1, 7), (5, 3), (-2, 4)):
        assert hypot(point[0] - x, point[1] - y) == pytest.approx(radius)


def test_a_photo_without_annotation_is_told_beside_maps(tmp_path: Path) -> None:
    PLATFORMS["superannotate_pixel"](tmp_path)
    photo(tmp_path / "new.png", 9)
    assert ["new.png: has no annotation (1 such image)" in note for note in notes(tmp_path)] == [True]
