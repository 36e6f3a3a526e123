"""EoMT (Kerssies et al., CVPR 2025): files of the original repository, and of transformers.

The original repository's ``pytorch_model.bin`` has the names of timm. Its files for DINOv3 hold differences to the
pretrained transformer of the Hugging Face hub: that file is needed, too. The ``model.safetensors`` of transformers has
other names, and separate queries, keys and values. Sizes are read off the tensors. The number of attention heads, which
no tensor shows, is that of ``config.json`` next to the file, or one per 64 channels (128 in DINOv3 7B).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from segwright.contracts import InputContract
from segwright.decode.query import QueryDecoder, Task
from segwright.errors import UserError
from segwright.importers.description import Description, Family, Renames, State, output_channels
from segwright.models.backbones.vit import ViTConfig
from segwright.models.eomt import EoMTConfig

NOT_WEIGHTS = re.compile(r"(.*\.)?(criterion\..*|n_averaged)|.*mask_token|.*position_ids")
QUERIES = re.compile(r"(|.*?\.)(?:encoder\.)?(?:query|q)\.weight")
POSITIONS = r".*(?:pos_embed|position_embeddings\.weight)"
GATES = re.compile(r"(.*mlp\.)(?:gate|up)_proj\.(weight|bias)")
BIASES = {  # settings of DINOv3 in transformers: the layers of which they say whether they have a bias
    "query_bias": "q_proj", "value_bias": "v_proj", "proj_bias": "o_proj", "mlp_bias": "(?:gate|up|down)_proj"
}  # fmt: skip
PROJECTIONS = re.compile(r"(.*attention\.)[qkv]_proj\.(weight|bias)")
BLOCK, INNER = r"(?:encoder\.backbone\.blocks|(?:encoder\.)?layers)\.(\d+)\.", r"backbone.network.blocks.\1."
SHARED: Renames = (
    (r"(?:encoder\.)?(?:query|q)\.", "queries."),
    (r"(?:class_predictor|class_head)\.", "head.classes."),
    (r"mask_head\.(\d)\.", r"head.masks.\1."),
    *((rf"mask_head\.fc{number + 1}\.", f"head.masks.{2 * number}.") for number in range(3)),
    (r"upscale(?:_block\.block)?\.(\d+)\.conv1\.", r"head.upscale.\1.up."),
    (r"upscale(?:_block\.block)?\.(\d+)\.conv2\.", r"head.upscale.\1.smooth."),
    (r"upscale(?:_block\.block)?\.(\d+)\.(?:norm|layernorm2d)\.", r"head.upscale.\1.norm."),
    ("attn_mask_probs", "mask_probabilities"),
    (r"layernorm\.", "backbone.network.norm."),
    (r"(?:embeddings|encoder\.backbone\.patch_embed)\.cls_token", "backbone.network.cls_token"),
    (r"(?:embeddings|encoder\.backbone\.patch_embed)\.register_tokens", "backbone.network.reg_token"),
    (r"embeddings\.position_embeddings\.weight", "backbone.network.pos_embed"),
    (
        r"(?:embeddings|encoder\.backbone\.patch_embed)\.patch_embeddings\.(?:projection\.)?",
        "backbone.network.patch_embed.proj.",
    ),
    (BLOCK + r"attention\.(?:out_proj|o_proj|proj_out)\.", INNER + "attn.proj."),
    (BLOCK + r"attention\.", INNER + "attn."),
    (BLOCK + r"mlp\.weights_in\.", INNER + "mlp.fc1."),
    (BLOCK + r"mlp\.(?:down_proj|weights_out)\.", INNER + "mlp.fc2."),
)
UP: dict[bool, Renames] = {  # of the first layers of a block's MLP, by whether it is gated
    False: ((BLOCK + r"mlp\.up_proj\.", INNER + "mlp.fc1."),),
    True: (
        (BLOCK + r"mlp\.gate_proj\.", INNER + "mlp.fc1_g."),
        (BLOCK + r"mlp\.up_proj\.", INNER + "mlp.fc1_x."),
    ),
}
REST: Renames = ((BLOCK, INNER), (r"encoder\.backbone\.", "backbone.network."))
ACTIVATIONS = {  # names of transformers: those of timm, if they differ
    "swish": "silu", "gelu_python": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "gelu_accurate": "gelu_tanh",
}  # fmt: skip
IMAGE_SIZE = 640
"""The default in transformers, whose ``config.json`` leaves it out."""
SCALES: dict[bool, Renames] = {  # of the layer scales, by whether the transformer is timm's Eva
    False: ((BLOCK + r"layer_scale([12])\.lambda1", INNER + r"ls\2.gamma"),),
    True: ((BLOCK + r"layer_scale([12])\.lambda1", INNER + r"gamma_\2"),),
}


def arrange(states: Sequence[State], settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """One state dict of a file, or of a file of differences and its base; ``settings``: its ``config.json``, options.

    Prefixes are removed, and the projections to queries, keys and values are joined as in timm.
    """
    networks = [state for state in states if any(map(QUERIES.fullmatch, state))]
    if len(networks) != 1:
        raise UserError(
            f"{len(states)} files, {len(networks)} of them with queries (q.weight or query.weight); expected one file "
            "of an EoMT, and for the original files on DINOv3 also the file of its pretrained transformer"
        )
    state, bases = _without_prefix(networks[0]), [part for part in states if part is not networks[0]]
    if any(key.startswith("encoder.backbone.patch_embed.patch_embeddings") for key in state):
        state = _with_base(state, bases)
    elif bases:
        raise UserError(
            "the second file has no effect: this EoMT holds all of its weights; give its file alone"
        )
    state = {
        key: value
        for key, value in state.items()
        if value.numel() and not NOT_WEIGHTS.fullmatch(key)  # transformers saves zero register tokens, too
    }
    position = "embeddings.position_embeddings.weight"
    if position in state and state[position].ndim == 2:
        state[position] = state[position][None]
    if "attn_mask_probs" not in state:  # early files of transformers
        count = settings.get("query_blocks", settings.get("num_blocks"))
        if not isinstance(count, int) or count < 1:
            raise UserError(
                "attn_mask_probs is missing, and no config.json next to the file has num_blocks; put it there, or add "
                "--set query_blocks=N, the number of last blocks that process queries"
            )
        state["attn_mask_probs"] = torch.zeros(count)
    return _joined_gates(_joined_projections(_with_zero_biases(state, settings)))


def _without_prefix(state: State) -> dict[str, Tensor]:
    """The state dict without the names of the modules around the network, such as ``module.`` or ``network.``."""
    prefixes = dict.fromkeys(match[1] for key in state if (match := QUERIES.fullmatch(key)))
    if len(prefixes) > 1:
        listed = ", ".join(prefix or "no prefix" for prefix in prefixes)
        raise UserError(
            f"the file contains {len(prefixes)} networks with queries ({listed}); expected one; save that one alone, "
            "for example the averaged one"
        )
    (prefix,) = prefixes
    parts = prefix.split(".")[:-1]
    outer = [".".join(parts[:count]) + "." for count in range(len(parts), 0, -1)]
    starts = {key: next((start for start in outer if key.startswith(start)), "") for key in state}
    return {key.removeprefix(starts[key]): value for key, value in state.items()}


def _with_base(differences: State, bases: Sequence[State]) -> dict[str, Tensor]:
    """The network of a file of differences; its transformer is added to that of the base file."""
    if len(bases) != 1:
        raise UserError(
            "the file holds differences to a pretrained DINOv3; give its model.safetensors, too: "
            "segwright convert FILE BASE --family eomt --out model.safetensors"
        )
    base = {re.sub(r"\A(model\.)?layers?\.", "blocks.", key): value for key, value in bases[0].items()}
    state = dict(differences)
    for key, value in differences.items():
        if key.startswith("encoder.backbone."):
            name = key.removeprefix("encoder.backbone.").replace("patch_embed.", "embeddings.")
            if name not in base or base[name].shape != value.shape:
                raise UserError(
                    f"the base file has no {name} of shape {tuple(value.shape)}; expected the DINOv3 of {key}"
                )
            state[key] = base[name].float() + value.float()
    return state


def _with_zero_biases(state: State, settings: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict with zeros for the biases that a DINOv3 lacks by its ``config.json``."""
    lacking = [layer for flag, layer in BIASES.items() if settings.get(flag) is False]
    if lacking[:2] == ["q_proj", "v_proj"]:
        del lacking[:2]  # without both of them it is another network
    pattern = re.compile(rf"(.*\.(?:{'|'.join(lacking)})\.)weight")
    layers = [match[1] for key in state if lacking and (match := pattern.fullmatch(key))]
    zeros = {f"{layer}bias": torch.zeros(len(state[f"{layer}weight"])) for layer in layers}
    return {**zeros, **state}


