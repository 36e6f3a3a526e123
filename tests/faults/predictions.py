"""Faults of images, predictions, scored files, and of the server."""

from __future__ import annotations

from typing import Any

import numpy as np
from tests.faults.damage import Damage, array, changed, cut, data, huge_npy, huge_png, removed, text
from tests.faults.fault import PREDICT, Fault

PHOTOS = "predict run photos --out new --device cpu"
SEMANTIC = "score semantic --truth truth --prediction maps --labels classes.yaml"
PANOPTIC = "score panoptic --truth panoptic_val.json --prediction found/panoptic_val.json"
INSTANCE = "score instance --truth instances_val.json --prediction results.json"
FOUND = "found/panoptic_val.json"


def result(**fields: Any) -> Damage:
    """The first of the results with these fields."""
    return changed("results.json", lambda values: values[0].update(fields))


def annotation(**fields: Any) -> Damage:
    """The first annotation of the predicted panoptic file with these fields."""
    return changed(FOUND, lambda values: values["annotations"][0].update(fields))


FAULTS: dict[str, list[Fault]] = {
    "Images and predictions": [
        Fault(
            "an image that is not there",
            "predict run missing.jpg --out new",
            "missing.jpg: does not exist; expected an image, a folder of images or a glob; check the path",
        ),
        Fault(
            "a pattern that nothing fits",
            "predict run photos/*.tif --out new",
            "photos/*.tif: contains no image; expected an image, a folder of images or a glob",
        ),
        Fault(
            "a folder without images",
            "predict run labelme/b --out new",
            "labelme/b: does not exist; expected an image, a folder of images or a glob",
        ),
        Fault(
            "nothing to predict",
            "predict run --out new",
            "nothing to predict; expected images, folders, globs or videos, or --camera N",
        ),
        Fault(
            "an image cut short: the others are predicted",
            PHOTOS,
            "skipped photos/0.png: truncated (the end of the file is missing); copy it again or remove it",
            cut("photos/0.png"),
            code=1,
        ),
        Fault(
            "an image of 0 bytes: the others are predicted",
            PHOTOS,
            "skipped photos/0.png: an empty file (0 bytes); expected an image; copy it again or remove it",
            data("photos/0.png", b""),
            code=1,
        ),
        Fault(
            "an image whose header says 10^10 pixels: the others are predicted",
            PHOTOS,
            "skipped photos/0.png: header reports 100000x100000 pixels; expected at most 268,435,456 in "
            "all; remove the file, or predict it with --windows and a higher --max-pixels",
            huge_png("photos/0.png"),
            code=1,
        ),
        Fault(
            "an array whose header says 40 GB: the others are predicted",
            PHOTOS,
            "skipped photos/3.npy: not an array that can be read (…); save it again with numpy.save",
            huge_npy("photos/3.npy"),
            code=1,
        ),
        Fault(
            "an array of another number of channels: the others are predicted",
            PHOTOS,
            "skipped photos/3.npy: 7 bands of uint8; expected an RGB image of 8 bits; the model takes 8-bit "
            "RGB images; convert the image",
            array("photos/3.npy", np.zeros((24, 32, 7), np.uint8)),
            code=1,
        ),
        Fault(
            "an array of objects: the others are predicted",
            PHOTOS,
            "skipped photos/3.npy: not an array that can be read (…); save it again with numpy.save",
            lambda: np.save("photos/3.npy", np.array([[{}]], object), allow_pickle=True),
            code=1,
        ),
        Fault(
            "an image of floating-point values: the others are predicted",
            PHOTOS,
            "skipped photos/3.tif: 3 bands of float32; expected an RGB image of 8 bits; the model takes 8-bit "
            "RGB images; convert the image",
            array("photos/3.tif", np.full((24, 32, 3), 9.5, np.float32)),
            code=1,
        ),
        Fault(
            "an output folder that is a file",
            PREDICT,
            "new: is a file; expected a folder to write into; choose another --out",
            text("new", "x"),
        ),
        Fault(
            "an unknown output",
            PREDICT + " --save depth",
            "--save depth: unknown format; expected one of …",
        ),
        Fault(
            "outputs that the model does not have",
            PREDICT + " --save centers",
            "--save centers: the model predicts only classes; expected one that predicts objects",
        ),
        Fault(
            "a score for a model without objects",
            PREDICT + " --score 0.5",
            "--score 0.5: the model predicts only classes; expected one that predicts objects; remove it",
        ),
        Fault(
            "a shard beyond the last",
            PREDICT + " --shard 4/4",
            "--shard 4/4: expected I/N with I from 0 to N - 1, for example 0/4 for the first of four",
        ),
        Fault(
            "a shard that is no fraction",
            PREDICT + " --shard one",
            "--shard one: expected I/N with I from 0 to N - 1, for example 0/4 for the first of four",
        ),
        Fault(
            "continuing a prediction with other settings",
            "predict run photos --out done --resume --flip",
            "done/done.jsonl: --resume of a prediction with another inference "
            "(SinglePass(disagreement=False), now TestTimeAugmentation(scales=(1.0,), flip=True, "
            "fuse='prob...); use the same settings, choose another --out, or leave out --resume to start "
            "again",
        ),
        Fault(
            "a list of images that do not exist",
            "predict run list.txt --out new",
            "missing.png: does not exist; expected an image, a folder of images or a glob; check the path",
            text("list.txt", "missing.png\n"),
        ),
        Fault(
            "a list that is empty",
            "predict run list.txt --out new",
            "list.txt: an empty list; expected one image per line; add them, or use another list",
            text("list.txt", ""),
        ),
        Fault(
            "ids from a file without the image",
            PREDICT + " --save instances --ids instances_val.json",
            "instances_val.json: contains no image photo.jpg (1 of the 1 images are missing); expected the "
            "ground truth of the predicted images; predict only its images, or remove --ids",
        ),
        Fault(
            "a video that is none",
            "predict run a.mp4 --out new",
            "a.mp4: cannot be read (…); expected a video file or a camera",
            text("a.mp4", "no video"),
        ),
        Fault(
            "an address of unknown storage",
            "predict run nowhere://a/b.png --out new",
            "nowhere://a/b.png: cannot be opened (Protocol not known: nowhere); install the package, or "
            "check the URL",
        ),
    ],
    "Videos and sequences": [
        Fault(
            "smoothing without a video",
            PREDICT + " --smooth 0.5",
            "--smooth has no effect without a video; remove it",
        ),
        Fault(
            "smoothing above 1",
            "predict run a.mp4 --out new --smooth 2",
            "a.mp4: cannot be read (…); expected a video file or a camera",
            text("a.mp4", "x"),
        ),
    ],
    "Scored files": [
        Fault(
            "ground truth that is not there",
            "score semantic --truth missing --prediction maps --labels classes.yaml",
            "missing: no such folder; expected a folder of images; check --truth and --prediction",
        ),
        Fault(
            "predictions that are not there",
            "score semantic --truth truth --prediction missing --labels classes.yaml",
            "missing: no such folder; expected a folder of images; check --truth and --prediction",
        ),
        Fault(
            "a prediction that is missing",
            SEMANTIC,
            "truth/a.png: no prediction has this name; expected one; add it, or check --prediction",
            removed("maps/a.png"),
        ),
        Fault(
            "a prediction of another size",
            SEMANTIC,
            "maps/a.png: 6x5, its ground truth truth/a.png is 16x12; expected equal sizes; write the map "
            "in the size of the ground truth",
            array("maps/a.png", np.zeros((5, 6), np.uint8)),
        ),
        Fault(
            "a prediction with an unknown value",
            SEMANTIC,
            "maps/a.png: value 9 is no class of 'classes' (0..2, ignored 255); use its own "
            "--labels, or write the map again",
            array("maps/a.png", np.full((12, 16), 9, np.uint8)),
        ),
        Fault(
            "a prediction in color",
            SEMANTIC,
            "maps/a.png: 3 channels; expected one channel of class values (an index or palette PNG); the "
            "map contains colors: convert it to class values with 'segwright data convert rgb'",
            array("maps/a.png", np.zeros((12, 16, 3), np.uint8)),
        ),
        Fault(
            "unknown labels",
            "score semantic --truth truth --prediction maps --labels cityscape",
            "unknown dataset 'cityscape'; did you mean 'cityscapes'?",
        ),
        Fault(
            "a metric that does not exist",
            "score semantic --truth truth --prediction maps --labels classes.yaml --metrics Nothing",
            "--metrics Nothing: unknown metric; expected one of BoundaryIoU, Calibration, CategoryIoU, "
            "InstanceIoU, TrimapIoU; a metric of your own needs --code FILE.py",
        ),
        Fault(
            "a panoptic file that is no JSON",
            PANOPTIC,
            "found/panoptic_val.json: not JSON (…); download or export it again",
            text(FOUND, "{"),
        ),
        Fault(
            "a panoptic map that is missing",
            PANOPTIC,
            "found/panoptic_val/x.png: does not exist, like 1 of 4 maps; expected a PNG for each "
            "annotation; add it, or check --truth-dir and --prediction-dir",
            removed("found/panoptic_val/x.png"),
        ),
        Fault(
            "a panoptic map with an unlisted segment",
            PANOPTIC,
            "found/panoptic_val/x.png: the predicted map holds id 300, which is not among its segments; "
            "expected an entry for it; write JSON and PNG again",
            changed(FOUND, lambda v: v["annotations"][0]["segments_info"].pop()),
        ),
        Fault(
            "a panoptic map whose name leaves the folder",
            PANOPTIC,
            "found/panoptic_val.json: the file name '../../../etc/passwd' of image 7 leaves "
            "found/panoptic_val; expected the name of a map in it; correct it",
            annotation(file_name="../../../etc/passwd"),
        ),
        Fault(
            "a panoptic file of other categories",
            PANOPTIC,
            "found/panoptic_val.json: category 1 is 'tree'; in the ground truth panoptic_val.json it is "
            "'road'; expected the same ids; write the predictions with the ids of this dataset",
            changed(FOUND, lambda v: v["categories"][0].update(name="tree")),
        ),
        Fault(
            "results that are no list",
            INSTANCE,
            "results.json: does not contain a list of objects; expected COCO results: image_id, "
            "category_id, score, and segmentation or bbox of each",
            text("results.json", "{}"),
        ),
        Fault(
            "a result without a score",
            INSTANCE,
            "results.json: annotation number 1 of image 1 has no 'score'; expected category_id, "
            "segmentation (polygons [[x, y, ...]] or RLE) and score of each; correct it",
            changed("results.json", lambda v: v[0].pop("score")),
        ),
        Fault(
            "a result whose score is NaN",
            INSTANCE,
            "results.json: annotation number 1 of image 1 cannot be read (score nan); expected "
            "category_id, segmentation (polygons [[x, y, ...]] or RLE) and score of each; correct it",
            result(score=float("nan")),
        ),
        Fault(
            "a result of an unknown image",
            INSTANCE,
            "results.json: annotation number 1 is of image 99, which is not among the 'images' of the "
            "ground truth; check that both files belong together",
            result(image_id=99),
        ),
        Fault(
            "a result whose mask claims 10^12 pixels",
            INSTANCE,
            "results.json: annotation number 1 of image 1 cannot be read (its size is [1000000, 1000000], "
            "the image [12, 16]); expected category_id, segmentation (polygons [[x, y, ...]] or RLE) and "
            "score of each; correct it",
            result(segmentation={"size": [10**6, 10**6], "counts": [10**12]}),
        ),
        Fault(
            "no detections at all",
            "score instance --truth instances_val.json --prediction results.json --max-detections 0",
            "segwright score instance: argument --max-detections: '0'; expected a whole number from 1; see segwright "
            "score instance --help",
        ),
        Fault(
            "sequences without frames",
            "score sequence --kind stq --truth truth --prediction maps",
            "maps: has no prediction for frame a of sequence truth (truth/a.png), as for 2 of 2 frames; "
            "expected one per frame; predict these frames, too",
        ),
    ],
    "Server": [
        Fault(
            "a model that is not there",
            "serve missing --port 0",
            "missing: file does not exist; expected a .safetensors model or a run folder",
        ),
        Fault(
            "a port that does not exist",
            "serve run --port 99999",
            "--host 127.0.0.1 --port 99999: cannot listen there (…); choose another port or host",
        ),
        Fault(
            "an address that is not of this machine",
            "serve run --host 203.0.113.1",
            "--host 203.0.113.1 --port 8000: cannot listen there (…); choose another port or host",
        ),
        Fault(
            "a queue of nothing",
            "serve run --port 0 --queue 0",
            "--queue 0: expected a positive number",
        ),
        Fault(
            "no time",
            "serve run --port 0 --timeout 0",
            "--timeout 0: expected a positive number",
        ),
        Fault(
            "a token with a line break",
            "serve run --port 0 --token 'a\nb'",
            "--token: expected printable ASCII characters without spaces at its ends",
        ),
    ],
}
