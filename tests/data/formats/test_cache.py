from __future__ import annotations

import errno
import multiprocessing
import os
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.data.formats.test_image_dataset import fake_camvid

from segwright.data.datasets.camvid import CamVid
from segwright.data.formats.cache import SampleCache
from segwright.data.formats.image_dataset import ImageDataset
from segwright.data.reading.label_maps import write_png
from segwright.samples import Sample, Segment


@pytest.fixture
def store(tmp_path: Path) -> SampleCache:
    (tmp_path / "store").mkdir()
    return SampleCache(tmp_path / "store", 2**20)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_sample_comes_back_as_it_was(store: SampleCache, kind: type) -> None:
    random = np.random.default_rng(0)
    sample = Sample(
        random.integers(0, 255, (5, 7, 3)).astype(kind),
        random.integers(0, 9, (5, 7), np.int32),
        "a name — with a dash",
        (Segment(3, 1), Segment(4, 2, True)),
    )
    store.put("key", sample)
    kept = store.get("key")
    assert kept is not None
    assert (kept.image == sample.image).all()
    assert kept.image.dtype == kind
    assert (kept.map == sample.map).all()
    assert (kept.name, kept.segments) == (sample.name, sample.segments)
    if kind is not np.uint16:
        assert cv2.resize(kept.image, (3, 2)).shape == (2, 3, 3)  # a read-only map is an array like others


def test_what_is_not_kept_or_broken_is_read_again(store: SampleCache) -> None:
    assert store.get("nothing") is None
    (store.folder / "empty").touch()
    assert store.get("empty") is None
    sample = Sample(np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint8), "a")
    store.put("key", sample)
    data = (store.folder / "key").read_bytes()
    for damaged in (data[:-99], data[:50], data[:3], bytes(len(data)), data.replace(b"|u1", b"|x1")):
        (store.folder / "key").write_bytes(damaged)
        assert store.get("key") is None
    store.put("key", sample)
    assert store.get("key") is not None


def test_a_full_disk_leaves_the_room_that_was_reserved(
    store: SampleCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    sample = Sample(np.zeros((300, 300, 3), np.uint8), np.zeros((300, 300), np.uint8), "a")
    for function in ("replace", "write"):  # of the sample, of the ledger
        with monkeypatch.context() as patch:
            patch.setattr(os, function, full)
            for _ in range(9):
                store.put("key", sample)
        assert {path.name for path in store.folder.iterdir()} == {"ledger"}
    store.put("key", sample)
    assert store.get("key") is not None


def test_the_limit_holds(store: SampleCache) -> None:
    sample = Sample(np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.uint8), "a")
    for number in range(100):
        store.put(str(number), sample)
    kept = [path for path in store.folder.iterdir() if path.name != "ledger"]
    assert 20 <= len(kept) < 27  # 40 kB each
    assert sum(path.stat().st_size for path in kept) <= store.max_bytes


def _fill(store: SampleCache, first: int) -> None:
    sample = Sample(np.zeros((100, 100, 3), np.uint8), np.zeros((100, 100), np.uint8), "a")
    for number in range(first, first + 60):
        store.put(str(number), sample)


def test_the_limit_holds_for_several_processes_together(store: SampleCache) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_fill, args=(store, first)) for first in (0, 30, 1000)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    kept = [path for path in store.folder.iterdir() if path.name != "ledger"]
    assert not [path for path in kept if path.suffix == ".part"]
    assert sum(path.stat().st_size for path in kept) <= store.max_bytes
    assert all(store.get(path.name) is not None for path in kept)


def test_a_changed_file_or_label_map_is_not_served_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = fake_camvid(tmp_path / "data")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = CamVid(cache="disk")
    first = config.open(root, "train")
    assert isinstance(first, ImageDataset)
    before = first[0]
    assert (config.open(root, "train")[0].image == before.image).all()
    assert (
        len(list((tmp_path / "cache" / "segwright" / "decoded").iterdir())) == 2
    )  # the sample and the ledger

    write_png(first.files(0)[0], np.full((40, 56, 3), 9, np.uint8))
    os.utime(first.files(0)[0], ns=(1, 1))
    assert (first[0].image == 9).all()

    (tmp_path / "map.yaml").write_text("drop: [sky]\n")
    changed = CamVid(cache="disk", label_map=str(tmp_path / "map.yaml")).open(root, "train")
    assert len(changed.labels) == 10
    assert ((before.map == 0) <= (changed[0].map == 255)).all()


def test_memory_is_given_back_when_the_process_ends(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send_folder, args=(sender, str(fake_camvid(tmp_path))))
    process.start()
    sender.close()  # so that receiving fails, rather than waits, if the process does
    folder = Path(receiver.recv())
    process.join()
    assert process.exitcode == 0
    assert not folder.exists()


def _send_folder(sender: Connection, root: str) -> None:
    dataset = CamVid(cache="memory").open(Path(root), "train")
    assert isinstance(dataset, ImageDataset) and dataset.cache is not None
    first, again = dataset[0], dataset[0]
    assert (first.image == again.image).all()
    assert len(list(dataset.cache.folder.iterdir())) == 2
    sender.send(str(dataset.cache.folder))
