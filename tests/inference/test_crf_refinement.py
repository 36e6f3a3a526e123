"""The dense CRF in evaluation and prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests import small
from tests.inference.test_test_time_augmentation import FunctionModel, ball, scene
from torch import Tensor
from torch.nn import functional as F

import segwright
from segwright.contracts import InputContract, QueryOutput
from segwright.decode import QueryDecoder
from segwright.decode.binary import Threshold
from segwright.decode.query import semantic_scores
from segwright.errors import UserError
from segwright.evaluation import search_crf
from segwright.inference import SINGLE_PASS, CRFRefinement, DenseCRF, SlidingWindows, TestTimeAugmentation
from segwright.labels import LabelSpace
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.wrap import wrap

CRF = DenseCRF(iterations=3, bilateral_sigma_rgb=10)


class Coarse(torch.nn.Module):
    """Class scores from colors, at an eighth of the size."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        small = F.avg_pool2d(images, 8)
        logits = 2 * torch.stack([0 * small[:, 0], small[:, 0], small[:, 2]], 1)
        return logits[:, : self.channels]


def image(index: int = 0) -> np.ndarray:
    return small.Blocks().open(None, "val")[index].image


@pytest.mark.parametrize("inner", [SINGLE_PASS, TestTimeAugmentation(flip=True), SlidingWindows((32, 32))])
def test_probabilities_at_the_size_of_the_image_are_refined(inner: object) -> None:
    model = wrap(Coarse(), small.LABELS)
    picture = image()
    images = torch.from_numpy(picture).permute(2, 0, 1)[None]
    padded = F.pad(images, (0, 8, 0, 24))  # 64 x 64
    sizes = (picture.shape[:2],)
    plain, size = inner(model, padded, sizes)
    logits = F.interpolate(plain.logits, size, mode="bilinear")[0, :, :40, :56]
    expected = CRF(logits.softmax(0), picture)
    refined, same_size = CRFRefinement(CRF, inner)(model, padded, sizes)
    assert same_size == size and refined.logits.shape[2:] == size
    torch.testing.assert_close(refined.logits[0, :, :40, :56].exp(), expected, atol=1e-6, rtol=0)


def test_it_improves_the_borders_of_a_coarse_network() -> None:
    model = wrap(Coarse(), small.LABELS)
    dataset = small.Blocks().open(None, "val")
    plain = segwright.evaluate(model, dataset)
    refined = segwright.evaluate(model, dataset, inference=CRFRefinement(DenseCRF(bilateral_sigma_rgb=30)))
    assert refined.scores.miou > plain.scores.miou + 0.03


def test_the_classes_of_a_model_with_object_centers_are_refined_and_the_rest_stays() -> None:
    picture = scene()
    images = torch.from_numpy(picture).permute(2, 0, 1)[None]
    model = FunctionModel(ball)
    plain, _ = SINGLE_PASS(model, images, ((37, 53),))
    refined, _ = CRFRefinement(CRF)(model, images, ((37, 53),))
    expected = CRF(plain.semantic[0].softmax(0), picture)
    torch.testing.assert_close(refined.semantic[0].exp(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(refined.offset, plain.offset)
    assert segwright.predict(model, picture, inference=CRFRefinement(CRF)).segments


def test_one_sigmoid_channel_is_refined_as_two_classes() -> None:
    labels = LabelSpace.of("ground", "ball")
    logits = torch.randn(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    model = wrap(torch.nn.Identity(), labels)
    model.module.forward = lambda _: logits
    pixels = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    refined, _ = CRFRefinement(CRF)(model, pixels, ((32, 32),))
    one = logits[0].sigmoid()
    expected = CRF(torch.cat([1 - one, one]), pixels[0].permute(1, 2, 0))
    torch.testing.assert_close(refined.logits[0, 0].sigmoid(), expected[1], atol=1e-5, rtol=0)


def test_the_class_scores_of_a_query_model_are_refined() -> None:
    generator = torch.Generator().manual_seed(0)
    masks, classes = (torch.randn(size, generator=generator) for size in ((1, 5, 32, 32), (1, 5, 4)))
    output = QueryOutput(4 * masks, 4 * classes)
    model = wrap(torch.nn.Identity(), small.LABELS, decoder=QueryDecoder("semantic"))
    model.module.forward = lambda _: output
    pixels = torch.randint(0, 256, (1, 3, 32, 32), dtype=torch.uint8)
    refined, _ = CRFRefinement(CRF)(model, pixels, ((32, 32),))
    scores = semantic_scores(output)[0]
    expected = CRF(scores / scores.sum(0), pixels[0].permute(1, 2, 0))
    torch.testing.assert_close(refined.logits[0], expected, atol=1e-6, rtol=0)


def test_what_a_crf_cannot_refine_is_refused() -> None:
    model = wrap(Coarse(), small.LABELS, decoder=Threshold())
    with pytest.raises(UserError, match="3 sigmoid outputs of this model overlap"):
        segwright.predict(model, image(), inference=CRFRefinement(CRF))
    bands = InputContract("bands", (0.0,) * 4, (1.0,) * 4, (0.0,) * 4)
    model = SmallFPNConfig().build(small.LABELS, bands).eval()
    with pytest.raises(UserError, match="images of 4 bands"):
        segwright.predict(model, np.zeros((40, 40, 4), np.uint8), inference=CRFRefinement(CRF))


def test_the_search_finds_the_best_parameters() -> None:
    model, dataset = wrap(Coarse(), small.LABELS), small.Blocks().open(None, "val")
    grid = {"bilateral_sigma_rgb": (1.0, 30.0), "bilateral_weight": (0.0, 4.0)}
    images: list[None] = []
    crf = DenseCRF(iterations=3, gaussian_weight=0)
    scores = search_crf(model, dataset, grid, crf=crf, on_image=lambda: images.append(None))
    assert len(scores) == 5 and len(images) == len(dataset)
    mious = [score.evaluation.scores.miou for score in scores]
    assert mious == sorted(mious, reverse=True)
    assert scores[0].crf == DenseCRF(3, gaussian_weight=0, bilateral_sigma_rgb=30.0, bilateral_weight=4.0)
    direct = segwright.evaluate(model, dataset, inference=CRFRefinement(scores[0].crf))
    assert scores[0].evaluation.scores.miou == direct.scores.miou
    without = next(score for score in scores if score.crf is None)
    assert without.evaluation.scores.miou == segwright.evaluate(model, dataset).scores.miou


def test_the_search_refuses_unknown_fields() -> None:
    model, dataset = wrap(Coarse(), small.LABELS), small.Blocks().open(None, "val")
    with pytest.raises(UserError, match="no field 'bilateral_sigma'"):
        search_crf(model, dataset, {"bilateral_sigma": (1.0,)})
