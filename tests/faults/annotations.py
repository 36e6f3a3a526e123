"""Faults of annotation files, and of their conversion."""

from __future__ import annotations

from typing import Any

from tests.faults.damage import Damage, changed, cut, text
from tests.faults.fault import CHECK_COCO, COCO, Fault

LABELME = "data check labelme --workers 0"


def annotation(**fields: Any) -> Damage:
    """The first object of the COCO file with these fields."""
    return changed(COCO, lambda values: values["annotations"][0].update(fields))


def image(**fields: Any) -> Damage:
    """The first image of the COCO file with these fields."""
    return changed(COCO, lambda values: values["images"][0].update(fields))


FAULTS: dict[str, list[Fault]] = {
    "Annotation files": [
        Fault(
            "a COCO file that is no JSON",
            CHECK_COCO,
            "data/instances_train.json: not JSON (…); download or export it again",
            text(COCO, "{'images': []}"),
        ),
        Fault(
            "a COCO file cut short",
            CHECK_COCO,
            "data/instances_train.json: not JSON (…); download or export it again",
            cut(COCO),
        ),
        Fault(
            "a COCO file nested 100,000 deep",
            CHECK_COCO,
            "data/instances_train.json: not JSON (nested too deeply); download or export it again",
            text(COCO, "[" * 100000),
        ),
        Fault(
            "a COCO file that is a list",
            CHECK_COCO,
            "data/instances_train.json: contains a list; expected COCO JSON, an object with the lists "
            "'images', 'annotations' and 'categories' (a list of results is not ground truth); export it "
            "in COCO format",
            text(COCO, "[]"),
        ),
        Fault(
            "a COCO file without images",
            CHECK_COCO,
            "data/instances_train.json: annotation 1 is of image 0, which is not in 'images'; add the "
            "image or remove the annotation",
            changed(COCO, lambda v: v.pop("images")),
        ),
        Fault(
            "an object of an unknown image",
            CHECK_COCO,
            "data/instances_train.json: annotation 1 is of image 77, which is not in 'images'; add the "
            "image or remove the annotation",
            annotation(image_id=77),
        ),
        Fault(
            "an object of an unknown category",
            CHECK_COCO,
            "data/instances_train.json: an annotation of image 0 has category 77, which is not in "
            "'categories'; add the category or remove the annotation",
            annotation(category_id=77),
        ),
        Fault(
            "two images of one id",
            CHECK_COCO,
            "data/instances_train.json: two images have id 1; expected unique ids; correct one of them",
            image(id=1),
        ),
        Fault(
            "an outline of text",
            CHECK_COCO,
            "data/instances_train.json: the segmentation of annotation 1 cannot be read (a str is neither "
            "polygons nor RLE); expected polygons of at least three points, or run lengths; correct or "
            "remove it",
            annotation(segmentation="x"),
        ),
        Fault(
            "run lengths of another size",
            CHECK_COCO,
            "data/instances_train.json: the segmentation of annotation 1 cannot be read (its size is [5, "
            "5], the image [24, 32]); expected polygons of at least three points, or run lengths; correct "
            "or remove it",
            annotation(segmentation={"size": [5, 5], "counts": [25]}),
        ),
        Fault(
            "run lengths that claim 10^12 pixels",
            CHECK_COCO,
            "data/instances_train.json: the segmentation of annotation 1 cannot be read (its size is "
            "[1000000, 1000000], the image [24, 32]); expected polygons of at least three points, or run "
            "lengths; correct or remove it",
            annotation(segmentation={"size": [10**6, 10**6], "counts": [10**12]}),
        ),
        Fault(
            "run lengths that are negative",
            CHECK_COCO,
            "data/instances_train.json: the segmentation of annotation 1 cannot be read (its runs sum to "
            "768, the image has 768 pixels); expected polygons of at least three points, or run lengths; "
            "correct or remove it",
            annotation(segmentation={"size": [24, 32], "counts": [-5, 773]}),
        ),
        Fault(
            "an image size that claims 10^12 pixels",
            CHECK_COCO,
            "data/instances_train.json: the segmentation of annotation 1 cannot be read (its image is said "
            "to have 1000000x1000000 pixels); expected polygons of at least three points, or run lengths; "
            "correct or remove it",
            image(height=10**6, width=10**6),
        ),
        Fault(
            "a file name that leaves the data folder",
            CHECK_COCO,
            "data/instances_train.json: the file name '../../../../etc/passwd' leaves data/images/train; "
            "expected the name of a file in it; correct the name, or set data.images",
            image(file_name="../../../../etc/passwd"),
        ),
        Fault(
            "an absolute file name",
            CHECK_COCO,
            "data/instances_train.json: the file name '/etc/passwd' leaves data/images/train; expected the "
            "name of a file in it; correct the name, or set data.images",
            image(file_name="/etc/passwd"),
        ),
        Fault(
            "a file name that is a number",
            CHECK_COCO,
            "data/images/train/5: no such file (1 of the 2 images that instances_train.json names are "
            "missing); add the images, or set data.images to their folder",
            image(file_name=5),
        ),
        Fault(
            "a labelme file cut short",
            LABELME,
            "labelme/a.json: not JSON (…); expected a complete file; export it again from labelme",
            cut("labelme/a.json"),
        ),
        Fault(
            "a labelme shape without points",
            LABELME,
            "labelme/a.json: shape 0 has no 'points'; expected a file as labelme writes it; export it again",
            changed("labelme/a.json", lambda v: v["shapes"][0].pop("points")),
        ),
        Fault(
            "a labelme mask that is no image",
            LABELME,
            "labelme/a.json: shape 1 (dog): its outline cannot be read (…); expected polygons of at least "
            "three points, or a mask; draw it again, or remove it",
            changed("labelme/a.json", lambda v: v["shapes"][1].update(mask="AAAA")),
        ),
        Fault(
            "converting to an unknown format",
            "data convert labelme --to pascal --out new",
            "--to pascal: expected one of …",
        ),
        Fault(
            "converting a folder that is not there",
            "data convert missing --to coco --out new",
            "missing: no such folder; expected a folder, or a format (rgb, coco, labelme, cityscapes-panoptic, "
            "coco-panoptic-trainid) and its source; check the path",
        ),
        Fault(
            "converting into a folder that is full",
            "data convert labelme --to semantic --out full",
            "full: exists already; choose another path, or replace it with --force",
            text("full/a.txt", "x"),
        ),
        Fault(
            "converting a missing JSON file",
            "data convert coco missing.json --out new",
            "missing.json: cannot be read (…); expected COCO JSON; check the path",
        ),
        Fault(
            "converting colors without their classes",
            "data convert rgb truth --out new",
            "data convert rgb: --labels is missing; expected a class file with the color of each class",
        ),
    ],
}
