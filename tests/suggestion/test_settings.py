from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright.config import from_yaml, to_yaml, walk
from segwright.contracts import InputContract
from segwright.data.augmentation import CropStage, PasteInstances, ProgressiveCrop
from segwright.data.datasets import facade
from segwright.data.datasets.folder import Folder
from segwright.data.loading import RareClassSampling, ShuffledSampling
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.recipes import load_recipe
from segwright.suggestion.candidates import Candidate, candidates, choose, crop_size, next_to_time
from segwright.suggestion.facts import DataFacts, ObjectFacts
from segwright.suggestion.machine import LARGE, SMALL, Machine
from segwright.suggestion.objects import NOT_MEASURED
from segwright.suggestion.settings import (
    STEP_BYTES,
    Suggestion,
    chosen_task,
    class_weights,
    suggest,
    suggest_candidate,
)
from segwright.training.length import Pace
from segwright.training.recipe_check import check
from tests.small import Blocks

CPU = Machine()
GPU = Machine("cuda", 80.0, 16, (SMALL, LARGE), half=True)
CAMVID = DataFacts(
    LabelSpace.of(*"abcdefghijk"),
    367,
    (360, 480),
    (0.1754, 0.2421, 0.0102, 0.3296, 0.0467, 0.1012, 0.0122, 0.0117, 0.0611, 0.0067, 0.003),
)
NUCLEI = DataFacts(
    LabelSpace("nuclei", ("nucleus",), ((1, 2, 3),), (1,), (0,), ("nucleus",)),
    120,
    (256, 256),
    (1.0,),
    unlabeled=0.84,
    exposure=34.0,
    objects=ObjectFacts(3925, (9.3, 13.3, 31.1), (6.0, 9.4), 12.3, 2.58e-3, 131),
)
FACADE = DataFacts(
    facade.CLASSES,
    319,
    (512, 512),
    (0.5624, 0.1494, 0.0485, 0.0206, 0.0113, 0.0049, 0.0276, 0.1417, 0.0227, 0.0109),
    unlabeled=0.185,
    exposure=1.7,
    objects=ObjectFacts(8959, (19.8, 31.5, 71.4), (12.1, 19.5), 104.5, 1.31e-4, 84, 0.25),
)
NAMES = ("date", "fig", "nut")
FRUITS = DataFacts(
    LabelSpace("fruits", NAMES, ((1, 2, 3), (4, 5, 6), (7, 8, 9)), (1, 2, 3), (0,), NAMES),
    12,
    (600, 800),
    (0.61, 0.25, 0.14),
    unlabeled=0.79,
    objects=ObjectFacts(120, (74.7, 101.1, 130.6), (81.9, 91.1), 41.8, 9.8e-5, 13),
)


def suggested(facts: DataFacts, machine: Machine = CPU, **options: Any) -> Suggestion:
    return suggest(facts, machine, options.pop("paces", {}), data=options.pop("data", Folder()), **options)


def options_of(facts: DataFacts, machine: Machine = CPU, task: str | None = None) -> tuple[Candidate, ...]:
    return candidates(facts, machine, chosen_task(facts, task))


def paced(facts: DataFacts, machine: Machine, step: float, evaluation: float = 5.0) -> dict[str, Pace]:
    return {option.name: Pace(3.0, step, evaluation) for option in options_of(facts, machine)}


