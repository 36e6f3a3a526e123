import math
import re
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest

from segwright.analysis.pages import page, plots
from segwright.analysis.reports import confusions, report_cases, report_page
from segwright.analysis.reports.report_cases import Case
from segwright.analysis.reports.report_page import RunReport, render
from segwright.labels import LabelSpace, spread_colors

DASH = "\N{EN DASH}"
COUNTS = [[60, 30, 10], [5, 40, 5], [0, 20, 30]]  # rows are ground truth; the sum is 200


def labels(*names: str) -> LabelSpace:
    return LabelSpace("test", names, spread_colors(len(names)), tuple(range(len(names))))


def evaluation(**values):
    return {
        "miou": 0.481, "pixel_accuracy": 0.65, "class_accuracy": 0.6667, "frequency_weighted_iou": 0.5,
        "images": 1234, "split": "val", "confusion": COUNTS,
        "per_image": [{"name": "a", "miou": 0.4, "pixel_accuracy": 0.5}, {"name": "b", "miou": None}],
        **values,
    }  # fmt: skip


def case(name="a.jpg", group="worst", miou=0.3):
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, (24, 32)).astype(np.uint8)
    truth[:4] = 255
    image = random.integers(0, 255, (24, 32, 3)).astype(np.uint8)
    return Case(name, miou, 0.8, image, truth, np.roll(truth, 2, axis=1), group)


def full_run(folder=None, **values):
    steps = [
        {"step": s, "loss": 3 / s + 1, "loss/ce": 2 / s, "loss/dice": 1 / s + 1, "lr": 0.1 / s,
         "images_per_second": 50.0 + s % 3, "data_wait": 0.0, "seconds": 2.0 * s}
        for s in range(1, 101)
    ]  # fmt: skip
    visualizations = []
    if folder:
        visualizations = [folder / f"step_{s}.png" for s in (1, 2)]
        for path in visualizations:
            cv2.imwrite(str(path), np.full((30, 60, 3), 90, np.uint8))
    fields = {
        "name": "a run",
        "labels": labels("sky", "road", "car"),
        "recipe_yaml": "model: fcn\n",
        "environment": {
            "seed": 1,
            "versions": {"torch": "2.11"},
            "data": {"files": ["x", "y"], "hash": None},
        },
        "steps": steps,
        "evaluations": [{"step": s, "miou": s / 200, "pixel_accuracy": s / 150} for s in (50, 100)],
        "evaluation": evaluation(),
        "visualizations": visualizations,
    }
    return RunReport(**{**fields, **values})


@pytest.fixture
def without_figures(monkeypatch):
    """Figures take most of the time and do not matter for tables and images."""
    for name in (
        "losses",
        "learning_rate",
        "throughput",
        "validation",
        "histogram",
        "class_fractions",
        "matrix",
    ):
        monkeypatch.setattr(plots, name, lambda *_: "")


class Page(HTMLParser):
    """The references of a page, its open elements, and the text of the cells of its tables."""

    VOID = frozenset({"meta", "img", "br", "link", "input", "hr"})

    def __init__(self, html):
        super().__init__()
        self.references, self.open, self.rows, self.text, self.names = [], [], [], "", []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.references += [value for key, value in attrs if key in {"src", "href", "xlink:href", "srcset"}]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.text += data
            if {"td", "th"} & set(self.open):
                self.rows[-1][-1] += data.strip()

    def row(self, first, width=6):
        return next(row for row in self.rows if row[0] == first and len(row) == width)


@pytest.fixture(scope="module")
def html(tmp_path_factory):
    """A report with everything in it."""
    return render(full_run(tmp_path_factory.mktemp("run")), [case(), case("b.jpg", "best", 0.9)])


def test_the_page_is_whole_and_refers_to_nothing_outside_itself(html):
    page = Page(html)
    assert page.open == []
    assert html.startswith("<!DOCTYPE html>")
    assert page.references
    assert all(reference.startswith(("data:", "#")) for reference in page.references)
    assert not re.search(r"https?://|@import|url\((?!#)", html)


