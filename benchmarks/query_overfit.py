"""Whether a small EoMT can learn 8 photographs by heart: PQ on the images that it is trained with.

    OMP_NUM_THREADS=1 python benchmarks/query_overfit.py --data FACADE [--images 8] [--segments 16] [--reduce 4]
    [--steps 400] [--goal 0.9] [--json FILE]

A transformer of 6 blocks and 192 channels with patches of 8 pixels starts from random weights. The images are those of
the training split that have the fewest segments, but at least 16, at a quarter of their size, without augmentation. A
fault in loss, matching, sampling of points or decoding would keep the score far below the goal. Every ``--every`` steps
the images are evaluated; the training ends when the goal is reached. "limit" is the PQ of the true masks at the
resolution of the predicted ones. The last rows are those of the oracle study.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

import segwright
from segwright import backbones, losses, models
from segwright.contracts import InputContract, QueryOutput
from segwright.data.datasets import Facade
from segwright.data.loading import QueryTargets
from segwright.data.loading.batches import stack_images
from segwright.decode import QueryDecoder
from segwright.evaluation.oracle_study import oracle_study
from segwright.labels import LabelSpace
from segwright.samples import Dataset, Sample
from segwright.training import Cosine, Muon
from segwright.training.parameter_groups import build_optimizers, clip_gradients, set_learning_rate

INPUT = InputContract(multiple=8)


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Some images of a dataset, in memory."""

    labels: LabelSpace
    samples: Sequence[Sample]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Sample:
        return self.samples[index]

    def files(self, index: int) -> tuple[Path, ...]:
        return ()


def chosen(split: Dataset, count: int, segments: int) -> list[Sample]:
    """The first ``count`` images of those that have the fewest segments, but at least ``segments``."""
    samples = [split[index] for index in range(len(split))]
    rich = [sample for sample in samples if len(sample.segments or ()) >= segments]
    return sorted(rich, key=lambda sample: len(sample.segments or ()))[:count]


def limit(dataset: Dataset, stride: int, decoder: QueryDecoder) -> float:
    """PQ of the true masks, averaged over cells of ``stride`` pixels and enlarged again by the decoder."""
    from segwright.evaluation.evaluator import Evaluator

    evaluator = Evaluator(dataset.labels)
    for sample in (dataset[index] for index in range(len(dataset))):
        size = (sample.map.shape[0], sample.map.shape[1])
        masks = QueryTargets("segments")([sample], size, dataset.labels).masks
        assert masks is not None
        classes = masks.classes[0]
        dense = (masks.index == torch.arange(len(classes))[:, None, None]).float()
        cells = F.avg_pool2d(dense[None], stride).clamp(1e-4, 1 - 1e-4).logit()
        scores = 20.0 * F.one_hot(classes, len(dataset.labels) + 1).float()
        (prediction,) = decoder(QueryOutput(cells, scores[None]), (size,), size, dataset.labels)
        evaluator.add(prediction, sample)
    return float(evaluator.result().summary()["pq"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder of Facade")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument(
        "--segments", type=int, default=16, help="the smallest number of segments in an image"
    )
    parser.add_argument("--reduce", type=int, default=4, choices=(1, 2, 4))
    parser.add_argument("--upscale", type=int, default=2)
    parser.add_argument("--points", type=int, default=1024)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--lr", type=float, default=5e-3)
    parser.add_argument(
        "--masked", action="store_true", help="masked attention in the first half of the training"
    )
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--goal", type=float, default=0.9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report = overfit(options)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


def overfit(options: argparse.Namespace) -> dict[str, Any]:
    """Train until the goal or the last step; the curve, the limit, and the oracle study."""
    split = Facade(reduce=options.reduce).open(options.data, "train")
    dataset = Images(split.labels, chosen(split, options.images, options.segments))
    decoder = QueryDecoder("panoptic", threshold=0.5)
    counts = [len(sample.segments or ()) for sample in dataset.samples]
    size = (dataset[0].map.shape[0], dataset[0].map.shape[1])
    bound = limit(dataset, 8 // 2**options.upscale, decoder)
    print(
        f"{len(dataset)} images of {size[1]}x{size[0]}, {sum(counts)} segments, limit {100 * bound:.1f} % PQ",
        flush=True,
    )
    queries = max(counts) + 8
    model = network(dataset.labels, size, queries, options)
    loss = losses.QueryLoss(queries=queries, points=options.points)
    optimizers = build_optimizers(model, Muon(lr=options.lr, weight_decay=0.0))
    schedule, curve = Cosine(warmup=0.05, final=0.02), []
    torch.manual_seed(0)
    began, order = time.process_time(), torch.zeros(0, dtype=torch.long)
    for step in range(options.steps):
        progress = step / options.steps
        set_learning_rate(optimizers, schedule(progress))
        model.set_progress(progress)
        if len(order) < options.batch:
            order = torch.randperm(len(dataset))
        samples, order = [dataset[int(i)] for i in order[: options.batch]], order[options.batch :]
        images, _ = stack_images(samples, INPUT)
        with torch.autocast("cpu", torch.bfloat16):
            output = model.train()(INPUT.normalize(images))
        value = loss.mean(output, QueryTargets("segments")(samples, size, dataset.labels))
        model.zero_grad(set_to_none=True)
        value.backward()
        clip_gradients(model, 1.0)
        for optimizer in optimizers:
            optimizer.step()
        if (step + 1) % options.every == 0 or step + 1 == options.steps:
            scores = segwright.evaluate(model.eval(), dataset, decoder).summary()
            row = {"step": step + 1, "loss": value.item(), "cpu_seconds": time.process_time() - began}
            curve.append(row | {name: float(scores[name]) for name in ("pq", "sq", "rq", "miou")})
            print(*(f"{name} {number:.4g}" for name, number in curve[-1].items()), flush=True)
            if scores["pq"] >= options.goal:
                break
    study = [row.to_json() for row in oracle_study(model.eval(), dataset, decoder)]
    for row in study:
        print(
            "true", "+".join(row["oracle"]) or "nothing", *(f"{n} {row[n]:.4g}" for n in ("pq", "sq", "rq"))
        )
    return {
        "limit": bound,
        "curve": curve,
        "oracles": study,
        "options": {k: str(v) for k, v in vars(options).items()},
    }


def network(
    labels: LabelSpace, size: tuple[int, int], queries: int, options: argparse.Namespace
) -> models.EoMT:
    """The network of ``eomt.street_panoptic``, with finer masks."""
    backbone = backbones.ViTConfig(
        "vit_tiny_patch16_224", patch_size=8, image_size=size, depth=6, channels=192, heads=3
    )
    torch.manual_seed(0)
    config = models.EoMTConfig(
        backbone, queries=queries, upscale=options.upscale, masked_attention=options.masked,
        annealing=((0.1, 0.3), (0.2, 0.4), (0.3, 0.5)),
    )  # fmt: skip
    return config.build(labels, INPUT)


if __name__ == "__main__":
    main()
