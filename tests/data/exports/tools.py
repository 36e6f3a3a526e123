"""Six small scenes as annotation tools write them: the same objects in every format."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from segwright.data.conversion.annotation_tools import encode_brush
from segwright.data.reading.png_encoder import encode_png

SIZE = (40, 60)
CLASSES = ("étoile", "cat", "dog")
COLORS = ((250, 50, 83), (51, 221, 255), (36, 179, 83))
OBJECTS: dict[str, list[tuple[str, list[tuple[int, int]]]]] = {
    "a": [("cat", [(2, 2), (20, 2), (20, 18), (2, 18)]), ("dog", [(30, 5), (50, 8), (44, 30)])],
    "b c": [("étoile", [(5, 5), (30, 6), (15, 35)])],
    "empty": [],
    "d": [("dog", [(1, 1), (10, 1), (10, 10), (1, 10)]), ("dog", [(20, 20), (30, 20), (30, 30), (20, 30)])],
}


def photo(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)


def photos(folder: Path, names: Sequence[str] = tuple(OBJECTS), extension: str = "png") -> None:
    for name in names:
        photo(folder / f"{name}.{extension}", sorted(OBJECTS).index(name))


def mask_of(points: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    canvas = Image.new("1", SIZE[::-1])
    ImageDraw.Draw(canvas).polygon(list(points), fill=1, outline=1)
    return np.array(canvas, dtype=bool)


def class_map(name: str, classes: Sequence[str] = CLASSES) -> NDArray[np.uint8]:
    """0 = background; the classes are numbered from 1."""
    values = np.zeros(SIZE, np.uint8)
    for label, points in OBJECTS[name]:
        values[mask_of(points)] = classes.index(label) + 1
    return values


def save(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = values if isinstance(values, str) else json.dumps(values)
    path.write_text(text, encoding="utf-8")


def yolo(root: Path) -> None:
    photos(root / "images" / "train", ["a", "b c", "empty"])
    photos(root / "images" / "val", ["d"])
    for name, objects in OBJECTS.items():
        lines = []
        for label, points in objects:
            numbers = [f"{x / SIZE[1]:.6f} {y / SIZE[0]:.6f}" for x, y in points]
            lines.append(f"{CLASSES.index(label)} {' '.join(numbers)}\n")
        if lines:
            save(root / "labels" / ("val" if name == "d" else "train") / f"{name}.txt", "".join(lines))
    save(root / "data.yaml", "path: .\ntrain: images/train\nval: images/val\nnames: [étoile, cat, dog]\n")


def yolo_roboflow(root: Path) -> None:
    for name, objects in OBJECTS.items():
        split = "valid" if name == "d" else "train"
        photos(root / split / "images", [name])
        lines = [
            f"{CLASSES.index(label)} " + " ".join(f"{x / SIZE[1]} {y / SIZE[0]}" for x, y in points)
            for label, points in objects
        ]
        save(root / split / "labels" / f"{name}.txt", "\n".join(lines))
    names = "{0: étoile, 1: cat, 2: dog}"
    save(
        root / "data.yaml",
        f"train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 3\nnames: {names}\n",
    )


def yolo_lists(root: Path) -> None:
    yolo(root)
    save(
        root / "lists" / "train.txt", "./images/train/a.png\nimages/train/b c.png\n./images/train/empty.png\n"
    )
    save(root / "lists" / "val.txt", "data/images/val/d.png\n")  # CVAT writes data/ before the path
    save(root / "data.yaml", "path: lists\ntrain: train.txt\nval: val.txt\nnames: [étoile, cat, dog]\n")


def coco_values(names: Sequence[str], prefix: str = "") -> dict[str, Any]:
    images, rows = [], []
    for index, name in enumerate(names):
        images.append(
            {"id": index + 5, "file_name": f"{prefix}{name}.png", "height": SIZE[0], "width": SIZE[1]}
        )
        for label, points in OBJECTS[name]:
            mask = mask_of(points)
            flat = np.concatenate([[0], mask.T.ravel().astype(int), [0]])
            counts = np.diff([0, *np.flatnonzero(np.diff(flat)), mask.size]).tolist()
            rows.append({"id": len(rows) + 1, "image_id": index + 5, "category_id": CLASSES.index(label) + 7,
                         "segmentation": {"size": list(SIZE), "counts": counts}, "iscrowd": 0, "bbox": [0, 0, 1, 1],
                         "area": int(mask.sum())})  # fmt: skip
    categories = [{"id": i + 7, "name": name, "supercategory": ""} for i, name in enumerate(CLASSES)]
    return {"images": images, "annotations": rows, "categories": categories[::-1]}


def coco(root: Path) -> None:
    """One JSON file, as CVAT writes it."""
    photos(root / "images")
    save(root / "annotations" / "instances_default.json", coco_values(list(OBJECTS)))


def coco_roboflow(root: Path) -> None:
    for split, names in (("train", ["a", "b c", "empty"]), ("valid", ["d"])):
        photos(root / split, names)
        values = coco_values(names)
        values["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
        for category in values["categories"][1:]:
            category["supercategory"] = "things"
        save(root / split / "_annotations.coco.json", values)


def coco_label_studio(root: Path) -> None:
    photos(root / "images")
    save(root / "result.json", coco_values(list(OBJECTS), "images\\"))


def coco_datumaro(root: Path) -> None:
    for split, names in (("train", ["a", "b c", "empty"]), ("val", ["d"])):
        photos(root / "images" / split, names)
        save(root / "annotations" / f"instances_{split}.json", coco_values(names))


def coco_panoptic(root: Path) -> None:
    """Two JSON files, each with a folder of maps; void outside of all segments."""
    photos(root / "images")
    for split, names in (("train", ["a", "b c", "empty"]), ("val", ["d"])):
        values: dict[str, Any] = coco_values(names) | {"annotations": []}
        for category in values["categories"]:
            category["isthing"] = 1
        for index, name in enumerate(names):
            ids, segments = np.zeros(SIZE, np.uint8), []
            for number, (label, points) in enumerate(OBJECTS[name], start=1):
                ids[mask_of(points)] = number
                segments.append({"id": number, "category_id": CLASSES.index(label) + 7, "iscrowd": 0,
                                 "area": int(mask_of(points).sum()), "bbox": [0, 0, 1, 1]})  # fmt: skip
            row = {"image_id": index + 5, "file_name": f"{name}.png", "segments_info": segments}
            values["annotations"].append(row)
            (root / f"panoptic_{split}").mkdir(exist_ok=True)
            colors = np.stack([ids, np.zeros_like(ids), np.zeros_like(ids)], axis=-1)
            (root / f"panoptic_{split}" / f"{name}.png").write_bytes(encode_png(colors))
        save(root / f"panoptic_{split}.json", values)


def cvat_image(name: str, number: int, subset: str = "") -> str:
    shapes = []
    for index, (label, points) in enumerate(OBJECTS[name]):
        text = ";".join(f"{x}.00,{y}.00" for x, y in points)
        mask = mask_of(points)
        if index == 0:
            shapes.append(f'<polygon label="{label}" points="{text}" z_order="0"/>')
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        flat = crop.ravel()
        runs = np.diff([0, *(np.flatnonzero(np.diff(flat)) + 1), flat.size]).tolist()
        text = ", ".join(map(str, [0, *runs] if flat[0] else runs))
        box = f'left="{columns[0]}" top="{rows[0]}" width="{crop.shape[1]}" height="{crop.shape[0]}"'
        shapes.append(f'<mask label="{label}" rle="{text}" {box}/>')
    shapes.append('<box label="cat" xtl="1" ytl="1" xbr="5" ybr="5"/>')
    size = f'width="{SIZE[1]}" height="{SIZE[0]}"'
    return f'<image id="{number}" name="{name}.png" {subset} {size}>{"".join(shapes)}</image>'


def cvat(root: Path) -> None:
    photos(root / "images")
    labels = "".join(f"<label><name>{name}</name></label>" for name in CLASSES)
    images = "".join(cvat_image(name, i) for i, name in enumerate(OBJECTS))
    meta = f"<meta><task><labels>{labels}</labels></task></meta>"
    text = f"<annotations><version>1.1</version>{meta}{images}</annotations>"
    save(root / "annotations.xml", text)


def cvat_project(root: Path) -> None:
    labels = "".join(f"<label><name>{name}</name></label>" for name in CLASSES)
    images = []
    for i, name in enumerate(OBJECTS):
        subset = "Validation" if name == "d" else "Train"
        photos(root / "images" / subset, [name])
        images.append(cvat_image(name, i, f'subset="{subset}"'))
    meta = f"<meta><project><labels>{labels}</labels></project></meta>"
    save(
        root / "annotations.xml", f"<annotations><version>1.1</version>{meta}{''.join(images)}</annotations>"
    )


def cvat_mask(root: Path) -> None:
    photos(root / "JPEGImages")
    lines = ["# label:color_rgb:parts:actions"]
    lines += [f"{name}:{','.join(map(str, color))}::" for name, color in zip(CLASSES, COLORS, strict=True)]
    save(root / "labelmap.txt", "\n".join([*lines, "background:0,0,0::"]))
    table = np.array([(0, 0, 0), *COLORS], np.uint8)
    for name, shapes in OBJECTS.items():
        objects = np.zeros((*SIZE, 3), np.uint8)
        for index, (_, points) in enumerate(shapes):
            objects[mask_of(points)] = (0, 0, 128 + index)
        for folder, values in (
            ("SegmentationClass", table[class_map(name)]),
            ("SegmentationObject", objects),
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / f"{name}.png").write_bytes(encode_png(values))
    save(root / "ImageSets" / "Segmentation" / "default.txt", "\n".join(OBJECTS))


def voc(root: Path) -> None:
    photos(root / "JPEGImages")
    for name in OBJECTS:
        (root / "SegmentationClass").mkdir(parents=True, exist_ok=True)
        palette = np.array([(0, 0, 0), *COLORS], np.uint8)
        (root / "SegmentationClass" / f"{name}.png").write_bytes(encode_png(class_map(name), palette))
    save(root / "ImageSets" / "Segmentation" / "train.txt", "a\nb c\nempty\n")
    save(root / "ImageSets" / "Segmentation" / "val.txt", "d\n")
    save(root / "class_names.txt", "__ignore__\n_background_\n" + "\n".join(CLASSES))


def labelme(root: Path) -> None:
    photos(root)
    for name, objects in OBJECTS.items():
        shapes: list[dict[str, Any]] = []
        for index, (label, points) in enumerate(objects):
            shape = {
                "label": label,
                "points": [list(p) for p in points],
                "shape_type": "polygon",
                "group_id": None,
            }
            if index == 1:
                mask = mask_of(points)
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
                text = base64.b64encode(encode_png(crop.astype(np.uint8) * 255)).decode()
                corners = [[int(columns[0]), int(rows[0])], [int(columns[-1]), int(rows[-1])]]
                shape |= {"points": corners, "shape_type": "mask", "mask": text}
            shapes.append(shape)
        save(root / f"{name}.json", {"version": "5.4.1", "shapes": shapes, "imagePath": f"C:\\photos\\{name}.png",
                                     "imageData": None})  # fmt: skip
    save(root / "labels.txt", "__ignore__\n_background_\n" + "\n".join(CLASSES))


def label_studio(root: Path) -> None:
    photos(root / "images")
    tasks = []
    for number, (name, objects) in enumerate(OBJECTS.items()):
        results: list[dict[str, Any]] = []
        for index, (label, points) in enumerate(objects):
            row: dict[str, Any] = {"original_width": SIZE[1], "original_height": SIZE[0], "to_name": "image"}
            if index == 0:
                percent = [[100 * x / SIZE[1], 100 * y / SIZE[0]] for x, y in points]
                row |= {"type": "polygonlabels", "value": {"points": percent, "polygonlabels": [label]}}
            else:
                value = {"format": "rle", "rle": encode_brush(mask_of(points)), "brushlabels": [label]}
                row |= {"type": "brushlabels", "value": value}
            results.append(row)
        address = f"/data/upload/3/1a2b3c4d-{name}.png".replace(" ", "%20")
        tasks.append(
            {
                "id": number,
                "annotations": [{"result": results, "completed_by": 1}],
                "data": {"image": address},
            }
        )
    save(root / "project-3.json", tasks)
    labels = "".join(f'<Label value="{name}" background="red"/>' for name in CLASSES)
    save(root / "config.xml", f'<View><PolygonLabels name="l" toName="image">{labels}</PolygonLabels></View>')


def supervisely(root: Path) -> None:
    classes = [{"title": name, "shape": "any", "color": "#ff0000"} for name in CLASSES]
    save(root / "meta.json", {"classes": classes, "tags": []})
    for name, objects in OBJECTS.items():
        dataset = root / ("val" if name == "d" else "train")
        photos(dataset / "img", [name])
        rows: list[dict[str, Any]] = []
        for index, (label, points) in enumerate(objects):
            row: dict[str, Any] = {"classTitle": label, "geometryType": "polygon",
                                   "points": {"exterior": [list(p) for p in points], "interior": []}}  # fmt: skip
            if index == 1:
                png = encode_png(mask_of(points).astype(np.uint8))
                bitmap = {"data": base64.b64encode(zlib.compress(png)).decode(), "origin": [0, 0]}
                row = {"classTitle": label, "geometryType": "bitmap", "bitmap": bitmap}
            rows.append(row)
        size = {"height": SIZE[0], "width": SIZE[1]}
        save(dataset / "ann" / f"{name}.png.json", {"size": size, "objects": rows, "tags": []})


def via_regions(name: str) -> list[dict[str, Any]]:
    return [
        {"shape_attributes": {"name": "polygon", "all_points_x": [x for x, _ in points],
                              "all_points_y": [y for _, y in points]},
         "region_attributes": {"kind": label}}
        for label, points in OBJECTS[name]
    ]  # fmt: skip


def via(root: Path) -> None:
    photos(root / "pictures")
    images = {
        f"{name}.png1": {"filename": f"{name}.png", "size": 1, "regions": via_regions(name)}
        for name in OBJECTS
    }
    options = dict.fromkeys(CLASSES, "")
    attributes = {"region": {"kind": {"type": "dropdown", "options": options}}, "file": {}}
    save(
        root / "via_project.json",
        {"_via_settings": {}, "_via_img_metadata": images, "_via_attributes": attributes},
    )


def via_csv(root: Path) -> None:
    photos(root)
    import csv

    with (root / "via.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "file_size", "file_attributes", "region_count", "region_id",
                         "region_shape_attributes", "region_attributes"])  # fmt: skip
        for name in ("b c", "a", "d", "empty"):  # the classes in the order in which they occur
            regions = via_regions(name) or [{"shape_attributes": {}, "region_attributes": {}}]
            for index, region in enumerate(regions):
                texts = [json.dumps(region[key]) for key in ("shape_attributes", "region_attributes")]
                writer.writerow([f"{name}.png", 1, "{}", len(regions), index, *texts])


def roboflow_masks(root: Path) -> None:
    for split, names in (("train", ["a", "b c", "empty"]), ("valid", ["d"])):
        photos(root / split, names)
        for name in names:
            (root / split / f"{name}_mask.png").write_bytes(encode_png(class_map(name)))
        lines = [" 0, background", *(f" {i}, {name}" for i, name in enumerate(CLASSES, start=1))]
        save(root / split / "_classes.csv", "\n".join(["Pixel Value, Class", *lines]))


def kaggle_rle(root: Path) -> None:
    photos(root / "train_images")
    lines = ["ImageId,ClassId,EncodedPixels"]
    for name, objects in OBJECTS.items():
        for label, points in objects:
            flat = np.concatenate([[0], mask_of(points).T.ravel().astype(int), [0]])
            starts, ends = np.flatnonzero(np.diff(flat) == 1), np.flatnonzero(np.diff(flat) == -1)
            text = " ".join(f"{start + 1} {end - start}" for start, end in zip(starts, ends, strict=True))
            lines.append(f"{name}.png,{CLASSES.index(label) + 1},{text}")
        if not objects:
            lines.append(f"{name}.png,,")
    save(root / "train.csv", "\n".join(lines))
    photo(root / "test_images" / "t.png", 9)
    save(root / "sample_submission.csv", "ImageId,ClassId,EncodedPixels\nt.png,1,1 1")


def kaggle_rows(root: Path) -> None:
    """A row per object, with the pixels counted along the rows, as the Sartorius competition has it."""
    photos(root / "train")
    lines = ["id,annotation,width,height,cell_type"]
    for name, objects in OBJECTS.items():
        for label, points in objects:
            flat = np.concatenate([[0], mask_of(points).ravel().astype(int), [0]])
            edges = np.flatnonzero(np.diff(flat)) + 1
            runs = " ".join(
                f"{start} {end - start}" for start, end in zip(edges[::2], edges[1::2], strict=True)
            )
            lines.append(f"{name},{runs},{SIZE[1]},{SIZE[0]},{label}")
    lines.append(f"empty,,{SIZE[1]},{SIZE[0]},")
    save(root / "train.csv", "\n".join(lines) + "\n")


def object_masks(root: Path) -> None:
    for name, objects in OBJECTS.items():
        photos(root / name / "images", [name])
        (root / name / "masks").mkdir()
        for index, (label, points) in enumerate(objects):
            folder = root / name / "masks" / f"{CLASSES.index(label) + 1} {label}"
            folder.mkdir(exist_ok=True)
            (folder / f"{index}.png").write_bytes(encode_png(mask_of(points).astype(np.uint8) * 255))


def color_masks(root: Path) -> None:
    table = np.array([(0, 0, 0), *COLORS], np.uint8)
    for name in OBJECTS:
        split = "val" if name == "d" else "train"
        photos(root / split / "images", [name])
        (root / split / "masks").mkdir(exist_ok=True)
        (root / split / "masks" / f"{name}.png").write_bytes(encode_png(table[class_map(name)]))


def class_table(root: Path) -> None:
    """Color masks beside a table of their colors."""
    color_masks(root)
    rows = [("background", (0, 0, 0)), *zip(CLASSES, COLORS, strict=True)]
    lines = "".join(f"{name}, {r}, {g}, {b}\n" for name, (r, g, b) in rows)
    save(root / "class_dict.csv", f"name, r, g, b\n{lines}")


def geotiff(root: Path) -> None:
    import tifffile

    photos(root / "images", extension="tif")
    (root / "labels").mkdir()
    for name in OBJECTS:
        tags = [(33550, "d", 3, (0.5, 0.5, 0.0), True), (33922, "d", 6, (0, 0, 0, 500000.0, 4e6, 0), True)]
        tifffile.imwrite(root / "labels" / f"{name}.tif", class_map(name).astype(np.uint16), extratags=tags)


def hugging_face(root: Path) -> None:
    for split, names in (("train", ["a", "b c", "empty"]), ("validation", ["d"])):
        photos(root / split, names)
        lines = ["file_name,label_file_name"]
        for name in names:
            (root / split / f"m{name}.png").write_bytes(encode_png(class_map(name)))
            lines.append(f"{name}.png,m{name}.png")
        save(root / split / "metadata.csv", "\n".join(lines))
    save(root / "id2label.json", {str(i): name for i, name in enumerate(("background", *CLASSES))})


def parquet(root: Path) -> None:
    import pyarrow
    from pyarrow import parquet as files

    photos(root / "photos")
    (root / "data").mkdir()
    for split, names in (("train", ["a", "b c", "empty"]), ("validation", ["d"])):
        rows = [
            {"image": {"bytes": (root / "photos" / f"{name}.png").read_bytes(), "path": f"{name}.png"},
             "label": {"bytes": encode_png(class_map(name)), "path": None}}
            for name in names
        ]  # fmt: skip
        files.write_table(pyarrow.Table.from_pylist(rows), root / "data" / f"{split}-00000-of-00001.parquet")
    for path in (root / "photos").iterdir():
        path.unlink()
    (root / "photos").rmdir()
    save(root / "id2label.json", {str(i): name for i, name in enumerate(("background", *CLASSES))})


def via3(root: Path) -> None:
    """A project of version 3, in which the option of a choice is stored by its number."""
    photos(root)
    views = {str(number): name for number, name in enumerate(OBJECTS, start=1)}
    objects = [(view, label, points) for view, name in views.items() for label, points in OBJECTS[name]]
    values = {
        "project": {"pid": "__VIA_PROJECT_ID__", "data_format_version": "3.1.1", "vid_list": list(views)},
        "attribute": {"1": {"aname": "animal", "anchor_id": "FILE1_Z0_XY1", "type": 4,
                            "options": {str(index): name for index, name in enumerate(CLASSES)}}},
        "file": {view: {"fid": view, "fname": f"{name}.png", "type": 2, "loc": 1} for view, name in views.items()},
        "metadata": {
            f"{index}_x": {"vid": view, "flg": 0, "z": [], "av": {"1": str(CLASSES.index(label))},
                           "xy": [7, *(value for point in points for value in point)]}
            for index, (view, label, points) in enumerate(objects)
        },
        "view": {view: {"fid_list": [view]} for view in views},
    }  # fmt: skip
    save(root / "via_project.json", values)


def datumaro(root: Path) -> None:
    photos(root / "images" / "default")
    items = [
        {
            "id": name,
            "annotations": [
                {"id": index, "type": "polygon", "label_id": CLASSES.index(label), "z_order": 0, "group": 0,
                 "points": [float(value) for point in points for value in point]}
                for index, (label, points) in enumerate(objects)
            ],
            "image": {"path": f"{name}.png", "size": list(SIZE)},
        }
        for name, objects in OBJECTS.items()
    ]  # fmt: skip
    labels = {
        "labels": [{"name": name, "parent": "", "attributes": []} for name in CLASSES],
        "attributes": [],
    }
    save(root / "annotations" / "default.json", {"info": {}, "categories": {"label": labels}, "items": items})


def voc_color_table(root: Path) -> None:
    """VOC folders with colors of their own, named as CamVid does."""
    photos(root / "JPEGImages")
    rows = [("background", (0, 0, 0)), *zip(CLASSES, COLORS, strict=True)]
    colors = np.array([color for _, color in rows], np.uint8)
    for name in OBJECTS:
        (root / "SegmentationClass").mkdir(exist_ok=True)
        Image.fromarray(colors[class_map(name)]).save(root / "SegmentationClass" / f"{name}.png")
    save(root / "label_colors.txt", "".join(f"{r} {g} {b}\t{name}\n" for name, (r, g, b) in rows))


def nnunet(root: Path) -> None:
    photos(root / "photos")
    for name in OBJECTS:
        (root / "imagesTr").mkdir(exist_ok=True)
        (root / "photos" / f"{name}.png").rename(root / "imagesTr" / f"{name}_0000.png")
        (root / "labelsTr").mkdir(exist_ok=True)
        Image.fromarray(class_map(name)).save(root / "labelsTr" / f"{name}.png")
    (root / "photos").rmdir()
    labels = {"background": 0, **{name: index for index, name in enumerate(CLASSES, start=1)}}
    save(root / "dataset.json", {"labels": labels, "file_ending": ".png"})


def sketch(root: Path) -> None:
    """What the reader of docs/extending.md reads."""
    photos(root / "photos")
    for name, objects in OBJECTS.items():
        rows = [{"class": label, "outline": [list(point) for point in points]} for label, points in objects]
        save(
            root / f"{name}.json",
            {"photo": f"{name}.png", "objects": [*rows, {"class": "cat", "box": [1, 2]}]},
        )


Layout = Callable[[Path], None]
LAYOUTS: dict[str, Layout] = {
    function.__name__: function
    for function in (
        yolo, yolo_roboflow, yolo_lists, coco, coco_roboflow, coco_label_studio, coco_datumaro, coco_panoptic, cvat,
        cvat_project, cvat_mask, voc, labelme, label_studio, supervisely, via, via_csv, roboflow_masks,
        kaggle_rle, kaggle_rows,
        object_masks, color_masks, class_table, geotiff, hugging_face, parquet,
        via3, datumaro, voc_color_table, nnunet,
    )
}  # fmt: skip