def _joined_projections(state: State) -> dict[str, Tensor]:
    """The state dict with one ``qkv`` for each ``q_proj``, ``k_proj`` and ``v_proj``; without key biases two biases."""
    result = {key: value for key, value in state.items() if not PROJECTIONS.fullmatch(key)}
    groups = dict.fromkeys(match.groups() for key in state if (match := PROJECTIONS.fullmatch(key)))
    for prefix, kind in groups:
        names = [f"{prefix}{part}_proj.{kind}" for part in "qkv"]
        missing = [name for name in names if name not in state]
        if kind == "bias" and not missing and _is_dinov3(state):
            raise UserError(f"eomt: the file has {names[1]}; expected a DINOv3, whose keys have no bias")
        if kind == "bias" and missing == names[1:2]:
            result[f"{prefix}q_bias"], result[f"{prefix}v_bias"] = state[names[0]], state[names[2]]
        elif missing:
            raise UserError(f"eomt: {', '.join(missing)} is missing")
        else:
            result[f"{prefix}qkv.{kind}"] = torch.cat([state[name] for name in names])
    return result


def _joined_gates(state: State) -> dict[str, Tensor]:
    """The state dict with one first layer per gated MLP, as in timm's DINOv2; timm's DINOv3 has two of them."""
    if _rotary(state):
        return dict(state)
    result = {key: value for key, value in state.items() if not GATES.fullmatch(key)}
    for prefix, kind in dict.fromkeys(match.group(1, 2) for key in state if (match := GATES.fullmatch(key))):
        names = [f"{prefix}{part}_proj.{kind}" for part in ("gate", "up")]
        if missing := [name for name in names if name not in state]:
            raise UserError(f"eomt: {', '.join(missing)} is missing")
        result[f"{prefix}weights_in.{kind}"] = torch.cat([state[name] for name in names])
    return result


