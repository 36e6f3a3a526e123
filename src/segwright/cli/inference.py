"""Options that say how a model is run: ``evaluate`` and ``predict`` share them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from segwright.cli.crf import add_crf, crf_from_option
from segwright.cli.options import OptionGroup, parse_count, parse_size, refuse_options

if TYPE_CHECKING:
    from segwright.inference.single_pass import InferenceMode

OVERLAP = 0.5
BLENDS = ("gaussian", "linear", "uniform")


def add_inference(parser: argparse.ArgumentParser) -> None:
    """``--scales``, ``--flip``, ``--fuse``: test-time augmentation; ``--windows`` and its options; ``--crf``."""
    group = parser.add_argument_group("test-time augmentation, sliding windows, CRF")
    text = "multi-scale inference: factors by which images are resized (default: 1)"
    group.add_argument("--scales", type=float, nargs="+", default=[1.0], metavar="S", help=text)
    text = "average with the horizontally flipped image (test-time augmentation)"
    group.add_argument("--flip", action="store_true", help=text)
    text = "how class scores of scales, flips and windows are combined: mean of probabilities, mean of logits, or "
    text += "largest logit (default: probabilities)"
    group.add_argument("--fuse", choices=("probabilities", "logits", "max"), help=text)
    text = "sliding windows of this height and width, in pixels: for large images, or if memory is short"
    group.add_argument("--windows", type=parse_size, metavar="H,W", help=text)
    text = f"least overlap of neighboring windows, as a fraction of a window (default: {OVERLAP})"
    group.add_argument("--overlap", type=float, metavar="F", help=text)
    text = (
        "weights of a window where windows overlap: falling toward its border, or equal (default: gaussian)"
    )
    group.add_argument("--blend", choices=BLENDS, help=text)
    add_crf(group)


def add_batch(parser: OptionGroup) -> None:
    """``--batch``."""
    text = (
        "batch size: images of one size through the network at once (default: 1 on a CPU, up to 8 on a GPU)"
    )
    parser.add_argument("--batch", type=parse_count, metavar="N", help=text)


def check_inference(options: argparse.Namespace) -> None:
    """``UserError``, before torch is imported, for an option without effect."""
    if options.windows is None:
        refuse_options(options, "overlap", "blend", reason="without --windows")
        if not _is_augmented(options):
            reason = "without --scales, --flip or --windows: there is only one pass"
            refuse_options(options, "fuse", reason=reason)


def inference_from_options(options: argparse.Namespace) -> InferenceMode:
    """The inference mode of the options; ``UserError`` for a wrong value."""
    from segwright.inference.crf_refinement import CRFRefinement

    crf = crf_from_option(options)
    inner = _passes(options)
    return inner if crf is None else CRFRefinement(crf, inner)


def inference_metadata(options: argparse.Namespace) -> dict[str, Any]:
    """What ``inference_from_options`` used, for the JSON file of an evaluation."""
    names = ("scales", "flip", "fuse") + (("windows", "overlap", "blend") if options.windows else ())
    metadata = {name: getattr(options, name) for name in names}
    crf = crf_from_option(options)
    return metadata if crf is None else {**metadata, "crf": asdict(crf)}


def _is_augmented(options: argparse.Namespace) -> bool:
    return bool(options.flip) or options.scales != [1.0]


def _passes(options: argparse.Namespace) -> InferenceMode:
    """The inference mode of the options for test-time augmentation and windows."""
    from segwright.inference.single_pass import SINGLE_PASS
    from segwright.inference.sliding_windows import SlidingWindows
    from segwright.inference.test_time_augmentation import TestTimeAugmentation

    options.fuse = options.fuse or "probabilities"
    inner: InferenceMode = SINGLE_PASS
    if options.windows is not None:
        options.overlap = OVERLAP if options.overlap is None else options.overlap
        options.blend = options.blend or BLENDS[0]
        inner = SlidingWindows(options.windows, options.overlap, blend=options.blend, fuse=options.fuse)
    if not _is_augmented(options):
        return inner
    return TestTimeAugmentation(tuple(options.scales), flip=options.flip, fuse=options.fuse, inner=inner)
