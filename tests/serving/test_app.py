"""The answers of the server: outputs, limits, errors, token, batches."""

from __future__ import annotations

import io
import json
import re
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image
from tests.serving.models import LABELS, SEMANTIC, panoptic_model, picture, semantic_model

import segwright as sw
from segwright.contracts import InputContract, Model
from segwright.data.reading.rle import decode_mask
from segwright.errors import UserError
from segwright.export.exported_model import UnexpectedSize
from segwright.inference.single_pass import SINGLE_PASS
from segwright.prediction import predict_files
from segwright.serving.app import create_app
from segwright.serving.limits import Admission, FullError, Limits
from segwright.serving.service import Service
from segwright.serving.worker import ModelWorker

MODELS: dict[str, Callable[[], Model]] = {"semantic": semantic_model, "panoptic": panoptic_model}


@contextmanager
def running(
    model: Model | None = None, *, app: dict[str, Any] | None = None, **options: Any
) -> Iterator[TestClient]:
    service = Service(model or semantic_model(), **options)
    with TestClient(create_app(service, **(app or {})), raise_server_exceptions=False) as client:
        yield client


def post(
    client: TestClient, data: bytes = b"", output: str = "json", name: str = "a.png", **headers: str
) -> Any:
    return client.post(
        f"/predict?output={output}", files={"image": (name, data or picture())}, headers=headers
    )


