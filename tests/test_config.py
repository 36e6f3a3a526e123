"""Values from text, typed by the fields they are for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright.config import coerce, field_types, from_yaml, load_code, override, to_yaml
from segwright.contracts import InputContract
from segwright.data.augmentation.crop import Compose, CropStage, ProgressiveCrop
from segwright.data.augmentation.photometric import ColorJitter
from segwright.errors import UserError
from segwright.recipe import Optim, Training

fractions = st.floats(0.001, 1.0)
views = st.builds(
    CropStage,
    size=st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    scale=st.tuples(fractions, fractions),
    until=fractions,
)
things = st.one_of(
    views,
    st.builds(Optim, name=st.sampled_from(["sgd", "adamw"]), lr=fractions, nesterov=st.booleans()),
    st.builds(
        Training,
        steps=st.integers(1, 10**9),
        ema=st.none() | fractions,
        wandb=st.none() | st.text(max_size=9),
    ),
    st.builds(
        InputContract,
        channels=st.sampled_from(["RGB", "BGR"]),
        mean=st.lists(fractions, max_size=5).map(tuple),
    ),
    st.builds(
        lambda inner, jitter: Compose((ProgressiveCrop(tuple(inner)), *jitter)),
        st.lists(views, max_size=3),
        st.lists(st.builds(ColorJitter, brightness=fractions), max_size=2),
    ),
)


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # the checker of types draws samples
@settings(deadline=None, max_examples=80)
@given(things)
def test_what_is_written_is_read_back_equal(thing: Any) -> None:
    assert from_yaml(to_yaml(thing)) == thing


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("3e-4", float, 3e-4),
        (1, float, 1.0),
        (7, int, 7),
        (True, bool, True),
        (5, str, "5"),
        ("a/b", Path, Path("a/b")),
        ("x", Literal["x", "y"], "x"),
        (None, int | None, None),
        ([1, 2], tuple[int, int], (1, 2)),
        ([1, 2, 3], tuple[float, ...], (1.0, 2.0, 3.0)),
        ([[1, 2], [3, 4]], tuple[tuple[int, int], ...], ((1, 2), (3, 4))),
    ],
)
def test_a_value_takes_the_type_of_its_field(value: Any, kind: Any, expected: Any) -> None:
    found = coerce(value, kind, "here")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (True, int), (1.5, int), ("1", int), ("many", float), (True, float), (1, bool), ([1], str),
        (3, tuple[int, ...]), ([1, 2, 3], tuple[int, int]), ("z", Literal["x", "y"]), ("no", int | None),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(value: Any, kind: Any) -> None:
    with pytest.raises(UserError, match=r"^here: "):
        coerce(value, kind, "here")


def test_a_frozen_part_can_be_changed_before_the_run() -> None:
    @dataclass
    class Holder:
        input: InputContract

    holder = Holder(InputContract())
    override(holder, ["input.multiple=16", "input.mean=[1, 2, 3]"])
    assert holder.input.multiple == 16
    assert holder.input.mean == (1.0, 2.0, 3.0)


def test_types_of_fields_are_known_by_name() -> None:
    assert field_types(Optim)["betas"] == tuple[float, float]


def test_code_of_a_user_is_run_once(tmp_path: Path) -> None:
    path = tmp_path / "once_only.py"
    path.write_text(
        "import pathlib\nwith open(pathlib.Path(__file__).with_suffix('.txt'), 'a') as f: f.write('x')\n"
    )
    assert load_code(path) is load_code(path)
    assert path.with_suffix(".txt").read_text() == "x"
    with pytest.raises(UserError, match="no such file"):
        load_code(tmp_path / "none.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!segwright.recipe:Optim [1]", "wants fields"),
        ("!segwright.nowhere:Optim {}", "no module 'segwright.nowhere'"),
        ("!segwright.data.augmentation.crop:View {}", "View cannot be made"),
        ("!segwright.recipe:Optim {lr: fast}", "Optim.lr: 'fast' is not of type float"),
        ("!!python/object/apply:os.system ['echo']", "not valid YAML"),
    ],
)
def test_yaml_that_means_nothing_says_where(text: str, message: str) -> None:
    with pytest.raises(UserError, match=r"recipe, line 1") as found:
        from_yaml(text)
    assert message in str(found.value)
