"""The verb ``segwright predict``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from segwright.cli.ensembles import add_ensemble, check_models, load_models, split_models
from segwright.cli.inference import add_batch, add_inference, check_inference, inference_from_options
from segwright.cli.options import (
    Verbs,
    add_code,
    add_device,
    add_stopped_code,
    add_verb,
    parse_count,
    parse_fraction,
    refuse_options,
)
from segwright.cli.progress import progress_bar
from segwright.cli.speed import add_speed, faster_model
from segwright.cli.video import add_video, predict_videos, take_videos
from segwright.errors import UserError
from segwright.wording import count_of

if TYPE_CHECKING:
    from segwright.contracts import Model
    from segwright.inference.single_pass import InferenceMode
    from segwright.prediction.predict_files import FilePrediction

Results = Iterator[tuple[Path, str | None]]
"""Of each image its path, and the reason if it was skipped."""
_LONGEST_SHARD = timedelta(days=30)
"""How long the processes of torchrun wait for each other at the end."""


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    example = "segwright predict runs/camvid photo.jpg --out predictions"
    predict = add_verb(verbs, "predict", _predict, "predict images and videos", example)
    predict.add_argument(
        "model", type=Path, help="run folder, .safetensors file, or exported file (.onnx, .xml, .pt2)"
    )
    text = "images, folders, globs, lists (.txt), URLs (s3://) or videos; further models before them are an ensemble"
    predict.add_argument("images", nargs="*", default=[], help=text)
    add_ensemble(predict)
    _add_outputs(predict)
    _add_many_images(predict)
    add_video(predict)
    add_inference(predict)
    add_speed(predict)
    add_code(predict)
    add_device(predict)


def _add_outputs(predict: argparse.ArgumentParser) -> None:
    """Options that say what is written."""
    group = predict.add_argument_group("outputs")
    group.add_argument("--out", type=Path, required=True, metavar="DIR", help="output folder")
    text = (
        "what to write. Default: index (label maps), color, overlay, and panoptic (COCO files) if the model predicts "
        "segments; if some of these four are named, only the named ones are written. Further outputs: instances, "
        "cityscapes, semantic (official formats); classes, centers, heatmap, offset (drawings); uncertainty (entropy "
        "of the classes), disagreement (of passes, windows, models); table (CSV of areas and counts), parquet (class "
        "shares and segments of all images); yolo, labelme, cvat, labelstudio (annotations to correct in these tools)"
    )
    group.add_argument("--save", nargs="+", default=[], metavar="A,B", help=text)
    text = (
        "leave out objects whose score is below S, 0 to 1 (panoptic and instance models; default: keep all)"
    )
    group.add_argument("--score", type=parse_fraction, metavar="S", help=text)
    text = "COCO JSON file with the image ids to write into official files (default: ids from file names)"
    group.add_argument("--ids", type=Path, metavar="TRUTH.json", help=text)
    text = "with --save yolo, labelme, cvat, labelstudio: simplify polygons by up to N pixels (default: 0)"
    group.add_argument("--tolerance", type=float, metavar="N", help=text)


def _add_many_images(predict: argparse.ArgumentParser) -> None:
    """Options for folders of many or large images, and for several processes."""
    group = predict.add_argument_group("many images")
    add_batch(group)
    text = "skip images that an earlier run with the same settings has finished; also works for the first run"
    group.add_argument("--resume", action="store_true", help=text)
    text = "predict part I (from 0) of N of the images; start N such processes, or use torchrun"
    group.add_argument("--shard", metavar="I/N", help=text)
    text = "predict on the Ray cluster at this address, or on one that is started here (local)"
    group.add_argument("--ray", metavar="ADDRESS|local", help=text)
    text = "with --ray: processes that hold the model (default: one per GPU, or per two cores)"
    group.add_argument("--ray-actors", type=parse_count, metavar="N", help=text)
    text = "refuse images of more pixels; above the default only with --windows (default: 268,435,456)"
    group.add_argument("--max-pixels", type=int, metavar="N", help=text)
    add_stopped_code(group)


def _predict(options: argparse.Namespace) -> int:
    models, options.images = split_models(options.model, options.images)
    check_inference(options)
    _check_ray(options)
    check_models(models, options)
    videos = take_videos(options)
    _check_images(options.images)
    # What is above refuses wrong options and paths before torch is imported.
    from segwright.prediction.predict_files import FilePrediction
    from segwright.prediction.shard import Shard
    from segwright.training.processes import interrupts, join

    inference = inference_from_options(options)
    shard = Shard() if options.shard is None else Shard.parsed(options.shard)
    save = [name for names in options.save for name in names.split(",")]
    with join(options.device, timeout=_LONGEST_SHARD) as processes:
        if processes.world > 1:
            refuse_options(options, "shard", reason="with torchrun, whose processes are the shards")
            if options.ray is not None:
                raise UserError("--ray: not together with torchrun; start one process")
            shard = Shard(processes.rank, processes.world)
        model = faster_model(options, load_models(models, options, processes.device))
        _set_minimum_score(model, options.score, inference)
        prediction = None
        if options.images:
            prediction = FilePrediction.open(
                model,
                options.images,
                options.out,
                save=save,
                inference=inference,
                ids=options.ids,
                batch=options.batch,
                shard=shard,
                resume=options.resume,
                max_pixels=options.max_pixels,
                tolerance=options.tolerance or 0.0,
            )
        damaged = predict_videos(options, model, inference, videos) if videos and processes.main else 0
        if prediction is None:
            return 1 if damaged else 0
        with interrupts() as interrupted, _cluster(options) as run:
            skipped = _run(prediction, partial(run, prediction, stop=lambda: interrupted))
        left = _report(prediction, skipped, stopped=bool(interrupted))
        # torchrun ends all processes as soon as one fails, so they wait for each other.
        if any(processes.gather(skipped + damaged)):
            return 1
        return options.stopped_code if any(processes.gather(left)) else 0


def _check_ray(options: argparse.Namespace) -> None:
    """``UserError`` for options that do not fit ``--ray``, or need it."""
    if options.ray is None:
        refuse_options(options, "ray_actors", reason="without --ray")
    else:
        unused = ("shard", "fast", "compile", "device")
        refuse_options(options, *unused, reason="with --ray, whose actors share the work")


def _check_images(names: list[str]) -> None:
    """``UserError`` for an image or a folder that does not exist."""
    from segwright.data.reading.remote_files import is_url

    for name in names:
        if not (is_url(name) or os.path.lexists(name) or any(character in name for character in "*?[")):
            raise UserError(
                f"{name}: does not exist; expected an image, a folder of images or a glob; check the path"
            )


def _set_minimum_score(model: Model, score: float | None, inference: InferenceMode) -> None:
    """Let the decoder of the model leave out objects below ``score``; ``UserError`` if the model predicts none."""
    import numpy as np

    from segwright.decode import MinimumScore, decoder_of
    from segwright.prediction.predict import predict

    if score is None:
        return
    size = getattr(getattr(model, "description", None), "size", None) or (64, 64)  # exported for one size
    blank = np.zeros((*size, len(model.input.mean)), np.uint8)
    prediction = predict(model, blank, inference=inference).prediction
    if prediction.panoptic is None and prediction.instances is None:
        raise UserError(
            f"--score {score:g}: the model predicts only classes; expected one that predicts objects; remove it"
        )
    model.decoder = MinimumScore(score, decoder_of(model))


@contextmanager
def _cluster(options: argparse.Namespace) -> Iterator[Callable[..., Results]]:
    """The function that runs a prediction: here, or on the cluster of ``--ray``."""
    if options.ray is None:
        yield lambda prediction, stop: prediction.run(stop=stop)
        return
    from segwright.prediction.ray_prediction import predict_on_ray, ray_cluster

    with ray_cluster(options.ray):
        yield partial(predict_on_ray, actors=options.ray_actors)


def _run(prediction: FilePrediction, run: Callable[[], Results]) -> int:
    """Predict what remains, with a progress bar on a terminal; the number of skipped images."""
    skipped = 0
    with progress_bar(len(prediction.images), "images", done=prediction.done) as advance:
        for path, problem in run():
            advance()
            if problem is not None:
                skipped += 1
                print(f"segwright: skipped {path}: {problem.removeprefix(f'{path}: ')}", file=sys.stderr)
    return skipped


def _report(prediction: FilePrediction, skipped: int, *, stopped: bool) -> int:
    """Print what was done; how many images are left because a signal stopped the prediction."""
    from segwright.prediction.outputs import OUTPUTS

    out, left = prediction.outputs.out, len(prediction.images) - prediction.done - skipped
    known = (*OUTPUTS, *(writer.collected for writer in prediction.outputs.collected))
    outputs = sorted({path.name for path in out.glob("*") if path.stem.partition("-")[0] in known})
    print(
        f"{count_of(prediction.done, 'image')} predicted into {out}"
        + (f": {', '.join(outputs)}" if outputs else "")
        + (f"; {skipped} skipped" if skipped else "")
        + (f"; stopped, {left} left: the same command with --resume continues" if stopped and left else "")
    )
    instances = out / f"instances{prediction.shard.suffix}.json"
    if instances.is_file() and instances.stat().st_size == len("[]"):
        text = "no object was found in any image; pycocotools cannot load such an empty list of results"
        print(f"segwright: {instances}: {text}", file=sys.stderr)
    return left if stopped else 0
