from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segwright.data.reading.file_lists import (
    CompactPaths,
    CompactStrings,
    list_images,
    match_files,
    read_lines,
)
from segwright.errors import UserError


@given(st.lists(st.text()))
def test_texts_come_back_as_they_were(texts: list[str]) -> None:
    texts = [text.encode("utf-8", "replace").decode() for text in texts]  # no lone surrogates
    packed = CompactStrings(texts)
    assert list(packed) == texts
    assert len(packed) == len(texts)
    assert list(packed[1:]) == texts[1:]


def test_places_behave_as_those_of_a_list() -> None:
    paths = CompactPaths(["a", "b", "c"])
    assert paths[-1] == Path("c")
    assert list(paths[::2]) == [Path("a"), Path("c")]
    with pytest.raises(IndexError):
        paths[3]


def test_file_names_that_are_no_utf_8_survive(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    assert CompactPaths([tmp_path / name])[0] == tmp_path / name


def test_a_million_paths_are_a_few_objects() -> None:
    tracemalloc.start()
    paths = CompactPaths(f"/data/images/train/{number:012d}.jpg" for number in range(100_000))
    peak_after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert peak_after < 100_000 * 60  # 36 bytes of text and 8 of its end; a Path takes over 200
    assert paths[99_999].name == "000000099999.jpg"


def test_images_are_found_in_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", "._a.JPG"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.JPG", "b.png"]


def test_a_folder_that_links_to_itself_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.png").touch()
    (tmp_path / "inner" / "again").symlink_to(tmp_path, target_is_directory=True)
    assert [path.name for path in list_images(tmp_path, recursive=True)] == ["a.png"]


def test_an_empty_folder_and_no_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"contains no images; expected files that end in"):
        list_images(tmp_path)
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        list_images(tmp_path / "nowhere")


def test_the_first_missing_partner_is_named_with_their_number(tmp_path: Path) -> None:
    images = [tmp_path / f"{name}.jpg" for name in "abc"]
    (tmp_path / "a.png").touch()
    with pytest.raises(UserError, match=r"b\.png: no such file \(missing for 2 of 3 images"):
        match_files(images, lambda image: image.with_suffix(".png"))


def test_two_images_of_one_map_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.map").touch()
    images = [tmp_path / "a.jpg", tmp_path / "a.png"]
    with pytest.raises(UserError, match=r"a\.png: has the same map a\.map as a\.jpg; remove one"):
        match_files(images, lambda image: image.with_suffix(".map"))


def test_a_list_file_may_have_a_byte_order_mark_and_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\ufeffone\n\n two \n", encoding="utf-8")
    assert read_lines(tmp_path / "list.txt") == ["one", "two"]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(UserError, match="an empty list"):
        read_lines(tmp_path / "empty.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="not a list that can be read"):
        read_lines(tmp_path / "binary.txt")
