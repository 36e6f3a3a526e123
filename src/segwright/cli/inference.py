"""Options that say how a model is run: ``evaluate`` and ``predict`` share them."""

from __future__ import annotations

import argparse
from typing import Any

from segwright.cli.options import refuse_options


def add_inference(parser: argparse.ArgumentParser) -> None:
    """``--scales``, ``--flip`` and ``--fuse``: test-time augmentation."""
    text = "multi-scale inference: scale factors (default: 1)"
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0], metavar="S", help=text)
    text = "average with the horizontally flipped image (test-time augmentation)"
    parser.add_argument("--flip", action="store_true", help=text)
    text = "how the class scores of all scales and flips are fused: mean of the probabilities, mean of logits, or the "
    text += "largest logit (default: probabilities)"
    parser.add_argument("--fuse", choices=("probabilities", "logits", "max"), help=text)


def inference_from_options(options: argparse.Namespace) -> Any:
    """The inference mode of ``--scales``, ``--flip`` and ``--fuse``; ``UserError`` for ``--fuse`` with one pass."""
    from segwright.inference.single_pass import SINGLE_PASS
    from segwright.inference.test_time_augmentation import TestTimeAugmentation

    if options.scales == [1.0] and not options.flip:
        refuse_options(options, "fuse", reason="without --scales or --flip, as there is only one pass")
        options.fuse = "probabilities"
        return SINGLE_PASS
    options.fuse = options.fuse or "probabilities"
    return TestTimeAugmentation(tuple(options.scales), flip=options.flip, fuse=options.fuse)
