"""Generated street scenes with semantic or panoptic ground truth, for the demo and for tests; nothing to download.

Every scene is a small 3-D world, projected by a pinhole camera and drawn from far to near. Different classes have
similar colors on purpose, so that a model must use shape and context.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, sin
from pathlib import Path

import cv2
import numpy as np

from segwright.data.datasets._street_canvas import (
    VOID,
    Canvas,
    Color,
    Number,
    Palette,
    Shape,
    box,
    ring,
    shade,
    span,
    steps,
)
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import Sample

CLASSES = LabelSpace(
    name="street",
    names=("road", "sidewalk", "building", "sky", "vegetation", "pole", "sign", "car", "person"),
    colors=(
        (98, 88, 120), (214, 160, 190), (176, 104, 78), (120, 190, 236), (92, 158, 84), (236, 214, 132),
        (250, 150, 40), (44, 92, 200), (220, 48, 84),
    ),
    raw_values=tuple(range(9)),
    things=("car", "person"),
)  # fmt: skip
SPLITS = ("train", "val")
FAR = 70.0  # meters; beyond it is only the backdrop

# Ids on the canvas: the classes as stuff. Things get higher ids.
ROAD, SIDEWALK, BUILDING, SKY, VEGETATION, POLE, SIGN, CAR, PERSON = range(1, 10)
# Strength of coarse and fine texture, by stuff id.
TEXTURE = (
    (0.01, 0.01), (0.02, 0.035), (0.03, 0.02), (0.015, 0.015), (0, 0), (0.15, 0.09), (0.01, 0.01), (0, 0.01),
)  # fmt: skip
CURB = (
    (0.18, "tree"),
    (0.45, "lamp"),
    (0.75, "sign"),
    (0.82, "bin"),
)  # objects along the curb: cumulative probability, kind


@dataclass(slots=True)
class StreetScenes:
    """Generated street scenes with 9 classes; nothing is expected on disk.

    Each scene is a function of (seed, split, index) and is generated when it is read. ``train`` and ``val`` are the
    numbers of images, ``size`` is (height, width) in pixels. With ``panoptic`` the samples have segments (each car,
    each person, crowds, one segment per stuff class) instead of class maps. ``seed``: another one gives other scenes.
    """

    train: int = 2000
    val: int = 60
    size: tuple[int, int] = (96, 144)
    panoptic: bool = False
    seed: int = 0

    @property
    def labels(self) -> LabelSpace:
        """The 9 classes; cars and persons are things."""
        return CLASSES

    def open(self, root: Path | None, split: str) -> StreetSplit:
        """Split ``train`` or ``val``. ``UserError`` for any other split, and for a ``root``: there are no files."""
        if root is not None:
            raise UserError(f"street: its scenes are generated, so --data {root} has no effect; remove it")
        if split not in SPLITS:
            raise UserError(f"street: unknown split {split!r}; expected {' or '.join(SPLITS)}")
        count = self.train if split == "train" else self.val
        return StreetSplit(CLASSES, split, count, self.size, panoptic=self.panoptic, seed=self.seed)


@dataclass(slots=True)
class StreetSplit:
    """One split of the generated scenes. It contains settings only, so it pickles to a few bytes."""

    labels: LabelSpace
    split: str
    count: int
    image_size: tuple[int, int]
    panoptic: bool = False
    seed: int = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """RGB uint8 [H, W, 3] with a class map uint8 [H, W], or with a map of segment ids int32 [H, W]."""
        if not 0 <= index < self.count:
            raise IndexError(f"street {self.split} has {self.count} images; index {index} is out of range")
        scene = _Street(np.random.default_rng([self.seed, SPLITS.index(self.split), index]), self.image_size)
        name = f"street_{self.split}_{index:05d}"
        if self.panoptic:
            return Sample(scene.image, scene.ids.astype(np.int32), name, scene.segments())
        return Sample(scene.image, scene.semantic(), name)

    def files(self, index: int) -> tuple[Path, ...]:
        """An empty tuple: generated scenes have no files."""
        return ()


class _Street(Canvas):
    """One scene. The constructor draws it, from far to near."""

    def __init__(self, random: np.random.Generator, size: tuple[int, int]) -> None:
        super().__init__(random, size, len(CLASSES))
        between = self.between
        self.edges = (-between(2.0, 5.5), between(1.9, 4.2))  # left and right edge of the road
        self.walks = (between(2.4, 4.5), between(2.4, 4.5))  # widths of the sidewalks
        self.crossing = between(9, 30) if self.chance(0.4) else 2 * FAR
        self.blocks: list[tuple[Number, Number, int]] = []  # near, far, side
        self.objects: list[tuple[Number, Number, str]] = []  # ahead, right, kind
        self.plan()
        self.sky(SKY)
        self.backdrop()
        self.ground()
        self.shadows()
        for near, far, side in sorted(self.blocks, reverse=True):
            self.block(near, far, side)
        for ahead, right, kind in sorted(self.objects, reverse=True):
            if self.is_visible(right, ahead, 5 if kind == "car" else 2.5):
                getattr(self, kind)(right, ahead)
        if self.chance(0.4):
            self.hood()
        strength = np.full((2, 256), 0.015, np.float32)
        strength[:, : len(TEXTURE)] = np.transpose(TEXTURE) * random.uniform(0.6, 1.4, len(TEXTURE))
        self.add_texture(strength)

    # Layout of the scene.

    def plan(self) -> None:
        """Chooses the positions of blocks and objects."""
        between, chance = self.between, self.chance
        for side, edge, walk in ((-1, self.edges[0], self.walks[0]), (1, self.edges[1], self.walks[1])):
            near = between(1, 2)
            while near < FAR:
                far = min(near + between(5, 16), FAR)
                if far < self.crossing - 2 or near > self.crossing + 8:
                    self.blocks.append((near, far, side))
                near = far + (between(1, 6) if chance(0.25) else 0.01)
            ahead = between(4.5, 7)
            while ahead < 12:
                draw = between(0, 1)
                for kind in [kind for bound, kind in CURB if draw < bound][:1]:
                    self.objects.append((ahead, edge + side * 0.5, kind))
                if ahead < 9 and chance(0.5):
                    kind = "crowd" if chance(0.25) else "person"
                    self.objects.append((ahead + between(0, 1), edge + side * between(0.8, walk), kind))
                ahead += between(2.4, 4.2)
            self.cars(edge - side * 1.2, 0.45)
            self.cars(edge / 2 if abs(edge) > 4 else edge - side * 3.4, 0.22)
        if chance(0.55):
            ahead = between(4.5, 9)
            self.objects += [(ahead + between(-1, 1), between(*self.edges), "person") for _ in range(2)]

    def cars(self, right: Number, density: Number) -> None:
        """Plans a lane of cars, none of them on the crossing."""
        ahead = self.between(4.5, 11)
        while ahead < 15:
            if self.chance(density) and not -1 < ahead - self.crossing < 8:
                self.objects.append((ahead, right + self.between(-0.2, 0.2), "car"))
            ahead += self.between(5.5, 9)

    # Backdrop, ground and blocks.

    def backdrop(self) -> None:
        """Draws distant houses and trees along the horizon."""
        trees, right = self.between(0, 1), -60.0
        while right < 60:
            wide, high = self.between(12, 26), self.between(6, 18)
            if self.chance(trees):
                crown = ring(0, high * 0.35, wide * 0.7, high * 0.5)
                self.painter(right + wide / 2, FAR, VEGETATION)(crown, self.pick(Palette.LEAVES))
            else:
                self.painter(right + wide / 2, FAR, BUILDING)(
                    box(wide, 0, high), shade(self.pick(Palette.WALLS), 0.75)
                )
            right += wide

    def ground(self) -> None:
        """Draws the lawn, sidewalks with curbs and seams, the road and its markings."""
        between, floor, (left, right) = self.between, self.floor, self.edges
        asphalt, paving = self.pick(Palette.ASPHALT), self.pick(Palette.PAVING)
        crossing = (self.crossing, self.crossing + 6)
        floor((-400, 400), (0.8, FAR * 3), self.pick(Palette.LEAVES), VEGETATION)
        for side, edge, walk in ((-1, left, self.walks[0]), (1, right, self.walks[1])):
            outer, curb = edge + side * (walk + 0.6), edge + side * 0.25
            stone = shade(paving, between(0.7, 1.2))
            floor((outer, edge), (0.8, FAR * 2), paving, SIDEWALK)
            for z in steps(between(2, 3), 13, 1.4):
                floor((outer, edge), (z, z + 0.07), shade(paving, 0.84))
            floor((curb, edge), (0.8, FAR), stone)
        if self.crossing < FAR:
            floor((-60, 60), crossing, asphalt, ROAD)
        floor((left, right), (0.8, FAR * 2), asphalt, ROAD)
        for _ in range(3):
            x, z = between(left, right - 1), between(3, 15)
            floor((x, min(x + between(0.5, 2), right)), (z, z + between(1, 6)), shade(asphalt, 0.9))
        white = (226.0, 190.0, 80.0) if self.chance(0.15) else Palette.WHITE
        for z in steps(between(1, 4), 36, between(4, 6)):
            floor(((left + right) / 2 - 0.08, (left + right) / 2 + 0.08), (z, z + 2.4), white)
        if self.chance(0.35):
            z = between(4.5, 10) if self.crossing > FAR else self.crossing - 3.5
            for x in steps(left + 0.4, right - 0.5, 1.0):
                floor((x, x + 0.5), (z, z + 2.6), Palette.WHITE)

    def shadows(self) -> None:
        """Darkens the ground in the shadows of blocks and objects, and below cars."""
        lit, toward = np.full(self.ids.shape, 255, np.uint8), 1 if self.sun > 0 else -1
        spots: list[tuple[Number, Number, Number, Number, int]] = [
            (x - 1.1, x + 1.1, z - 0.25, z + 4.2, 90) for z, x, kind in self.objects if kind == "car"
        ]
        if self.sun:
            dark = round(255 - 64 * abs(self.sun))
            reach = self.edges[toward > 0] - toward * self.between(-2, 3)
            spots += [(x, x - toward * 2.2, z, z + 0.6, dark) for z, x, kind in self.objects if kind != "car"]
            spots += [
                (toward * 30, reach, near, far, dark) for near, far, side in self.blocks if side == toward
            ]
        for left, right, near, far, value in spots:
            points = np.array(self.outline((left, right), (near, far)), np.int32)
            cv2.fillConvexPoly(lit, points, (value,), cv2.LINE_AA, 4)
        lit[(self.ids == SKY) | (self.ids == BUILDING)] = 255
        self.image = np.asarray(cv2.multiply(self.image, cv2.merge([lit] * 3), scale=1 / 255))

    def block(self, near: Number, far: Number, side: int) -> None:
        """Draws a house along the street, or a hedge with trees."""
        between = self.between
        x = self.edges[side > 0] + side * (self.walks[side > 0] + between(0.3, 1.2))
        if self.chance(0.28):
            self.side(x, span(near, far, 0, between(0.6, 2.4)), self.pick(Palette.LEAVES), VEGETATION)
            while far > max(near, 3):
                if self.is_visible(right := x + side * between(1.5, 5), far, 3):
                    self.crown(right, far, between(2.5, 5.5), between(1.6, 3))
                far -= between(2.5, 5)
            return
        height, color, first = between(5, 19), self.pick(Palette.WALLS), between(2.6, 3.6)
        lit = 1 - 0.28 * self.sun * side
        face, trim = shade(color, lit), shade(color, lit * between(0.6, 1.25))
        gable = [(0.0, 0.0), (side * 30, 0), (side * 30, height), (0, height)]
        self.painter(x, near, BUILDING)(gable, shade(color, 0.82))
        self.side(x, span(near, far, 0, height), face, BUILDING)
        if self.chance(0.6):
            self.side(x, span(near, far, 0, first), trim)
        self.side(x, span(near, far, height - 0.5, height), trim)
        if near > 26:
            return
        wide, tall, glow = between(0.9, 1.5), between(1.1, 1.9), between(0.1, 0.6)
        light, dark = self.pick((self.haze, (250, 214, 140))), self.pick(Palette.GLASS[:2])
        door = self.pick(Palette.PAINTS)
        columns = steps(near + 0.5, far - wide - 0.2, between(1.9, 3.2))
        for y in steps(first + 0.4, height - 1.8, between(2.7, 3.4)):
            for z in columns:
                self.side(x, span(z, z + wide, y, y + tall), light if self.chance(glow) else dark)
        for z in columns[:: int(between(1, 3))]:
            self.side(x, span(z, z + wide, 0.05, first - 0.7), door)

    def crown(self, right: Number, ahead: Number, middle: Number, radius: Number) -> None:
        """Draws leaves around the height ``middle``: discs, dark at the bottom and light at the top."""
        color = self.pick(Palette.LEAVES)
        lumps = [(0.0, middle, radius * 0.82, shade(color, 0.85))]
        for turn in (4.7, 3.6, 5.8, 2.9, 0.2, 2.1, 1.1):
            out, tone = radius * self.between(0.45, 0.75), 0.95 + 0.22 * sin(turn) + self.between(-0.12, 0.12)
            size = radius * self.between(0.3, 0.5)
            lumps.append((out * cos(turn), middle + out * sin(turn), size, shade(color, tone)))
        self.discs((right, ahead), lumps, VEGETATION)

    # Objects: each method draws one at (right, ahead).

    def tree(self, right: Number, ahead: Number) -> None:
        middle, bark = self.between(3.4, 5), self.pick(((96, 74, 56), (116, 94, 72)))
        self.painter(right, ahead, VEGETATION)(box(self.min_width(0.45, ahead), 0, middle), bark)
        self.crown(right, ahead, middle, self.between(1.2, 2.1))

    def lamp(self, right: Number, ahead: Number) -> None:
        """A street lamp, in most cases with an arm over the road."""
        paint, color = self.painter(right, ahead, POLE), self.pick(Palette.METALS, 6)
        height = self.between(4, 7)
        width, arm = self.min_width(0.26, ahead), self.between(0.8, 1.8) * (-1 if right > 0 else 1)
        paint(box(width, 0, height), color)
        paint(box(width * 0.35, 0, height, -width * 0.25), shade(color, 1.3), False)
        if self.chance(0.7):
            paint(box(abs(arm) + width, height - width, height, arm / 2), color)
            paint(box(0.8, height - 1.2 * width, height, arm), shade(color, 0.7))

    def sign(self, right: Number, ahead: Number) -> None:
        """A traffic sign or a traffic light, and its pole."""
        middle, r = self.between(2.3, 3.4), self.min_width(self.between(0.65, 0.95), ahead)
        pole, paint = self.painter(right, ahead, POLE), self.painter(right, ahead, SIGN)
        pole(box(self.min_width(0.2, ahead), 0, middle), self.pick(Palette.METALS, 6))
        if self.chance(0.3):
            paint(box(r * 1.2, middle - r * 1.5, middle + r * 1.5), (38, 40, 42))
            on = int(self.between(0, 3))
            for row, light in enumerate(((60, 210, 130), (246, 190, 60), (236, 60, 50))):
                spot = ring(0, middle + (row - 1) * r * 0.9, r * 0.36, r * 0.36)
                paint(spot, light if row == on else shade(light, 0.35), False)
            return
        rim, inner, kind = self.pick(Palette.PAINTS), self.pick(Palette.PLATES), int(self.between(0, 3))
        for size, color in ((r, rim), (r * 0.72, inner)):
            triangle = [
                (-1.1 * size, middle - 0.8 * size),
                (1.1 * size, middle - 0.8 * size),
                (0, middle + 1.15 * size),
            ]
            plate = box(2 * size, middle - size, middle + size)
            paint((ring(0, middle, size, size), triangle, plate)[kind], color)
        paint(box(r * self.between(0.2, 0.9), middle - r * 0.2, middle + r * 0.2), rim, False)

    def bin(self, right: Number, ahead: Number) -> None:
        """A bin. It belongs to no class: ignored pixels."""
        wide, high, color = self.between(0.5, 1.0), self.between(0.7, 1.4), self.pick(Palette.PAINTS)
        paint = self.painter(right, ahead, VOID)
        paint(box(wide, 0, high), color)
        paint(box(wide * 1.15, high * 0.85, high), shade(color, 1.25))

    def person(self, right: Number, ahead: Number) -> None:
        self.body(right, ahead, self.add(PERSON - 1))

    def crowd(self, right: Number, ahead: Number) -> None:
        """Several persons as one crowd segment."""
        identity = self.add(PERSON - 1, crowd=True)
        for _ in range(int(self.between(4, 8))):
            self.body(right + self.between(-1, 1), ahead, identity)

    def body(self, right: Number, ahead: Number, identity: int) -> None:
        """A person: legs, arms, coat, hair and face."""
        size, paint = self.between(1.15, 1.4), self.painter(right, ahead, identity)
        coat, trousers = self.pick(Palette.PAINTS), self.pick(Palette.PAINTS)
        step, swing, hem = self.between(0, 0.2), self.between(0.0, 0.12), self.between(0.5, 0.85)
        parts: list[tuple[Shape, Color]] = []
        for way in (-1, 1):
            leg = [(way * 0.02, 0.9), (way * 0.22, 0.9), (way * (0.25 + step), 0), (way * step, 0)]
            arm = [
                (way * 0.14, 1.46),
                (way * 0.28, 1.42),
                (way * (0.3 + swing), 0.8),
                (way * (0.16 + swing), 0.8),
            ]
            parts += [(leg, shade(trousers, 1 + way * 0.08)), (arm, shade(coat, 0.82))]
        parts += [([(-0.25, hem), (0.25, hem), (0.24, 1.48), (-0.24, 1.48)], coat)]
        parts += [(ring(0, 1.64, 0.15, 0.17), self.pick(Palette.HAIR))]
        parts += [(ring(0, 1.6, 0.12, 0.14), self.pick(Palette.SKIN))]
        for shape, color in parts:
            paint([(u * size, v * size) for u, v in shape], color)

    def car(self, right: Number, ahead: Number) -> None:
        """A car from behind, or from the front on the left side of the road, with its visible side."""
        identity, color = self.add(CAR - 1), self.pick(Palette.PAINTS, 16)
        w, roof, waist = self.between(0.85, 1.0), self.between(1.35, 2.1), self.between(0.82, 1.0)
        glass, t = self.pick((*Palette.GLASS, self.haze), 8), w * self.between(0.74, 0.95)
        if abs(right) > w:
            self.flank(right - (w if right > 0 else -w), ahead, (roof, waist), (color, glass), identity)
        paint = self.painter(right, ahead, identity)
        for way in (-1, 1):
            paint(box(0.3, 0, 0.5, way * (w - 0.2)), Palette.DARK)
        low = waist - 0.1
        paint([(-w, 0.25), (w, 0.25), (w, low), (w - 0.08, waist), (0.08 - w, waist), (-w, low)], color)
        paint([(0.06 - w, waist), (w - 0.06, waist), (t, roof), (-t, roof)], color)
        pane = [
            (0.2 - w, waist + 0.06),
            (w - 0.2, waist + 0.06),
            (t - 0.1, roof - 0.14),
            (0.1 - t, roof - 0.14),
        ]
        paint(pane, glass, False)
        paint(box(w * 1.9, 0.28, 0.46), shade(color, 0.62), False)
        for way in (-1, 1):
            light = Palette.WHITE if right < 0 else Palette.RED
            paint(box(0.36, waist - 0.3, waist - 0.1, way * (w - 0.22)), light, False)
        paint(box(0.5, 0.48, 0.62), Palette.WHITE, False)

    def flank(
        self, x: Number, z: Number, heights: tuple[Number, Number], colors: tuple[Color, Color], identity: int
    ) -> None:
        """The side of a car, four meters long."""
        (roof, waist), flank = heights, shade(colors[0], 0.74)
        self.side(x, span(z, z + 4.1, 0.25, waist), flank, identity)
        self.side(x, [(z, waist), (z + 3.4, waist), (z + 2.5, roof), (z, roof)], flank, identity)
        pane = [(z + 0.2, waist), (z + 3.1, waist), (z + 2.4, roof - 0.14), (z + 0.2, roof - 0.14)]
        self.side(x, pane, colors[1])
        for hub in (z + 3.2, z + 0.8):
            self.side(x, ring(hub, 0.34, 0.36, 0.34), Palette.DARK, identity)
            self.side(x, ring(hub, 0.34, 0.18, 0.17), (140, 142, 146))
