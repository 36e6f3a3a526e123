"""The page of ``segwright serve`` in a browser, against a running server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from tests.browser.chromium import PATH, Chromium
from tests.serving.models import PANOPTIC, panoptic_model, picture
from tests.serving.running import server

import segwright as sw
from segwright.models.weights.model_file import write_model

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(PATH is None, reason="needs Chromium: apt-get install chromium"),
]
DONE = "current && current.result && document.getElementById('busy').hidden"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    write_model(folder / "street.safetensors", panoptic_model(), PANOPTIC)
    (folder / "a.png").write_bytes(picture(90, 130, seed=2))
    return folder


@pytest.fixture(scope="module")
def url(folder: Path) -> Iterator[str]:
    with server(folder / "street.safetensors", "--device", "cpu") as (address, _):
        yield address


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Chromium]:
    chromium = Chromium(folder / "profile")
    yield chromium
    chromium.close()


@pytest.fixture
def page(browser: Chromium, url: str, folder: Path) -> Iterator[Chromium]:
    browser.messages.clear()
    browser.requests.clear()
    browser.open(url)
    browser.choose("#file", folder / "a.png")
    browser.until(DONE)
    yield browser
    assert [text for text in browser.messages if not text.startswith("Canvas2D: Multiple readback")] == []


def test_the_overlay_has_the_colors_of_the_prediction(page: Chromium, folder: Path) -> None:
    prediction = sw.predict(panoptic_model(), folder / "a.png")
    colors = sw.visualization.colorize_prediction(prediction.prediction, prediction.labels)
    script = "[...document.getElementById('overlay').getContext('2d').getImageData(0, 0, 130, 90).data]"
    drawn = np.array(page.value(script)).reshape(90, 130, 4)
    void = prediction.panoptic < 0
    np.testing.assert_array_equal(drawn[~void][:, :3], colors[~void])
    assert (drawn[..., 3] == np.where(void, 0, 255)).all()
    assert page.value("document.getElementById('title').textContent") == "street.safetensors"
    rows = page.value("[...document.querySelectorAll('#legend .name')].map(e => e.textContent)")
    assert rows == list(prediction.shares())
    objects = page.value("document.querySelectorAll('#objects button').length")
    assert objects == sum(segment.class_index == 2 for segment in prediction.segments) > 0


def test_classes_toggle_and_the_opacity_changes(page: Chromium) -> None:
    covered = """[...document.getElementById('overlay').getContext('2d').getImageData(0, 0, 130, 90).data]
                 .filter((v, i) => i % 4 === 3 && v).length"""
    first = "document.querySelector('#legend input')"
    everything, area = page.value(covered), page.value("current.result.classes[0].area")
    page.value(f"{first}.focus()")
    page.press(" ", 32)
    assert page.value(f"{first}.checked") is False
    assert everything - area - 1 <= page.value(covered) <= everything - area + 130
    page.value("document.getElementById('none').click()")
    assert page.value(covered) == 0
    page.value("document.getElementById('all').click()")
    assert page.value(covered) == everything
    page.value("document.getElementById('opacity').focus()")
    page.press("Home", 36)
    assert page.value("document.getElementById('overlay').style.opacity") == "0"
    assert page.value("document.getElementById('opacity-value').textContent") == "0 %"


def test_the_pointer_names_the_segment_under_it(page: Chromium) -> None:
    box = page.value("(() => { const b = document.getElementById('image').getBoundingClientRect();"
                     " return [b.left, b.top, b.width, b.height]; })()")  # fmt: skip
    for y, x in ((10, 10), (45, 60), (80, 120)):
        page.move(box[0] + (x + 0.5) / 130 * box[2], box[1] + (y + 0.5) / 90 * box[3])
        expected = page.value(
            f"(s => s ? s.class : '')(current.result.segments[current.map[{y} * 130 + {x}] - 1])"
        )
        text = page.value(
            "document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent"
        )
        assert text.split(",")[0] == expected
    page.move(2, 2)
    assert page.value("document.getElementById('tip').hidden")


def test_downloads_are_the_outputs_of_the_server(page: Chromium, url: str, folder: Path) -> None:
    page.value("HTMLAnchorElement.prototype.click = function() { window.saved = this.download; }")
    page.value("URL.createObjectURL = blob => { window.blob = blob; return 'blob:x'; }")
    content = (
        "new Response(window.blob).arrayBuffer().then(b => btoa(String.fromCharCode(...new Uint8Array(b))))"
    )
    for output, suffix in (("index", "png"), ("overlay", "png"), ("rle", "json")):
        page.value(f"window.saved = null; document.querySelector('[data-output={output}]').click()")
        assert page.until("window.saved") == f"a-{output}.{suffix}"
        files = {"image": ("a.png", (folder / "a.png").read_bytes())}
        expected = httpx.post(f"{url}/predict?output={output}", files=files).content
        assert base64.b64decode(page.value(content)) == expected


def test_an_image_is_dropped_pasted_or_taken_with_the_camera(page: Chromium, folder: Path) -> None:
    transfer = """(() => { const data = new DataTransfer(); data.items.add(new File([current.blob], '%s'));
                   return data; })()"""
    page.value(
        f"dispatchEvent(new DragEvent('drop', {{dataTransfer: {transfer % 'dropped.png'}, cancelable: true}}))"
    )
    page.until(f"{DONE} && current.result.image.name === 'dropped'")
    page.value(f"dispatchEvent(new ClipboardEvent('paste', {{clipboardData: {transfer % 'pasted.png'}}}))")
    page.until(f"{DONE} && current.result.image.name === 'pasted'")
    page.value("document.getElementById('camera').click()")
    page.until("document.getElementById('camera-dialog').open && video.videoWidth > 0")
    page.value("document.getElementById('take').click()")
    page.until(f"{DONE} && current.result.image.name === 'camera'")
    assert page.value("video.srcObject === null && !dialog.open")


def test_errors_of_the_server_are_shown(browser: Chromium, url: str, folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"no image")
    browser.open(url)
    browser.choose("#file", folder / "bad.png")
    text = browser.until(
        "!document.getElementById('error').hidden && document.getElementById('error').textContent"
    )
    assert text.startswith("bad.png: not an image")
    browser.value("describe()")  # the description of the model may arrive after the error
    assert browser.value("document.getElementById('error').textContent") == text
    browser.choose("#file", folder / "a.png")
    browser.until(DONE)
    assert browser.value("document.getElementById('error').hidden")


def test_a_token_is_asked_for(browser: Chromium, folder: Path) -> None:
    with server(folder / "street.safetensors", "--token", "abc", "--device", "cpu") as (address, _):
        browser.open(address)
        browser.until("!document.getElementById('access').hidden")
        browser.value(
            "document.getElementById('token').value = 'abc'; document.querySelector('#access button').click()"
        )
        browser.until("document.getElementById('access').hidden && document.title.startsWith('street')")
        browser.choose("#file", folder / "a.png")
        browser.until(DONE)


def test_nothing_is_requested_from_elsewhere(page: Chromium, url: str) -> None:
    assert page.requests and all(link.startswith((url, "data:", "blob:")) for link in page.requests)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 768, 1280, 2560])
def test_no_page_is_wider_than_its_window(
    browser: Chromium, url: str, folder: Path, width: int, dark: bool
) -> None:
    browser.open(url, width=width, dark=dark)
    for _ in range(2):
        assert browser.value("document.documentElement.scrollWidth") <= width
        browser.choose("#file", folder / "a.png")
        browser.until(DONE)
    colors = browser.value(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    page, ink = (sum(map(int, color[4:-1].split(","))) for color in colors)
    assert (page < ink) == dark


def test_a_screen_reader_finds_names_roles_and_messages(page: Chromium) -> None:
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    values = [
        (n.get("role", {}).get("value"), n.get("name", {}).get("value", ""))
        for n in nodes
        if not n["ignored"]
    ]
    interactive = [
        each for each in values if each[0] in ("button", "checkbox", "slider", "link", "textbox", "image")
    ]
    assert len(interactive) > 10 and all(name for _, name in interactive)
    assert ("slider", "Opacity") in values
    assert any(role == "checkbox" and name.startswith("road") for role, name in values)
    assert any(role == "image" and "130 x 90 pixels" in name for role, name in values)
    assert {"status", "heading", "main"} <= {role for role, _ in values}
