"""Training in a single process, on a small run."""

from __future__ import annotations

import csv
import inspect
import json
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests import small
from tests.data import coco_trees
from torch import nn

from segwright.contracts import NO_MASK, Batch, InputContract, MaskTargets, Model, PixelOutput, Targets
from segwright.data.datasets.coco_instances import CocoInstances
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.losses.pixel import Dice
from segwright.models.weights.model_file import read_file
from segwright.samples import AugmentationContext, Sample
from segwright.training.loading import open_training_data
from segwright.training.log import read_lines
from segwright.training.loop import patience_is_over
from segwright.training.processes import Processes
from segwright.training.schedule import Poly
from segwright.training.state import start
from segwright.training.step import NonFiniteLoss, _tensors, save_for_replay, take_step
from segwright.training.train import train


@dataclass(slots=True)
class Blank:
    """An augmentation that sets the ground truth to ignored everywhere."""

    def __call__(self, sample: Sample, draw: AugmentationContext) -> Sample:
        cut = sample.image[:32, :32]
        return replace(sample, image=cut, map=np.full((32, 32), 255, np.uint8))


@dataclass(slots=True)
class Broken:
    """A loss that is NaN from the third step on."""

    calls: int = 0

    def __call__(self, output: Any, targets: Any) -> dict[str, torch.Tensor]:
        self.calls += 1
        return {"bad": output.logits.sum() * (float("nan") if self.calls > 2 else 1e-4)}

    def counts(self, targets: Any) -> dict[str, torch.Tensor]:
        return {"bad": torch.tensor(1.0)}


def test_a_small_run_learns_and_writes_everything_into_its_folder(tmp_path: Path) -> None:
    recipe = small.recipe()
    recipe.training.steps, recipe.optim.lr = 150, 0.1
    summary = train(recipe, None, tmp_path, device="cpu")
    assert summary["finished"]
    assert summary["miou"] > 0.5
    left = {path.name for path in tmp_path.iterdir()}
    assert left >= {
        "best.safetensors", "checkpoints", "evaluation", "log.csv", "log.jsonl", "logs", "pictures",
        "recipe.yaml", "run.json", "summary.json", "tensorboard",
    }  # fmt: skip
    metadata = json.loads((tmp_path / "run.json").read_text())
    assert metadata.keys() >= {"segwright", "torch", "python", "seed", "git", "data", "device", "processes"}
    steps = read_lines(tmp_path, "step")
    assert steps[0].keys() >= {"step", "loss", "loss/ce", "lr", "images_per_second", "data_wait", "seconds"}
    assert steps[-1]["loss"] < 0.5 * steps[0]["loss"]
    rates = [0.1 * recipe.schedule((line["step"] - 1) / 150) for line in steps]
    assert [line["lr"] for line in steps] == pytest.approx(rates)
    with open(tmp_path / "log.csv", newline="") as file:
        assert len(list(csv.DictReader(file))) == len(steps) + len(read_lines(tmp_path, "evaluation"))


def test_a_finished_run_is_left_as_it_is(tmp_path: Path) -> None:
    first = train(small.recipe(), None, tmp_path, device="cpu")
    before = (tmp_path / "best.safetensors").read_bytes()
    second = train(small.recipe(), None, tmp_path, device="cpu")
    assert (first["step"], first["miou"]) == (second["step"], second["miou"])
    assert (tmp_path / "best.safetensors").read_bytes() == before


def test_another_recipe_is_refused_in_the_folder_of_a_run(tmp_path: Path) -> None:
    train(small.recipe(), None, tmp_path, device="cpu")
    other = small.recipe()
    other.optim.lr = 0.01
    with pytest.raises(UserError, match=r"another recipe.*lr: 0.05.*choose another --out"):
        train(other, None, tmp_path, device="cpu")


def test_changed_data_are_refused_in_the_folder_of_a_run(tmp_path: Path) -> None:
    train(small.recipe(), None, tmp_path, device="cpu")
    text = (tmp_path / "run.json").read_text()
    (tmp_path / "run.json").write_text(text.replace('"images": 13', '"images": 12'))
    with pytest.raises(UserError, match="train data changed"):
        train(small.recipe(), None, tmp_path, device="cpu")


def test_images_without_ground_truth_have_loss_zero(tmp_path: Path) -> None:
    recipe = small.recipe()
    recipe.augmentation = Blank()
    train(recipe, None, tmp_path, device="cpu")
    assert [line["loss"] for line in read_lines(tmp_path, "step")] == [0.0] * 4
    saved = torch.load(tmp_path / "checkpoints" / "step-00000012.pt", weights_only=True)
    assert all(torch.isfinite(value).all() for value in saved["model"].values())


def test_a_non_finite_loss_names_step_terms_and_images_and_saves_the_batch(tmp_path: Path) -> None:
    recipe = small.recipe()
    recipe.loss = Broken()
    with pytest.raises(
        NonFiniteLoss, match=r"step 2: the loss is not finite \(bad nan\) on images train_"
    ) as caught:
        train(recipe, None, tmp_path, device="cpu")
    path = Path(str(caught.value.args[0]).split("the batch is in ")[1].split(";")[0])
    parts = torch.load(path, weights_only=True)
    assert parts[0]["images"].shape == (4, 3, 32, 32)
    assert all(name in str(caught.value) for name in parts[0]["names"])