def _is_dinov3(state: State) -> bool:
    """Whether the names are those of the DINOv3 of transformers."""
    layer = r"(embeddings|encoder\.backbone\.patch_embed)\.patch_embeddings\.weight"
    return any(re.fullmatch(layer, key) for key in state)


def _rotary(state: State) -> bool:
    """Whether the transformer is a DINOv3, timm's Eva: its positions are rotations, without any weights."""
    if _is_dinov3(state) or any(key.endswith("attention.q_bias") for key in state):
        return True
    return not any(re.fullmatch(rf"{POSITIONS}|.*qkv\.bias", key) for key in state)


def describe(
    architecture: str,
    state: State,
    *,
    heads: int | None = None,
    task: Task = "auto",
    settings: Mapping[str, Any] | None = None,
) -> Description:
    """The network of a state dict, as ``arrange`` returns it; ``heads``: of the attention, ``task``: of the decoder."""
    settings = settings or {}
    rotary = _rotary(state)
    patches = _tensor(
        state,
        r"(embeddings|.*patch_embed)\..*(projection|proj|patch_embeddings)\.weight",
        "encoder.backbone.patch_embed.proj.weight",
        "embeddings.patch_embeddings.projection.weight",
    )
    channels, bands, patch = patches.shape[0], patches.shape[1], patches.shape[2]
    heads = heads or settings.get("num_attention_heads") or channels // (128 if channels == 4096 else 64)
    if not heads or channels % heads:
        raise UserError(
            f"the file has {channels} channels; expected the number of attention heads: --set heads=N"
        )
    registers = [
        value.shape[1] for key, value in state.items() if key.endswith(("reg_token", "register_tokens"))
    ]
    name, hidden = _transformer(state, rotary=rotary)
    activation, original = _activation(settings), any(key.startswith("class_head.") for key in state)
    backbone = ViTConfig(
        name,
        patch_size=patch,
        image_size=(512, 512) if rotary else _image_size(state, patch),
        depth=_count(state, BLOCK),
        channels=channels,
        heads=heads,
        registers=registers[0] if registers else 0,
        mlp_ratio=hidden / channels
        if int(channels * (hidden / channels)) == hidden
        else (hidden + 0.5) / channels,
        activation=None if "giant" in name else activation,  # DINOv2's gates have SiLU in any case
        rope_temperature=_rope_temperature(settings) if rotary else None,
        norm_eps=settings.get("layer_norm_eps", 1e-5 if rotary else 1e-6),
    )
    drops = _drops_remainder(settings, patch)
    config = EoMTConfig(
        backbone,
        queries=output_channels(state, "q.weight", "query.weight", "encoder.query.weight"),
        query_blocks=state["attn_mask_probs"].numel(),
        upscale=_count(state, r"upscale(?:_block\.block)?\.(\d+)\."),
        activation="gelu" if original or activation is None else activation,
        remainder="drop" if drops else "pad",
    )
    mean, std = _mean_and_std(state, bands)
    multiple = 1 if drops else patch
    contract = InputContract("RGB" if bands == 3 else "bands", mean, std, (0.0,) * bands, multiple)
    classes = output_channels(state, "class_head.bias", "class_predictor.bias") - 1
    renames = (*SHARED, *UP["_plus_" in name], *SCALES[rotary], *REST)
    return Description(config, contract, renames, classes, QueryDecoder(task))


