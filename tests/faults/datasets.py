"""Faults of datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests.faults.damage import aliases, array, both, copied, cut, data, huge_png, link, removed, text
from tests.faults.fault import TRAIN, Fault

LAUGHS = aliases(12) + "classes: *a11\n"


FAULTS: dict[str, list[Fault]] = {
    "Datasets": [
        Fault(
            "a folder that does not exist",
            "train recipe.yaml --data missing --out new",
            "missing: no such folder; expected the folder of the dataset; check --data",
        ),
        Fault(
            "no --data",
            "train recipe.yaml --out new",
            "Folder: no --data given; expected the folder of the dataset; add --data FOLDER",
        ),
        Fault(
            "a file instead of a folder",
            "train recipe.yaml --data photo.jpg --out new",
            "photo.jpg: is a file; expected the folder of the dataset; check --data",
        ),
        Fault(
            "an empty folder",
            TRAIN,
            "data: no split 'train'; expected images/train/ or train/images/ or images/ with a list "
            "train.txt of one image name per line; check --data and the split, or set data.images",
            both(removed("data"), lambda: Path("data").mkdir()),
        ),
        Fault(
            "no classes.yaml",
            TRAIN,
            'data: the classes are unknown; expected a class file; write the line "classes: {background: '
            "0, road: {raw: 1, color: '#804080'}, car: {raw: 2, thing: true}}\" with your class names and "
            "their values in the label maps to data/classes.yaml, or set data.label_map to such a file",
            removed("data/classes.yaml"),
        ),
        Fault(
            "an empty classes.yaml",
            TRAIN,
            "data/classes.yaml: not a class file; expected 'classes:', or 'merge:', 'drop:', 'rename:'; "
            "correct the file",
            text("data/classes.yaml", ""),
        ),
        Fault(
            "classes.yaml without classes",
            TRAIN,
            "data/classes.yaml: unknown field 'names'; expected classes, or drop, merge, rename; correct it",
            text("data/classes.yaml", "names: [a]\n"),
        ),
        Fault(
            "one raw value for two classes",
            TRAIN,
            "data/classes.yaml: label space 'classes' names a class or a raw value twice; correct the "
            "class file",
            text("data/classes.yaml", "classes: {a: 1, b: 1}\n"),
        ),
        Fault(
            "two classes of one name",
            TRAIN,
            "data/classes.yaml: label space 'classes' names a class or a raw value twice; correct the "
            "class file",
            text("data/classes.yaml", "classes: [a, a]\n"),
        ),
        Fault(
            "a color that is none",
            TRAIN,
            "data/classes.yaml: 'reddish' is not a raw value; expected an integer from 0, or '#RRGGBB'; "
            "correct the class file",
            text("data/classes.yaml", "classes: {a: {raw: 0, color: reddish}}\n"),
        ),
        Fault(
            "a raw value that is no number",
            TRAIN,
            "data/classes.yaml: 'zero' is not a raw value; expected an integer from 0, or '#RRGGBB'; "
            "correct the class file",
            text("data/classes.yaml", "classes: {a: zero}\n"),
        ),
        Fault(
            "classes of nested aliases (billion laughs)",
            TRAIN,
            "data/classes.yaml: not a class file that can be read (its aliases stand for more than "
            "1,000,000 values); expected YAML; correct the file",
            text("data/classes.yaml", LAUGHS),
        ),
        Fault(
            "no folder of class maps",
            TRAIN,
            "data: no folder 'labels' with the maps of split 'train'; expected one next to 'images'; set "
            "data.maps to its name",
            removed("data/labels"),
        ),
        Fault(
            "a class map that is missing",
            TRAIN,
            "data/labels/train/train0.png: no such file (missing for 1 of 2 images); expected one map per "
            "image (train0.png); add the map or remove the image",
            removed("data/labels/train/train0.png"),
        ),
        Fault(
            "no images of a split",
            TRAIN,
            "data: no split 'val'; expected images/val/ or val/images/ or images/ with a list val.txt of "
            "one image name per line; check --data and the split, or set data.images",
            removed("data/images/val"),
        ),
        Fault(
            "a class map of another size",
            TRAIN,
            "data/labels/train/train0.png: the ground truth is 6x5, its image data/images/train/train0.png "
            "is 32x24; expected equal width and height; export one of them again",
            array("data/labels/train/train0.png", np.zeros((5, 6), np.uint8)),
        ),
        Fault(
            "a class map with an unknown value",
            TRAIN,
            "data/labels/train/train0.png: value 9 is no class of 'classes' (0..2, ignored 255); "
            "correct the file, or name the value in classes.yaml",
            array("data/labels/train/train0.png", np.full((24, 32), 9, np.uint8)),
        ),
        Fault(
            "a class map in color",
            TRAIN,
            "data/labels/train/train0.png: 3 channels; expected one channel of class values (an index or "
            "palette PNG); the map contains colors: convert it to class values with 'segwright data "
            "convert rgb'",
            array("data/labels/train/train0.png", np.full((24, 32, 3), (90, 60, 30), np.uint8)),
        ),
        Fault(
            "a class map as JPEG",
            TRAIN,
            "data/labels/train/train0.png: no such file (missing for 1 of 2 images); expected one map per "
            "image (train0.png); add the map or remove the image",
            both(
                removed("data/labels/train/train0.png"),
                array("data/labels/train/train0.jpg", np.zeros((24, 32), np.uint8)),
            ),
        ),
        Fault(
            "class maps that are all void",
            TRAIN,
            "train: all 2 checked maps are ignored everywhere (first: data/labels/train/train0.png); "
            "expected class values; check the classes and their values",
            both(
                *(
                    array(f"data/labels/train/train{i}.png", np.full((24, 32), 255, np.uint8))
                    for i in range(2)
                )
            ),
        ),
        Fault(
            "a class map cut short",
            TRAIN,
            "data/labels/train/train0.png: not a map that can be read (…); copy it again or replace it",
            cut("data/labels/train/train0.png"),
        ),
        Fault(
            "an image cut short",
            TRAIN,
            "data/images/train/train0.png: truncated (the end of the file is missing); copy it again or "
            "remove it",
            cut("data/images/train/train0.png"),
        ),
        Fault(
            "an empty image file",
            TRAIN,
            "data/images/train/train0.png: an empty file (0 bytes); expected an image; copy it again or "
            "remove it",
            data("data/images/train/train0.png", b""),
        ),
        Fault(
            "an image that is text",
            TRAIN,
            "data/images/train/train0.png: not an image that can be decoded; copy it again, convert it, or "
            "remove it",
            text("data/images/train/train0.png", "no image"),
        ),
        Fault(
            "an image whose header says 100,000 x 100,000 pixels",
            TRAIN,
            "data/images/train/train0.png: header reports 100000x100000 pixels; expected at most "
            "268,435,456 in all; remove the file, or predict it with --windows and a higher --max-pixels",
            huge_png("data/images/train/train0.png"),
        ),
        Fault(
            "the same image in train and val",
            TRAIN,
            "data/images/val/val0.png: in val is the same image as data/images/train/train0.png in train; "
            "expected each image in one split; remove one of them",
            copied("data/images/train/train0.png", "data/images/val/val0.png"),
        ),
        Fault(
            "a link that leads to itself",
            TRAIN,
            "data/images/train/train0.png: cannot be read (…); expected an image file; check the path",
            link("data/images/train/train0.png", "train0.png"),
        ),
        Fault(
            "a link to a file that is not there",
            TRAIN,
            "data/images/train/train0.png: cannot be read (…); expected an image file; check the path",
            link("data/images/train/train0.png", "missing.png"),
        ),
        Fault(
            "an unknown dataset",
            "data check camvod --data data",
            "unknown dataset 'camvod'; did you mean 'camvid'?",
        ),
        Fault(
            "an unknown setting of a dataset",
            "data check folder --data data --set imges=x",
            "--set imges=x: OwnData has no field 'imges'; did you mean 'images'?",
        ),
        Fault(
            "a split that is not there",
            "data check folder --data data --split tset",
            "data: no split 'tset'; expected images/tset/ or tset/images/ or images/ with a list tset.txt "
            "of one image name per line; check --data and the split, or set data.images",
        ),
        Fault(
            "a missing pair, found by data check",
            "data check folder --data data --workers 0",
            "data/labels/train/train0.png: no such file (missing for 1 of 2 images); expected one map per "
            "image (train0.png); add the map or remove the image",
            removed("data/labels/train/train0.png"),
        ),
        Fault(
            "damaged files, found by data check",
            "data check folder --data data --workers 0",
            "data/images/val/val1.png: truncated (the end of the file is missing); copy it again or remove "
            "it",
            cut("data/images/val/val1.png"),
        ),
        Fault(
            "a folder that nothing recognizes",
            "data check truth",
            "truth: the layout is not recognized: it has .png files, and neither annotations nor masks named like "
            "images; expected an export of an annotation tool (docs/formats.md shows each); check the folder, "
            "or name the format with --from: …",
        ),
        Fault(
            "a sheet with an unknown ending",
            "data show folder --data data --out new.xyz",
            "new.xyz: the ending '.xyz' is unknown; expected .png, .jpg, .jpeg; choose another name",
        ),
        Fault(
            "a sheet of no images",
            "data show folder --data data --count 0",
            "segwright data show: argument --count: '0'; expected a whole number from 1; see segwright data show "
            "--help",
        ),
        Fault(
            "a split of more than everything",
            "data split labelme --val 0.9 --test 0.9",
            "--val 0.9 --test 0.9: expected shares of the images above 0 that leave some for train",
        ),
        Fault(
            "a regular expression that is none",
            "data split labelme --val 0.5 --group (",
            "--group '(…); correct it",
        ),
        Fault(
            "lists that exist already",
            "data split labelme --val 0.5",
            "labelme/train.txt: exists already; choose another path, or replace it with --force",
            text("labelme/train.txt", "a.png\n"),
        ),
        Fault(
            "a dataset to download that does not exist",
            "data get camvod",
            "unknown public dataset 'camvod'; did you mean 'camvid'?",
        ),
        Fault(
            "a dataset that needs an account",
            "data get cityscapes --data missing",
            "missing: no such folder; expected the folder of Cityscapes; check --data",
        ),
    ],
}
