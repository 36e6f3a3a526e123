"""Inference modes: how a model is run on images. The output goes to a decoder (``segwright.decode``).

- ``single_pass``: ``SinglePass``, normalize the images and run the model; ``InferenceMode``, the protocol
- ``test_time_augmentation``: ``TestTimeAugmentation``, multi-scale inference and horizontal flip
- ``batches``: a stream of images through a model, in batches of one size
- ``allocator``: memory that is kept for the next image, or the next training step
- ``sliding_windows``: ``SlidingWindows``, overlapping windows of an image, blended; strips of images of any size
- ``ensembles``: ``ensemble``, several models as one: ``Ensemble``
- ``crf_refinement``: ``CRFRefinement``, any inference mode with its class probabilities refined by a dense CRF
- ``crf``: ``DenseCRF``, the fully connected CRF itself, and its Gaussian filtering
- ``temporal_smoothing``: ``TemporalSmoothing``, class scores averaged over the frames of a video
- ``published``: the inference modes of other projects, by which their published scores were computed
- ``fusion``: fusing the outputs of several passes
- ``pillow_resize``: resizing tensors as Pillow does
"""

from segwright.inference.crf.dense_crf import DenseCRF
from segwright.inference.crf_refinement import CRFRefinement
from segwright.inference.ensembles import Ensemble, ensemble
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode, SinglePass, with_disagreement
from segwright.inference.sliding_windows import SlidingWindows
from segwright.inference.temporal_smoothing import TemporalSmoothing
from segwright.inference.test_time_augmentation import TestTimeAugmentation

__all__ = [
    "SINGLE_PASS",
    "CRFRefinement",
    "DenseCRF",
    "Ensemble",
    "InferenceMode",
    "SinglePass",
    "SlidingWindows",
    "TemporalSmoothing",
    "TestTimeAugmentation",
    "ensemble",
    "with_disagreement",
]
