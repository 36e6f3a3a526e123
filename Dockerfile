# segwright serve in a container: docs/serving.md
# CPU and GPU: docker build -t segwright .
# CUDA base:   docker build -t segwright --build-arg BASE=nvidia/cuda:12.8.1-base-ubuntu24.04 .
ARG BASE=python:3.12-slim
FROM ${BASE}

# A CUDA base has no Python.
# hadolint ignore=DL3008
RUN if ! command -v python3 >/dev/null; then \
      apt-get update \
      && apt-get install -y --no-install-recommends python3 python3-venv \
      && rm -rf /var/lib/apt/lists/*; \
    fi \
    && python3 -m venv /opt/segwright

ENV PATH=/opt/segwright/bin:$PATH PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1

# The address of an index of PyTorch wheels, if not the default one.
ARG TORCH_INDEX=""
# hadolint ignore=DL3013
RUN python -m pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch torchvision

WORKDIR /source
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY src ./src
# hadolint ignore=DL3013
RUN python -m pip install ".[serve]" \
    && useradd --system --uid 10001 --create-home segwright

USER 10001
WORKDIR /home/segwright
VOLUME /model
EXPOSE 8000
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]

ENTRYPOINT ["segwright", "serve"]
CMD ["/model", "--host", "0.0.0.0", "--port", "8000"]
