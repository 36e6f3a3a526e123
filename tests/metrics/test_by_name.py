from __future__ import annotations

import pytest
from tests import own_metric

from segwright.errors import UserError
from segwright.metrics.boundary import BoundaryIoU, TrimapIoU
from segwright.metrics.by_name import metric_classes, metrics_from_text
from segwright.metrics.calibration import Calibration


def test_names_and_settings_are_written_as_in_python() -> None:
    assert metrics_from_text("BoundaryIoU") == (BoundaryIoU(),)
    text = "BoundaryIoU(ratio=0.01), TrimapIoU(widths=(3, 5)),Calibration( bins=10 )"
    assert metrics_from_text(text) == (BoundaryIoU(0.01), TrimapIoU((3, 5)), Calibration(10))
    assert metrics_from_text("TrimapIoU(widths=[7])") == (TrimapIoU((7,)),)


def test_metrics_of_a_file_are_known_by_their_name() -> None:
    (metric,) = metrics_from_text("BlockRecall(classes=(1,))", own_metric)
    assert metric == own_metric.BlockRecall((1,))
    with pytest.raises(UserError, match="unknown metric"):
        metrics_from_text("BlockRecall")


def test_every_metric_is_listed_and_has_help() -> None:
    assert {"BoundaryIoU", "TrimapIoU", "InstanceIoU", "CategoryIoU", "Calibration"} <= {*metric_classes()}
    assert "ConfusionMatrix" not in metric_classes()  # it counts maps, not predictions
    assert all(kind.__doc__ and "Scores:" in kind.__doc__ for kind in metric_classes().values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("BoundryIoU", "unknown metric; .* did you mean BoundaryIoU"),
        ("BoundaryIoU TrimapIoU", "not a list of metrics"),
        ("BoundaryIoU(0.1)", "expected the name of a metric, with settings as in"),
        ("BoundaryIoU(radius=3)", "BoundaryIoU has no setting 'radius'; expected ratio"),
        ("BoundaryIoU(counts=3)", "no setting 'counts'"),
        ("TrimapIoU(widths=x)", "widths is no plain value"),
        ("TrimapIoU(widths='3')", "TrimapIoU.widths"),
        ("CategoryIoU(x=1)", "expected no settings"),
        ("print('x')", "expected the name of a metric"),
        ("", "not a list of metrics"),
    ],
)
def test_wrong_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        metrics_from_text(text)
