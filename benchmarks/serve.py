"""A server under four times the load that it can sustain: refusals, latency, memory, right answers.

    python benchmarks/serve.py [--seconds 60] [--model RUN] [--image PHOTO] [--queue 16]

The network is that of camvid.quick, with random weights unless ``--model`` names a run or file; without ``--image``
the image is noise of 480x360. First the rate is found: two clients that send one request after the other. Then
requests are sent at four times this rate, whether or not earlier ones are answered. Printed are the rates, the status
codes, the latency of answered requests beside the time that a full queue takes at the rate, the memory of the server
after a third of the time and at the end, and how many answers differ from the file that the first request got. The
benchmark fails if segwright answers anything but 200 and 503, answers wrongly, or needs 10 % more memory at the end. If
LitServe is installed, it serves the same network, with the same functions for reading and writing, under the same
requests. It takes about 2.5 minutes per server; ``--seconds 6`` shows within a minute that all of it works.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from fastapi import Request, Response

from segwright.prediction import load, predict
from segwright.serving.limits import Limits
from segwright.serving.responses import Kind, encode
from segwright.serving.upload import decode_upload

try:
    import litserve
except ImportError:
    litserve = None

OVERLOAD = 4


def main() -> None:
    """Measure each server."""
    options = _options()
    if options.litserve:
        serve_with_litserve(options.model, options.litserve)
        return
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or _random_model(Path(folder) / "camvid.safetensors")
        image = options.image.read_bytes() if options.image else _noise()
        ours = ["-m", "segwright", "serve", str(model), "--device", "cpu", "--queue", str(options.queue)]
        commands = {"segwright": [*ours, "--port"]}
        if litserve:
            commands["LitServe"] = [__file__, "--model", str(model), "--litserve"]
        loads = {name: _measure(name, each, image, options) for name, each in commands.items()}
    if faults := loads["segwright"].faults:
        raise SystemExit(f"segwright failed: {', '.join(faults)}")


def _measure(name: str, command: list[str], image: bytes, options: argparse.Namespace) -> Load:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, *command, str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        load = Load(f"http://127.0.0.1:{port}/predict?output=index", image, process.pid)
        asyncio.run(load.run(name, options.seconds, options.queue))
    finally:
        process.terminate()
        process.wait(120)
        with suppress(ProcessLookupError):  # LitServe leaves its workers
            os.killpg(process.pid, signal.SIGKILL)
    return load


class Load:
    """Requests to one server."""

    def __init__(self, url: str, image: bytes, process: int) -> None:
        self.url, self.image, self.process = url, image, process
        self.statuses: Counter[int | str] = Counter()
        self.latencies: list[float] = []
        self.expected, self.wrong = b"", 0
        self.faults: list[str] = []

    async def run(self, name: str, seconds: float, queue: int) -> None:
        """Find the rate, send four times as many requests, print what came of it."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=100)
        async with httpx.AsyncClient(timeout=120, limits=limits) as client:
            self.expected = await self._first(client)
            rate = await self._rate(client, min(seconds / 3, 15))
            self.statuses.clear()
            self.latencies.clear()
            memory = await self._overload(client, OVERLOAD * rate, seconds)
        latencies = sorted(self.latencies) or [float("nan")]
        p50, p99 = statistics.median(latencies), latencies[int(0.99 * (len(latencies) - 1))]
        growth = memory[1] / memory[0] - 1
        print(f"{name}: {rate:.1f} images per second; {OVERLOAD} times as many requests for {seconds:.0f} s:")
        print(f"  answered {self.statuses[200] / seconds:.1f} per second; by status: {dict(self.statuses)}")
        print(
            f"  latency of answered requests: p50 {p50:.2f} s, p99 {p99:.2f} s; {queue} images take ", end=""
        )
        print(f"{queue / rate:.2f} s at this rate")
        print(f"  memory after a third {memory[0]} MB, at the end {memory[1]} MB ({growth:+.1%})")
        print(f"  wrong answers: {self.wrong}", flush=True)
        self.faults = [
            *([f"statuses {dict(self.statuses)}"] if self.statuses.keys() - {200, 503} else []),
            *([f"{self.wrong} wrong answers"] if self.wrong else []),
            *([f"memory {growth:+.1%}"] if growth > 0.1 else []),
        ]

    async def _first(self, client: httpx.AsyncClient) -> bytes:
        for _ in range(1000):  # 200 s
            try:
                answer = await self._post(client)
                if answer.status_code == 200:
                    return answer.content
            except httpx.TransportError:
                await asyncio.sleep(0.2)
        raise RuntimeError("the server does not answer")

    async def _post(self, client: httpx.AsyncClient) -> httpx.Response:
        return await client.post(self.url, files={"image": ("a.jpg", self.image, "image/jpeg")})

    async def _send(self, client: httpx.AsyncClient) -> None:
        started = time.perf_counter()
        try:
            answer = await self._post(client)
        except httpx.TransportError as error:
            self.statuses[type(error).__name__] += 1
            return
        self.statuses[answer.status_code] += 1
        if answer.status_code == 200:
            self.latencies.append(time.perf_counter() - started)
            self.wrong += answer.content != self.expected

    async def _rate(self, client: httpx.AsyncClient, seconds: float) -> float:
        end = time.perf_counter() + seconds

        async def one_after_the_other() -> None:
            while time.perf_counter() < end:
                await self._send(client)

        await asyncio.gather(one_after_the_other(), one_after_the_other())
        return self.statuses[200] / seconds

    async def _overload(self, client: httpx.AsyncClient, rate: float, seconds: float) -> tuple[int, int]:
        started, tasks, early = time.perf_counter(), [], 0
        for number in range(int(rate * seconds)):
            await asyncio.sleep(started + number / rate - time.perf_counter())
            tasks.append(asyncio.create_task(self._send(client)))
            if not early and number > rate * seconds / 3:
                early = _memory(self.process)
        late = _memory(self.process)
        await asyncio.gather(*tasks)
        return early, late