def test_every_anchor_and_every_id_has_its_partner(html):
    ids = re.findall(r'\bid="([^"]*)"', html)
    assert len(ids) == len(set(ids))
    anchors = {reference[1:] for reference in Page(html).references if reference.startswith("#")}
    assert anchors | set(re.findall(r"url\(#([^)]*)\)", html)) <= set(ids)
    sections = (
        "curves",
        "classes",
        "confusion",
        "distribution",
        "images",
        "training",
        "recipe",
        "environment",
    )
    assert anchors >= set(sections)


def test_the_same_run_gives_the_same_page():
    run = full_run(steps=[], evaluations=[{"step": 1, "miou": 0.2}], evaluation=evaluation(per_image=[]))
    assert render(run, [case()]) == render(run, [case()])


def test_names_are_escaped_everywhere():
    evil = '<script>alert("1")</script>&amp;'
    run = full_run(
        name=evil,
        steps=[],
        evaluations=[],
        recipe_yaml=evil,
        environment={evil: evil},
        labels=labels(evil, "$x_1$ été", "木"),
    )
    html = render(run, [case(evil)])
    page = Page(html)
    assert html.count("<script") == 3  # the data of the table of images, and two programs
    assert page.names.count("script") == 3
    assert evil not in html
    assert page.text.count(evil) >= 5
    assert "$x_1$ été" in page.text
    assert "木" in page.text


@pytest.mark.usefixtures("without_figures")
def test_the_table_of_classes_says_what_the_matrix_says():
    page = Page(render(full_run(), []))
    # IoU 60/105, 40/100, 30/65; recall 60/100, 40/50, 30/50; precision 60/65, 40/90, 30/45.
    assert page.row("sky") == ["sky", "57.1", "60.0", "92.3", "50.00", "32.50"]
    assert page.row("road") == ["road", "40.0", "80.0", "44.4", "25.00", "45.00"]
    assert page.row("car") == ["car", "46.2", "60.0", "66.7", "25.00", "22.50"]
    assert page.row("mean")[1:3] == ["48.1", "66.7"]


@pytest.mark.usefixtures("without_figures")
def test_the_evaluated_iou_wins_over_the_matrix():
    run = full_run(evaluation=evaluation(class_iou={"sky": 0.123, "road": math.nan, "car": None}))
    page = Page(render(run, []))
    assert [page.row(name)[1] for name in ("sky", "road", "car")] == ["12.3", DASH, DASH]


@pytest.mark.usefixtures("without_figures")
def test_an_absent_class_shows_dashes():
    run = full_run(evaluation=evaluation(confusion=[[5, 0, 0], [0, 0, 0], [1, 0, 4]]))
    assert Page(render(run, [])).row("road") == ["road", DASH, DASH, DASH, "0.00", "0.00"]


@pytest.mark.usefixtures("without_figures")
def test_pixels_without_a_class_count_as_missed_and_are_told():
    counts = [[60, 30, 10, 0], [5, 40, 5, 50], [0, 20, 30, 0]]
    page = Page(render(full_run(evaluation=evaluation(confusion=counts)), []))
    assert page.row("road")[1:4] == ["26.7", "40.0", "44.4"]
    assert page.row("road", 4) == ["road", "(no class)", "50.0", "50"]
    assert "20.00% of the pixels were predicted as no class" in page.text


@pytest.mark.usefixtures("without_figures")
def test_top_confusions_come_by_pixels_with_their_fraction_of_the_true_class():
    largest = confusions.top_confusions(np.array(COUNTS), labels("sky", "road", "car"))
    assert [(m.truth, m.prediction, m.pixels, m.fraction) for m in largest] == [
        ("sky", "road", 30, 0.3),
        ("car", "road", 20, 0.4),
        ("sky", "car", 10, 0.1),
        ("road", "sky", 5, 0.1),
        ("road", "car", 5, 0.1),
    ]
    assert len(confusions.top_confusions(np.array(COUNTS), labels("sky", "road", "car"), limit=2)) == 2
    assert Page(render(full_run(), [])).row("sky", 4) == ["sky", "road", "30.0", "30"]


def test_a_matrix_of_another_data_set_is_refused():
    with pytest.raises(ValueError, match=r"\(2, 2\), label space 'test' has 3 classes"):
        render(full_run(evaluation=evaluation(confusion=[[1, 2], [3, 4]])), [])