def test_the_saved_batch_of_a_query_model_has_the_classes_of_its_masks(tmp_path: Path) -> None:
    semantic, index = torch.zeros(1, 2, 2, dtype=torch.long), torch.tensor([[[0, 1], [2, NO_MASK]]])
    masks = MaskTargets(index, (torch.tensor([2, 1]),), (torch.tensor([[True, True]]),))
    values = _tensors(Targets(semantic, masks=masks))
    path = save_for_replay(tmp_path / "batch.pt", NonFiniteLoss("a", [values]))
    (saved,) = torch.load(path, weights_only=True)
    assert torch.equal(saved["masks"], index)
    assert [classes.tolist() for classes in saved["mask_classes"]] == [[2, 1]]
    assert [overlaps.tolist() for overlaps in saved["mask_overlaps"]] == [[[True, True]]]


class Convolutions(Model):
    """A network without batch norm: its output for an image depends on no other image."""

    def __init__(self, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        self.head = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, len(labels), 3, padding=1)
        )

    def forward(self, images: torch.Tensor) -> PixelOutput:
        return PixelOutput(self.head(images))


@dataclass(slots=True)
class ConvolutionsConfig:
    def build(self, labels: LabelSpace, input: InputContract) -> Convolutions:
        return Convolutions(labels, input)


class Annealed(Convolutions):
    """A network that changes over the training."""

    def __init__(self, labels: LabelSpace, input: InputContract) -> None:
        super().__init__(labels, input)
        self.register_buffer("probability", torch.ones(()))
        self.progress = 0.0

    def set_progress(self, progress: float) -> None:
        self.progress = progress
        self.probability.fill_(1 - progress)  # type: ignore[operator]


@dataclass(slots=True)
class AnnealedConfig:
    def build(self, labels: LabelSpace, input: InputContract) -> Annealed:
        return Annealed(labels, input)


def test_the_averaged_model_is_as_far_as_the_one_in_training() -> None:
    recipe = small.recipe()
    recipe.model = AnnealedConfig()
    single = Processes(0, 1, torch.device("cpu"))
    state = start(recipe, small.LABELS, single)
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    batch = Batch(images, ((32, 32),) * 2, Targets(torch.zeros(2, 32, 32, dtype=torch.uint8)), ("a", "b"))
    for step in range(3):
        take_step(state, [batch], recipe, single)
        averaged: Any = state.eval_model
        assert averaged is not state.model
        assert averaged.progress == step / recipe.training.steps
        assert float(averaged.probability) == pytest.approx(1 - averaged.progress)


def test_several_processes_wait_for_no_head_that_the_loss_leaves_out(tmp_path: Path) -> None:
    recipe = small.recipe()
    recipe.loss = Dice()  # of the main logits; the network has an auxiliary head
    single = Processes(0, 1, torch.device("cpu"))
    state = start(recipe, small.LABELS, single)
    torch.distributed.init_process_group("gloo", f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        state.network = nn.parallel.DistributedDataParallel(state.model)
        batch = Batch(
            torch.zeros(2, 3, 32, 32, dtype=torch.uint8),
            ((32, 32),) * 2,
            Targets(torch.zeros(2, 32, 32, dtype=torch.uint8)),
            ("a", "b"),
        )
        for _ in range(3):
            take_step(state, [batch, batch], recipe, single)
    finally:
        torch.distributed.destroy_process_group()
    assert state.step == 3


def test_accumulation_takes_the_same_steps(tmp_path: Path) -> None:
    results = []
    for parts in (1, 2):
        recipe = small.recipe()
        recipe.model, recipe.schedule = (
            ConvolutionsConfig(),
            Poly(),
        )  # no warm-up: the first step moves the weights
        recipe.training = replace(recipe.training, accumulate=parts, steps=2, save_every=0.5, ema=None)
        train(recipe, None, tmp_path / str(parts), device="cpu")
        saved = [torch.load(path, weights_only=True)["model"] for path in checkpoints(tmp_path / str(parts))]
        assert len(saved) == 2
        assert all(not torch.allclose(value, saved[1][name], rtol=1e-3) for name, value in saved[0].items())
        results.append(saved)
    for one, two in zip(*results, strict=True):
        for name, value in one.items():
            torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6, msg=name)


