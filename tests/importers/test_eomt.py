"""EoMT files of transformers and of the original repository give the outputs of transformers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.transformers_eomt import random_eomt, saved
from torch import Tensor

import segwright
from segwright.cli.main import main
from segwright.contracts import QueryOutput
from segwright.errors import UserError
from segwright.importers import load

SHAPES = [
    {},
    {"image_size": 96, "patch_size": 8, "num_upscale_blocks": 1, "num_queries": 7},
    {
        "hidden_size": 96,
        "num_attention_heads": 3,
        "num_hidden_layers": 3,
        "num_blocks": 3,
        "num_register_tokens": 1,
    },
    {"image_size": 56, "patch_size": 14, "num_upscale_blocks": 1, "mlp_ratio": 2, "num_labels": 2},
    {"image_size": 74, "patch_size": 14, "num_upscale_blocks": 1},
]


def outputs(theirs: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        output = theirs(images)
    return output.masks_queries_logits, output.class_queries_logits


def assert_equal(ours: Any, theirs: Any) -> None:
    size = theirs.config.image_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        output = ours(images)
    assert isinstance(output, QueryOutput)
    masks, classes = outputs(theirs, images)
    torch.testing.assert_close(output.masks, masks, rtol=1e-5, atol=1e-5 * float(masks.abs().max()))
    torch.testing.assert_close(output.classes, classes, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_a_converted_file_of_transformers_gives_its_logits(shape: int, masked: bool, tmp_path: Path) -> None:
    theirs = random_eomt(masked=masked, seed=shape, **SHAPES[shape])
    out = tmp_path / "model.safetensors"
    assert main(["convert", str(saved(theirs, tmp_path / "hub")), "--family", "eomt", "--out", str(out)]) == 0
    assert_equal(segwright.load(out), theirs)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"image_size": 96, "num_queries": 5},
        {"num_attention_heads": 2},
        {"num_register_tokens": 2},
        {"image_size": 73},
    ],
)
def test_dinov3_gives_the_logits_of_transformers(shape: dict[str, int], masked: bool, tmp_path: Path) -> None:
    theirs = random_eomt(dinov3=True, masked=masked, **shape)
    out = tmp_path / "model.safetensors"
    segwright.importers.convert(saved(theirs, tmp_path), "eomt", None, tmp_path / "ours.safetensors")
    assert_equal(segwright.load(tmp_path / "ours.safetensors"), theirs)
    assert out.exists()


def test_masks_of_a_size_that_is_no_multiple_of_the_patch_cover_the_image_as_in_transformers(
    tmp_path: Path,
) -> None:
    theirs = random_eomt(image_size=74)
    ours = load(saved(theirs, tmp_path), "eomt", task="semantic")
    image = np.random.default_rng(0).integers(0, 256, (74, 74, 3)).astype(np.uint8)
    pixels = ours.input.normalize(torch.from_numpy(image).permute(2, 0, 1)[None])
    masks, classes = outputs(theirs, pixels)
    masks = torch.nn.functional.interpolate(masks, (74, 74), mode="bilinear")
    scores = torch.einsum("nqc,nqhw->nchw", classes.softmax(-1)[..., :-1], masks.sigmoid())
    assert ours.input.multiple == 1
    assert (segwright.predict(ours, image).semantic == scores.argmax(1)[0].numpy()).mean() > 0.999
    assert segwright.predict(ours, image[:11, :50]).semantic.shape == (11, 50)


def original_layout(theirs: Any) -> dict[str, Tensor]:
    """The state dict of the original repository with the weights of a network of transformers."""
    state = theirs.state_dict()
    result = {"network.encoder.pixel_mean": torch.zeros(1, 3, 1, 1), "criterion.empty_weight": torch.ones(6)}
    renames = {
        r"embeddings\.cls_token": "encoder.backbone.cls_token",
        r"embeddings\.register_tokens": "encoder.backbone.reg_token",
        r"embeddings\.patch_embeddings\.projection": "encoder.backbone.patch_embed.proj",
        r"embeddings\.position_embeddings\.weight": "encoder.backbone.pos_embed",
        r"layers\.(\d+)\.attention\.out_proj": r"encoder.backbone.blocks.\1.attn.proj",
        r"layers\.(\d+)\.attention": r"encoder.backbone.blocks.\1.attn",
        r"layers\.(\d+)\.layer_scale(\d)\.lambda1": r"encoder.backbone.blocks.\1.ls\2.gamma",
        r"layers\.(\d+)": r"encoder.backbone.blocks.\1",
        r"layernorm\.": "encoder.backbone.norm.",
        r"query": "q",
        r"class_predictor": "class_head",
        r"mask_head\.fc1": "mask_head.0",
        r"mask_head\.fc2": "mask_head.2",
        r"mask_head\.fc3": "mask_head.4",
        r"upscale_block\.block\.(\d+)\.layernorm2d": r"upscale.\1.norm",
        r"upscale_block\.block": "upscale",
    }
    for key, value in state.items():
        if re.search(r"[kv]_proj|criterion", key):
            continue
        parts = (
            [state[key.replace("q_proj", f"{part}_proj")] for part in "qkv"] if "q_proj" in key else [value]
        )
        joined, tensor = key.replace("q_proj", "qkv"), torch.cat(parts) if len(parts) > 1 else value
        renamed = [re.subn(rf"\A{pattern}", new, joined) for pattern, new in renames.items()]
        name = next((name for name, count in renamed if count), joined)
        result[f"network.{name}"] = tensor[None] if name.endswith("pos_embed") else tensor
    return result


def test_a_file_of_the_original_repository_gives_the_same_logits(tmp_path: Path) -> None:
    theirs = random_eomt()
    path = tmp_path / "pytorch_model.bin"
    torch.save(original_layout(theirs), path)
    assert_equal(load(path, "eomt", heads=4), theirs)
    out = tmp_path / "model.safetensors"
    command = ["convert", str(path), "--family", "eomt", "--out", str(out), "--set", "heads=4"]
    assert main(command) == 0
    assert_equal(segwright.load(out), theirs)


def test_differences_to_dinov3_are_added_to_the_base_file(tmp_path: Path) -> None:
    theirs = random_eomt(dinov3=True)
    differences, base = {}, {}
    for key, value in theirs.state_dict().items():
        if key.startswith(("embeddings", "layers", "layernorm")):
            name = key.replace("embeddings.", "patch_embed.", 1).replace("layers", "blocks", 1)
            name = name.replace("layernorm", "norm")
            own = torch.randn_like(value)
            base[key.replace("layers", "layer", 1).replace("layernorm", "norm")] = value - own
            differences[f"network.encoder.backbone.{name}"] = own
        else:
            name = key.replace("query", "q").replace("class_predictor", "class_head")
            name = name.replace("upscale_block.block", "upscale").replace("layernorm2d", "norm")
            for number in range(3):
                name = name.replace(f"fc{number + 1}", str(2 * number))
            differences[f"network.{name}" if "criterion" not in name else name] = value
    files = [tmp_path / "delta.bin", tmp_path / "base.bin"]
    torch.save(differences, files[0])
    torch.save(base, files[1])
    ours = load(files, "eomt", heads=4, **{"backbone.norm_eps": 1e-6})
    assert_equal(ours, theirs)
    with pytest.raises(UserError, match="differences to a pretrained DINOv3"):
        load(files[0], "eomt", heads=4)


def test_what_is_missing_is_named_as_in_the_file(tmp_path: Path) -> None:
    state = random_eomt().state_dict()
    for missing in ("mask_head.fc2.weight", "layers.1.attention.k_proj.weight", "layers.2.norm1.bias"):
        part = {key: value for key, value in state.items() if key != missing}
        with pytest.raises(UserError, match=re.escape(f"{missing} is missing")):
            load(part, "eomt", heads=4)
    with pytest.raises(UserError, match="0 of them with queries"):
        load({"conv.weight": torch.zeros(3)}, "eomt")
    with pytest.raises(UserError, match="several architectures"):
        load({"conv.weight": torch.zeros(3)}, "csail")
    narrow = random_eomt(hidden_size=32, num_attention_heads=2)
    with pytest.raises(UserError, match="--set heads=N"):
        load(narrow.state_dict(), "eomt")


def test_images_of_any_size_are_accepted(tmp_path: Path) -> None:
    ours = load(random_eomt().state_dict(), "eomt", heads=4)
    with torch.no_grad():
        assert ours(torch.zeros(1, 3, 48, 80)).masks.shape == (1, 12, 12, 20)
        assert ours(torch.zeros(1, 3, 40, 100)).masks.shape == (1, 12, 10, 25)
