"""Inference modes: how a model is run on images. The output goes to a decoder (``segwright.decode``).

- ``single_pass``: ``SinglePass``, normalize the images and run the model; ``InferenceMode``, the protocol
- ``test_time_augmentation``: ``TestTimeAugmentation``, multi-scale inference and horizontal flip
- ``batches``: a stream of images through a model, in batches of one size
- ``temporal_smoothing``: ``TemporalSmoothing``, class scores averaged over the frames of a video
- ``pillow_resize``: resizing tensors as Pillow does
"""

from segwright.inference.single_pass import SINGLE_PASS, InferenceMode, SinglePass
from segwright.inference.temporal_smoothing import TemporalSmoothing
from segwright.inference.test_time_augmentation import TestTimeAugmentation

__all__ = ["SINGLE_PASS", "InferenceMode", "SinglePass", "TemporalSmoothing", "TestTimeAugmentation"]
