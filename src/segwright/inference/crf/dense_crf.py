"""Dense CRF: class probabilities refined by the colors of the image (fully connected conditional random field)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from math import ceil, inf
from typing import Any, TypeVar

import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from segwright.errors import UserError
from segwright.inference.crf.pair_blocks import PairBlocks

Probabilities = TypeVar("Probabilities", Tensor, NDArray[Any])
Filter = Callable[[Tensor], Tensor]
"""Weighted sums over all pixels: [pixels, classes] -> [pixels, classes]."""

PAIR_PIXELS = 31_000
"""Up to this number of pixels, the weights of all pairs of pixels that matter may be computed ..."""
BLOCK_PAIRS = 100_000_000
"""... if they are not more than this: 400 MB as float32. They never are up to 14,000 pixels."""

_KERNEL_BYTES = 2**30  # a larger kernel is computed anew, block by block, in every iteration
_BLOCK_BYTES = 2**27


@dataclass(frozen=True, slots=True)
class DenseCRF:
    """Mean-field inference in a fully connected CRF with Gaussian edge potentials (Krähenbühl and Koltun 2011).

    ``DenseCRF()(probabilities, image)`` makes pixels that are near each other, and those that are near and similar in
    color, agree on a class. It refines what a network with a coarse output says about borders and thin structures.

    Two pixels i and j with different classes cost w1 k1(i, j) + w2 k2(i, j) (Potts model). k1 is a Gaussian of their
    distance in pixels: ``gaussian_sigma``, ``gaussian_weight``. k2 is a Gaussian of distance and color:
    ``bilateral_sigma_xy`` in pixels, ``bilateral_sigma_rgb`` in gray levels 0..255, ``bilateral_weight``. A weight of
    0 switches a term off. ``iterations``: mean-field updates of all pixels together.

    The conventions are those of the authors' program and of pydensecrf. The unary energy is -log(probability), and the
    inference starts from the probabilities. Kernels are normalized symmetrically: k(i, j) / sqrt(n(i) n(j)), with n
    the sums of the rows. The message that a pixel receives includes the one from itself.

    The defaults are those that DeepLab v2 (Chen et al. 2018) uses with ResNet-101 on Pascal VOC. With VGG-16 it uses
    ``gaussian_sigma=2, gaussian_weight=2, bilateral_sigma_xy=65``, and DeepLab v1 uses ``gaussian_sigma=3,
    bilateral_sigma_xy=49, bilateral_sigma_rgb=5``. ``segwright evaluate --crf-search`` finds those of a dataset.

    ``exact``: compute all pairs in float64, for small images: time and memory grow with the square of the pixels.
    Otherwise the pairs within 4.5 standard deviations are computed in float32, if there are at most 100 million (always
    up to 14,000 pixels, never above 31,000). If there are more, k2 is approximated: by the pairs within 3.25 standard
    deviations where these are few, by a permutohedral lattice elsewhere (docs/crf.md says how closely). k1 ends
    at five standard deviations.
    """

    iterations: int = 10
    gaussian_sigma: float = 1.0
    gaussian_weight: float = 3.0
    bilateral_sigma_xy: float = 67.0
    bilateral_sigma_rgb: float = 3.0
    bilateral_weight: float = 4.0
    exact: bool = False

    def __post_init__(self) -> None:
        """Check the numbers."""
        for field in fields(self):
            value = getattr(self, field.name)
            if "sigma" in field.name and not 0 < value < inf:
                raise UserError(f"DenseCRF.{field.name} is {value}; expected a number above 0")
            if "weight" in field.name and not 0 <= value < inf:
                raise UserError(f"DenseCRF.{field.name} is {value}; expected a number of at least 0")
        if self.iterations < 0:
            raise UserError(f"DenseCRF.iterations is {self.iterations}; expected at least 0")

    def __call__(self, probabilities: Probabilities, image: NDArray[Any] | Tensor) -> Probabilities:
        """The refined probabilities [C, H, W], of the type, precision and device of ``probabilities``.

        ``probabilities``: floats [C, H, W] >= 0, at least two classes; they are normalized to the sum 1. ``image``: RGB
        uint8 [H, W, 3]. Both are NumPy arrays or tensors. ``UserError`` for anything else.
        """
        given = torch.as_tensor(probabilities)
        pixels = torch.as_tensor(image)
        _check(given, pixels)
        classes, height, width = given.shape
        dtype = torch.float64 if self.exact else torch.float32
        unary = given.to(dtype).reshape(classes, -1).T.clamp_min(torch.finfo(torch.float32).tiny).log()
        refined = self._mean_field(unary.contiguous(), self._terms(pixels.to(given.device), dtype))
        result = refined.T.reshape(classes, height, width).to(given.dtype)
        return result.contiguous() if isinstance(probabilities, Tensor) else result.contiguous().numpy()

    def _terms(self, image: Tensor, dtype: torch.dtype) -> list[tuple[float, Filter]]:
        """The weight and the filter of each kernel."""
        height, width = image.shape[:2]
        terms: list[tuple[float, Filter]] = []
        if self.gaussian_weight:
            reach = 9.0 if self.exact else 5.0  # exp(-9**2 / 2) is below the precision of float64
            spatial = _SpatialGaussian((height, width), self.gaussian_sigma, reach=reach)
            terms.append((self.gaussian_weight, spatial.filter))
        if self.bilateral_weight:
            features = self._features(image)
            filter = _DenseGaussian(features).filter if self.exact else _fast_gaussian(features)
            terms.append((self.bilateral_weight, filter))
        return terms

    def _features(self, image: Tensor) -> Float[Tensor, "pixels 5"]:
        """Position and color of each pixel, in standard deviations of the bilateral kernel."""
        height, width = image.shape[:2]
        rows = torch.arange(height, dtype=torch.float64, device=image.device)
        columns = torch.arange(width, dtype=torch.float64, device=image.device)
        position = torch.cartesian_prod(rows, columns) / self.bilateral_sigma_xy
        return torch.cat([position, image.reshape(-1, 3).double() / self.bilateral_sigma_rgb], 1)

    def _mean_field(self, unary: Tensor, terms: list[tuple[float, Filter]]) -> Tensor:
        """The approximate marginals [pixels, classes] for log probabilities ``unary``."""
        ones = unary.new_ones(unary.shape[0], 1)
        scales = [filter(ones).clamp_min(torch.finfo(unary.dtype).tiny).rsqrt() for _, filter in terms]
        marginals = unary.softmax(1)
        for _ in range(self.iterations):
            scores = unary.clone()
            for (weight, filter), scale in zip(terms, scales, strict=True):
                scores.addcmul_(filter(marginals * scale), scale, value=weight)
            marginals = scores.softmax(1)
        return marginals


def _fast_gaussian(features: Tensor) -> Filter:
    """Weighted sums in float32: by all pairs of near blocks if there are few, else by ``SparseOrDense``."""
    if len(features) <= PAIR_PIXELS:
        blocks = PairBlocks(features)
        if blocks.pairs <= BLOCK_PAIRS:
            return blocks.filter
    from segwright.inference.crf.near_pairs import SparseOrDense  # scipy is imported only here

    return SparseOrDense(features).filter


class _SpatialGaussian:
    """Gaussian weights of the distance of two pixels, row by row and column by column, up to ``reach`` sigmas."""

    def __init__(self, size: tuple[int, int], sigma: float, *, reach: float) -> None:
        self._size, self._sigma, self._reach = size, sigma, reach

    def filter(self, values: Tensor) -> Tensor:
        """The weighted sums over all pixels, [pixels, channels]."""
        channels = values.shape[1]
        maps = values.view(1, *self._size, channels).permute(0, 3, 1, 2)
        for axis, length in enumerate(self._size):
            radius = min(length - 1, ceil(self._reach * self._sigma))
            offset = torch.arange(-radius, radius + 1, dtype=values.dtype, device=values.device)
            kernel = (-0.5 * (offset / self._sigma) ** 2).exp()
            shape, padding = ((-1, 1), (radius, 0)) if axis == 0 else ((1, -1), (0, radius))
            weight = kernel.view(1, 1, *shape).expand(channels, -1, -1, -1).contiguous()
            maps = F.conv2d(maps, weight, padding=padding, groups=channels)
        return maps.permute(0, 2, 3, 1).reshape(-1, channels)


class _DenseGaussian:
    """Gaussian weights of the distance of two points, for all pairs, float64. ``features``: in standard deviations."""

    def __init__(self, features: Tensor) -> None:
        self._features = features - features.mean(0)
        self._half_squares = self._features.square().sum(1) / 2
        row_bytes = len(features) * self._features.element_size()
        self._rows = max(1, _BLOCK_BYTES // row_bytes)
        self._blocks = list(self._computed()) if row_bytes * len(features) <= _KERNEL_BYTES else None

    def _computed(self) -> Any:
        """The rows of the kernel, block by block."""
        for start in range(0, len(self._features), self._rows):
            rows = slice(start, start + self._rows)
            products = self._features[rows] @ self._features.T
            yield products.sub_(self._half_squares[rows, None]).sub_(self._half_squares).clamp_(max=0).exp_()

    def filter(self, values: Tensor) -> Tensor:
        """The weighted sums over all points, [points, channels]."""
        return torch.cat([block @ values for block in self._blocks or self._computed()])


def _check(probabilities: Tensor, image: Tensor) -> None:
    shape = list(probabilities.shape)
    if len(shape) != 3 or not probabilities.is_floating_point() or shape[0] < 2 or not probabilities.numel():
        text = f"{str(probabilities.dtype).removeprefix('torch.')} {shape}"
        raise UserError(
            f"probabilities are {text}; expected floats [classes, height, width], at least 2 classes"
        )
    if list(image.shape) != [*shape[1:], 3] or image.dtype != torch.uint8:
        text = f"{str(image.dtype).removeprefix('torch.')} {list(image.shape)}"
        raise UserError(
            f"image is {text}; expected RGB uint8 {[*shape[1:], 3]}, the size of the probabilities"
        )
    if not bool(torch.isfinite(probabilities).all()) or bool((probabilities < 0).any()):
        raise UserError("probabilities contain negative values, infinity or NaN; expected values from 0 to 1")
