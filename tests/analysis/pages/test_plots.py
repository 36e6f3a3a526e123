"""Figures as text: their content, and that nothing is drawn without data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segwright.analysis.pages import plots


def lines(count: int = 30) -> list[dict[str, Any]]:
    return [
        {"step": s, "loss": 2.0 / s, "loss/ce": 1.5 / s, "lr": 0.1 * s, "images_per_second": 10.0 + s % 3}
        for s in range(1, count + 1)
    ]


@pytest.mark.parametrize("plot", [plots.losses, plots.learning_rate, plots.throughput, plots.validation])
def test_without_lines_there_is_no_plot(plot: Any) -> None:
    assert plot([]) == ""


@pytest.mark.parametrize("plot", [plots.losses, plots.learning_rate, plots.throughput])
def test_a_curve_is_one_picture_without_links(plot: Any) -> None:
    picture = plot(lines())
    assert picture.count("<svg") == picture.count("</svg>") == 1
    assert "http" not in picture
    assert "<script" not in picture


def test_a_single_line_is_drawn_too() -> None:
    assert "<svg" in plots.losses(lines(1))


def test_validation_names_its_best_step() -> None:
    figure = plots.validation(
        [{"step": s, "miou": m, "pixel_accuracy": 0.9} for s, m in ((1, 0.2), (2, 0.6), (3, 0.5))]
    )
    assert "60.0" in figure
    assert "step 2" in figure


def test_scores_that_are_unknown_are_left_out() -> None:
    assert "<svg" in plots.validation([{"step": 1, "miou": None}, {"step": 2, "miou": 0.5}])
    assert plots.validation([{"step": 1, "miou": None}]) == ""


def test_a_histogram_and_the_shares_of_classes_are_drawn() -> None:
    assert "<svg" in plots.histogram(np.array([0.1, 0.5, 0.9]))
    assert plots.histogram(np.array([])) == ""
    fractions = np.array([0.5, 0.3, 0.2])
    assert "<svg" in plots.class_fractions(fractions, fractions[::-1], ["road", "car & van", "sky <1>"])


def test_names_are_escaped() -> None:
    fractions = np.array([0.5, 0.5])
    picture = plots.class_fractions(fractions, fractions, ["<b>", "a & b"])
    assert "<b>" not in picture


def test_a_matrix_shows_its_numbers_if_there_is_room() -> None:
    names = ["a", "b"]
    assert ">75<" in plots.matrix(np.array([[0.75, 0.25], [0.0, 1.0]]), names, names, "recall")
    many = [f"class {i}" for i in range(150)]
    assert ">75<" not in plots.matrix(np.full((150, 150), 0.75), many, many, "recall")


def test_smoothing_keeps_constants_and_length() -> None:
    values = np.full(40, 3.0)
    assert np.allclose(plots.smoothed(values), values)
    noisy = np.random.default_rng(0).normal(0, 1, 400)
    assert plots.smoothed(noisy).std() < noisy.std()
    assert len(plots.smoothed(noisy)) == 400
