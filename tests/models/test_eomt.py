"""EoMT on any plain vision transformer: outputs, masked attention, annealing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import segwright
from segwright.config import from_yaml, to_yaml
from segwright.contracts import InputContract, PixelOutput, QueryOutput
from segwright.errors import UserError
from segwright.inference.published import eomt_windows
from segwright.labels import LabelSpace
from segwright.models import EoMT, EoMTConfig
from segwright.models.backbones import ViTConfig
from segwright.models.weights.model_file import read_model, write_model
from segwright.models.weights.sources import WeightFile
from segwright.recipes import load_recipe
from segwright.training.train import train

LABELS = LabelSpace.of("a", "b", "c")
SMALL: dict[str, Any] = {"depth": 4, "channels": 48, "heads": 3, "image_size": (64, 64)}


def small(name: str = "vit_tiny_patch16_224", *, bands: int = 3, **settings: Any) -> EoMT:
    torch.manual_seed(0)
    contract = InputContract(mean=(0.0,) * bands, std=(1.0,) * bands, fill_value=(0.0,) * bands, multiple=8)
    options = SMALL | {key: settings.pop(key) for key in ("patch_size", "depth") if key in settings}
    return EoMTConfig(ViTConfig(name, **options), queries=10, **settings).build(LABELS, contract)


@pytest.mark.parametrize(
    ("name", "patch"),
    [
        ("vit_small_patch14_reg4_dinov2", 14),
        ("vit_small_patch14_reg4_dinov2", 16),
        ("vit_small_patch16_dinov3", 16),
        ("vit_base_patch16_siglip_224", 8),
        ("vit_tiny_patch16_224", 8),
        ("eva02_tiny_patch14_224", 16),
    ],
)
def test_any_plain_transformer_takes_images_of_any_size_and_bands(name: str, patch: int) -> None:
    model = small(name, bands=4, patch_size=patch)
    output = model.train()(torch.randn(2, 4, 60, 92))
    assert len(output.auxiliary) == 3
    for masks, classes in [*output.auxiliary, (output.masks, output.classes)]:
        assert masks.shape[:2] == (2, 10) and classes.shape == (2, 10, 4)
        assert masks.shape[2:] == output.masks.shape[2:]
    torch.stack([masks.sum() + classes.sum() for masks, classes in output.auxiliary]).sum().backward()
    model.eval().set_progress(1.0)
    assert model(torch.randn(1, 4, 60, 92)).auxiliary == ()


def test_other_networks_are_refused() -> None:
    for name in ("resnet18", "beit_base_patch16_224", "swin_tiny_patch4_window7_224"):
        with pytest.raises(UserError, match="is no plain vision transformer"):
            ViTConfig(name).build(3)
    with pytest.raises(UserError, match=r"query_blocks is 5; expected 1 to 4"):
        small(query_blocks=5)
    with pytest.raises(UserError, match=r"annealing has 1 phases; expected 3"):
        small(annealing=((0.1, 0.2),))


def test_masked_attention_is_annealed_block_by_block() -> None:
    config = EoMTConfig(query_blocks=4)
    assert config.phases()[0] == pytest.approx((1 / 6, 2 / 6)) and config.phases()[3] == pytest.approx(
        (4 / 6, 5 / 6)
    )
    assert config.mask_probabilities(0.0) == [1.0] * 4
    assert config.mask_probabilities(0.25) == pytest.approx([0.5**0.9, 1, 1, 1])
    assert config.mask_probabilities(1.0) == [0.0] * 4
    assert EoMTConfig(masked_attention=False).mask_probabilities(0.0) == [0.0] * 3


def test_a_query_with_masked_attention_does_not_see_patches_outside_of_its_mask() -> None:
    model = small(query_blocks=1, patch_size=8)
    with torch.no_grad():
        model.queries.weight.mul_(10)
    seen: list[torch.Tensor | None] = []
    block = model.backbone.block

    def recorded(
        index: int, tokens: torch.Tensor, rope: Any, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        seen.append(mask)
        return block(index, tokens, rope, mask)

    model.backbone.block = recorded  # type: ignore[method-assign]
    output = model.train()(torch.randn(1, 3, 64, 64))
    (mask,) = [mask for mask in seen if mask is not None]
    prefix = model.backbone.prefix
    inside = torch.nn.functional.interpolate(output.auxiliary[0][0], (8, 8), mode="bilinear") > 0
    assert torch.equal(mask[0, 0, :10, 10 + prefix :], inside[0].flatten(1))
    assert mask[:, :, 10:].all() and mask[..., : 10 + prefix].all()
    seen.clear()
    model.eval().set_progress(1.0)
    model(torch.randn(1, 3, 64, 64))
    assert all(mask is None for mask in seen)  # a trained network is a plain transformer


def test_a_model_file_keeps_the_phase_of_the_training(tmp_path: Path) -> None:
    model = small().eval()
    images = torch.randn(1, 3, 64, 64)
    model.set_progress(0.5)
    write_model(tmp_path / "m.safetensors", model, model.config)
    again = read_model(tmp_path / "m.safetensors")
    assert isinstance(again, EoMT)
    assert torch.equal(again.mask_probabilities, model.mask_probabilities)
    with torch.no_grad():
        assert torch.equal(again(images).masks, model(images).masks)
    assert from_yaml(to_yaml(model.config), where="config") == model.config


def test_weights_without_a_free_license_are_used_only_after_consent(tmp_path: Path, monkeypatch: Any) -> None:
    import timm
    from safetensors.torch import save_file

    name = "vit_small_patch16_dinov3"
    network = timm.create_model(name, depth=4, embed_dim=48, num_heads=3, num_classes=0)
    save_file(network.state_dict(), str(tmp_path / "w.safetensors"))
    file = WeightFile(tmp_path / "w.safetensors", "timm hub", "dinov3-license")
    monkeypatch.setattr("segwright.models.backbones.vit.find_weights", lambda *_: file)
    with pytest.raises(UserError, match=r"'dinov3-license'.*accept_license=true"):
        ViTConfig(name, weights="imagenet", **SMALL).build(3)
    backbone = ViTConfig(name, weights="imagenet", accept_license=True, **SMALL).build(3)
    assert backbone.pretrained is not None and backbone.pretrained["license"] == "dinov3-license"
    loaded = backbone.network.blocks[0].attn.qkv.weight
    assert torch.equal(loaded, network.state_dict()["blocks.0.attn.qkv.weight"])


def test_semantic_windows_give_the_averaged_scores_of_the_crops() -> None:
    """The published protocol: the shorter side resized, squares along the longer one, scores averaged."""
    model = small().eval()
    model.set_progress(1.0)
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        output, size = eomt_windows(64)(model, images, ((64, 96),))
        total, count = torch.zeros(1, 3, 64, 96), torch.zeros(96)
        for start in (0, 32):
            part = model(images[..., start : start + 64])
            masks = torch.nn.functional.interpolate(part.masks, (64, 64), mode="bilinear").sigmoid()
            scores = torch.einsum("bqc,bqhw->bchw", part.classes.softmax(-1)[..., :-1], masks)
            total[..., start : start + 64] += scores
            count[start : start + 64] += 1
    assert size == (64, 96)
    assert isinstance(output, PixelOutput) and output.of_queries
    torch.testing.assert_close(output.logits, total / count, rtol=1e-5, atol=1e-5)


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    """Masked attention is drawn from the seed and the step."""
    recipe = load_recipe("eomt.street_panoptic").tiny()
    recipe.training.steps, recipe.training.save_every, recipe.training.evaluate_every = 4, 0.5, 1.0
    recipe.data.train, recipe.data.val = 4, 2  # type: ignore[attr-defined]
    train(recipe, None, tmp_path / "whole", device="cpu")
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    for name in ("checkpoints/step-00000004.pt", "best.safetensors"):
        (tmp_path / "resumed" / name).unlink()
    train(recipe, None, tmp_path / "resumed", device="cpu")
    states = [segwright.load(tmp_path / run).state_dict() for run in ("whole", "resumed")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_predictions_of_a_run_can_be_drawn_and_scored(tmp_path: Path) -> None:
    recipe = load_recipe("eomt.street_panoptic").tiny()
    recipe.data.train, recipe.data.val = 4, 2  # type: ignore[attr-defined]
    summary = train(recipe, None, tmp_path, device="cpu")
    assert 0 <= summary["pq"] <= 1
    model = segwright.load(tmp_path)
    output = model(torch.zeros(1, 3, 96, 144))
    assert isinstance(output, QueryOutput)
    assert output.masks.shape[:2] == (1, 40) and output.classes.shape == (1, 40, len(model.labels) + 1)
    page = segwright.report(tmp_path, worst=1, best=0, count_errors=False).read_text(encoding="utf-8")
    assert "masks of the queries with the highest scores" in page