def _memory(process: int) -> int:
    """Resident memory of a process and its children, in MB."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGESIZE") // 10**6 + sum(_memory(int(child)) for child in children)


def _random_model(path: Path) -> Path:
    from segwright.contracts import InputContract
    from segwright.data.datasets import dataset_labels
    from segwright.models.weights.model_file import write_model
    from segwright.recipes import load_recipe

    config = load_recipe("camvid.quick").model
    write_model(path, config.build(dataset_labels("camvid"), InputContract()), config)
    return path


def _noise() -> bytes:
    small = np.random.default_rng(0).integers(0, 256, (36, 48, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.resize(small, (480, 360)))[1].tobytes()


class Segmentation(litserve.LitAPI if litserve else object):  # type: ignore[misc]
    """A model for LitServe, which starts a worker process with it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def setup(self, device: str) -> None:
        self.model = load(self.path, device=device)

    def decode_request(self, request: Request) -> Any:
        return decode_upload(request["image"].file.read(), "a.jpg", self.model.input, Limits())

    def predict(self, pixels: Any) -> Any:
        return encode(predict(self.model, pixels), Kind.index)[0]

    def encode_response(self, body: bytes) -> Response:
        return Response(body, media_type="image/png")


# LitServe reads these types, which are only text otherwise.
Segmentation.decode_request.__annotations__["request"] = Request
Segmentation.encode_response.__annotations__["return"] = Response


def serve_with_litserve(path: Path, port: int) -> None:
    """Serve a model with LitServe, on one worker."""
    server = litserve.LitServer(Segmentation(path), accelerator="cpu", timeout=60)
    server.run(port=port, host="127.0.0.1", generate_client_file=False, log_level="warning")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--queue", type=int, default=16)
    parser.add_argument("--litserve", type=int, metavar="PORT", help="serve with LitServe instead")
    return parser.parse_args()


if __name__ == "__main__":
    main()