def test_key_figures_stand_at_the_top():
    assert dict(report_page.key_figures(full_run())) == {
        "mIoU": "48.10", "Pixel accuracy": "65.00", "Class accuracy": "66.67",
        "Frequency-weighted IoU": "50.00",
        "Images": "1,234", "Split": "val", "Steps": "100", "Training time": "3 min",
    }  # fmt: skip


def test_training_time_adds_up_over_restarts():
    clock = [10.0, 20.0, 30.0, 5.0, None, 15.0]
    assert report_page.training_seconds([{"step": i, "seconds": s} for i, s in enumerate(clock)]) == 45
    assert math.isnan(report_page.training_seconds([]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0123, "+1.2"),
        (-0.5, "\N{MINUS SIGN}50.0"),
        (0.0, "0.0"),
        (-0.0001, "0.0"),
        (math.nan, DASH),
        (None, DASH),
    ],
)
def test_differences_have_a_sign(value, text):
    assert page.points(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(48.0, "48 s"), (720.0, "12 min"), (3599.0, "1 h 00 min"), (11100.0, "3 h 05 min"), (math.nan, DASH)],
)
def test_durations_read_naturally(seconds, text):
    assert page.duration(seconds) == text


@pytest.mark.parametrize(
    "missing",
    [{"steps": []}, {"evaluations": []}, {"steps": [], "evaluations": []}, {"evaluation": {}},
     {"environment": {}}, {"recipe_yaml": ""}, {"evaluation": {"miou": 0.5}},
     {"evaluation": evaluation(confusion=[[0] * 3] * 3)},
    ],
)  # fmt: skip
@pytest.mark.usefixtures("without_figures")
def test_a_page_comes_without_any_of_its_parts(missing):
    page = Page(render(full_run(**missing), []))
    assert page.open == []
    assert page.row("sky")
    assert "nan" not in page.text.lower().split()


def test_a_run_of_nothing_says_that_it_was_not_evaluated():
    page = Page(render(RunReport(name="new", labels=labels("only")), []))
    assert "has not been evaluated" in page.text
    assert "svg" not in page.names
    assert "#images" not in page.references


def test_one_class_is_enough():
    run = RunReport(
        name="one",
        labels=labels("only"),
        evaluation={"miou": 1.0, "confusion": [[7]], "per_image": [{"miou": 1.0}]},
    )
    page = Page(render(run, []))
    assert page.row("only")[1:4] == ["100.0", "100.0", "100.0"]
    assert "every pixel is correct" in page.text


def test_150_classes_have_a_matrix_without_numbers():
    names = [f"class {i}" for i in range(150)]
    counts = np.full((150, 150), 3) + np.diag(np.full(150, 1000))
    counts[7, 9] = 500
    html = render(
        RunReport(name="many", labels=labels(*names), evaluation=evaluation(confusion=counts.tolist())), []
    )
    page = Page(html)
    assert len(html) < 1_000_000
    assert page.row("class 7", 4)[:2] == ["class 7", "class 9"]
    assert len([row for row in page.rows if len(row) == 4]) == 1 + confusions.MAX_CONFUSIONS
    drawing = plots.matrix(counts / counts.sum(), names, names, "title")
    assert drawing.count("<text") < 30


@pytest.mark.usefixtures("without_figures")
def test_cases_are_shown_worst_first_and_best_first():
    cases = [case("m.jpg", miou=0.3), case("w.jpg", miou=0.1), case("n.jpg", miou=math.nan),
             case("y.jpg", "best", 0.8), case("z.jpg", "best", 0.9)]  # fmt: skip
    html = render(full_run(), cases)
    names = re.findall(r'class="name">([^<]*)<', html)
    assert names == ["w.jpg", "m.jpg", "n.jpg", "z.jpg", "y.jpg"]
    assert html.count("data:image/jpeg") == 4 * len(cases)


