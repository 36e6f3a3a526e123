"""Data loading: from an opened dataset to batches for training.

- ``sampling``: the order of the samples, ``ShuffledSampling``, ``RareClassSampling``, ``ClassUniformSampling``,
  ``RepeatFactorSampling`` and ``AspectRatioGrouping``
- ``augmented_samples``: ``AugmentedDataset``, the augmented sample at each position of that order
- ``targets``: the ground truth in the form that losses need, ``SemanticTargets`` and ``PanopticTargets``
- ``query_targets``: the same for query models, ``QueryTargets``
- ``batches``: padding, stacking and worker processes, ``Collate``, ``stack_images`` and ``load_batches``

The names are imported on first use, because targets and batches import torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segwright.lazy import lazy_names

if TYPE_CHECKING:
    from segwright.data.loading.augmented_samples import AugmentedDataset as AugmentedDataset
    from segwright.data.loading.batches import Collate as Collate
    from segwright.data.loading.batches import default_workers as default_workers
    from segwright.data.loading.batches import load_batches as load_batches
    from segwright.data.loading.batches import pad_and_stack as pad_and_stack
    from segwright.data.loading.batches import stack_images as stack_images
    from segwright.data.loading.query_targets import QueryTargets as QueryTargets
    from segwright.data.loading.sampling import AspectRatioGrouping as AspectRatioGrouping
    from segwright.data.loading.sampling import ClassUniformSampling as ClassUniformSampling
    from segwright.data.loading.sampling import RareClassSampling as RareClassSampling
    from segwright.data.loading.sampling import RepeatFactorSampling as RepeatFactorSampling
    from segwright.data.loading.sampling import SampleOrder as SampleOrder
    from segwright.data.loading.sampling import SampleRef as SampleRef
    from segwright.data.loading.sampling import Sampling as Sampling
    from segwright.data.loading.sampling import ShuffledSampling as ShuffledSampling
    from segwright.data.loading.sampling import class_counts as class_counts
    from segwright.data.loading.sampling import image_sizes as image_sizes
    from segwright.data.loading.sampling import positions as positions
    from segwright.data.loading.targets import PanopticTargets as PanopticTargets
    from segwright.data.loading.targets import SemanticTargets as SemanticTargets
    from segwright.data.loading.targets import TargetGenerator as TargetGenerator
    from segwright.data.loading.targets import center_targets as center_targets

_NAMES = {
    "augmented_samples": "AugmentedDataset",
    "batches": "Collate default_workers load_batches pad_and_stack stack_images",
    "query_targets": "QueryTargets",
    "sampling": """
        AspectRatioGrouping ClassUniformSampling RareClassSampling RepeatFactorSampling SampleOrder
        SampleRef Sampling ShuffledSampling class_counts image_sizes positions""",
    "targets": "PanopticTargets SemanticTargets TargetGenerator center_targets",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _NAMES)
