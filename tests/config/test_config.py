"""Values from text, typed by the fields they are for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import small

from segwright.config import coerce, field_types, from_yaml, load_code, override, to_yaml
from segwright.config.named_objects import public_classes
from segwright.contracts import InputContract
from segwright.data.augmentation.crop import Compose, CropStage, ProgressiveCrop
from segwright.data.augmentation.photometric import ColorJitter
from segwright.errors import UserError
from segwright.losses.pixel import CrossEntropy
from segwright.models.backbones import TimmConfig
from segwright.models.unet import UNetConfig
from segwright.training.optimizers import SGD, AdamW
from segwright.training.recipe import Training

fractions = st.floats(0.001, 1.0)
views = st.builds(
    CropStage,
    size=st.tuples(st.integers(1, 2000), st.integers(1, 2000)),
    scale=st.tuples(fractions, fractions),
    until=fractions,
)
things = st.one_of(
    views,
    st.builds(CrossEntropy, class_weights=st.none() | st.lists(fractions, max_size=3).map(tuple)),
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
        (1e4, int, 10_000),
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
    assert field_types(Training)["accumulate"] is int


def test_code_of_a_user_is_run_once(tmp_path: Path) -> None:
    path = tmp_path / "once_only.py"
    path.write_text(
        "import pathlib\nwith open(pathlib.Path(__file__).with_suffix('.txt'), 'a') as f: f.write('x')\n"
    )
    assert load_code(path) is load_code(path)
    assert path.with_suffix(".txt").read_text() == "x"
    with pytest.raises(UserError, match="does not exist"):
        load_code(tmp_path / "none.py")


def test_two_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "same_name.py").write_text(f"number = {number}\n")
    assert [load_code(tmp_path / str(n) / "same_name.py").number for n in (1, 2)] == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("!Training [1]", "!Training has no fields"),
        ("!segwright.training.recipe:Training {}", "old version of segwright and cannot be read"),
        ("!RandomCorp {}", "no class 'RandomCorp'; did you mean !RandomCrop?"),
        ("!mine:Land {}", "name the file that defines it with --code FILE.py"),
        ("!CropStage {}", "CropStage cannot be built"),
        ("!Training {steps: fast}", "Training.steps: 'fast' is not of type int"),
        ("!!python/object/apply:os.system ['echo']", "not valid YAML"),
    ],
)
def test_yaml_that_means_nothing_says_where(text: str, message: str) -> None:
    with pytest.raises(UserError, match=r"recipe, line 1") as refused:
        from_yaml(text)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("loss=!Argmax {}", "Argmax is another kind of object; expected a Loss"),
        ("decoder=!CrossEntropy {}", "CrossEntropy is another kind of object; expected a Decoder"),
        ("augmentation=!CrossEntropy {}", "CrossEntropy is another kind of object; expected an Augmentation"),
        ("loss=!ColorJitter {}", "ColorJitter has no method counts; expected a Loss"),
        ("optim=!TimmConfig {}", "TimmConfig has no field lr; expected an OptimizerConfig"),
        ("schedule=!Argmax {}", "Argmax is another kind of object; expected a Schedule"),
        ("data=!SmallFPNConfig {}", "SmallFPNConfig has no method open; expected a DataConfig"),
        ("model=!CamVid {}", "CamVid has no method build; expected a ModelConfig"),
        ("model=!ResNetConfig {}", "ResNetConfig is another kind of object; expected a ModelConfig"),
        ("sampling=!CamVid {}", "CamVid is another kind of object; expected a Sampling"),
        ("decoder=CrossEntropy", "CrossEntropy is another kind of object; expected a Decoder"),
        ("decoder=Argmix", "'Argmix' is no Decoder; did you mean argmax?"),
        ("training=!Argmax {}", "Argmax is another kind of object; expected a Training"),
        ("loss=[1, 2]", "[1, 2] is a list; expected a Loss"),
    ],
)
def test_an_object_of_another_kind_is_refused_where_it_comes_in(change: str, message: str) -> None:
    field, _, value = change.partition("=")
    text = re.sub(
        rf"^{field}: .*\n(  .*\n)*", f"{field}: {value}\n", to_yaml(small.recipe()), flags=re.MULTILINE
    )
    code = load_code(Path(small.__file__))
    with pytest.raises(UserError) as refused:
        from_yaml(text.replace("tests.small:", "small:"), code=code)
    assert message in str(refused.value)


def test_a_recipe_file_names_classes_and_its_format_but_no_module() -> None:
    text = to_yaml(load_code_recipe())
    assert text.startswith("!Recipe\nformat: 1\n")
    assert "data: !small:Blocks" in text
    assert "segwright." not in text


def load_code_recipe() -> Any:
    return load_code(Path(small.__file__)).recipe()


@pytest.mark.parametrize(
    ("version", "remedy"), [("2", "update segwright"), ("0", "write it again with 'segwright recipe show'")]
)
def test_a_recipe_file_of_another_format_is_refused(version: str, remedy: str) -> None:
    text = to_yaml(load_code_recipe()).replace("format: 1", f"format: {version}")
    with pytest.raises(
        UserError, match=rf"format {version}; this version of segwright reads format 1; {remedy}"
    ):
        from_yaml(text, code=load_code(Path(small.__file__)))


def test_public_classes_have_one_name_each() -> None:
    classes = public_classes()  # raises if two have one name
    assert {"Recipe", "RandomCrop", "UNetConfig", "CrossEntropy", "CamVid", "Argmax", "Cosine"} <= set(
        classes
    )


def test_functions_of_a_users_file_are_written_by_name_and_other_objects_as_text(tmp_path: Path) -> None:
    path = tmp_path / "my_losses.py"
    path.write_text(
        "from dataclasses import dataclass\nfrom typing import Any\n\n"
        "def tversky(logits, target):\n    return logits.mean()\n\n"
        "@dataclass\nclass Holder:\n    function: Any\n"
    )
    code = load_code(path)
    text = to_yaml(code.Holder(code.tversky))
    assert text == "!my_losses:Holder\nfunction: !function 'my_losses:tversky'\n"
    assert from_yaml(text, code=code).function is code.tversky

    text = to_yaml(code.Holder(object()))
    read = from_yaml(text, code=code)
    assert to_yaml(read) == text
    with pytest.raises(UserError, match="the recipe file holds only the text of <object"):
        read.function(1)


def test_a_name_stands_for_an_object() -> None:
    recipe = small.recipe()
    override(recipe, ["model=unet", "model.backbone=convnext_atto", "optim=adamw", "optim.lr=0.5"])
    assert recipe.model == UNetConfig(TimmConfig("convnext_atto"))
    assert recipe.optim == AdamW(lr=0.5)


def test_another_optimizer_keeps_what_is_trained_and_takes_rates_of_its_own() -> None:
    recipe = small.recipe()
    recipe.optim = SGD(lr=0.3, weight_decay=5e-4, backbone_lr_factor=0.1, frozen=("backbone.stem",))
    override(recipe, ["optim=adamw"])
    assert recipe.optim == AdamW(backbone_lr_factor=0.1, frozen=("backbone.stem",))
    assert recipe.optim.lr == 1e-3 and recipe.optim.weight_decay == 0.01
    override(recipe, ["optim=sgd", "optim.weight_decay=0.002"])
    assert recipe.optim == SGD(lr=0.01, weight_decay=0.002, backbone_lr_factor=0.1, frozen=("backbone.stem",))


def test_the_name_of_the_same_optimizer_changes_nothing() -> None:
    recipe = small.recipe()
    recipe.optim = AdamW(lr=0.3, betas=(0.8, 0.9))
    override(recipe, ["optim=adamw"])
    assert recipe.optim == AdamW(lr=0.3, betas=(0.8, 0.9))


def test_an_object_is_set_before_its_fields_whatever_the_order() -> None:
    recipe = small.recipe()
    override(recipe, ["optim.lr=0.5", "model.backbone=convnext_atto", "optim=adamw", "model=unet"])
    assert recipe.model == UNetConfig(TimmConfig("convnext_atto"))
    assert recipe.optim == AdamW(lr=0.5)


def test_another_backbone_keeps_the_pretrained_weights_and_the_output_stride() -> None:
    recipe = small.recipe()
    recipe.model = UNetConfig(TimmConfig("resnet18", "imagenet", output_stride=16))
    override(recipe, ["model.backbone=resnet34"])
    assert recipe.model == UNetConfig(TimmConfig("resnet34", "imagenet", output_stride=16))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("steps=100", "did you mean training.steps"),
        ("batch_size=4", r"did you mean training.batch\?"),
        ("learning_rate=1", r"did you mean optim.lr\?"),
        ("optimizer=adamw", r"did you mean optim\?"),
        ("training.amp=true", r"Training has no field 'amp'; did you mean 'precision'\?"),
        ("num_classes=3", "the data name the classes"),
        ("device=cpu", "use the option --device"),
        ("dropout=0.1", "has no field 'dropout'; it has name, data,"),
        ("model=unnet", "'unnet' is no ModelConfig; did you mean unet?"),
        ("model=BinaryConfig", "BinaryConfig needs model"),
        ("loss=lovasz", r"did you mean lovaszhinge or lovaszsoftmax\?"),
        ("model.backbone=resnet18", "has no field 'backbone'; .* set by model=unet"),
    ],
)
def test_a_setting_without_its_path_or_with_a_wrong_name_gets_a_hint(change: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        override(small.recipe(), [change])


@pytest.mark.parametrize(("name", "field"), [("crop", "size"), ("imgsz", "size"), ("encoder", "backbone")])
def test_names_of_other_projects_lead_to_the_field(name: str, field: str) -> None:
    recipe = small.recipe()
    recipe.model = UNetConfig(TimmConfig("resnet18"))
    with pytest.raises(UserError, match=rf"did you mean .*\.{field}"):
        override(recipe, [f"{name}=64"])


def test_a_network_without_a_backbone_is_trained_at_one_rate() -> None:
    recipe = small.recipe()
    recipe.model, recipe.optim.backbone_lr_factor = UNetConfig(TimmConfig("resnet18")), 0.2
    override(recipe, ["model=unet"])
    assert recipe.optim.backbone_lr_factor == 0.2
    override(recipe, ["model=smallfpn"])
    assert recipe.optim.backbone_lr_factor == 1
    override(recipe, ["model=smallfpn", "optim.backbone_lr_factor=0.2"])
    assert recipe.optim.backbone_lr_factor == 0.2  # what is set stays, and building the optimizer explains it
