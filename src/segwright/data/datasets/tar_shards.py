"""Datasets in tar shards in the format of webdataset, local or remote, read in any order."""

from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from segwright.data.formats.file_dataset import apply_label_map
from segwright.data.reading.bands import UnexpectedBands
from segwright.data.reading.file_lists import CompactStrings
from segwright.data.reading.images import decode_image, open_with_pillow
from segwright.data.reading.label_maps import pack_rgb
from segwright.data.reading.limits import refuse_decompression_bomb
from segwright.data.reading.png_decoder import decode_png
from segwright.data.reading.remote_files import (
    cache_folder,
    find_remote,
    is_url,
    local_copy,
    trim_cache,
)
from segwright.data.reading.tar_index import Members, read_index, tar_samples
from segwright.errors import UserError
from segwright.files import parse_json
from segwright.labels import LabelSpace
from segwright.samples import Sample, Segment

LABELS_FILE = "labels.json"
_IMAGES = ("jpg", "jpeg", "png", "npy")
_MAPS = ("label.png", "seg.png", "png")
_JSON = "json"
_UNREADABLE = (OSError, ValueError, SyntaxError, KeyError, TypeError)


@dataclass(slots=True)
class TarShards:
    """Tar shards, as ``segwright data convert DATASET --to tar`` writes them, or as webdataset does (docs/data.md).

    A split is the folder SPLIT with shards ``000000.tar``, ...; ``labels.json`` beside it holds the classes. A sample
    has the members KEY.jpg, KEY.png or KEY.npy (the image), KEY.label.png (raw values of its classes, or segment ids as
    R + 256 G + 65536 B) and, with segments, KEY.json. Beside a .jpg image, the label map may also be KEY.png.

    ``url``: the remote folder of the dataset, for example ``s3://bucket/camvid``, instead of ``--data``. Its shards are
    copied to the folder ``cache`` (default: in the user's cache folder) when they are needed, the next one ahead, at
    most ``cache_gb`` GB of them. ``label_map``: a YAML file of all classes, if there is no labels.json.
    """

    url: str | None = None
    cache: str | None = None
    cache_gb: float = 100.0
    label_map: str | None = None

    def open(self, root: Path | str | None, split: str) -> TarDataset:
        """The samples of a split, in the order of the shards; ``UserError`` names what is missing or damaged."""
        if root is None and self.url is None:
            raise UserError(
                "TarShards: no --data given; expected the folder of the shards, or data.url; add --data FOLDER"
            )
        if root is not None and self.url is not None:
            raise UserError(
                f"TarShards: both --data {root} and data.url={self.url}; expected one; remove one"
            )
        base = self.url.rstrip("/") if self.url is not None else str(root)
        if self.url is not None and not is_url(base):
            raise UserError(f"TarShards: data.url={base!r} is no URL; for a local folder use --data")
        folder = Path(self.cache) if self.cache else cache_folder("shards")
        urls = _find_shards(base, split)
        shards = ShardFiles(urls, folder if self.url is not None else None, self.cache_gb)
        return TarDataset.of(self._labels(base, folder), shards)

    def _labels(self, base: str, folder: Path) -> LabelSpace:
        if self.label_map is not None:
            return apply_label_map(Path(self.label_map), None)
        source = f"{base}/{LABELS_FILE}"
        path = local_copy(source, folder) if is_url(base) else Path(source)
        try:
            return LabelSpace.from_json(parse_json(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(
                f"{source}: no classes of the shards ({reason}); expected the file that 'segwright data convert' "
                "writes; or set data.label_map"
            ) from None


def _find_shards(base: str, split: str) -> list[str]:
    """The shards of a split, paths or URLs, sorted."""
    if is_url(base):
        return find_remote(f"{base}/{split}", (".tar",))
    shards = sorted(str(path) for path in (Path(base) / split).glob("*.tar"))
    if not shards:
        raise UserError(
            f"{Path(base) / split}: no tar file there; expected shards such as 000000.tar; check --data and the split"
        )
    return shards


@dataclass(slots=True)
class ShardFiles:
    """The shards of a split; remote ones are copied to ``cache`` when they are needed."""

    names: Sequence[str]
    cache: Path | None
    cache_gb: float
    _fetching: set[int] = field(default_factory=set, init=False, repr=False)

    def path(self, index: int) -> Path:
        """The local file of a shard. A remote one is fetched now, and the next one in a thread."""
        if self.cache is None:
            return Path(self.names[index])
        path = local_copy(self.names[index], self.cache)
        following = index + 1
        if following < len(self.names) and following not in self._fetching:
            self._fetching.add(following)
            threading.Thread(target=self._fetch_ahead, args=(following, path), daemon=True).start()
        return path

    def samples(self, index: int) -> list[tuple[str, Members]]:
        """(key, members) of every sample of a shard. A remote shard with an index is not fetched for it."""
        if self.cache is not None:
            try:
                copy = local_copy(self.names[index].removesuffix(".tar") + ".index", self.cache)
            except UserError:  # no index there
                copy = None
            samples = None if copy is None else read_index(copy)
            if samples is not None:
                return samples
        return tar_samples(self.path(index))

    def _fetch_ahead(self, index: int, current: Path) -> None:
        assert self.cache is not None
        try:
            local_copy(self.names[index], self.cache)
            trim_cache(self.cache, self.cache_gb * 2**30, current)
        except (UserError, OSError):
            pass  # the error comes again where the shard is needed

    def name(self, index: int) -> str:
        """The path or URL of a shard."""
        return self.names[index]


@dataclass(slots=True)
class TarDataset:
    """One split of a dataset in tar shards. A sample is read where the index says that it is, in any order.

    ``members`` int64 [samples, 3, 2]: offset and size of image, label map and JSON, size 0 = none. ``extensions``: the
    kind of each image, an index of (jpg, jpeg, png, npy). ``shard_of`` int32 [samples].
    """

    labels: LabelSpace
    shards: ShardFiles
    names: CompactStrings
    shard_of: NDArray[np.int32]
    members: NDArray[np.int64]
    extensions: NDArray[np.int8]

    @classmethod
    def of(cls, labels: LabelSpace, shards: ShardFiles) -> TarDataset:
        """All samples of the shards; ``UserError`` for a damaged shard, and for a sample without an image."""
        names, shard_of, members, extensions = [], [], [], []
        for shard in range(len(shards.names)):
            for key, parts in shards.samples(shard):
                kind, places = _arranged(parts, key, shards.name(shard))
                names.append(unquote(key))
                shard_of.append(shard)
                members.append(places)
                extensions.append(kind)
        return cls(
            labels,
            shards,
            CompactStrings(names),
            np.array(shard_of, np.int32),
            np.array(members, np.int64).reshape(-1, 3, 2),
            np.array(extensions, np.int8),
        )

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        """The sample; without a label map every pixel is ignored. ``UserError`` names shard and member if damaged."""
        name = self.names[index]
        where = Path(f"{self.shards.name(int(self.shard_of[index]))}:{name}")
        image, label_map, text = (self._bytes(index, part, where) for part in range(3))
        pixels = self._image(image, index, where)
        if not label_map.size:
            ignored = np.full(pixels.shape[:2], self.labels.ignore_index, self.labels.dtype)
            return Sample(pixels, ignored, name, ignore_index=self.labels.ignore_index)
        values = _decode_map(label_map, where)
        segments = None if not text.size else _segments(text, self.labels, where)
        classes: NDArray[Any]
        if segments is None:
            classes = self._classes(values, where)
        else:
            classes = pack_rgb(values[..., :3]) if values.ndim == 3 else values.astype(np.int32)
        if classes.shape != pixels.shape[:2]:
            raise UserError(
                f"{where}: the label map is {classes.shape[1]}x{classes.shape[0]}, the image "
                f"{pixels.shape[1]}x{pixels.shape[0]}; expected equal sizes; write the shard again"
            )
        return Sample(pixels, classes, name, segments, self.labels.ignore_index)

    def _bytes(self, index: int, part: int, where: Path) -> NDArray[np.uint8]:
        shard, (offset, size) = int(self.shard_of[index]), self.members[index, part].tolist()
        if not size:
            return np.zeros(0, np.uint8)
        try:
            try:
                data = np.fromfile(self.shards.path(shard), np.uint8, size, offset=offset)
            except FileNotFoundError:  # to make room, another process removed the copy; fetch it again
                data = np.fromfile(self.shards.path(shard), np.uint8, size, offset=offset)
        except OSError as error:
            raise UserError(f"{where}: cannot be read ({error.strerror}); copy the shard again") from None
        if len(data) < size:
            raise UserError(f"{where}: the shard ends early; copy it again")
        return data

    def _image(self, data: NDArray[np.uint8], index: int, where: Path) -> NDArray[Any]:
        if _IMAGES[self.extensions[index]] != "npy":
            try:
                return decode_image(data, where)
            except UnexpectedBands:
                raise UserError(
                    f"{where}: values of 16 bits; expected 8-bit RGB; store values of other kinds as .npy"
                ) from None
        try:
            return np.asarray(np.load(io.BytesIO(data.tobytes()), allow_pickle=False))
        except _UNREADABLE as error:
            raise UserError(
                f"{where}: not an array that can be read ({error}); copy the shard again"
            ) from None

    def _classes(self, values: NDArray[Any], where: Path) -> NDArray[Any]:
        is_color = values.ndim == 3
        if is_color != (self.labels.coding == "rgb"):
            expected = "colors" if self.labels.coding == "rgb" else "one channel of class values"
            raise UserError(f"{where}: the label map is {values.shape}; expected {expected}; write it again")
        try:
            return self.labels.to_classes(pack_rgb(values[..., :3]) if is_color else values)
        except ValueError as error:
            raise UserError(f"{where}: {error}; check labels.json") from None

    def files(self, index: int) -> tuple[Path, ...]:
        """None: a sample is a part of a file."""
        return ()

    def annotations(self, index: int) -> list[dict[str, Any]] | None:
        """The COCO annotations of an image, with their overlaps, if the shards contain them."""
        where = Path(f"{self.shards.name(int(self.shard_of[index]))}:{self.names[index]}")
        text = self._bytes(index, 2, where)
        annotations = parse_json(text.tobytes()).get("annotations") if text.size else None
        return annotations if isinstance(annotations, list) else None


def _arranged(parts: Members, key: str, shard: str) -> tuple[int, list[tuple[int, int]]]:
    """(the kind of the image, the places of image, label map and JSON) of a sample."""
    image = next((kind for kind in _IMAGES if kind in parts), None)
    if image is None:
        raise UserError(
            f"{shard}: sample {key!r} has no image (members {', '.join(parts)}); expected {key}.jpg, .png or .npy"
        )
    label = next((kind for kind in _MAPS if kind in parts and kind != image), None)
    nothing = (0, 0)
    places = [parts[image], parts[label] if label else nothing, parts.get(_JSON, nothing)]
    return _IMAGES.index(image), places


def _decode_map(data: NDArray[np.uint8], where: Path) -> NDArray[Any]:
    """The values of a PNG label map, [H, W] or [H, W, C]."""
    content = data.tobytes()
    values = decode_png(content)
    if values is not None:
        return values
    try:
        with open_with_pillow(io.BytesIO(content)) as image:
            refuse_decompression_bomb(where, *image.size)
            return np.array(image)
    except UserError:
        raise
    except _UNREADABLE as error:
        raise UserError(f"{where}: the label map cannot be read ({error}); copy the shard again") from None


def _segments(text: NDArray[np.uint8], labels: LabelSpace, where: Path) -> tuple[Segment, ...] | None:
    """The segments in the JSON member of a sample; None if it lists none."""
    index_of_category = {category: index for index, category in enumerate(labels.coco_ids())}
    try:
        rows = parse_json(text.tobytes()).get("segments_info")
        if rows is None:
            return None
        return tuple(
            Segment(int(row["id"]), index_of_category[row["category_id"]], bool(row.get("iscrowd", 0)))
            for row in rows
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{where}: its JSON does not fit ({error}); write the shard again") from None
