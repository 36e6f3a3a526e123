"""The checker finds wrong types also in functions that are defined anew at each call."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError, jaxtyped

from checker import check
from segwright.demo import clock
from segwright.models.layers.resize import upsample


def adder(number: int) -> Callable[[int], int]:
    @jaxtyped(typechecker=check)
    def add(other: int) -> int:
        return number + other

    return add


def of_another_signature() -> Callable[[str], str]:
    def adder() -> Callable[[str], str]:
        @jaxtyped(typechecker=check)
        def add(other: str) -> str:
            return other

        return add

    return adder()


def test_each_definition_is_checked_and_keeps_its_own_values() -> None:
    for number in (1, 2):
        add = adder(number)
        assert add(3) == number + 3
        with pytest.raises(TypeCheckError):
            add("3")  # type: ignore[arg-type]
    assert of_another_signature()("3") == "3"
    with pytest.raises(TypeCheckError):
        of_another_signature()(3)  # type: ignore[arg-type]


def test_a_wrong_result_is_found_at_each_definition() -> None:
    for _ in range(2):

        @jaxtyped(typechecker=check)
        def text(number: int) -> int:
            return str(number)  # type: ignore[return-value]

        with pytest.raises(TypeCheckError):
            text(1)


def test_functions_of_the_package_are_checked_with_shapes_and_without() -> None:
    with pytest.raises(TypeCheckError):
        upsample(torch.zeros(3, 4), (8, 8))
    with pytest.raises(TypeCheckError):
        clock("65")  # type: ignore[arg-type]
