"""Serving a model over HTTP: ``segwright serve``, an interface for programs and a page for people.

- ``app``: ``create_app``, the routes
- ``service``: ``Service``, one image in, one prediction out: admission, reading, the model, the time limit
- ``limits``: ``Limits``, what a request may cost; ``Admission``, how many requests are in the server at a time
- ``upload``: the image of a request, read with limits on bytes and pixels; the rest of a refused request
- ``worker``: ``ModelWorker``, the thread that runs the model; images of one size that wait go through it together
- ``responses``: what a prediction becomes: PNG files, JSON, RLE, polygons
- ``metrics``: counters and times for Prometheus
- ``server``: ``serve``, listens on a port until SIGTERM or SIGINT
- ``page``: the page, one HTML file (``page.html``), and its headers

It needs FastAPI, uvicorn, python-multipart and prometheus-client, the extra ``serve``.
"""

from segwright.serving.limits import Admission, Limits
from segwright.serving.worker import ModelWorker

__all__ = ["Admission", "Limits", "ModelWorker"]
