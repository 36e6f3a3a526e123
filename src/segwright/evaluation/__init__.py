"""Evaluation: the scores of a model on a dataset, and the scores of prediction files.

evaluate.py        ``evaluate``: runs a model on a dataset and returns an ``EvaluationResult``
inference_loop.py  runs a model on every image of a split
evaluator.py       ``Evaluator``: counts predictions image by image, combines processes, makes the result
result.py          ``EvaluationResult``: scores and confusion matrix; the text that is printed
oracle.py          ``Oracle``: outputs of a model replaced by the ground truth
query_oracle.py    the same for query models
oracle_study.py    the scores with every combination of replaced outputs
crf_search.py      ``search_crf``: the scores with many settings of a dense CRF
files/             scores of prediction files in official formats; does not need PyTorch

``segwright.evaluate`` is the function ``evaluate`` of evaluate.py. The names below can be imported from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segwright.lazy import lazy_names

if TYPE_CHECKING:
    from segwright.evaluation.crf_search import search_crf as search_crf
    from segwright.evaluation.evaluator import Evaluator as Evaluator
    from segwright.evaluation.files.instance import score_cityscapes as score_cityscapes
    from segwright.evaluation.files.instance import score_instances as score_instances
    from segwright.evaluation.files.panoptic import score_panoptic as score_panoptic
    from segwright.evaluation.files.semantic import score_semantic as score_semantic
    from segwright.evaluation.oracle import Oracle as Oracle
    from segwright.evaluation.result import EvaluationResult as EvaluationResult

_NAMES = {
    "crf_search": "search_crf",
    "evaluator": "Evaluator",
    "files.instance": "score_cityscapes score_instances",
    "files.panoptic": "score_panoptic",
    "files.semantic": "score_semantic",
    "oracle": "Oracle",
    "result": "EvaluationResult",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _NAMES)
