"""EoMT files in every published layout, wrapped, prefixed, in several files, or with parts missing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.importers.test_eomt import assert_equal, original_layout
from tests.transformers_eomt import random_eomt
from torch import Tensor

import segwright
from segwright.decode import QueryDecoder
from segwright.errors import UserError
from segwright.importers import load

# Name -> (channels, blocks, heads, query blocks) of the published networks, and how they are made small here.
PUBLISHED = {
    "coco_panoptic_small_640": {"num_labels": 133, "num_queries": 200, "image_size": 96},
    "coco_panoptic_large_1280": {
        "num_labels": 133,
        "num_blocks": 3,
        "num_hidden_layers": 5,
        "image_size": 160,
    },
    "coco_instance_large_640": {"num_labels": 80, "num_queries": 200},
    "ade20k_semantic_large_512": {"num_labels": 150, "num_queries": 100},
    "cityscapes_semantic_large_1024": {"num_labels": 19, "num_queries": 100, "image_size": 128},
    "coco_panoptic_giant_640": {
        "num_labels": 133,
        "use_swiglu_ffn": True,
        "hidden_size": 96,
        "num_attention_heads": 4,
    },
}
HEADS = {"heads": 4}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("layout", ["original", "transformers", "early transformers"])
def test_every_published_network_gives_the_logits_of_transformers(
    name: str, layout: str, tmp_path: Path
) -> None:
    theirs = random_eomt(**PUBLISHED[name])
    if layout == "transformers":
        theirs.save_pretrained(tmp_path)
        return assert_equal(load(tmp_path / "model.safetensors", "eomt"), theirs)
    state = original_with_gates(theirs) if layout == "original" else early_layout(theirs)
    torch.save(state, tmp_path / "pytorch_model.bin")
    blocks = {"num_blocks": theirs.config.num_blocks, "num_attention_heads": 4}
    (tmp_path / "config.json").write_text(json.dumps(blocks))
    assert_equal(load(tmp_path / "pytorch_model.bin", "eomt"), theirs)


def original_with_gates(theirs: Any) -> dict[str, Tensor]:
    """``original_layout``, with the gates of DINOv2 g as timm names them."""
    result = {}
    for key, value in original_layout(theirs).items():
        if "up_proj" not in key:
            parts = (
                [value, original_layout(theirs)[key.replace("gate", "up")]] if "gate_proj" in key else [value]
            )
            result[key.replace("gate_proj", "fc1").replace("down_proj", "fc2")] = torch.cat(parts)
    return result


def early_layout(theirs: Any) -> dict[str, Tensor]:
    """The names of the first files of transformers, without the probabilities of masked attention."""
    result = {}
    for key, value in theirs.state_dict().items():
        if key.startswith(("criterion", "attn_mask_probs")) or "up_proj" in key:
            continue
        parts = [value, theirs.state_dict()[key.replace("gate", "up")]] if "gate_proj" in key else [value]
        name = key.replace("out_proj", "proj_out").replace("gate_proj", "weights_in")
        name = name.replace("down_proj", "weights_out")
        name = re.sub(r"\A(layers|query)\.", r"encoder.\1.", name)
        result[name if name.startswith("class_predictor") else f"model.{name}"] = torch.cat(parts)
    return result


def lightning(state: dict[str, Tensor]) -> dict[str, Any]:
    return {"state_dict": state, "epoch": 3, "pytorch-lightning_version": "2.5", "loops": {}}


WRAPPED: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "Lightning": lightning,
    "module.": lambda state: {f"module.{key}": value for key, value in state.items()},
    "model.": lambda state: {"model": {f"model.{key}": value for key, value in state.items()}},
    "compiled": lambda state: lightning({f"_orig_mod.{key}": value for key, value in state.items()}),
    "compiled inside": lambda state: {
        key.replace("network.", "network._orig_mod."): value for key, value in state.items()
    },
    "averaged": lambda state: {"n_averaged": torch.tensor(3)} | {f"module.{k}": v for k, v in state.items()},
    "without prefix": lambda state: {key.removeprefix("network."): value for key, value in state.items()},
}


@pytest.mark.parametrize("wrapper", WRAPPED)
def test_wrapped_and_prefixed_files_are_read(wrapper: str, tmp_path: Path) -> None:
    theirs = random_eomt()
    torch.save(WRAPPED[wrapper](original_layout(theirs)), tmp_path / "a.ckpt")
    assert_equal(load(tmp_path / "a.ckpt", "eomt", **HEADS), theirs)


def test_a_file_with_an_averaged_copy_names_both_networks(tmp_path: Path) -> None:
    state = original_layout(random_eomt())
    both = state | {f"ema.{key}": value for key, value in state.items()}
    with pytest.raises(UserError, match=re.escape("2 networks with queries (network., ema.network.)")):
        load(both, "eomt", **HEADS)


@pytest.mark.parametrize("given", ["index", "first", "all", "folder"])
def test_a_network_in_several_files_is_read(given: str, tmp_path: Path) -> None:
    theirs = random_eomt()
    theirs.save_pretrained(tmp_path, max_shard_size="100KB")
    parts = sorted(tmp_path.glob("model-*.safetensors"))
    assert len(parts) > 2
    index = tmp_path / "model.safetensors.index.json"
    files = {"index": [index], "first": parts[:1], "all": parts, "folder": [tmp_path]}[given]
    assert_equal(load(files, "eomt"), theirs)
    parts[1].unlink()
    with pytest.raises(UserError, match=re.escape(f"({parts[1].name})")):
        load(files if given == "index" else parts[:1], "eomt")


@pytest.mark.parametrize("task", ["semantic", "instance"])
def test_the_task_of_a_file_can_be_chosen(task: str) -> None:
    model = load(random_eomt().state_dict(), "eomt", task=task, **HEADS)
    assert model.decoder == QueryDecoder(task)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="option task: 'tracking' is not one of"):
        load(random_eomt().state_dict(), "eomt", task="tracking", **HEADS)


def test_without_its_settings_a_file_loads_or_asks_for_them(tmp_path: Path) -> None:
    theirs = random_eomt()
    state = {key: value for key, value in theirs.state_dict().items() if key != "attn_mask_probs"}
    with pytest.raises(UserError, match=r"attn_mask_probs is missing.*--set query_blocks=N"):
        load(state, "eomt", **HEADS)
    assert_equal(load(state, "eomt", query_blocks=2, **HEADS), theirs)


SETTINGS: dict[str, dict[str, Any]] = {
    "no registers": {"num_register_tokens": 0},
    "another activation": {"hidden_act": "silu"},
    "tanh": {"hidden_act": "gelu_pytorch_tanh"},
    "gated": {"use_swiglu_ffn": True, "mlp_ratio": 3},
    "gated, another activation": {"use_swiglu_ffn": True, "hidden_act": "relu"},
    "masks of patches": {"num_upscale_blocks": 0, "num_blocks": 4},
    "DINOv3, no registers": {"num_register_tokens": 0},
    "DINOv3, gated": {"use_gated_mlp": True, "hidden_act": "silu"},
    "DINOv3, gated by GELU": {"use_gated_mlp": True},
    "DINOv3, no bias of queries and values": {"query_bias": False, "value_bias": False},
    "DINOv3, no bias of queries": {"query_bias": False},
    "DINOv3, no other biases": {"value_bias": False, "proj_bias": False, "mlp_bias": False},
    "DINOv3, other rotations": {"rope_parameters": {"rope_type": "default", "rope_theta": 37.0}},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_of_transformers_counts(name: str, tmp_path: Path) -> None:
    theirs = random_eomt(dinov3=name.startswith("DINOv3"), **SETTINGS[name])
    theirs.save_pretrained(tmp_path)
    assert_equal(load(tmp_path, "eomt"), theirs)


def test_what_dinov3_here_lacks_is_refused(tmp_path: Path) -> None:
    random_eomt(dinov3=True, key_bias=True).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"layers\.0\.attention\.k_proj\.bias; expected a DINOv3, whose keys"):
        load(tmp_path, "eomt")
    random_eomt().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_act": "softsign"}))
    with pytest.raises(UserError, match="timm has no activation 'softsign'"):
        load(tmp_path, "eomt")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_files_of_half_precision_are_read(dtype: str, tmp_path: Path) -> None:
    theirs = random_eomt().to(getattr(torch, dtype))
    theirs.save_pretrained(tmp_path)
    assert_equal(segwright.load(tmp_path, family="eomt"), theirs.float())


def test_mean_and_std_of_the_original_files_are_kept() -> None:
    state = original_layout(random_eomt())
    state["network.encoder.pixel_mean"] = torch.full((1, 3, 1, 1), 0.5)
    state["network.encoder.pixel_std"] = torch.tensor([0.5, 0.25, 0.2]).view(1, 3, 1, 1)
    model = load(state, "eomt", **HEADS)
    assert (model.input.mean, model.input.std) == ((127.5,) * 3, (127.5, 63.75, 51.0))


@pytest.mark.parametrize("layout", ["original", "transformers"])
@pytest.mark.parametrize(
    "part",
    [
        "blocks.1.attn.qkv.weight",
        "q.weight",
        "upscale.0.norm.bias",
        "blocks.2.mlp.fc1.bias",
        "encoder.backbone.pos_embed",
        "class_head.bias",
    ],
)
def test_a_missing_tensor_is_named_as_in_the_file(layout: str, part: str) -> None:
    theirs = random_eomt()
    state = original_layout(theirs) if layout == "original" else theirs.state_dict()
    names = {
        "blocks.1.attn.qkv.weight": "layers.1.attention.v_proj.weight",
        "q.weight": "query.weight",
        "upscale.0.norm.bias": "upscale_block.block.0.layernorm2d.bias",
        "blocks.2.mlp.fc1.bias": "layers.2.mlp.fc1.bias",
        "encoder.backbone.pos_embed": "embeddings.position_embeddings.weight",
        "class_head.bias": "class_predictor.bias",
    }
    ending = part if layout == "original" else names[part]
    (missing,) = [key for key in state if key.endswith(ending) and not key.endswith("backbone.q.weight")]
    with pytest.raises(UserError, match=re.escape(ending)):
        load({key: value for key, value in state.items() if key != missing}, "eomt", **HEADS)
