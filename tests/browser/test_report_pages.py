"""Reports in a browser: the tables sort and filter, nothing is requested, nothing is wider than the window.

A script at the end of the page acts like a reader and leaves its results in the page, which headless Chromium prints.
"""

from __future__ import annotations

import html as html_entities
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segwright.analysis.comparisons import comparison_page
from segwright.analysis.comparisons.comparison_page import (
    ChangedImage,
    Comparison,
    RunLines,
    difference_table,
)
from segwright.analysis.comparisons.comparison_scores import compare_pixels
from segwright.analysis.comparisons.recipe_differences import Setting
from segwright.analysis.errors.split_errors import SplitErrors
from segwright.analysis.reports import report_page
from segwright.analysis.reports.error_examples import ExampleView
from segwright.analysis.reports.report_cases import Case
from segwright.analysis.reports.report_page import RunReport
from segwright.data.datasets.street import StreetScenes
from segwright.labels import LabelSpace
from segwright.samples import PredictedSegment, Prediction, Sample
from segwright.visualization.label_maps import data_uri

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium"),
]
IMAGES = 10_000
EVIL = "<script>throw 1</script>"


RESULT = (
    "document.body.append(Object.assign(document.createElement('pre'), "
    "{id: 'result', textContent: JSON.stringify(%s)}))"
)


def run_in_page(page: str, folder: Path, script: str, *, dark: bool = False) -> Any:
    """The value of the JavaScript expression ``script``, evaluated at the end of the page."""
    return result_of(page.replace("</body>", f"<script>{RESULT % script}</script></body>"), folder, dark=dark)


def result_of(page: str, folder: Path, *, dark: bool = False) -> Any:
    """What the page leaves in an element "result", as JSON; fails on any message on the console of the browser."""
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
        f"--user-data-dir={folder / 'profile'}", "--window-size=1280,900", "--virtual-time-budget=3000",
        *(["--blink-settings=preferredColorScheme=0"] if dark else []), "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr, done.stderr
    match = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert match, done.stdout[-2000:]
    return json.loads(html_entities.unescape(match.group(1)))


