"""A server in its own process: listening, the token, overload, and its end."""

from __future__ import annotations

import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from tests.serving.models import PANOPTIC, SEMANTIC, panoptic_model, picture, semantic_model
from tests.serving.running import server

import segwright
from segwright.cli.main import main
from segwright.errors import UserError
from segwright.models.weights.model_file import write_model
from segwright.prediction import load
from segwright.prediction import predict as predict_image
from segwright.serving.server import bind


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("served") / "street.safetensors"
    write_model(path, semantic_model(), SEMANTIC)
    return path


def predict(
    url: str, data: bytes, output: str = "index", timeout: float = 60, **headers: str
) -> httpx.Response:
    files = {"image": ("a.png", data, "image/png")}
    return httpx.post(f"{url}/predict?output={output}", files=files, headers=headers, timeout=timeout)


def test_it_gives_the_files_of_segwright_predict(tmp_path: Path) -> None:
    path = tmp_path / "panoptic.safetensors"
    write_model(path, panoptic_model(), PANOPTIC)
    (tmp_path / "a.png").write_bytes(picture(70, 90))
    assert (
        main(
            ["predict", str(path), str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--device", "cpu"]
        )
        == 0
    )
    with server(path, "--device", "cpu") as (url, process):
        for output in ("index", "color", "overlay"):
            expected = (tmp_path / "out" / output / "a.png").read_bytes()
            assert predict(url, picture(70, 90), output).content == expected
        assert httpx.get(f"{url}/ready").json() == {"status": "ready"}
        assert httpx.get(url).text.startswith("<!DOCTYPE html>")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.slow
def test_an_exported_file_of_one_size_is_served(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    from segwright.export import export_model

    export_model(semantic_model(), tmp_path / "fixed.onnx", size=(64, 96))
    model = load(tmp_path / "fixed.onnx")
    with server(tmp_path / "fixed.onnx") as (url, _):
        answer = predict(url, picture(60, 90))
        pixels = cv2.imdecode(np.frombuffer(picture(60, 90), np.uint8), cv2.IMREAD_COLOR_RGB)
        expected = model.labels.to_raw(predict_image(model, pixels).semantic)
        index = cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert answer.status_code == 200 and (index == expected).all()
        other = predict(url, picture(100, 100))
        expected = "a.png: 100x100 pixels; the model takes images of at most 96x64 pixels; resize the image"
        assert (other.status_code, other.json()["detail"]) == (422, expected)
    with server(tmp_path / "fixed.onnx", "--windows", "64,96") as (url, _):
        assert predict(url, picture(100, 100)).status_code == 200


def test_sigterm_lets_accepted_requests_be_answered(model: Path) -> None:
    with server(model, "--queue", 8) as (url, process), ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(predict, url, picture(1500, 1500, seed=k)) for k in range(6)]
        while httpx.get(f"{url}/metrics").text.count("segwright_requests_in_progress 6.0") != 1:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert [future.result().status_code for future in futures] == [200] * 6
        assert process.wait(20) == 0
        assert process.stderr == ""
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)


def test_an_overloaded_server_refuses_and_answers_the_rest_rightly(model: Path) -> None:
    pictures = [picture(600, 600, seed=k) for k in range(16)]
    with server(model, "--queue", 2, "--token", "abc") as (url, _), ThreadPoolExecutor(16) as pool:
        answers = [*pool.map(lambda data: predict(url, data, Authorization="Bearer abc"), pictures)]
        statuses = [answer.status_code for answer in answers]
        assert set(statuses) == {200, 503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status_code == 503)
        for data, answer in zip(pictures, answers, strict=True):
            if answer.status_code == 200:
                assert answer.content == predict(url, data, Authorization="Bearer abc").content
        assert predict(url, pictures[0]).status_code == 401
        assert predict(url, bytes(40_000_000), Authorization="Bearer abc").status_code == 413


def test_clients_that_leave_or_send_slowly_do_not_stop_the_others(model: Path) -> None:
    with server(model, "--queue", 2, "--timeout", "1.5") as (url, process):
        host, port = url.removeprefix("http://").split(":")
        head = (
            f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1000\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        )
        slow = [socket.create_connection((host, int(port))) for _ in range(2)]
        for connection in slow:
            connection.sendall(head.encode())
        time.sleep(0.2)
        assert predict(url, picture()).status_code == 503
        answers = [connection.recv(1000).decode() for connection in slow]
        assert all(" 504 " in answer.splitlines()[0] for answer in answers)
        for connection in slow:
            connection.close()
        with pytest.raises(httpx.ReadTimeout):
            predict(url, picture(1500, 1500), timeout=0.05)
        end = time.monotonic() + 20
        while predict(url, picture()).status_code != 200:
            assert time.monotonic() < end
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_it_listens_on_the_loopback_interface_and_takes_the_token_from_the_environment(model: Path) -> None:
    with server(model, SEGWRIGHT_TOKEN="xyz") as (url, _):
        assert url.startswith("http://127.0.0.1:")
        assert predict(url, picture()).status_code == 401
        assert predict(url, picture(), Authorization="Bearer xyz").status_code == 200
        with suppress(httpx.TransportError):  # it may close the connection while the client sends
            assert httpx.get(f"{url}/health", headers={"x": "a" * 200_000}).status_code == 400
        assert httpx.get(f"{url}/health").status_code == 200


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--queue", "0"], "--queue 0: expected a positive number"),
        (["--token", ""], "--token"),
        (["--cors", "example.org"], "--cors example.org: expected an origin"),
        (["--cors", "https://a.b", "https://a.b/"], "--cors https://a.b/: expected an origin"),
        (["--host", "no.such.host.invalid"], "cannot listen there"),
        (["--port", "99999"], "cannot listen there"),
        (["--fuse", "max"], "--fuse has no effect"),
    ],
)
def test_wrong_options_are_refused(
    model: Path, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(model), *arguments]) == 2
    assert text in capsys.readouterr().err


def test_a_port_in_use_and_a_missing_model_are_refused(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert main(["serve", str(model), "--port", str(other.getsockname()[1])]) == 2
    assert "in use" in capsys.readouterr().err
    assert main(["serve", "nothing.safetensors", "--port", "0"]) == 2


def test_without_its_packages_it_says_what_to_install(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(segwright, "serving", segwright.serving)  # as it is now, after the test
    for name in [name for name in sys.modules if name.startswith("segwright.serving")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)  # as if it was not installed
    assert main(["serve", str(model)]) == 2
    assert "pip install 'segwright[serve]'" in capsys.readouterr().err


def test_a_kind_of_address_that_the_system_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(UserError, match=r"--host ::1 --port 0: cannot listen there \(Address family"):
        bind("::1", 0)


@pytest.mark.parametrize(
    ("path", "token", "status"), [("/predict", "wrong", 401), ("/predict?output=video", "x", 422)]
)
def test_a_client_that_sends_a_long_body_gets_the_refusal(
    model: Path, path: str, token: str, status: int
) -> None:
    head = {"Content-Type": "multipart/form-data; boundary=x", "Authorization": f"Bearer {token}"}
    with server(model, "--token", "x") as (url, _):
        for _ in range(
            3
        ):  # urllib closes the connection after the answer, so bytes that nobody reads would reset it
            request = urllib.request.Request(f"{url}{path}", data=bytes(8_000_000), headers=head)
            with pytest.raises(urllib.error.HTTPError) as answer:
                urllib.request.urlopen(request, timeout=30)
            assert answer.value.code == status and b"detail" in answer.value.read()
