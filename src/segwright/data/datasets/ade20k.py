"""ADE20K scene parsing: 150 classes in photographs of indoor and outdoor scenes.

Zhou et al.: Scene Parsing through ADE20K Dataset, CVPR 2017. The photographs are for non-commercial research and
education; the annotations are under the BSD 3-clause licence.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.ground_truth import ClassMaps
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.file_lists import (
    find_list_file,
    list_images,
    match_files,
    read_lines,
    require_files,
)
from segwright.errors import UserError
from segwright.files import parse_json
from segwright.labels import LabelSpace, color_of

# Name and color of the classes 1 to 150 (see NOTICE). The name is the first one in objectInfo150, with all its words,
# so that "screen" and "screen door" differ.
TABLE = """
wall 787878, building B47878, sky 06E6E6, floor 503232, tree 04C803, ceiling 787850, road 8C8C8C,
bed CC05FF, windowpane E6E6E6, grass 04FA07, cabinet E005FF, sidewalk EBFF07, person 96053D, earth 787846,
door 08FF33, table FF0652, mountain 8FFF8C, plant CCFF04, curtain FF3307, chair CC4603, car 0066C8,
water 3DE6FA, painting FF0633, sofa 0B66FF, shelf FF0747, house FF09E0, sea 0907E6, mirror DCDCDC,
rug FF095C, field 7009FF, armchair 08FFD6, seat 07FFE0, fence FFB806, desk 0AFF47, rock FF290A,
wardrobe 07FFFF, lamp E0FF08, bathtub 6608FF, railing FF3D06, cushion FFC207, base FF7A08, box 00FF14,
column FF0829, signboard FF0599, chest of drawers 0633FF, counter EB0CFF, sand A09614, sink 00A3FF,
skyscraper 8C8C8C, fireplace FA0A0F, refrigerator 14FF00, grandstand 1FFF00, path FF1F00, stairs FFE000,
runway 99FF00, case 0000FF, pool table FF4700, pillow 00EBFF, screen door 00ADFF, stairway 1F00FF,
river 0BC8C8, bridge FF5200, bookcase 00FFF5, blind 003DFF, coffee table 00FF70, toilet 00FF85,
flower FF0000, book FFA300, hill FF6600, bench C2FF00, countertop 008FFF, stove 33FF00, palm 0052FF,
kitchen island 00FF29, computer 00FFAD, swivel chair 0A00FF, boat ADFF00, bar 00FF99, arcade machine FF5C00,
hovel FF00FF, bus FF00F5, towel FF0066, light FFAD00, truck FF0014, tower FFB8B8, chandelier 001FFF,
awning 00FF3D, streetlight 0047FF, booth FF00CC, television 00FFC2, airplane 00FF52, dirt track 000AFF,
apparel 0070FF, pole 3300FF, land 00C2FF, bannister 007AFF, escalator 00FFA3, ottoman FF9900, bottle 00FF0A,
buffet FF7000, poster 8FFF00, stage 5200FF, van A3FF00, ship FFEB00, fountain 08B8AA, conveyer belt 8500FF,
canopy 00FF5C, washer B800FF, plaything FF001F, swimming pool 00B8FF, stool 00D6FF, barrel FF0070,
basket 5CFF00, waterfall 00E0FF, tent 70E0FF, bag 46B8A0, minibike A300FF, cradle 9900FF, oven 47FF00,
ball FF00A3, food FFCC00, step FF008F, tank 00FFEB, trade name 85FF00, microwave FF00EB, pot F500FF,
animal FF007A, bicycle FFF500, lake 0ABED4, dishwasher D6FF00, screen 00CCFF, blanket 1400FF,
sculpture FFFF00, hood 0099FF, sconce 0029FF, vase 00FFCC, traffic light 2900FF, tray 29FF00, ashcan AD00FF,
fan 00F5FF, pier 4700FF, crt screen 7A00FF, plate 00FFB8, monitor 005CFF, bulletin board B8FF00,
shower 0085FF, radiator FFD600, glass 19C2C2, clock 66FF00, flag 5C00FF
"""
_STUFF = (
    1, 2, 3, 4, 6, 7, 10, 12, 14, 17, 22, 26, 27, 29, 30, 47, 49, 52, 53, 55, 60, 61, 62, 69, 80, 85,
    92, 95, 97, 102, 106, 110, 114, 129, 141,
)  # fmt: skip
_ROWS = [(" ".join(words[:-1]), int(words[-1], 16)) for words in map(str.split, TABLE.split(","))]
CLASSES = LabelSpace(
    name="ade20k",
    names=tuple(name for name, _ in _ROWS),
    colors=tuple(color_of(color) for _, color in _ROWS),
    raw_values=tuple(range(1, len(_ROWS) + 1)),
    ignored=(0,),
    things=tuple(name for number, (name, _) in enumerate(_ROWS, 1) if number not in _STUFF),
)
_FOLDERS = {"train": "training", "val": "validation"}
_ARCHIVE = "ADEChallengeData2016"


@dataclass(slots=True)
class Ade20k(FileDataset):
    """ADE20K as downloaded: ``ADEChallengeData2016/images/training/NAME.jpg``, ``.../annotations/training/NAME.png``.

    The root is ``ADEChallengeData2016`` or the folder that contains it. The folders ``validation`` belong to the split
    ``val``; the images of ``release_test`` are the split ``test``, without ground truth. ``lists``: read .odgt list
    files instead, with {split} in the name. Each line of a list is a JSON object with ``fpath_img`` and
    ``fpath_segm``, relative to the root.
    """

    lists: str | None = None

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train`` (or ``training``), ``val`` (or ``validation``), or ``test``."""
        if self.lists is not None:
            return _open_list(root, find_list_file(self.lists, root, split))
        if split == "test":
            return ImageDataset(CLASSES, _test_images(root), None)
        folder = _FOLDERS.get(split, split)
        archive = ade20k_folder(root)
        images = list_images(archive / "images" / folder)
        maps = match_files(images, lambda image: archive / "annotations" / folder / f"{image.stem}.png")
        return ImageDataset(CLASSES, images, ClassMaps(maps))


