"""The public names of ``segwright.metrics``, and what their import costs."""

from __future__ import annotations

from segwright import metrics


def test_public_names_exist_and_have_help() -> None:
    for name in metrics.__all__:
        assert getattr(metrics, name).__doc__
        assert name in metrics.__doc__ or name.endswith("_scores")
