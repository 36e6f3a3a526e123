"""COCO panoptic: photographs of everyday scenes with 133 classes, 80 of things and 53 of stuff.

Kirillov, He, Girshick, Rother, Dollar: Panoptic segmentation, CVPR 2019; Lin et al., ECCV 2014. The annotations are
under CC BY 4.0, the photographs under the terms of their owners on Flickr.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from segwright.data.formats.coco import (
    CocoAnnotations,
    SplitPaths,
    open_panoptic,
    open_unlabeled_images,
    split_path,
)
from segwright.data.formats.file_dataset import FileDataset
from segwright.data.formats.image_dataset import ImageDataset
from segwright.labels import LabelSpace, color_of

# Category id, name and color, as published with the panoptic annotations (see NOTICE).
THINGS = """
1 person DC143C, 2 bicycle 770B20, 3 car 00008E, 4 motorcycle 0000E6, 5 airplane 6A00E4, 6 bus 003C64,
7 train 005064, 8 truck 000046, 9 boat 0000C0, 10 traffic light FAAA1E, 11 fire hydrant 64AA1E,
13 stop sign DCDC00, 14 parking meter AF74AF, 15 bench FA001E, 16 bird A52A2A, 17 cat FF4DFF,
18 dog 00E2FC, 19 horse B6B6FF, 20 sheep 005200, 21 cow 78A69D, 22 elephant 6E4C00, 23 bear AE39FF,
24 zebra C76400, 25 giraffe 480076, 27 backpack FFB3F0, 28 umbrella 007D5C, 31 handbag D10097,
32 tie BCD0B6, 33 suitcase 00DCB0, 34 frisbee FF63A4, 35 skis 5C0049, 36 snowboard 8581FF,
37 sports ball 4EB4FF, 38 kite 00E400, 39 baseball bat AEFFF3, 40 baseball glove 2D59FF,
41 skateboard 868667, 42 surfboard 9194AE, 43 tennis racket FFD0BA, 44 bottle C5E2FF,
46 wine glass AB8601, 47 cup 6D3F36, 48 fork CF8AFF, 49 knife 97005F, 50 spoon 09503D, 51 bowl 546933,
52 banana 4A4169, 53 apple A6C466, 54 sandwich D0C3D2, 55 orange FF6D41, 56 broccoli 008F95,
57 carrot B300C2, 58 hot dog D1636A, 59 pizza 057900, 60 donut E3FFCD, 61 cake 93BAD0, 62 chair 994501,
63 couch 035FA1, 64 potted plant A3FF00, 65 bed 7700AA, 67 dining table 00B6C7, 70 toilet 00A578,
72 tv B78258, 73 laptop 5F2000, 74 mouse 827287, 75 remote 6E8185, 76 keyboard A64A76,
77 cell phone DB8EB9, 78 microwave 4FD272, 79 oven B25A3E, 80 toaster 41460F, 81 sink 7FA773,
82 refrigerator 3B696A, 84 book 8E6C2D, 85 clock C4AC00, 86 vase 5F3650, 87 scissors 804CFF,
88 teddy bear C93901, 89 hair drier F6007A, 90 toothbrush BFA2D0
"""
STUFF = """
92 banner FFFF80, 93 blanket 93D3CB, 95 bridge 966464, 100 cardboard A8ABAC, 107 counter 9270C6,
109 curtain D2AA64, 112 door-stuff 5C8859, 118 floor-wood DA58B8, 119 flower F18100, 122 fruit D911FF,
125 gravel 7C4AB5, 128 house 464646, 130 light FFE4FF, 133 mirror-stuff 9AD000, 138 net C1005C,
141 pillow 4C5B71, 144 platform FFB4C3, 145 playingfield 6A9AB0, 147 railroad E6968C, 148 river 3C8FFF,
149 road 804080, 151 roof 5C5237, 154 sand FED47C, 155 sea 494DAE, 156 shelf FFA062, 159 snow FFFFFF,
161 stairs 68546D, 166 tent A9A483, 168 towel E1C7FF, 171 wall-brick 89364A, 175 wall-stone 879EDF,
176 wall-tile 07F6E7, 177 wall-wood 6BFFC8, 178 water-other 3A2995, 180 window-blind B7798E,
181 window-other FF4961, 184 tree-merged 6B8E23, 185 fence-merged BE9999, 186 ceiling-merged 928B8D,
187 sky-other-merged 4682B4, 188 cabinet-merged 86C79C, 189 table-merged D1E28C,
190 floor-other-merged 60246C, 191 pavement-merged 606060, 192 mountain-merged 40AA40,
193 grass-merged 98FB98, 194 dirt-merged D0E5E4, 195 paper-merged CEBAAB, 196 food-other-merged 98A140,
197 building-other-merged 747000, 198 rock-merged 00728F, 199 wall-other-merged 66669C,
200 rug-merged FA8DFF
"""


def parsed(text: str) -> list[tuple[int, str, int]]:
    """(category id, name, packed color) of each class of a table such as ``THINGS``."""
    entries = (entry.split() for entry in text.split(","))
    return [(int(words[0]), " ".join(words[1:-1]), int(words[-1], 16)) for words in entries]


_ROWS = [*parsed(THINGS), *parsed(STUFF)]
CLASSES = LabelSpace(
    name="coco_panoptic",
    names=tuple(name for _, name, _ in _ROWS),
    colors=tuple(color_of(color) for *_, color in _ROWS),
    raw_values=tuple(identity for identity, *_ in _ROWS),
    ignored=(0,),
    things=tuple(name for _, name, _ in parsed(THINGS)),
)


@dataclass(slots=True)
class CocoPanoptic(FileDataset):
    """COCO panoptic as downloaded, or any dataset in this format.

    Expected are ``annotations/panoptic_{split}2017.json``, the maps in ``annotations/panoptic_{split}2017/`` and the
    images in ``{split}2017/``. The splits are ``train`` and ``val``, and without ground truth ``test`` and ``test-dev``
    (images listed in ``annotations/image_info_{split}2017.json``, otherwise all images of the folder).

    ``json``, ``maps``, ``images`` and ``test_json`` are these paths under the root, with {split} for the split. If the
    categories of the JSON file are not those of COCO, they are the classes. ``train_ids``: the categories of the file
    are numbered from 0 and not described (``panoptic_{split}2017_trainId.json``).
    """

    json: str = "annotations/panoptic_{split}2017.json"
    maps: str = "annotations/panoptic_{split}2017"
    images: str = "{split}2017"
    test_json: str = "annotations/image_info_{split}2017.json"
    train_ids: bool = False

    def read(self, root: Path, split: str) -> ImageDataset:
        """``train``, ``val``, or a split without ground truth."""
        json_file = split_path(root, self.json, split)
        if not json_file.is_file():
            return open_unlabeled_images(
                root, split, SplitPaths(self.images, self.json, self.test_json), _labels
            )
        annotations = CocoAnnotations.read(json_file)
        return open_panoptic(
            annotations,
            split_path(root, self.maps, split),
            split_path(root, self.images, split),
            labels=_labels(annotations),
            train_ids=self.train_ids,
        )


def _labels(annotations: CocoAnnotations) -> LabelSpace:
    """The 133 classes of COCO if the file lists them in any order, or lists no categories; else those of the file."""
    names = {row.get("name") for row in annotations.categories}
    if names in (set(), set(CLASSES.names)):
        return CLASSES
    return annotations.label_space(annotations.path.stem, "panoptic")
