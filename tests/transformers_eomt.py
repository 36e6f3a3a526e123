"""Random EoMT networks of transformers: the oracle of the tests of EoMT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def random_eomt(*, dinov3: bool = False, masked: bool = False, seed: int = 0, **settings: Any) -> Any:
    """A small ``EomtForUniversalSegmentation`` with random weights, in evaluation mode."""
    from transformers import EomtConfig, EomtForUniversalSegmentation
    from transformers.models.eomt_dinov3.configuration_eomt_dinov3 import EomtDinov3Config
    from transformers.models.eomt_dinov3.modeling_eomt_dinov3 import EomtDinov3ForUniversalSegmentation

    torch.manual_seed(seed)
    sizes = {
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": 64,
        "patch_size": 16,
    }
    own = {
        "num_blocks": 2,
        "num_queries": 12,
        "num_upscale_blocks": 2,
        "num_labels": 5,
        "train_num_points": 256,
    }
    options = (
        sizes | own | ({"intermediate_size": 128, "pos_embed_rescale": None} if dinov3 else {}) | settings
    )
    if dinov3:
        model: Any = EomtDinov3ForUniversalSegmentation(EomtDinov3Config(**options))
    else:
        model = EomtForUniversalSegmentation(EomtConfig(**options))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
        model.attn_mask_probs.fill_(1.0 if masked else 0.0)
    return model.eval()


def saved(model: Any, folder: Path) -> Path:
    """The file that transformers writes, beside its config.json."""
    model.save_pretrained(folder)
    return folder / "model.safetensors"