def checkpoints(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step-*.pt"))


def test_training_stops_early_when_patience_is_over(tmp_path: Path) -> None:
    recipe = small.recipe()
    recipe.training.steps, recipe.training.patience = 40, 0.2
    recipe.training.evaluate_every, recipe.optim.lr = 0.1, 1e-12
    recipe.optim.freeze_norm_statistics = True  # nothing changes
    recipe.training.ema = None
    summary = train(recipe, None, tmp_path, device="cpu")
    assert summary["finished"]
    assert summary["step"] == 16  # the first evaluation is the best one; the patience is over at the fourth


def test_a_run_that_was_stopped_between_two_evaluations_goes_on_to_the_next_one() -> None:
    recipe = small.recipe()
    recipe.training.steps, recipe.training.evaluate_every, recipe.training.patience = 100, 0.15, 0.2
    is_over = inspect.unwrap(patience_is_over)  # without the type checks of the tests
    for first in (0, 1000):  # of an extension
        recipe.training.steps = first + 100
        run: Any = SimpleNamespace(recipe=recipe, first_step=first)
        over = [
            step
            for step in range(100)
            if is_over(run, SimpleNamespace(step=first + step, best_step=first + 15))
        ]
        assert over == [*range(45, 100)]  # not 36, although the last improvement is 21 steps ago


def test_starting_from_weights_needs_them_to_fit_unless_the_head_is_skipped(tmp_path: Path) -> None:
    train(small.recipe(), None, tmp_path / "first", device="cpu")
    other = small.recipe()
    other.model.upsample_factor = 1  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"head.0.bias.*--skip-head"):
        train(other, None, tmp_path / "second", init=tmp_path / "first" / "best.safetensors", device="cpu")
    init = tmp_path / "first" / "best.safetensors"
    other.training.steps = 1  # with learning rate 0, the start of the warm-up: the weights stay as loaded
    other.training.ema = None
    train(other, None, tmp_path / "third", init=init, skip_head=True, device="cpu")
    loaded, _ = read_file(init)
    started = torch.load(*checkpoints(tmp_path / "third"), weights_only=True)["model"]
    weights = [name for name in started if name.endswith(("weight", "bias"))]
    assert {name for name in weights if not torch.equal(started[name], loaded[name])} == {
        "head.0.weight",
        "head.0.bias",
    }


def test_a_batch_that_cannot_be_divided_is_refused(tmp_path: Path) -> None:
    recipe = small.recipe()
    recipe.training.accumulate = 3
    with pytest.raises(UserError, match=r"batch 4 is not a multiple of training.accumulate 3"):
        train(recipe, None, tmp_path, device="cpu")
    assert not (tmp_path / "run.json").exists()


def test_training_in_bf16_is_close_to_fp32(tmp_path: Path) -> None:
    recipe = small.recipe()
    recipe.training.precision = "bf16"
    summary = train(recipe, None, tmp_path / "bf16", device="cpu")
    assert summary["finished"]
    recipe.training.precision = "fp32"
    train(recipe, None, tmp_path / "fp32", device="cpu")
    losses, exact = (
        [line["loss"] for line in read_lines(tmp_path / name, "step")] for name in ("bf16", "fp32")
    )
    assert losses == pytest.approx(exact, rel=0.05)
    assert all(
        abs(loss / other - 1) > 1e-6 for loss, other in zip(losses, exact, strict=True)
    )  # other arithmetic
    saved = torch.load(checkpoints(tmp_path / "bf16")[-1], weights_only=True)
    assert {value.dtype for value in saved["model"].values()} == {
        torch.float32,
        torch.int64,
    }  # weights, counters


@pytest.mark.parametrize(
    ("settings", "last"),
    [({}, False), ({"precision": "bf16"}, True), ({"channels_last": True}, True)],
)
def test_weights_and_images_are_channels_last_where_that_is_fast_or_requested(
    settings: dict[str, Any], last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = small.recipe()
    recipe.training = replace(recipe.training, precision="fp32")
    recipe.training = replace(recipe.training, **settings)
    single = Processes(0, 1, torch.device("cpu"))
    state = start(recipe, small.LABELS, single)
    inputs: list[torch.Tensor] = []
    state.model.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    images = torch.zeros(2, 3, 32, 32, dtype=torch.uint8).to(memory_format=torch.channels_last)
    batch = Batch(images, ((32, 32),) * 2, Targets(torch.zeros(2, 32, 32, dtype=torch.uint8)), ("a", "b"))
    take_step(state, [batch], recipe, single)
    weight = state.model.stages[0][0].first[0].weight  # type: ignore[union-attr, index]
    for tensor in (weight, inputs[0]):
        assert tensor.is_contiguous(memory_format=torch.channels_last) is last


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"), MemoryError()]
)
def test_too_little_memory_names_the_settings_that_need_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    from segwright.training import loop

    def full(*_: Any, **__: Any) -> bool:
        raise error

    monkeypatch.setattr(loop, "take_step", full)
    with pytest.raises(loop.OutOfMemory, match=r"lower training\.batch, raise training.accumulate"):
        train(small.recipe(), None, tmp_path, device="cpu")


def test_images_without_ground_truth_are_not_trained_on(tmp_path: Path) -> None:
    recipe, root = small.recipe(), coco_trees.panoptic_splits(tmp_path)
    dataset = CocoInstances().open(root, "train")  # there is no instances_train2017.json
    with pytest.raises(
        UserError, match=r"train2017: images without ground truth; training needs the annotations"
    ):
        open_training_data(recipe, dataset)
