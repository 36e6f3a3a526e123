"""Objects that overlap, in one map: every combination of objects that covers some pixels is a segment of its own."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int32
from numpy.typing import NDArray

from segwright.samples import Segment


def overlap_map(
    size: tuple[int, int], objects: Iterable[tuple[int, int, NDArray[np.bool_]]]
) -> tuple[Int32[np.ndarray, "height width"], tuple[Segment, ...]]:
    """The map of segments of ``objects``, and the segments; the masks are needed one at a time only.

    ``objects``: (id, class index, mask [H, W]) of each, the lowest first. Pixels of a single object have its id. Those
    of several have an id above all others; their segment has the class of the highest object, and lists all of them.
    """
    index = np.zeros(size, dtype=np.int64)
    combinations: list[tuple[int, ...]] = [()]
    classes: dict[int, int] = {}
    for identity, class_index, mask in objects:
        classes[identity] = class_index
        covered, inverse = np.unique(index[mask], return_inverse=True)
        index[mask] = len(combinations) + inverse
        combinations += [(*combinations[below], identity) for below in covered.tolist()]
    present = np.unique(index)
    ids = np.zeros(len(combinations), dtype=np.int32)
    segments, following = [], max(classes, default=0) + 1
    for number in present.tolist():
        members = combinations[number]
        if len(members) == 1:
            ids[number] = members[0]
            segments.append(Segment(members[0], classes[members[0]]))
        elif members:
            ids[number], following = following, following + 1
            objects_here = tuple((member, classes[member]) for member in members)
            segments.append(Segment(int(ids[number]), classes[members[-1]], objects=objects_here))
    return ids[index], tuple(sorted(segments, key=lambda segment: segment.id))
