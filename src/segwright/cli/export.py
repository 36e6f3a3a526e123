"""The verb ``segwright export``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from segwright.cli.evaluate import open_dataset
from segwright.cli.options import (
    Verbs,
    add_code,
    add_data_root,
    add_json,
    add_verb,
    check_data_root,
    parse_count,
    parse_fraction,
    parse_size,
    refuse_options,
)
from segwright.errors import UserError
from segwright.files import check_writable, write_json
from segwright.model_paths import find_model
from segwright.wording import count_of

if TYPE_CHECKING:
    from segwright.contracts import Model
    from segwright.export.parity import Parity
    from segwright.samples import Sample

CALIBRATION_IMAGES = 100


def add(verbs: Verbs) -> None:
    """Add the verb to the parser."""
    text = "write a model for other programs (ONNX, OpenVINO, torch.export), and compare it with the original"
    example = "segwright export runs/camvid --format onnx --out camvid.onnx --json parity.json"
    export = add_verb(verbs, "export", _export, text, example)
    export.add_argument("model", type=Path, help="run folder or .safetensors file")
    text = "onnx, torch (a .pt2 program of torch.export) or openvino (.xml); default: by the suffix of --out"
    export.add_argument("--format", choices=["onnx", "torch", "openvino"], help=text)
    text = "file to write: FILE.onnx, FILE.pt2 or FILE.xml; a JSON file beside it describes it"
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help=text)
    add_json(export, "the comparison with the original")
    sizes = export.add_mutually_exclusive_group()
    text = "one image size only, to which images are padded; some programs need it, or are faster with it"
    sizes.add_argument("--size", type=parse_size, metavar="H,W", help=text)
    text = "any image size and any batch size (default, unless --size is given)"
    sizes.add_argument("--dynamic", action="store_true", help=text)
    text = "the file also returns class maps, and panoptic maps if the model predicts them"
    export.add_argument("--with-postprocessing", action="store_true", help=text)
    export.add_argument("--half", action="store_true", help="weights in float16")
    text = "quantize to 8 bits, with ranges from the images of --calibration"
    export.add_argument("--int8", action="store_true", help=text)
    text = f"folder of images like those to predict; up to {CALIBRATION_IMAGES} of them are used"
    export.add_argument("--calibration", type=Path, metavar="DIR", help=text)
    text = "version of the ONNX operators, 18 to 23 (default: 18)"
    export.add_argument("--opset", type=int, metavar="N", help=text)
    text = "also write a model repository for Triton Inference Server, with the ONNX file, into this folder"
    export.add_argument("--triton", type=Path, metavar="DIR", help=text)
    _add_parity(export)
    add_code(export)


def _add_parity(export: argparse.ArgumentParser) -> None:
    """Options of the comparison with the original model."""
    group = export.add_argument_group("comparison with the original")
    add_data_root(group, "the run's")
    text = "recipe with the dataset of the comparison (default: the run's)"
    group.add_argument("--recipe", help=text)
    group.add_argument("--split", default="val", help="split of the comparison (default: %(default)s)")
    text = "folder of images for the comparison, without ground truth, in place of the dataset"
    group.add_argument("--images", type=Path, metavar="DIR", help=text)
    text = "number of images of the comparison (default: %(default)s)"
    group.add_argument("--count", type=parse_count, default=8, metavar="N", help=text)
    text = (
        "fail if a smaller share of pixels is equal, 0 to 1 (default: 0.999; with --half 0.99, with --int8 0)"
    )
    group.add_argument("--min-equal-pixels", type=parse_fraction, metavar="X", help=text)


def _export(options: argparse.Namespace) -> int:
    _check_options(options)
    # What is above refuses wrong options, names and paths before torch is imported.
    from segwright.export.export import OPSET, ParityError, checked_format, export_model, sidecar
    from segwright.export.triton import check_triton, write_triton
    from segwright.models.weights.model_file import origin_of, read_file
    from segwright.prediction.predict import load

    opset = OPSET if options.opset is None else options.opset
    checked_format(
        options.out, options.format, half=options.half, calibration=options.calibration, opset=opset
    )
    if options.triton is not None:
        check_triton(options.out, options.out.stem)
        check_writable(options.triton / options.out.stem / "config.pbtxt")
    model = load(options.model, code=options.code)
    _, metadata = read_file(find_model(options.model))
    samples, ground_truth, source = _samples(options, model)
    calibration = _images(options.calibration, model, CALIBRATION_IMAGES) if options.int8 else None
    try:
        exported = export_model(
            model,
            options.out,
            format=options.format,
            size=options.size,
            postprocessing=options.with_postprocessing,
            half=options.half,
            calibration=None if calibration is None else [sample.image for sample in calibration],
            opset=opset,
            samples=samples,
            ground_truth=ground_truth,
            minimum_equal_pixels=options.min_equal_pixels,
            name=metadata.get("name", ""),
            origin=origin_of(metadata),
        )
        parity, failed = exported.parity, None
    except ParityError as error:
        parity, failed = error.parity, error
    assert parity is not None
    if options.json:
        write_json(options.json, {"model": str(options.model), "images_from": source, **parity.to_json()})
    _print_parity(parity, source)
    if failed is not None:
        raise failed
    if options.triton is not None:
        folder = write_triton(exported.model, options.triton, options.out.stem)
        print(f"{folder}: written, a model for tritonserver --model-repository {options.triton}")
    print(f"{options.out}: written; {sidecar(options.out)} describes it")
    return 0


def _check_options(options: argparse.Namespace) -> None:
    from segwright.recipes import load_recipe

    check_writable(options.json, options.out)
    if options.format == "torch" or options.out.suffix == ".pt2":
        refuse_options(options, "opset", reason="on a program of torch.export")
    if options.int8 != (options.calibration is not None):
        raise UserError("--int8 and --calibration DIR belong together; give both or none of them")
    if options.images is not None:
        refuse_options(options, "data", "recipe", reason="with --images")
    find_model(options.model)
    for folder in (options.images, options.calibration):
        if folder is not None and not folder.exists():
            raise UserError(f"{folder}: does not exist; expected a folder of images")
    check_data_root(options)
    if options.recipe is not None:
        load_recipe(options.recipe, code=options.code)


def _samples(options: argparse.Namespace, model: Model) -> tuple[list[Sample], bool, str]:
    """The images of the comparison, whether they have ground truth, and where they come from."""
    from segwright.data.reading.bands import images_for_model
    from segwright.evaluation.evaluate import check_same_classes

    if options.images is not None:
        return _images(options.images, model, options.count), False, str(options.images)
    try:
        dataset = open_dataset(options)
        check_same_classes(model, dataset)
        step = max(1, len(dataset) // options.count)
        with images_for_model(model.input.bands):
            samples = [dataset[i] for i in range(0, len(dataset), step)[: options.count]]
        if samples:
            return samples, True, f"{options.split} of the dataset"
    except (UserError, OSError) as error:
        if options.data is not None or options.recipe is not None:
            raise
        print(
            f"segwright: no images of the dataset for the comparison ({error}); generated images are used; better: "
            "--data ROOT, or --images DIR",
            file=sys.stderr,
        )
    return _generated(model, options.count), False, "generated"


def _images(folder: Path, model: Model, count: int) -> list[Sample]:
    """Up to ``count`` images of a folder, spread evenly over its list."""
    from segwright.export.parity import image_samples
    from segwright.prediction.image_arrays import image_array
    from segwright.prediction.inputs import find_images

    paths = find_images([str(folder)])
    chosen = paths[:: max(1, len(paths) // count)][:count]
    arrays = [image_array(path, model.input) for path in chosen]
    return image_samples(arrays, [path.stem for path in chosen])


def _generated(model: Model, count: int) -> list[Sample]:
    """Images of smooth random colors."""
    import cv2
    import numpy as np

    from segwright.export.parity import image_samples

    images = []
    for seed in range(count):
        random = np.random.default_rng(seed)
        noise = random.normal(model.input.mean, model.input.std, (12, 16, len(model.input.mean)))
        image = np.atleast_3d(cv2.resize(noise, (320, 240), interpolation=cv2.INTER_CUBIC))
        images.append(
            image.clip(0, 255).astype(np.uint8)
            if model.input.channels != "bands"
            else image.astype(np.float32)
        )
    return image_samples(images, [f"generated_{seed}" for seed in range(count)])


def _print_parity(parity: Parity, source: str) -> None:
    from segwright.evaluation.result import TITLES

    name = TITLES[parity.score["metric"]]
    truth = "" if parity.ground_truth == "dataset" else ", against the predictions of the original"
    print(f"compared on {count_of(parity.images, 'image')} ({source}), {count_of(parity.threads, 'thread')}")
    print(f"equal pixels          {parity.equal_pixels:.4%}")
    if parity.equal_map_pixels is not None:
        print(f"equal pixels of maps  {parity.equal_map_pixels:.4%}")
    print(f"largest difference    {parity.max_logit_difference:.2e} of the outputs")
    print(
        f"{name:<21} {parity.score['exported']:.4%}, original {parity.score['original']:.4%}, difference "
        f"{100 * parity.score_difference:+.4f} points{truth}"
    )
    for which, times in parity.latency.items():
        print(
            f"{'latency, ' + which:<21} p50 {times['p50'] * 1e3:.1f} ms, p95 {times['p95'] * 1e3:.1f} ms per image"
        )
    memory = {key: value / 2**20 for key, value in parity.memory.items()}
    print(
        f"memory                weights {memory['weights_bytes']:.1f} MiB, file {memory['file_bytes']:.1f} MiB"
    )
