"""The maps of COCO-Stuff (``stuffthingmaps``): the value of a pixel is the category id of COCO minus one, or 255.

Of the 182 ids, COCO dropped eleven before it was published; no map has them. The order is that of labels.txt of
COCO-Stuff (Caesar, Uijlings, Ferrari 2018; see NOTICE). The dataset ``coco_stuff`` reads the same files with the 171
classes that occur.
"""

from __future__ import annotations

import re
from pathlib import Path

from segwright.data.exports.entries import MapExport, map_labels
from segwright.data.exports.files_of_export import folders, require_any
from segwright.data.exports.folder_pairs import FolderPair, list_masks
from segwright.data.exports.mask_folders import pair_entries
from segwright.data.exports.splits import standard_split

NAME, TITLE, SPECIFIC = "stuffthingmaps", "COCO-Stuff maps", True
_THINGS = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, street sign,
stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, hat, backpack,
umbrella, shoe, eye glasses, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat,
baseball glove, skateboard, surfboard, tennis racket, bottle, plate, wine glass, cup, fork, knife, spoon, bowl, banana,
apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, mirror,
dining table, window, desk, toilet, door, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster,
sink, refrigerator, blender, book, clock, vase, scissors, teddy bear, hair drier, toothbrush, hair brush
"""
_STUFF = """
banner blanket branch bridge building-other bush cabinet cage cardboard carpet ceiling-other
ceiling-tile cloth clothes clouds counter cupboard curtain desk-stuff dirt door-stuff fence
floor-marble floor-other floor-stone floor-tile floor-wood flower fog food-other fruit furniture-other
grass gravel ground-other hill house leaves light mat metal mirror-stuff moss mountain mud napkin net
paper pavement pillow plant-other plastic platform playingfield railing railroad river road rock roof
rug salad sand sea shelf sky-other skyscraper snow solid-other stairs stone straw structural-other
table tent textile-other towel tree vegetable wall-brick wall-concrete wall-other wall-panel wall-stone
wall-tile wall-wood water-other waterdrops window-blind window-other wood
"""
THINGS = tuple(name.strip() for name in _THINGS.split(","))
STUFF = tuple(_STUFF.split())


def recognize(root: Path) -> str | None:
    """A folder stuffthingmaps, or the maps of COCO's photographs in annotations/train2017."""
    pair = next(iter(_pairs(root)), None)
    return None if pair is None else f"{pair.masks.relative_to(root)} has maps of COCO's categories"


def _pairs(root: Path) -> list[FolderPair]:
    """The folders of images and maps of each split."""
    pairs = []
    for base in folders(root):
        is_named = base.name.lower().startswith("stuffthingmaps")
        if not is_named and base.name.lower() not in ("annotations", "labels"):
            continue
        for maps in folders(base):
            split = standard_split(maps.name)
            names = (root / maps.name, root / "images" / maps.name, root / "images" / str(split))
            images = next((folder for folder in names if folder.is_dir()), None)
            masks = list_masks(maps) if split else []
            if masks and (
                is_named or (images and re.fullmatch(r"\d{12}", masks[0].stem) and "2017" in maps.name)
            ):
                pairs.append(FolderPair(images or names[0], maps, split))
    return pairs


def read(root: Path, split: str | None) -> MapExport:
    """The images of all splits with their maps."""
    pairs = require_any(_pairs(root), root, "no folder stuffthingmaps/train2017; expected maps in it")
    entries = [entry for pair in pairs for entry in pair_entries(pair)]
    labels = map_labels(root, [(name, value, None) for value, name in enumerate((*THINGS, *STUFF))])
    return MapExport(entries, labels)