def decoded(png: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("kind", MODELS)
def test_pictures_equal_the_files_of_predict_byte_by_byte(kind: str, tmp_path: Path) -> None:
    model = MODELS[kind]()
    files = {f"{height}.jpg": picture(height, 70, seed=height) for height in (40, 41, 64)}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert not any(problem for _, problem in predict_files(model, [str(tmp_path)], tmp_path / "out"))
    with running(model) as client:
        for name, data in files.items():
            for output in ("index", "color", "overlay"):
                answer = post(client, data, output, name)
                assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
                assert answer.content == (tmp_path / "out" / output / f"{Path(name).stem}.png").read_bytes()


@pytest.mark.parametrize("kind", MODELS)
def test_json_rle_and_polygons_describe_the_prediction(kind: str, tmp_path: Path) -> None:
    model, data = MODELS[kind](), picture(60, 90, seed=3)
    (tmp_path / "x.png").write_bytes(data)
    expected = sw.predict(model, tmp_path / "x.png")
    with running(model) as client:
        rle, polygons, plain = (post(client, data, output).json() for output in ("rle", "polygons", "json"))
    assert plain["image"] == {"name": "a", "width": 90, "height": 60}
    assert {c["name"]: c["share"] for c in plain["classes"]} == pytest.approx(expected.shares())
    assert all(c["area"] == (expected.semantic == c["index"]).sum() for c in plain["classes"])
    assert [c["value"] for c in plain["classes"]] == [LABELS.raw_values[c["index"]] for c in plain["classes"]]
    masks = [mask for mask in expected.masks() if mask.any()]
    assert len(rle["segments"]) == len(polygons["segments"]) == len(plain["segments"]) == len(masks) > 0
    for mask, with_rle, with_polygons, segment in zip(
        masks, rle["segments"], polygons["segments"], plain["segments"], strict=True
    ):
        np.testing.assert_array_equal(decode_mask(with_rle["rle"]), mask)
        filled = np.zeros(mask.shape, np.uint8)
        cv2.fillPoly(filled, [np.array(p, np.int32).reshape(-1, 2) for p in with_polygons["polygons"]], 1)
        np.testing.assert_array_equal(filled, mask)
        y, x = np.nonzero(mask)
        assert segment["box"] == [x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1]
        assert segment["area"] == mask.sum() and segment["class"] == LABELS.names[segment["class_index"]]
        assert not {"rle", "polygons", "position"} & segment.keys()
    if kind == "panoptic":
        assert [s["id"] for s in plain["segments"]] == [s.id for s in expected.segments]
        scores = [s["score"] for s in plain["segments"]]
        assert scores == [None if np.isnan(s.score) else s.score for s in expected.segments]


def png_of_claimed_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


BAD = {
    "text": (b"no image at all", 422),
    "cut PNG": (picture()[:200], 422),
    "cut JPEG": (cv2.imencode(".jpg", np.zeros((40, 40, 3), np.uint8))[1].tobytes()[:-40], 422),
    "bomb": (png_of_claimed_size(60000, 60000), 413),
    "damaged pixels": (png_of_claimed_size(50, 50), 422),
    "16 bits": (cv2.imencode(".png", np.zeros((8, 8, 3), np.uint16))[1].tobytes(), 422),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_image_is_refused_in_one_line_and_the_server_goes_on(case: str) -> None:
    data, status = BAD[case]
    with running() as client:
        answer = post(client, data, name="../../evil<b>.png")
        assert answer.status_code == status, answer.text
        assert "\n" not in answer.json()["detail"] and "/tmp" not in answer.text
        assert not re.search(
            r"--|data\.", answer.json()["detail"]
        )  # options and settings that a client has not
        assert "evil<b>.png" in answer.json()["detail"] or status == 413
        assert post(client).status_code == 200


@pytest.mark.parametrize("file", [".png", ".tiff", ".npy"])
def test_an_image_of_other_bands_or_bits_is_refused_with_what_the_model_takes(file: str) -> None:
    contract = InputContract("bands", (0.0,) * 4, (1.0,) * 4, (0.0,) * 4)
    torch.manual_seed(0)
    four = SEMANTIC.build(LABELS, contract).eval()
    for model, dtype, channels, expected in (
        (four, np.uint8, 3, "the model takes images of 4 bands; convert the image"),
        (semantic_model(), np.uint16, 3, "the model takes 8-bit RGB images; convert the image"),
    ):
        array = np.zeros((8, 8, channels), dtype)
        stream = io.BytesIO()
        np.save(stream, array)
        data = stream.getvalue() if file == ".npy" else cv2.imencode(file, array)[1].tobytes()
        with running(model) as client:
            answer = post(client, data, name=f"a{file}")
        assert answer.status_code == 422 and answer.json()["detail"].startswith(f"a{file}: ")
        assert answer.json()["detail"].endswith(expected)


def test_an_image_of_another_size_than_the_only_one_is_refused_with_both_sizes() -> None:
    def fixed(model: Any, images: Any, sizes: Any) -> Any:
        raise UnexpectedSize("model.onnx: ...; use --windows 64,96", (64, 96))

    with running(inference=fixed) as client:
        answer = post(client, picture(40, 56))
    expected = "a.png: 56x40 pixels; the model takes images of at most 96x64 pixels; resize the image"
    assert (answer.status_code, answer.json()["detail"]) == (422, expected)


def test_too_little_memory_to_decode_an_image_is_no_failure_of_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def image_array(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("segwright.serving.upload.image_array", image_array)
    with running() as client:
        answer = post(client)
    assert answer.status_code == 413 and "send a smaller image" in answer.json()["detail"]


def test_random_bytes_and_damaged_images_never_break_the_server() -> None:
    random = np.random.default_rng(0)
    valid = [
        cv2.imencode(s, np.zeros((9, 9, 3), np.uint8))[1].tobytes()
        for s in (".png", ".jpg", ".tiff", ".webp")
    ]
    with running() as client:
        for number in range(60):
            data = bytearray(valid[number % len(valid)])
            for position in random.integers(0, len(data), 5):
                data[position] = random.integers(256)
            name = ("a.png", "a.npy", "", "a" * 300)[number // 4 % 4]
            assert post(client, bytes(data), name=name).status_code in (200, 413, 422)


def test_requests_that_are_no_form_with_an_image_are_refused() -> None:
    with running() as client:
        assert client.post("/predict", content=picture()).status_code == 415
        assert client.post("/predict", data={"image": "text"}).status_code == 415
        assert client.post("/predict", files={"other": ("a.png", picture())}).status_code == 422
        assert client.post("/predict", files={"image": (None, "text")}).status_code == 422
        head = {"Content-Type": "multipart/form-data"}
        assert client.post("/predict", content=b"x", headers=head).status_code == 400
        head = {"Content-Type": "multipart/form-data; boundary=x"}
        assert client.post("/predict", content=b"no form", headers=head).status_code in (400, 422)
        answer = post(client, output="video")
        assert answer.status_code == 422 and "polygons" in answer.json()["detail"]
        assert client.get("/predict").status_code == 405


def test_images_beyond_the_limits_are_refused() -> None:
    data = picture(100, 100)
    with running(limits=Limits(bytes=len(data), pixels=10_000)) as client:
        assert post(client, data).status_code == 200
        assert post(client, data + b"x").status_code == 413
        assert post(client, data + bytes(10**6)).status_code == 413
        assert client.post("/predict", content=iter([b"x" * 10**5] * 9), headers={
            "Content-Type": "multipart/form-data; boundary=x"}).status_code == 413  # fmt: skip
    with running(limits=Limits(pixels=10_000)) as client:
        answer = post(client, picture(101, 100))
        assert (
            answer.status_code == 413 and "100x101 pixels; expected at most 10,000" in answer.json()["detail"]
        )


class Held:
    """An inference mode that waits until it is released."""

    def __init__(self) -> None:
        self.released, self.batches = threading.Event(), []

    def __call__(self, model: Any, images: Any, sizes: Any) -> Any:
        self.batches.append(len(images))
        assert self.released.wait(20)
        return SINGLE_PASS(model, images, sizes)


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_full_server_says_when_to_try_again_and_answers_what_it_accepted() -> None:
    held = Held()
    with running(inference=held, limits=Limits(requests=3)) as client, ThreadPoolExecutor(8) as pool:
        accepted = [pool.submit(post, client, picture(seed=k)) for k in range(3)]
        until(lambda: "in_progress 3.0" in client.get("/metrics").text)
        refused = [post(client) for _ in range(4)]
        assert {answer.status_code for answer in refused} == {503}
        assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
        assert client.get("/health").status_code == 200
        held.released.set()
        assert [future.result().status_code for future in accepted] == [200] * 3
        assert post(client).status_code == 200
        text = client.get("/metrics").text
    assert 'segwright_requests_total{status="200"} 4.0' in text
    assert 'segwright_requests_total{status="503"} 4.0' in text
    assert "in_progress 0.0" in text


def test_images_that_wait_go_through_the_model_in_batches_of_one_size() -> None:
    held, model = Held(), semantic_model()
    pictures = [picture(40, 56 if k % 3 else 90, seed=k) for k in range(10)]
    with running(model, inference=held, batch=4) as client, ThreadPoolExecutor(10) as pool:
        futures = [pool.submit(post, client, data, "index") for data in pictures]
        until(lambda: held.batches and "waiting 9.0" in client.get("/metrics").text)
        held.released.set()
        answers = [decoded(future.result().content) for future in futures]
    assert held.batches[0] == 1 and sum(held.batches) == 10 and max(held.batches) == 4
    with running(model) as client:
        for data, answer in zip(pictures, answers, strict=True):
            alone = decoded(post(client, data, "index").content)
            assert answer.shape == alone.shape and (answer == alone).mean() > 0.999


def test_a_request_that_takes_too_long_gets_504() -> None:
    held = Held()
    with running(inference=held, limits=Limits(seconds=0.3)) as client:
        assert post(client).status_code == 504
        assert post(client).status_code == 504  # waits behind the first one, is canceled and never computed
        held.released.set()
        until(lambda: post(client).status_code == 200)
        assert len(held.batches) <= 3


def test_a_failing_model_gives_500_without_a_traceback_and_the_server_goes_on() -> None:
    failures = [
        RuntimeError("secret"),
        RuntimeError("CPU: can't allocate memory"),
        MemoryError(),
        UserError("x: y"),
    ]

    def failing(model: Any, images: Any, sizes: Any) -> Any:
        if failures:
            raise failures.pop(0)
        return SINGLE_PASS(model, images, sizes)

    with running(inference=failing) as client:
        answer = post(client)
        assert (
            answer.status_code == 500
            and "secret" not in answer.text
            and "RuntimeError" in answer.json()["detail"]
        )
        assert post(client).status_code == 413
        assert post(client).status_code == 413
        assert post(client).status_code == 422
        assert post(client).status_code == 200


def test_a_token_protects_predictions_and_information() -> None:
    with running(app={"token": "s3cret"}) as client:
        for answer in (
            post(client),
            post(client, Authorization="Bearer s3cre"),
            post(client, Authorization="s3cret"),
        ):
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        assert client.get("/info").status_code == client.get("/metrics").status_code == 401
        assert post(client, Authorization="Bearer s3cret").status_code == 200
        assert client.get("/info", headers={"Authorization": "Bearer s3cret"}).status_code == 200
        for path in ("/", "/health", "/ready", "/openapi.json"):
            assert client.get(path).status_code == client.head(path).status_code == 200
        for path in ("/info", "/metrics"):
            assert client.head(path).status_code == 401
            assert client.head(path, headers={"Authorization": "Bearer s3cret"}).status_code == 200


def test_other_origins_are_allowed_only_if_named() -> None:
    with running() as client:
        assert (
            "access-control-allow-origin"
            not in client.get("/health", headers={"Origin": "https://a.b"}).headers
        )
    with running(app={"cors": ["https://a.b"]}) as client:
        for origin, allowed in (("https://a.b", True), ("https://c.d", False)):
            answer = client.get("/health", headers={"Origin": origin})
            assert ("access-control-allow-origin" in answer.headers) == allowed


def test_the_description_of_the_server() -> None:
    with running(panoptic_model(), app={"name": "cars"}) as client:
        info = client.get("/info").json()
        schema = client.get("/openapi.json").json()
        assert client.get("/docs").status_code == 404  # it would load scripts from other machines
    assert info["name"] == "cars" and info["labels"]["things"] == ["car"]
    assert info["classes"][2] == {"index": 2, "name": "car", "value": 26, "color": [0, 0, 142], "thing": True}
    assert info["limits"]["requests"] == 32
    assert set(schema["paths"]) == {"/predict", "/health", "/ready", "/metrics", "/info"}
    body = schema["paths"]["/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert body["schema"]["required"] == ["image"]
    json.dumps(info, allow_nan=False)


def test_admission_counts() -> None:
    admission = Admission(1)
    with admission.admit(), pytest.raises(FullError), admission.admit():
        pass
    with admission.admit():
        assert admission.admitted == 1
    assert admission.admitted == 0


@pytest.mark.parametrize(
    "wrong", [{"requests": 0}, {"bytes": -1}, {"pixels": 0}, {"seconds": 0}, {"seconds": float("nan")}]
)
def test_limits_are_positive(wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="expected a positive number"):
        Limits(**wrong)


def test_the_worker_computes_all_submitted_images_before_it_closes() -> None:
    worker = ModelWorker(semantic_model())
    futures = [worker.submit(np.full((33, 40, 3), k, np.uint8)) for k in range(5)]
    worker.close()
    assert all(future.done() and future.result().semantic.shape == (33, 40) for future in futures)
    assert not worker.alive
    with pytest.raises(RuntimeError):
        worker.submit(np.zeros((8, 8, 3), np.uint8))


def test_the_warm_up_image_has_the_size_that_the_model_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = ModelWorker(semantic_model())
    shapes, submit = [], worker.submit

    def recorded(pixels: Any, name: str) -> Any:
        shapes.append(pixels.shape)
        return submit(pixels, name)

    monkeypatch.setattr(worker, "submit", recorded)
    worker.warm_up()
    worker.warm_up((32, 96))
    worker.close()
    assert shapes == [(64, 64, 3), (32, 96, 3)]