def street() -> tuple[LabelSpace, Sample, Prediction]:
    """A scene, and the same scene moved by some pixels as its prediction."""
    dataset = StreetScenes(train=1, val=1, size=(96, 144), panoptic=True).open(None, "val")
    sample, labels = dataset[0], dataset.labels
    ids, classes = (np.roll(values, 5, axis=1) for values in (sample.map, sample.semantic()))
    panoptic = np.where(ids > 0, classes.astype(np.int32) * 1000 + ids, -1).astype(np.int32)
    pairs = zip(*np.unique(panoptic[panoptic >= 0], return_counts=True), strict=True)
    segments = tuple(PredictedSegment(int(v), int(v) // 1000, int(n), 1.0) for v, n in pairs)
    return labels, sample, Prediction(classes, panoptic, segments)


@pytest.fixture(scope="module")
def report() -> str:
    labels, sample, prediction = street()
    labels = replace(labels, names=(EVIL, *labels.names[1:]))
    errors = SplitErrors(labels)
    errors.add(0, sample, prediction)
    (image,) = errors.images
    names = [f"city/{index:05}" if index else EVIL for index in range(IMAGES)]
    errors.images = [replace(image, index=index, name=name) for index, name in enumerate(names)]
    random = np.random.default_rng(0)
    scores = random.permutation(IMAGES) / IMAGES
    rows = [
        {
            "index": i,
            "name": name,
            "miou": float(scores[i]),
            "pixel_accuracy": 0.5,
            "pq": float(scores[-1 - i]),
        }
        for i, name in enumerate(names)
    ]
    picture = data_uri(sample.image, 100)
    run = RunReport(
        name=EVIL,
        labels=labels,
        recipe_yaml="a: 1\n" * 3,
        environment={"host": "x" * 300},
        evaluation={
            "miou": 0.5, "pixel_accuracy": 0.5, "pq": 0.5, "images": IMAGES, "per_image": rows,
            "confusion": errors.confusions.pixels.tolist(),
            "calibration": {"bins": 2, "confidence": [0.3, 0.8], "accuracy": [0.2, 0.9], "counts": [10, 30]},
            "precision_recall": {"recall": [0, 0.5, 1], "class": {"car": {"0.50": [1, 0.8, 0.1]}}},
        },
        errors=errors,
        examples=[ExampleView("missed", EVIL, EVIL, picture, picture)],
    )  # fmt: skip
    case = Case(EVIL, 0.5, 0.5, sample.image, sample.semantic(), prediction.semantic, "worst", index=0)
    return report_page.render(run, [case])


@pytest.fixture(scope="module")
def comparison() -> str:
    labels, sample, prediction = street()
    errors = SplitErrors(labels)
    errors.add(0, sample, prediction)
    counts = np.stack([errors.images[0].classes] * 40)
    other = counts.copy()
    other[..., 0] = other[..., 0] * 9 // 10
    rows = [{"index": i, "name": f"image {i}", "miou": i / 40, "pixel_accuracy": 0.5} for i in range(40)]
    evaluation = {"miou": 0.5, "pixel_accuracy": 0.5, "images": 40, "per_image": rows, "metrics": []}
    lines = RunLines([{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}], [{"step": 2, "miou": 0.5}])
    values = Comparison(
        ("a" * 70, EVIL), labels, (evaluation, evaluation), compare_pixels(counts, other, resamples=50),
        lines=(lines, lines), settings=[Setting("optim.lr", "0.1", EVIL * 5)],
    )  # fmt: skip
    changed = [ChangedImage(0, EVIL, 0.4, 0.3, (sample.image,) * 4)]
    return comparison_page.render(values, changed, difference_table(values), csv_name="x.csv")


@pytest.fixture(params=["report", "comparison"])
def page(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


TABLE = """(() => {
  const all = selector => [...document.querySelectorAll('#image-table ' + selector)];
  const head = title => all('th button').find(button => button.textContent.startsWith(title));
  const column = index => all('tbody tr').map(row => row.cells[index].textContent);
  const fill = (id, value, kind) => {
    const input = document.getElementById(id);
    input.value = value;
    input.dispatchEvent(new Event(kind));
  };
  const text = id => document.getElementById(id).textContent;
  %s
})()"""


def test_ten_thousand_rows_are_sorted_by_any_column(report: str, tmp_path: Path) -> None:
    script = (
        TABLE
        % """
      const start = performance.now();
      const first = column(1);
      head('mIoU').click();
      const up = column(2), sorted = head('mIoU').parentElement.getAttribute('aria-sort');
      head('mIoU').click();
      return {first, up, sorted, down: column(2), focus: document.activeElement.textContent, page: text('image-page'),
              seconds: (performance.now() - start) / 1000};"""
    )
    result = run_in_page(report, tmp_path, script)
    assert len(result["first"]) == 50
    for name in ("first", "up"):
        values = [float(value) for value in result[name]]
        assert values == sorted(values) and values[0] == 0
    assert [float(value) for value in result["down"]] == sorted(map(float, result["down"]), reverse=True)
    assert float(result["down"][0]) == 100
    assert result["sorted"] == "ascending"
    assert result["focus"].startswith("mIoU")
    assert result["page"] == f"1\N{EN DASH}50 of {IMAGES}"
    assert result["seconds"] < 3


def test_rows_are_filtered_by_text_class_and_score(report: str, tmp_path: Path) -> None:
    script = (
        TABLE
        % """
      fill('image-search', 'CITY/0012', 'input');
      const search = [column(0).length, text('image-status')];
      fill('image-search', 'nothing', 'input');
      const none = text('image-status');
      fill('image-search', '', 'input');
      fill('image-limit', '10', 'input');
      const limit = text('image-status');
      fill('image-limit', '', 'input');
      const options = [...document.getElementById('image-class').options].map(o => o.textContent);
      fill('image-class', '3', 'change');
      const heads = [...document.querySelectorAll('#image-table th')].map(h => h.textContent);
      fill('image-class', '', 'change');
      return {search, none, limit, options, heads, all: text('image-status')};"""
    )
    result = run_in_page(report, tmp_path, script)
    assert result["search"] == [10, f"10 of {IMAGES} images"]
    assert result["none"] == f"No image fits; {IMAGES} in all"
    assert result["limit"] == f"1001 of {IMAGES} images"
    assert result["options"][:2] == ["any", EVIL]
    assert result["heads"][-1] == "IoU of sky, %"
    assert result["all"] == f"{IMAGES} images"


def test_pages_of_the_table_and_its_csv_file(report: str, tmp_path: Path) -> None:
    script = (
        TABLE
        % """
      let saved = null;
      URL.createObjectURL = blob => { saved = blob.size; return 'blob:x'; };
      HTMLAnchorElement.prototype.click = function() { saved = [this.download, saved]; };
      document.getElementById('image-next').click();
      const second = text('image-page'), back = document.getElementById('image-previous').disabled;
      document.getElementById('image-previous').click();
      document.getElementById('image-csv').click();
      return {second, back, first: document.getElementById('image-previous').disabled, saved};"""
    )
    result = run_in_page(report, tmp_path, script)
    assert (result["second"], result["back"], result["first"]) == (
        f"51\N{EN DASH}100 of {IMAGES}",
        False,
        True,
    )
    name, size = result["saved"]
    assert name == "report-images.csv"
    assert size > 40 * IMAGES


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window(page: str, tmp_path: Path, width: int) -> None:
    # In a frame: the window of Chromium is never narrower than 500 pixels.
    root = "document.querySelector('iframe').contentDocument.documentElement"
    script = RESULT % f"[{root}.clientWidth, {root}.scrollWidth]"
    frame = f"""<!DOCTYPE html><body><iframe style="width:{width}px;height:900px;border:0" onload="{script}"
        srcdoc="{html_entities.escape(page)}"></iframe></body>"""
    inner, scrolled = result_of(frame, tmp_path)
    assert inner == width
    assert scrolled <= width


def test_nothing_is_requested(page: str, tmp_path: Path) -> None:
    script = "performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('data:'))"
    assert run_in_page(page, tmp_path, script) == []


def test_dark_pages_have_light_text(page: str, tmp_path: Path) -> None:
    script = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    light, dark = (run_in_page(page, tmp_path, script, dark=dark) for dark in (False, True))

    def brightness(color: str) -> int:
        return sum(map(int, re.findall(r"\d+", color)[:3]))

    assert brightness(light[0]) > brightness(light[1])
    assert brightness(dark[0]) < brightness(dark[1])


def test_pictures_are_enlarged_with_the_keyboard(page: str, tmp_path: Path) -> None:
    script = """(() => {
      const image = document.querySelector('main img'), dialog = document.querySelector('dialog');
      image.focus();
      const focused = document.activeElement === image;
      image.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}));
      const unnamed = [...document.querySelectorAll('main img')].filter(i => !i.alt).length;
      return [focused, dialog.open, dialog.firstElementChild.alt === image.alt, unnamed];
    })()"""
    assert run_in_page(page, tmp_path, script) == [True, True, True, 0]


def test_names_are_text_and_never_run(page: str, tmp_path: Path) -> None:
    script = "document.body.textContent.includes('<script>throw 1</' + 'script>')"
    assert run_in_page(page, tmp_path, script) is True