def _activation(settings: Mapping[str, Any]) -> str | None:
    """The name in timm of the activation in ``config.json``; None without one."""
    name: str | None = settings.get("hidden_act")
    return None if name is None else ACTIVATIONS.get(name, name)


def _drops_remainder(settings: Mapping[str, Any], patch: int) -> bool:
    """Whether by ``config.json`` of transformers the side of the images is no multiple of the patch."""
    size = settings.get("image_size", IMAGE_SIZE)
    return (
        str(settings.get("model_type", "")).startswith("eomt") and isinstance(size, int) and size % patch > 0
    )


def _rope_temperature(settings: Mapping[str, Any]) -> float | None:
    parameters = settings.get("rope_parameters") or settings
    temperature: float | None = parameters.get("rope_theta")
    return temperature


def _mean_and_std(state: State, bands: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the images, 0..255; the original files contain those of 0..1."""
    fields = InputContract()
    given = [state.get(f"encoder.pixel_{name}") for name in ("mean", "std")]
    scaled = [
        tuple(round(255 * value, 4) for value in each.flatten().tolist())
        for each in given
        if each is not None and each.numel() == bands
    ]
    if len(scaled) == len(given) and min(scaled[1]) > 0:
        return scaled[0], scaled[1]
    return (fields.mean, fields.std) if bands == 3 else ((0.0,) * bands, (1.0,) * bands)


def _transformer(state: State, *, rotary: bool) -> tuple[str, int]:
    """The name in timm of a network with the layers of this one, of another size; the width of its MLP."""
    blocks = "encoder.backbone.blocks.0.mlp", "layers.0.mlp"
    first, last = ((f"{block}.{layer}.weight" for block in blocks) for layer in ("fc1", "fc2"))
    up = _tensor(state, BLOCK + r"mlp\.(?:fc1|up_proj|weights_in)\.weight", *first).shape[0]
    down = _tensor(state, BLOCK + r"mlp\.(?:fc2|down_proj|weights_out)\.weight", *last).shape[1]
    if not rotary:
        return ("vit_giant" if up == 2 * down else "vit_small") + "_patch14_reg4_dinov2", up
    gated = any(GATES.fullmatch(key) and ".gate_proj." in key for key in state)
    biased = any(key.endswith("attention.q_bias") for key in state)
    return f"vit_small{'_plus' * gated}_patch16_dinov3{'_qkvb' * biased}", up


def _tensor(state: State, pattern: str, original: str, renamed: str) -> Tensor:
    """The first tensor whose name matches; ``UserError`` with its name in the original files, or in transformers."""
    for key, value in state.items():
        if re.fullmatch(pattern, key):
            return value
    name = renamed if any(key.startswith(("embeddings.", "layers.")) for key in state) else original
    raise UserError(f"eomt: {name} is missing among the {len(state)} tensors; expected an EoMT")


def _count(state: State, pattern: str) -> int:
    """One more than the highest number in names that start with the pattern."""
    return 1 + max((int(match[1]) for key in state if (match := re.match(pattern, key))), default=-1)


def _image_size(state: State, patch: int) -> tuple[int, int]:
    """The image size in pixels whose patches the position embedding has; the image is square."""
    names = "encoder.backbone.pos_embed", "embeddings.position_embeddings.weight"
    count = _tensor(state, POSITIONS, *names).shape[1]
    side = round(count**0.5)
    if side * side != count:
        raise UserError(f"eomt: the position embedding has {count} patches; expected those of a square image")
    return side * patch, side * patch


FAMILY = Family(
    describe,
    options=("heads", "task"),
    arrange=arrange,
    settings_file="config.json",
    architecture="eomt",
    prefixes=(),
)
