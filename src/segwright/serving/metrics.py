"""Counters and times of a server, in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ServerMetrics:
    """The metrics of one server, in a registry of their own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, *, admitted: Callable[[], int], waiting: Callable[[], int]) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "segwright_requests", "Answered requests to /predict.", ["status"], registry=self.registry
        )
        self.seconds = Histogram(
            "segwright_request_seconds",
            "Time from the head of a request to its answer, of requests with status 200.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_seconds = Histogram(
            "segwright_batch_seconds",
            "Time of a batch in the model, decoding included.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch_images = Histogram(
            "segwright_batch_images",
            "Images per batch.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=self.registry,
        )
        for name, text, value in (
            ("segwright_requests_in_progress", "Requests that are accepted and not yet answered.", admitted),
            ("segwright_images_waiting", "Images that wait for the model.", waiting),
        ):
            Gauge(name, text, registry=self.registry).set_function(value)

    def batch(self, images: int, seconds: float) -> None:
        """Count a batch."""
        self.batch_images.observe(images)
        self.batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """All metrics."""
        return generate_latest(self.registry)
