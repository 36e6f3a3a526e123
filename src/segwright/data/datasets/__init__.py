"""Datasets: one file per dataset. Each defines a config class; ``config.open(root, split)`` opens a split.

- ``ade20k``, ``ade20k_panoptic``: ``Ade20k`` and ``Ade20kPanoptic``, 150 classes of indoor and outdoor scenes
- ``bdd100k``: ``Bdd100k``, driving in the United States, semantic or panoptic
- ``camvid``: ``CamVid``, a small dataset of street scenes
- ``cityscapes``: ``Cityscapes``, street scenes of 50 cities, semantic, instance and panoptic
- ``coco_instances``, ``coco_panoptic``, ``coco_stuff``: ``CocoInstances``, ``CocoPanoptic`` and ``CocoStuff``,
  photographs of everyday scenes; also for other datasets in these formats
- ``facade``: ``Facade``, building facades, panoptic or instance
- ``kitti_step``: ``KittiStep``, drives with panoptic ground truth
- ``mapillary``: ``Mapillary``, street scenes from all over the world
- ``minicity``: ``MiniCity``, a subset of Cityscapes
- ``nuclei``: ``Nuclei``, microscopy images of cell nuclei, instances
- ``street``: ``StreetScenes``, generated street scenes that need no download (``_street_canvas`` draws them)
- ``voc``: ``Voc``, Pascal VOC 2012

Custom datasets:

- ``folder``: ``Folder``, your own images with label maps
- ``panoptic_folder``: ``PanopticFolder``, your own images with instances
- ``own_data``: ``OwnData``, your own data as an annotation tool exported it
- ``tar_shards``: ``TarShards``, tar files in the format of webdataset, local or remote
- ``arrays``: ``MapStyleDataset`` and ``PairDataset``, (image, mask) pairs of a plain dataset, for example of torch
- ``one_vs_rest``: ``OneVsRest``, one class of any dataset against the rest

``dataset_config("camvid")`` finds a dataset by the name of its file, so a new file needs no registration.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import pkgutil
import re
from collections.abc import Iterable
from types import ModuleType

from segwright.config import override
from segwright.data.datasets.ade20k import Ade20k
from segwright.data.datasets.ade20k_panoptic import Ade20kPanoptic
from segwright.data.datasets.arrays import MapStyleDataset, PairDataset
from segwright.data.datasets.bdd100k import Bdd100k
from segwright.data.datasets.camvid import CamVid
from segwright.data.datasets.cityscapes import Cityscapes
from segwright.data.datasets.coco_instances import CocoInstances
from segwright.data.datasets.coco_panoptic import CocoPanoptic
from segwright.data.datasets.coco_stuff import CocoStuff
from segwright.data.datasets.facade import Facade
from segwright.data.datasets.folder import Folder
from segwright.data.datasets.kitti_step import KittiStep
from segwright.data.datasets.mapillary import Mapillary
from segwright.data.datasets.minicity import MiniCity
from segwright.data.datasets.nuclei import Nuclei
from segwright.data.datasets.one_vs_rest import OneVsRest
from segwright.data.datasets.own_data import OwnData
from segwright.data.datasets.panoptic_folder import PanopticFolder
from segwright.data.datasets.street import StreetScenes
from segwright.data.datasets.tar_shards import TarShards
from segwright.data.datasets.voc import Voc
from segwright.errors import UserError
from segwright.labels import LabelSpace
from segwright.samples import DataConfig

__all__ = [
    "Ade20k",
    "Ade20kPanoptic",
    "Bdd100k",
    "CamVid",
    "Cityscapes",
    "CocoInstances",
    "CocoPanoptic",
    "CocoStuff",
    "Facade",
    "Folder",
    "KittiStep",
    "MapStyleDataset",
    "Mapillary",
    "MiniCity",
    "Nuclei",
    "OneVsRest",
    "OwnData",
    "PairDataset",
    "PanopticFolder",
    "StreetScenes",
    "TarShards",
    "Voc",
    "dataset_config",
    "dataset_labels",
    "dataset_names",
]


def dataset_names() -> list[str]:
    """The names of all datasets that ``dataset_config`` finds, sorted."""
    return sorted(_modules())


def dataset_config(name: str, settings: Iterable[str] = ()) -> DataConfig:
    """The config of the dataset called ``name`` with its defaults, changed by "field=value" texts.

    ``UserError`` for an unknown name names the nearest one.
    """
    config = _config_class(_module(name))
    assert config is not None
    dataset = config()
    # "data.field=value" is accepted, too: the error messages of a training name fields so.
    override(dataset, (setting.removeprefix("data.") for setting in settings))
    return dataset


def dataset_labels(name: str) -> LabelSpace:
    """The classes of the dataset called ``name``, or the label space of that name.

    Some datasets have files in several label spaces: "cityscapes" has label ids, "cityscapes_train_ids" train ids.
    ``UserError`` for an unknown name, and for a dataset whose classes only its files define.
    """
    modules = _modules()
    spaces = {
        space.name: space
        for module in modules.values()
        for space in vars(module).values()
        if isinstance(space, LabelSpace)
    }
    spaces |= {
        title: module.CLASSES
        for title, module in modules.items()
        if isinstance(getattr(module, "CLASSES", None), LabelSpace)
    }
    wanted = re.sub(r"[ -]", "_", name.strip().lower())
    if wanted in spaces:
        return spaces[wanted]
    if wanted in modules:
        raise UserError(f"dataset {name!r} has no fixed classes; expected a class file FILE.yaml")
    near = difflib.get_close_matches(wanted, spaces, 1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(sorted(spaces))}"
    raise UserError(f"unknown dataset {name!r}; {hint}")


def _module(name: str) -> ModuleType:
    modules = _modules()
    if name not in modules:
        near = difflib.get_close_matches(name, modules, 1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"expected one of {', '.join(sorted(modules))}"
        raise UserError(f"unknown dataset {name!r}; {hint}")
    return modules[name]


def _modules() -> dict[str, ModuleType]:
    """The files of this folder that define a dataset, by name."""
    names = [info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_")]
    modules = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return {name: module for name, module in modules.items() if _config_class(module) is not None}


def _config_class(module: ModuleType) -> type[DataConfig] | None:
    """The only public dataclass of a file that opens splits and needs no arguments; None if there is none."""
    classes = [
        kind
        for name, kind in vars(module).items()
        if not name.startswith("_")
        and isinstance(kind, type)
        and kind.__module__ == module.__name__
        and issubclass(kind, DataConfig)
        and _has_defaults_only(kind)
    ]
    return classes[0] if len(classes) == 1 else None


def _has_defaults_only(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) and all(
        field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        for field in dataclasses.fields(kind)
        if field.init
    )
