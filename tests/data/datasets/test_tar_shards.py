"""Tar shards: the same samples as the dataset that they were converted from, in any order, local and remote."""

import io
import json
import os
import tarfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segwright import LabelSpace
from segwright.cli.main import main
from segwright.data.conversion.tar import convert_to_tar
from segwright.data.datasets.arrays import PairDataset
from segwright.data.datasets.street import StreetScenes
from segwright.data.datasets.tar_shards import ShardFiles, TarShards
from segwright.data.reading.label_maps import write_png
from segwright.errors import UserError

CLASSES = "classes:\n  road: {raw: 7}\n  car: {raw: 26}\nignored: [0]\n"


def _folder(root: Path, count: int = 5, suffix: str = "jpg") -> Path:
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for number in range(count):
            image = random.integers(0, 255, (6 + number, 9, 3), np.uint8)
            path = root / "images" / split / f"frame.{number}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
            values = random.choice([0, 7, 26], image.shape[:2]).astype(np.uint8)
            write_png(root / "labels" / split / f"frame.{number}.png", values)
    (root / "classes.yaml").write_text(CLASSES)
    return root


def _assert_equal(first, second) -> None:
    assert len(first) == len(second)
    assert first.labels == second.labels
    for index in [*reversed(range(len(first)))]:
        one, other = first[index], second[index]
        assert (one.name, one.segments) == (other.name, other.segments)
        assert one.map.dtype == other.map.dtype and one.image.dtype == other.image.dtype
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.map, other.map)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp"])
def test_a_converted_dataset_has_the_same_samples(tmp_path: Path, suffix: str) -> None:
    from segwright.data.datasets.folder import Folder

    root = _folder(tmp_path / "data", suffix=suffix)
    assert main(["data", "convert", "folder", str(root), "--to", "tar", "--out", str(tmp_path / "tar")]) == 0
    for split in ("train", "val"):
        _assert_equal(Folder().open(root, split), TarShards().open(tmp_path / "tar", split))


def test_panoptic_samples_keep_their_segments_over_several_shards(tmp_path: Path) -> None:
    dataset = StreetScenes(train=6, size=(32, 48)).open(None, "train")
    result = convert_to_tar({"train": dataset}, tmp_path / "tar", shard_bytes=6000)
    shards = sorted(path.name for path in (tmp_path / "tar" / "train").glob("*.tar"))
    assert len(shards) > 1 and shards[0] == "000000.tar" and result.maps == 6
    _assert_equal(dataset, TarShards().open(tmp_path / "tar", "train"))


def test_images_of_several_bands_and_large_ids_survive(tmp_path: Path) -> None:
    labels = LabelSpace.of("a", "b", things=("b",))
    pairs = [(np.random.default_rng(0).random((4, 5, 6)).astype(np.float32), np.ones((4, 5), np.uint8))]
    dataset = PairDataset(pairs, labels)
    convert_to_tar({"train": dataset}, tmp_path / "tar")
    _assert_equal(dataset, TarShards().open(tmp_path / "tar", "train"))


