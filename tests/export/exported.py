"""Small models and images for tests of the export."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from segwright.config import walk
from segwright.contracts import Model
from segwright.decode.panoptic import CenterDecoder
from segwright.export.parity import image_samples
from segwright.labels import LabelSpace
from segwright.models import EoMTConfig, SmallFPNConfig
from segwright.models.backbones import ViTConfig
from segwright.models.weights.model_file import without_weights
from segwright.recipes import load_recipe
from segwright.samples import Sample

SEMANTIC = LabelSpace.of("road", "wall", "sky")
PANOPTIC = LabelSpace.of("road", "wall", "car", "person", things=("car", "person"))


def recipe_model(name: str, *, seed: int = 0, depth: int | None = None) -> Model:
    """The model of a recipe, made small, with random weights that make varied predictions.

    ``depth``: the number of blocks of a vision transformer; at most so many of them process queries.
    """
    recipe = load_recipe(name).tiny()
    for part in walk(recipe.model):
        if isinstance(part, ViTConfig) and depth is not None:
            part.depth = depth
        if isinstance(part, EoMTConfig) and depth is not None:
            part.query_blocks, part.annealing = min(part.query_blocks, depth), ()
        if isinstance(part, SmallFPNConfig):
            part.depths = (1,) * len(part.depths)  # each further block is the same operations once more
    torch.manual_seed(seed)
    labels = SEMANTIC if recipe.task == "semantic" else PANOPTIC
    if name.startswith("sigmoid.road"):
        labels = LabelSpace.of("rest", "road")
    if name.startswith("sigmoid.street"):
        labels = LabelSpace.of(*(f"class_{i}" for i in range(9)))
    config: Any = without_weights(recipe.model)
    model: Model = config.build(labels, recipe.input)
    model.decoder = recipe.decoder
    if isinstance(model.decoder, CenterDecoder):
        model.decoder = replace(model.decoder, threshold=-1.0, top_k=40, stuff_area=16)
    return model.eval()


def images(model: Model, *sizes: tuple[int, int]) -> list[Sample]:
    """One image of smooth random colors per size."""
    result = []
    for seed, (height, width) in enumerate(sizes):
        random = np.random.default_rng(seed)
        blocks = random.integers(0, 256, (-(-height // 16), -(-width // 16), len(model.input.mean)))
        image = np.kron(blocks, np.ones((16, 16, 1)))[:height, :width]
        result.append((image + random.normal(0, 9, image.shape)).clip(0, 255).astype(np.uint8))
    return image_samples(result, [f"image_{i}" for i in range(len(sizes))])