def ade20k_folder(root: Path) -> Path:
    """The folder that contains ``images`` and ``annotations``: ``root`` or the folder of the archive inside it."""
    return root / _ARCHIVE if (root / _ARCHIVE).is_dir() else root


def _test_images(root: Path) -> list[Path]:
    folders = [
        root / "release_test",
        root.parent / "release_test",
        ade20k_folder(root) / "images" / "testing",
    ]
    return list_images(next((folder for folder in folders if folder.is_dir()), folders[0]), recursive=True)


def _open_list(root: Path, list_file: Path) -> ImageDataset:
    rows = [_parse_row(list_file, number, line) for number, line in enumerate(read_lines(list_file), 1)]
    # Paths in the published lists start with the folder of the archive, which may be the root itself.
    base = next((folder for folder in (root, root.parent) if (folder / rows[0]["fpath_img"]).is_file()), root)
    images = require_files([base / row["fpath_img"] for row in rows], list_file)
    maps = [row.get("fpath_segm") for row in rows]
    if not any(maps):
        return ImageDataset(CLASSES, images, None)
    if not all(maps):
        raise UserError(
            f"{list_file}: line {maps.index(None) + 1} has no 'fpath_segm', but others have; expected it in all lines"
        )
    map_of = {image: base / str(path) for image, path in zip(images, maps, strict=True)}
    matched = match_files(images, map_of.__getitem__)
    return ImageDataset(CLASSES, images, ClassMaps(matched))


def _parse_row(list_file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = parse_json(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not isinstance(row.get("fpath_img"), str):
        raise UserError(
            f"{list_file}: line {number} is not a JSON object with 'fpath_img'; expected an .odgt list; create it again"
        )
    return row
