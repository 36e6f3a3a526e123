from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.data import trees

from segwright.data import download
from segwright.data.download import DOWNLOADS, download_instructions, verify_download
from segwright.errors import UserError


@pytest.mark.parametrize("name", list(DOWNLOADS))
def test_instructions_name_page_archives_place_and_terms(name: str) -> None:
    text = download_instructions(name)
    info = DOWNLOADS[name]
    for expected in (info.title, info.page, info.unpacking, info.license, *info.archives):
        assert expected in text


def test_an_unknown_name_gives_the_nearest() -> None:
    with pytest.raises(UserError, match="unknown public dataset 'cityscape'; did you mean 'cityscapes'"):
        download_instructions("cityscape")
    with pytest.raises(UserError, match="nothere: no such folder; expected the folder of COCO 2017"):
        verify_download("coco", Path("nothere"))


def test_every_part_that_is_missing_or_incomplete_is_named(tmp_path: Path) -> None:
    problems = verify_download("cityscapes", trees.cityscapes(tmp_path))
    assert any("leftImg8bit/train/*/*_leftImg8bit.png: 4 files; expected 2975" in line for line in problems)
    assert any("aachen_000000_000019_leftImg8bit.png: 16x12; expected 2048x1024" in line for line in problems)
    assert any("train_extra" in line and "expected 19998" in line for line in problems)
    assert all("again" in line for line in problems)
    assert any(
        "2 files; expected 20210" in line or "3 files; expected 20210" in line for line in _ade(tmp_path)
    )


def _ade(tmp_path: Path) -> list[str]:
    return verify_download("ade20k", trees.ade20k(tmp_path / "ade"))


def test_lists_are_counted_and_optional_parts_may_be_absent(tmp_path: Path) -> None:
    problems = verify_download("voc", trees.voc(tmp_path))
    assert any("train.txt: 2 lines; expected 1464" in line for line in problems)
    (tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "train_aug.txt").unlink()
    assert not any("train_aug" in line for line in verify_download("voc", tmp_path))
    (tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "val.txt").unlink()
    assert any("val.txt: no such list" in line for line in verify_download("voc", tmp_path))


def test_what_is_complete_gives_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = trees.voc(tmp_path) / "VOCdevkit" / "VOC2012"
    counted = tuple(
        replace(part, count=len((home / part.pattern).read_text().split()))
        if part.is_list
        else replace(part, count=len(list(home.glob(part.pattern))))
        for part in DOWNLOADS["voc"].files
    )
    monkeypatch.setitem(download.DOWNLOADS, "voc", replace(DOWNLOADS["voc"], files=counted))
    assert verify_download("voc", tmp_path) == []
    (tmp_path / "VOCtrainval_11-May-2012.tar").write_bytes(b"half of it")
    (line,) = verify_download("voc", tmp_path)
    assert "VOCtrainval_11-May-2012.tar: MD5" in line and "expected 6cd6e144f989b92b3379bac3b3de84fd" in line


def test_only_folders_that_archives_share_may_hold_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, masks = (replace(part, count=1) for part in DOWNLOADS["voc"].files[:2])
    monkeypatch.setitem(download.DOWNLOADS, "voc", replace(DOWNLOADS["voc"], files=(images, masks)))
    (line,) = verify_download("voc", trees.voc(tmp_path))
    assert "SegmentationClass/*.png: 3 files; expected 1" in line


def test_coco_wants_annotations_of_some_kind(tmp_path: Path) -> None:
    assert any("neither instances nor panoptic" in line for line in verify_download("coco", tmp_path))
    trees.write(tmp_path / "annotations" / "panoptic_val2017.json", "{}")
    problems = verify_download("coco", tmp_path)
    assert not any("neither" in line for line in problems)
    assert any("panoptic_*2017.json: 1 file; expected 2" in line for line in problems)


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    root = trees.cityscapes(tmp_path)
    (root / "leftImg8bit/val/lindau/lindau_000000_000019_leftImg8bit.png").write_bytes(b"")
    assert any(
        "lindau_000000_000019_leftImg8bit.png: an empty file" in line
        for line in verify_download("cityscapes", root)
    )