def test_a_missing_or_outdated_index_is_built_on_the_fly(tmp_path: Path) -> None:
    root = _folder(tmp_path / "data")
    main(
        [
            "data",
            "convert",
            "folder",
            str(root),
            "--to",
            "tar",
            "--out",
            str(tmp_path / "tar"),
            "--split",
            "val",
        ]
    )
    before = TarShards().open(tmp_path / "tar", "val")
    index = tmp_path / "tar" / "val" / "000000.index"
    content = json.loads(index.read_text())
    for damage in (index.unlink, lambda: index.write_text("{"), lambda: index.write_text('{"size": 3}')):
        damage()
        _assert_equal(before, TarShards().open(tmp_path / "tar", "val"))
        assert json.loads(index.read_text()) == content


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves files open
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_shards_are_read_by_webdataset(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    root = _folder(tmp_path / "data")
    main(["data", "convert", "folder", str(root), "--to", "tar", "--out", str(tmp_path / "tar")])
    shard = str(tmp_path / "tar" / "train" / "000000.tar")
    samples = [*webdataset.WebDataset(shard, shardshuffle=False)]
    dataset = TarShards().open(tmp_path / "tar", "train")
    assert len(samples) == len(dataset) == 5
    for index, sample in enumerate(samples):
        image = cv2.imdecode(np.frombuffer(sample["jpg"], np.uint8), cv2.IMREAD_COLOR_RGB)
        np.testing.assert_array_equal(image, dataset[index].image)
        values = cv2.imdecode(np.frombuffer(sample["label.png"], np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(dataset.labels.to_classes(values), dataset[index].map)


def _foreign_shard(folder: Path, members: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(folder / "000000.tar", "w") as tar:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    later = time.time() + 2  # another tar file than that of the index, however fast the test is
    os.utime(folder / "000000.tar", (later, later))
    return folder / "000000.tar"


def _jpg() -> bytes:
    return cv2.imencode(".jpg", np.zeros((4, 6, 3), np.uint8))[1].tobytes()


def _png(values: np.ndarray) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()


def test_a_foreign_shard_needs_only_a_label_map(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(CLASSES)
    values = np.full((4, 6), 26, np.uint8)
    _foreign_shard(tmp_path / "train", {"a/one.jpg": _jpg(), "a/one.png": _png(values), "a/two.jpg": _jpg()})
    dataset = TarShards(label_map=str(tmp_path / "classes.yaml")).open(tmp_path, "train")
    assert [sample.name for sample in dataset] == ["a/one", "a/two"]
    assert (dataset[0].map == 1).all() and (dataset[1].map == 255).all()


def test_damaged_shards_end_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(CLASSES)
    config = TarShards(label_map=str(tmp_path / "classes.yaml"))
    with pytest.raises(UserError, match="no tar file there"):
        config.open(tmp_path, "train")
    shard = _foreign_shard(tmp_path / "train", {"one.txt": b"text"})
    with pytest.raises(UserError, match="sample 'one' has no image"):
        config.open(tmp_path, "train")
    members = {
        "one.jpg": _jpg(),
        "one.png": _png(np.full((4, 6), 99, np.uint8)),
        "two.jpg": b"\xff\xd8rubbish",
    }
    whole = _foreign_shard(tmp_path / "train", members).read_bytes()
    dataset = config.open(tmp_path, "train")
    with pytest.raises(UserError, match=r"000000.tar:one: value 99"):
        dataset[0]
    with pytest.raises(UserError, match=r"000000.tar:two: truncated"):
        dataset[1]
    for content in (whole[:700], b"x" * 2000, whole[:1024] + b"y" * 1500 + whole[1024:], b""):
        shard.write_bytes(content)
        with pytest.raises(UserError, match=r"000000\.tar: (not a tar file|damaged)") as problem:
            config.open(tmp_path, "train")
        assert "\n" not in str(problem.value)


def test_remote_shards_are_copied_when_needed_and_the_cache_keeps_to_its_size(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    dataset = StreetScenes(train=6, size=(32, 48)).open(None, "train")
    convert_to_tar({"train": dataset}, tmp_path / "tar", shard_bytes=6000)
    storage = fsspec.filesystem("memory")
    storage.put(str(tmp_path / "tar"), "/bucket/street", recursive=True)
    cache = tmp_path / "cache"
    remote = TarShards(url="memory://bucket/street", cache=str(cache)).open(None, "train")
    assert not [*cache.rglob("*.tar")]
    _assert_equal(dataset, remote)
    assert len([*cache.rglob("*.tar")]) == len([*(tmp_path / "tar" / "train").glob("*.tar")])
    storage.rm("/bucket/street/train", recursive=True)
    with pytest.raises(UserError, match=r"no file there|cannot be read"):
        TarShards(url="memory://bucket/street", cache=str(tmp_path / "other")).open(None, "train")


def test_a_copy_that_another_process_removes_before_it_is_read_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec")
    dataset = StreetScenes(train=2, size=(32, 48)).open(None, "train")
    convert_to_tar({"train": dataset}, tmp_path / "tar")
    fsspec.filesystem("memory").put(str(tmp_path / "tar"), "/bucket/removed", recursive=True)
    remote = TarShards(url="memory://bucket/removed", cache=str(tmp_path / "cache")).open(None, "train")
    fetched, paths = ShardFiles.path, []

    def path_of_removed_file(files: ShardFiles, index: int) -> Path:
        paths.append(fetched(files, index))
        if len(paths) == 1:
            paths[0].unlink()
        return paths[-1]

    monkeypatch.setattr(ShardFiles, "path", path_of_removed_file)
    _assert_equal(dataset, remote)


def test_an_existing_folder_is_replaced_only_with_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = _folder(tmp_path / "data", 1)
    command = ["data", "convert", "folder", str(root), "--to", "tar", "--out", str(tmp_path / "tar")]
    assert main(command) == 0
    assert main(command) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([*command, "--force"]) == 0
    assert main(["data", "convert", "unknown", str(root), "--out", str(tmp_path / "x")]) == 2
    assert "unknown format" in capsys.readouterr().err
