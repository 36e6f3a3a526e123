"""segwright: semantic, instance and panoptic segmentation in PyTorch.

What users call
    recipe, train           a training run by name, changed in Python if you like
    load, predict           a trained model on images
    ensemble                several models as one
    evaluate, report        scores of a model on a dataset; one offline HTML page about a run
    check                   the problems of a recipe, before it runs
    wrap                    any PyTorch module as a model that can be evaluated and used for prediction
    LabelSpace, InputContract, Model, Recipe, UserError, RunError

Packages
    data            datasets, file formats, data augmentation, loading, conversion, checks
    augmentation    short for data.augmentation
    models          networks; models.build makes one by name
    backbones       short for models.backbones
    losses          losses over pixels and object centers
    metrics         confusion matrix, panoptic quality, average precision
    decode          model outputs to predictions
    inference       how a model is run on an image: one pass, test-time augmentation, sliding windows, dense CRF
    training        the training loop and everything it calls
    evaluation      scores of a model, and of prediction files
    export          models as ONNX, OpenVINO and torch.export files, compared with the original
    prediction      prediction on files, writers of official formats
    visualization   drawings of label maps and segments
    analysis        reports and dataset statistics
    serving         the HTTP server of segwright serve, with a page for the browser
    suggestion      recipes from the statistics of a dataset and the speed of a machine
    importers       published weights of other projects
    recipes         complete training runs, by name
    config          recipes as YAML and ``--set``: classes by name, values by the types of their fields
    cli             the command line

Files
    contracts, samples      the data types: sample, batch, output, loss, prediction; read these first
    labels                  the classes: names, colors, raw values
    files                   reading and writing JSON and text files, atomically
    model_paths             the model file that a path names: a run folder, a .safetensors file, an exported file
    errors, version         ``UserError`` and ``RunError``; the version number
    wording                 counts in messages, in the singular or plural
    parallel                processes many items on all CPU cores
    memory                  the memory of a machine, and the largest amount of work that fits it
    lazy                    names of a package that are imported on first use
    api, demo               the functions above that take a recipe by name; ``segwright demo``
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from segwright.version import VERSION as __version__

if TYPE_CHECKING:
    from segwright import analysis as analysis
    from segwright import data as data
    from segwright import decode as decode
    from segwright import evaluation as evaluation
    from segwright import export as export
    from segwright import importers as importers
    from segwright import inference as inference
    from segwright import losses as losses
    from segwright import metrics as metrics
    from segwright import models as models
    from segwright import prediction as prediction
    from segwright import recipes as recipes
    from segwright import training as training
    from segwright import visualization as visualization
    from segwright.analysis.reports.run_report import report as report
    from segwright.api import recipe as recipe
    from segwright.api import train as train
    from segwright.contracts import InputContract as InputContract
    from segwright.contracts import Model as Model
    from segwright.data import augmentation as augmentation
    from segwright.errors import RunError as RunError
    from segwright.errors import UserError as UserError
    from segwright.evaluation.evaluate import evaluate as evaluate
    from segwright.inference.ensembles import ensemble as ensemble
    from segwright.labels import LabelSpace as LabelSpace
    from segwright.models import backbones as backbones
    from segwright.models.wrap import wrap as wrap
    from segwright.prediction.predict import load as load
    from segwright.prediction.predict import predict as predict
    from segwright.training.recipe import Recipe as Recipe
    from segwright.training.recipe_check import check as check

# Everything is imported when it is first used: ``segwright --help`` must not wait for torch.
_MODULES = {
    "InputContract": "contracts",
    "LabelSpace": "labels",
    "Model": "contracts",
    "Recipe": "training.recipe",
    "RunError": "errors",
    "UserError": "errors",
    "check": "training.recipe_check",
    "ensemble": "inference.ensembles",
    "evaluate": "evaluation.evaluate",
    "load": "prediction.predict",
    "predict": "prediction.predict",
    "recipe": "api",
    "report": "analysis.reports.run_report",
    "train": "api",
    "wrap": "models.wrap",
}
_PACKAGES = {
    "analysis": "analysis",
    "augmentation": "data.augmentation",
    "backbones": "models.backbones",
    "data": "data",
    "decode": "decode",
    "evaluation": "evaluation",
    "export": "export",
    "importers": "importers",
    "inference": "inference",
    "losses": "losses",
    "metrics": "metrics",
    "models": "models",
    "prediction": "prediction",
    "recipes": "recipes",
    "training": "training",
    "visualization": "visualization",
}
__all__ = ["__version__", *_MODULES, *_PACKAGES]  # noqa: PLE0604 - the names are strings


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"segwright.{_PACKAGES[name]}")
    if name not in _MODULES:
        raise AttributeError(f"module 'segwright' has no attribute {name!r}")
    return getattr(importlib.import_module(f"segwright.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
