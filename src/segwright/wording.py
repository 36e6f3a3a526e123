"""Counts in messages: "1 image", "2 images"."""

from __future__ import annotations


def count_of(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is 1: ``count_of(2, "class")`` is "2 classes".

    Of several words the last is the noun. Numbers from 10,000 on have thousands separators.
    """
    text = f"{number:,}" if abs(number) >= 10_000 else str(number)
    return f"{text} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """The plural of an English noun by the regular rules."""
    if noun.endswith(("s", "x", "z", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"
