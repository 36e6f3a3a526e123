"""Decoders (post-processing): from the output of a model to one prediction per image.

A decoder is a dataclass; it is a field of the recipe and is saved with the model. It is called with the output, the
sizes of the images, the size of the padded inputs, and the label space.

- ``argmax``: ``Argmax``, the class with the highest logit (semantic segmentation)
- ``cells``: the same in a seventh of the time where one class is clear among neighboring logits
- ``binary``: ``Threshold``, sigmoid heads (binary and multi-label segmentation)
- ``panoptic``: ``CenterDecoder``, the post-processing of Panoptic-DeepLab (panoptic and instance segmentation)
- ``query``: ``QueryDecoder``, masks of queries (semantic, panoptic and instance segmentation)
- ``query_masks``: ``ImageMasks``, the masks of queries at the size of the image, some of them at a time
- ``default``: ``DefaultDecoder`` for models without a decoder, and ``decoder_of(model)``
- ``uncertainty``: ``WithUncertainty``, another decoder together with confidence and entropy of every pixel
- ``minimum_score``: ``MinimumScore``, another decoder without objects of low scores
- ``grouping``, ``nearest``: assigning pixels to object centers, fast
- ``class_centers``: the same within each class, for objects inside other objects
- ``segment_scores``: confidence scores of segments
- ``padding``: cutting off the padding of a batch
"""

from segwright.decode.argmax import Argmax
from segwright.decode.binary import Threshold
from segwright.decode.default import DefaultDecoder, decoder_of
from segwright.decode.minimum_score import MinimumScore
from segwright.decode.panoptic import CenterDecoder, merge_panoptic
from segwright.decode.query import QueryDecoder
from segwright.decode.segment_scores import segment_scores
from segwright.decode.uncertainty import WithUncertainty

__all__ = [
    "Argmax",
    "CenterDecoder",
    "DefaultDecoder",
    "MinimumScore",
    "QueryDecoder",
    "Threshold",
    "WithUncertainty",
    "decoder_of",
    "merge_panoptic",
    "segment_scores",
]