@pytest.mark.usefixtures("without_figures")
def test_a_case_names_its_largest_confusions():
    truth = np.zeros((10, 10), dtype=np.uint8)
    truth[:5] = 255
    prediction = truth.copy()
    prediction[5:, :2], prediction[5, 9] = 1, 2
    view = Case("a", 0.5, 0.78, np.zeros((10, 10, 3), np.uint8), truth, prediction, "worst")
    assert (
        "largest confusions: sky → road (20.0% of pixels), sky → car (2.0%)"
        in Page(render(full_run(), [view])).text
    )


def test_many_large_cases_stay_within_the_budget(monkeypatch):
    monkeypatch.setattr(report_cases, "IMAGE_BUDGET", 200_000)
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (256, 512, 3)).astype(np.uint8)
    truth = np.zeros((256, 512), dtype=np.uint8)
    cases = [Case(str(i), 0.5, 0.5, image, truth, truth, "worst") for i in range(4)]
    assert len(render(full_run(steps=[], evaluation={}), cases)) < 250_000


@pytest.mark.usefixtures("without_figures")
def test_visualizations_that_were_deleted_are_left_out(tmp_path):
    run = full_run(tmp_path)
    run.visualizations[0].unlink()
    assert render(run, []).count("data:image/jpeg") == 1


@pytest.mark.usefixtures("without_figures")
def test_the_environment_is_flattened_into_dotted_names():
    page = Page(render(full_run(), []))
    facts = dict(row for row in page.rows if len(row) == 2)
    assert facts == {"seed": "1", "versions.torch": "2.11", "data.files": "x, y", "data.hash": DASH}


def test_figures_are_well_formed_and_follow_the_theme():
    svg = plots.losses(full_run().steps)
    assert ET.fromstring(svg).tag == "svg"
    assert "var(--series-1)" in svg
    assert plots.SERIES[0] not in svg


@pytest.mark.parametrize(
    "lines", [[], [{"step": 1}], [{"step": 1, "loss": math.nan, "lr": None, "images_per_second": math.inf}]]
)
def test_nothing_is_drawn_where_nothing_is_known(lines):
    for draw in (plots.losses, plots.learning_rate, plots.throughput, plots.validation):
        assert draw(lines) == ""
    assert plots.histogram(np.array([math.nan])) == ""
    assert plots.class_fractions(np.zeros(2), np.zeros(2), ["a", "b"]) == ""


def test_a_single_step_is_drawn_as_a_point():
    step = {"step": 7, "loss": 1.0, "loss/ce": 1.0, "lr": 0.1, "images_per_second": 3.0, "miou": 0.2}
    for draw in (plots.losses, plots.learning_rate, plots.throughput, plots.validation):
        assert "<use" in draw([step])


def test_a_repeated_step_counts_once_with_its_later_value():
    once = plots.learning_rate([{"step": 1, "lr": 0.1}, {"step": 2, "lr": 0.3}])
    assert (
        plots.learning_rate([{"step": 1, "lr": 0.1}, {"step": 2, "lr": 9.0}, {"step": 2, "lr": 0.3}]) == once
    )


def test_smoothing_keeps_a_constant_and_starts_at_the_first_value():
    assert np.allclose(plots.smoothed(np.full(300, 0.7)), 0.7)
    course = plots.smoothed(np.linspace(5, 1, 400))
    assert course[0] == 5
    assert (np.diff(course) < 0).all()


@pytest.mark.usefixtures("without_figures")
def test_metrics_of_the_recipe_have_a_table_of_their_own():
    metrics = {"hausdorff": 12.5, "boundary": {"f1": 0.8125, "class": {"road": None}}, "worst": "car"}
    named = metrics | {"metrics": list(metrics)}  # as in the files of evaluations
    for values in ({"metrics": metrics}, named):
        page = Page(render(full_run(evaluation=evaluation(**values), environment={}), []))
        rows = dict(row for row in page.rows if len(row) == 2)
        assert rows == {
            "hausdorff": "12.5",
            "worst": "car",
            "boundary.f1": "81.25 %",
            "boundary.class.road": DASH,
        }
    assert "Other metrics" in page.text
    for nothing in ({}, {"metrics": []}, {"metrics": None}):
        assert "Other metrics" not in Page(render(full_run(evaluation=evaluation(**nothing)), [])).text
