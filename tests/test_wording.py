"""Counts in messages."""

from __future__ import annotations

import pytest

from segwright.wording import count_of


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "image", "0 images"), (1, "image", "1 image"), (2, "such image", "2 such images"),
        (1, "class", "1 class"), (3, "class", "3 classes"), (2, "box", "2 boxes"), (2, "batch", "2 batches"),
        (1, "category", "1 category"), (2, "category", "2 categories"), (2, "key", "2 keys"),
        (5000, "step", "5000 steps"),
        (10_000, "step", "10,000 steps"),
    ],
)  # fmt: skip
def test_a_noun_follows_its_number(number: int, noun: str, text: str) -> None:
    assert count_of(number, noun) == text