def label_spaces(count: int, things: int) -> LabelSpace:
    names = tuple(f"class {number}" for number in range(count))
    colors = tuple((number // 65536, number // 256 % 256, number % 256) for number in range(1, count + 1))
    return LabelSpace("any", names, colors, tuple(range(count)), (), names[:things])


@st.composite
def any_facts(draw: st.DrawFn) -> tuple[Any, ...]:
    """The number of classes, that of things, and the other arguments of ``DataFacts``."""
    count = draw(st.sampled_from([1, 2, 3, 11, 150, 254]))
    shares = draw(st.lists(st.floats(0, 1), min_size=count, max_size=count))
    total = sum(shares) or 1.0
    bands = draw(st.sampled_from([1, 3, 12]))
    values = st.lists(st.floats(-1e4, 1e5), min_size=bands, max_size=bands)
    size = draw(st.sampled_from([(1, 1), (16, 16), (30, 3000), (360, 480), (2160, 3840), (20000, 20000)]))
    return (
        count,
        draw(st.sampled_from([0, 1, count])),
        draw(st.sampled_from([1, 10, 1000, 100_000])),
        size,
        tuple(share / total for share in shares),
        draw(st.floats(0, 1)),
        tuple(draw(values)),
        tuple(abs(value) for value in draw(values)),
        bands == 3 and draw(st.booleans()),
        draw(st.floats(1, 255)),
        draw(st.floats(0, 3.5)),
        draw(st.floats(0, 2)),
    )


@st.composite
def any_objects(draw: st.DrawFn) -> tuple[Any, ...] | None:
    """The arguments of ``ObjectFacts``; None for class maps."""
    count = draw(st.sampled_from([None, 0, 1, 5000]))
    if not count:
        return None if count is None else (0,)
    side = sorted(draw(st.lists(st.floats(1, 20000), min_size=3, max_size=3)))
    spacing = sorted(draw(st.lists(st.floats(0, 20000) | st.just(float("inf")), min_size=2, max_size=2)))
    offset, density = draw(st.floats(0.38, 7600)), draw(st.floats(1e-9, 1))
    most, nested = draw(st.integers(1, 5000)), draw(st.floats(0, 1))
    return count, tuple(side), tuple(spacing), offset, density, most, nested


def facts_of(values: tuple[Any, ...], objects: tuple[Any, ...] | None) -> DataFacts:
    count, things, *others = values
    return DataFacts(label_spaces(count, things), *others, None if objects is None else ObjectFacts(*objects))


MACHINES = st.tuples(
    st.sampled_from(["cpu", "cuda"]),
    st.sampled_from([2.0, 8.0, 80.0]),
    st.integers(1, 64),
    st.sampled_from([(), (SMALL,), (LARGE,), (SMALL, LARGE)]),
    st.booleans(),
)
SECONDS = st.floats(0, 1000)


@given(any_facts(), any_objects(), MACHINES, st.tuples(SECONDS, SECONDS, SECONDS), st.floats(0.1, 10_000))
@settings(max_examples=20, deadline=None)
def test_any_data_and_any_machine_give_a_recipe_that_is_valid_and_reads_back(
    values: tuple[Any, ...],
    objects: tuple[Any, ...] | None,
    computer: tuple[Any, ...],
    seconds: tuple[float, float, float],
    minutes: float,
) -> None:
    # The strategies make plain values: the type checks of the tests use a random number of their own.
    facts, machine, pace = facts_of(values, objects), Machine(*computer), Pace(*seconds)
    options = options_of(facts, machine)
    for paces in ({}, {option.name: pace for option in options}):
        suggestion = suggested(facts, machine, paces=paces, minutes=minutes)
        assert check(suggestion.recipe) == []
        assert suggestion == suggested(facts, machine, paces=paces, minutes=minutes)
    assert from_yaml(suggestion.to_yaml()) == suggestion.recipe


def test_comments_change_nothing_but_the_lines_that_they_add() -> None:
    suggestion = suggested(FRUITS, paces=paced(FRUITS, CPU, 0.4))
    lines = suggestion.to_yaml().splitlines()
    assert "\n".join(line for line in lines if not line.lstrip().startswith("#")) + "\n" == to_yaml(
        suggestion.recipe
    )
    for path, reason in suggestion.reasons.items():
        key = path.rsplit(".", 1)[-1]
        where = next(n for n, line in enumerate(lines) if line.lstrip("- #").startswith(reason[:40]))
        following = next(line for line in lines[where:] if not line.lstrip().startswith("#"))
        assert following.strip().startswith(f"{key}:"), path
    comments = [line for line in lines[lines.index("format: 1") :] if line.lstrip().startswith("#")]
    assert len(comments) == len(suggestion.reasons)  # each is one line
    assert max(len(line) for line in lines if line.lstrip().startswith("#")) <= 100


def test_an_explained_field_that_is_missing_is_an_error_of_ours() -> None:
    with pytest.raises(ValueError, match="no field training\\.stepz"):
        Suggestion(suggested(CAMVID).recipe, {"training.stepz": "more"}, ()).to_yaml()


def test_street_scenes_get_what_the_hand_made_recipe_has() -> None:
    recipe = suggested(CAMVID, paces=paced(CAMVID, CPU, 0.35), minutes=10).recipe
    assert recipe.task == "semantic"
    assert stages(recipe)[-1].size == (352, 480)
    assert recipe.training.batch == 4
    assert recipe.training.minutes == 10
    weights = recipe.loss.terms[0].class_weights  # type: ignore[attr-defined]
    hand_made = load_recipe("camvid.finetune").loss.terms[0].class_weights  # type: ignore[attr-defined]
    assert [weight / weights[0] for weight in weights] == pytest.approx(
        [weight / hand_made[0] for weight in hand_made], abs=0.02
    )
    assert recipe.sampling.classes == ("c", "g", "h", "j", "k")  # type: ignore[attr-defined]
    assert recipe.training.ema == pytest.approx(0.985, abs=0.005)


def test_dense_small_objects_are_enlarged_and_get_what_the_hand_made_recipe_has() -> None:
    recipe: Any = suggested(NUCLEI, paces=paced(NUCLEI, CPU, 0.6), minutes=15).recipe
    hand_made: Any = load_recipe("nuclei.instance_finetune")
    assert recipe.task == "instance"
    assert stages(recipe) == stages(hand_made) == [CropStage((144, 144), (0.6, 1.6))]
    assert recipe.model.input_scale == hand_made.model.input_scale == 2
    assert recipe.model.foreground and recipe.model.offset_scale == hand_made.model.offset_scale
    assert recipe.input.multiple == hand_made.input.multiple == 16
    assert recipe.input.log_scale == hand_made.input.log_scale
    assert recipe.targets.relative_sigma == hand_made.targets.relative_sigma
    assert abs(recipe.targets.sigma - hand_made.targets.sigma) <= 1
    decoder = recipe.decoder
    assert (decoder.threshold, decoder.nms_kernel) == (0.1, 7)
    assert recipe.max_detections == decoder.top_k == 600
    assert recipe.loss.center_weight == hand_made.loss.center_weight
    assert recipe.loss.foreground_weight == hand_made.loss.foreground_weight
    assert offset_error(recipe) == pytest.approx(offset_error(hand_made), rel=0.05)
    assert (recipe.optim, recipe.training.batch) == (hand_made.optim, hand_made.training.batch)


def test_objects_of_every_size_inside_others_get_what_the_hand_made_recipe_has() -> None:
    recipe: Any = suggested(FACADE, paces=paced(FACADE, CPU, 0.35), minutes=30).recipe
    hand_made: Any = load_recipe("facade.panoptic_finetune")
    assert recipe.task == "panoptic"
    assert recipe.targets.relative_sigma == pytest.approx(hand_made.targets.relative_sigma, abs=0.02)
    assert recipe.targets.sigma == hand_made.targets.sigma
    assert offset_error(recipe) == pytest.approx(offset_error(hand_made), rel=0.3)
    assert recipe.loss.center_weight == pytest.approx(hand_made.loss.center_weight, rel=0.6)
    assert recipe.loss.semantic.terms[1] == hand_made.loss.semantic.terms[1]
    ours, theirs = (part.loss.semantic.terms[0].class_weights for part in (recipe, hand_made))
    assert ours == pytest.approx(theirs, rel=0.25)
    for name in ("class_aware", "max_scatter", "max_self_offset", "threshold", "stuff_area"):
        assert getattr(recipe.decoder, name) == getattr(hand_made.decoder, name), name
    assert recipe.model == hand_made.model
    assert recipe.optim == hand_made.optim
    assert recipe.sampling.classes == hand_made.sampling.classes
    ours, theirs = (
        next(p for p in walk(r.augmentation) if isinstance(p, PasteInstances)) for r in (recipe, hand_made)
    )
    assert (ours.classes, ours.probability) == (theirs.classes, theirs.probability)
    assert stages(recipe)[-1].size == stages(hand_made)[-1].size


def offset_error(recipe: Any) -> float:
    """The loss of offsets that are wrong by the side of their object."""
    return float(recipe.loss.offset_weight * recipe.targets.offset_side)


def test_large_objects_far_apart_get_wide_peaks() -> None:
    recipe: Any = suggested(FRUITS).recipe
    assert (recipe.targets.relative_sigma, recipe.targets.sigma) == (0.1, 12)
    assert recipe.decoder.nms_kernel == 25
    assert recipe.model.input_scale == 1
    assert recipe.max_detections == 100
    assert recipe.decoder.stuff_area == 0


def test_a_window_for_peaks_reaches_no_neighbor() -> None:
    assert FRUITS.objects is not None
    for spacing in (4.0, 9.0, 15.0, 40.0):
        close = replace(FRUITS, objects=replace(FRUITS.objects, spacing=(spacing, 2 * spacing)))
        kernel = suggested(close).recipe.decoder.nms_kernel  # type: ignore[attr-defined]
        assert kernel % 2 == 1
        assert (kernel - 1) / 2 < spacing


def test_objects_inside_objects_are_grouped_within_a_class() -> None:
    assert FRUITS.objects is not None
    nested = replace(FRUITS, objects=replace(FRUITS.objects, nested=0.25))
    decoder: Any = suggested(nested).recipe.decoder
    assert decoder.class_aware and decoder.max_scatter > 0
    decoder = suggested(FRUITS).recipe.decoder
    assert not decoder.class_aware and decoder.max_scatter == 0


def test_small_objects_in_large_images_are_not_enlarged() -> None:
    large = replace(NUCLEI, size=(3000, 4000))
    assert suggested(large).recipe.model.input_scale == 1  # type: ignore[attr-defined]
    assert suggested(NUCLEI, task="semantic").recipe.model.input_scale == 1  # type: ignore[attr-defined]


def test_images_with_any_number_of_objects_can_be_decoded() -> None:
    assert NUCLEI.objects is not None
    for most in (200, 240, 500, 20_000):
        crowded = replace(NUCLEI, objects=replace(NUCLEI.objects, most=most))
        decoder: Any = suggested(crowded).recipe.decoder
        assert min(most, 65_535) <= decoder.top_k < decoder.divisor


def test_things_are_pasted_only_where_a_class_is_rare() -> None:
    few_dates = replace(FRUITS, fractions=(0.02, 0.84, 0.14))
    for facts, pasted in ((FRUITS, []), (few_dates, [("date", "nut")])):
        recipe = suggested(facts).recipe
        assert [
            part.classes for part in walk(recipe.augmentation) if isinstance(part, PasteInstances)
        ] == pasted


def test_overlap_is_rewarded_where_classes_are_unbalanced() -> None:
    assert [type(part).__name__ for part in walk(suggested(FACADE).recipe.loss)].count("Dice") == 1
    assert "Dice" not in to_yaml(suggested(NUCLEI).recipe)  # one class


def test_a_gpu_gets_a_larger_network_crop_and_batch() -> None:
    large = replace(CAMVID, size=(1024, 2048))
    recipe = suggested(large, GPU, paces=paced(large, GPU, 0.2)).recipe
    assert recipe.model.backbone.name == LARGE  # type: ignore[attr-defined]
    assert recipe.training.batch == 16
    weak = replace(GPU, memory=8.0)
    small = suggested(large, weak, paces=paced(large, weak, 0.2)).recipe
    assert small.training.batch < 16
    assert area(stages(small)[-1]) < area(stages(recipe)[-1])


def test_without_weights_the_network_is_small_and_the_recipe_says_why() -> None:
    suggestion = suggested(CAMVID, replace(CPU, weights=()))
    assert type(suggestion.recipe.model).__name__ == "SmallFPNConfig"
    assert "segwright[pretrained]" in suggestion.reasons["model"]
    assert suggestion.recipe.input.mean == CAMVID.mean


def test_many_bands_are_normalized_with_their_own_statistics_and_not_recolored() -> None:
    bands = replace(CAMVID, mean=tuple(map(float, range(12))), std=(*(2.0,) * 11, 0.0), photographs=False)
    recipe = suggested(bands).recipe
    assert recipe.input.channels == "bands"
    assert recipe.input.mean == bands.mean
    assert recipe.input.std[-1] == 1
    assert "ColorJitter" not in to_yaml(recipe)


def test_a_short_time_gets_the_fastest_candidate_and_a_long_one_the_best() -> None:
    options = options_of(CAMVID)
    paces = {option.name: Pace(3, step, 5) for option, step in zip(options, (0.9, 0.5, 0.3), strict=True)}
    assert choose(options, paces, minutes=60) == options[0]
    assert choose(options, paces, minutes=6.5) == options[1]
    assert choose(options, paces, minutes=1) == options[-1]
    assert choose(options, {}, minutes=60) == options[-1]
    assert next_to_time(options, {}, 60) == options[0]
    assert next_to_time(options, {options[0].name: paces[options[0].name]}, 60) is None
    assert next_to_time(options, {options[0].name: paces[options[0].name]}, 5) == options[1]
    assert next_to_time(options, paces, 1) is None


def test_evaluations_take_at_most_a_twentieth_of_the_time() -> None:
    for seconds, count in ((1, 10), (10, 5), (20, 2), (1000, 1)):
        recipe = suggested(CAMVID, paces=paced(CAMVID, CPU, 0.1, seconds), minutes=20).recipe
        assert recipe.training.evaluate_every == 1 / count


def test_a_task_without_ground_truth_is_refused() -> None:
    with pytest.raises(UserError, match="class maps, which do not separate objects"):
        suggested(CAMVID, task="instance")
    with pytest.raises(UserError, match="unknown task"):
        suggested(CAMVID, task="panoptical")
    assert suggested(NUCLEI, task="panoptic").recipe.task == "panoptic"
    assert suggested(NUCLEI, task="semantic").recipe.task == "semantic"


def test_class_weights_have_a_mean_of_one_over_the_pixels_and_absent_classes_count_once() -> None:
    facts = replace(CAMVID, labels=LabelSpace.of("a", "b", "c", "d"), fractions=(0.9, 0.09, 0.01, 0.0))
    weights = class_weights(facts, 0.5)
    assert weights is not None
    assert weights[3] == 1
    assert sum(w * f for w, f in zip(weights, facts.fractions, strict=True)) == pytest.approx(1, abs=0.01)
    assert class_weights(replace(facts, fractions=(0.3, 0.3, 0.2, 0.2)), 0.5) is None


@given(st.integers(1, 30_000), st.integers(1, 30_000))
@settings(max_examples=50, deadline=None)
def test_crops_are_multiples_of_the_stride_and_no_larger_than_the_image_needs(
    height: int, width: int
) -> None:
    crop = crop_size(replace(CAMVID, size=(height, width)), 172_800)
    assert all(
        side % 32 == 0 and 32 <= side <= max(32, image + 31)
        for side, image in zip(crop, (height, width), strict=True)
    )


@pytest.mark.parametrize("backbone", [SMALL, None])
def test_the_memory_of_a_step_is_what_the_rules_count_with(backbone: str | None) -> None:
    machine = replace(CPU, weights=() if backbone is None else (SMALL,))
    candidate = options_of(FRUITS, machine)[0]
    recipe = suggest_candidate(
        FRUITS, machine, candidate, data=Blocks(), name="a", minutes=1, task="instance"
    ).recipe.tiny()
    network = recipe.model.build(FRUITS.labels, InputContract()).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in network.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        network(torch.zeros(1, 3, 128, 128))
    measured = sum(storage.nbytes() for storage in kept.values()) / 128**2
    assert measured == pytest.approx(STEP_BYTES[backbone], rel=0.15)


def test_a_tiny_copy_of_a_suggestion_has_two_steps_whatever_its_minutes() -> None:
    tiny = suggested(CAMVID, minutes=30).recipe.tiny()
    assert (tiny.training.steps, tiny.training.minutes) == (2, None)


def test_the_yaml_is_plain_yaml_with_a_format() -> None:
    text = suggested(CAMVID).to_yaml()
    assert yaml.compose(text, Loader=yaml.SafeLoader).tag == "!Recipe"
    assert "\nformat: 1\n" in text


def stages(recipe: Any) -> list[CropStage]:
    return [part for part in walk(recipe.augmentation) if isinstance(part, CropStage)]


def area(stage: CropStage) -> int:
    return stage.size[0] * stage.size[1]


SPARSE = DataFacts(
    NUCLEI.labels, 16, (3000, 4000), (1.0,), unlabeled=0.9996,
    objects=ObjectFacts(480, (12.0, 12.0, 12.0), (20.0, 60.0), 4.6, 1 / 144, 30),
)  # fmt: skip


def test_crops_are_taken_around_objects_that_are_sparse() -> None:
    result = suggested(SPARSE)
    assert result.recipe.sampling == RareClassSampling(("nucleus",), 0.5, min_pixels=1)
    assert "0.1 objects on average" in result.reasons["sampling"]
    assert "the largest: 0.3% of" in result.to_yaml()
    assert isinstance(suggested(NUCLEI).recipe.sampling, ShuffledSampling)


def test_crops_are_taken_around_a_rare_foreground() -> None:
    crack = DataFacts(LabelSpace.of("background", "crack"), 400, (1080, 1920), (0.997, 0.003))
    result = suggested(crack)
    assert result.recipe.sampling == RareClassSampling(("crack",), 0.5)
    assert "1 of 2 classes have less than 5% of the pixels" in result.reasons["sampling"]
    common = replace(crack, fractions=(0.9, 0.1))
    assert isinstance(suggested(common).recipe.sampling, ShuffledSampling)


def test_comments_say_what_holds_for_these_data() -> None:
    many = replace(FRUITS, fractions=(0.02, 0.84, 0.14), images=100_000, measured=400)
    text = suggested(many).to_yaml()
    assert "measured on 400 of the images" in text
    assert "100000 label maps to read" in text
    assert "also sampled" not in text  # the label maps are too many to look for rare classes
    assert "also sampled" in suggested(replace(many, images=12, measured=12)).to_yaml()
    none = suggested(replace(FRUITS, objects=ObjectFacts(0)))
    assert none.reasons["decoder.top_k"] == none.reasons["targets.sigma"] == NOT_MEASURED
    assert "loss.foreground_weight" in none.reasons
    labeled = suggested(replace(FRUITS, unlabeled=0.0))
    assert "loss.foreground_weight" not in labeled.reasons
    assert labeled.reasons["model.foreground"] == "0.0% of the pixels have no label"
    one = DataFacts(LabelSpace.of("road"), 1, (64, 64), (1.0,), measured=1)
    assert "1 training image of 64x64" in suggested(one).to_yaml()
    assert "A single class teaches nothing" in suggested(one).to_yaml()


def test_the_average_of_the_weights_is_over_the_steps_that_its_comment_names() -> None:
    for step in (60.0, 1.0, 0.001):
        result = suggested(CAMVID, paces=paced(CAMVID, CPU, step), minutes=30)
        steps = int(result.reasons["training.ema"].removesuffix(" steps").rpartition(" ")[2])
        assert 1 - 1 / steps == pytest.approx(result.recipe.training.ema, abs=1e-4)


def test_a_batch_that_does_not_fit_the_memory_is_told() -> None:
    tiny = replace(CPU, memory=0.05)
    assert "smaller crops need less" in suggested(CAMVID, tiny).reasons["training.batch"]
    assert "smaller crops" not in suggested(CAMVID).reasons["training.batch"]


def test_the_loss_of_objects_sets_no_resolution_that_it_does_not_use() -> None:
    for facts, expected in ((CAMVID, True), (FACADE, False), (NUCLEI, False)):
        terms = [*walk(suggested(facts).recipe.loss)]
        assert any(getattr(term, "at_output_resolution", False) for term in terms) == expected


def test_small_images_are_enlarged_and_not_reduced() -> None:
    facts = DataFacts(LabelSpace.of("background", "a", "b"), 4000, (32, 32), (0.6, 0.2, 0.2))
    recipe = suggested(facts).recipe
    (crops,) = (part for part in walk(recipe.augmentation) if isinstance(part, ProgressiveCrop))
    assert crops.stages == (CropStage((32, 32), (0.8, 1.4)),)
    assert recipe.model.input_scale == 2 and recipe.training.batch == 32
    assert not any(getattr(term, "at_output_resolution", False) for term in walk(recipe.loss))
    assert suggested(CAMVID).recipe.model.input_scale == 1
