"""Analysis: the report of a run, the comparison of two, statistics of a dataset, contact sheets.

All pages are HTML files that work offline.

errors/             error counts of a split, from images in one pass
pages/              templates of the HTML pages, and the figures in them
models/             parameters, FLOPs, memory and speed of a network, and what its file says
datasets/           statistics of a dataset, their page, pictures of its images
reports/            the report of a run
comparisons/        the comparison of two runs
precision_recall.py the precision-recall curves of instances, as an image file
environment.py      ``environment``: the versions, devices and memory of a machine, and what is missing
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segwright.lazy import lazy_names

if TYPE_CHECKING:
    from segwright.analysis.comparisons.comparison import compare as compare
    from segwright.analysis.datasets.contact_sheet import data_sheet as data_sheet
    from segwright.analysis.datasets.contact_sheet import training_sheet as training_sheet
    from segwright.analysis.datasets.statistics import SplitStatistics as SplitStatistics
    from segwright.analysis.datasets.statistics import dataset_statistics as dataset_statistics
    from segwright.analysis.models.cost import ModelCost as ModelCost
    from segwright.analysis.models.cost import model_cost as model_cost
    from segwright.analysis.models.info import model_info as model_info
    from segwright.analysis.models.info import recipe_info as recipe_info
    from segwright.analysis.models.speed import Benchmark as Benchmark
    from segwright.analysis.models.speed import benchmark as benchmark
    from segwright.analysis.models.speed import largest_batch as largest_batch
    from segwright.analysis.reports.report_cases import Case as Case
    from segwright.analysis.reports.report_page import RunReport as RunReport
    from segwright.analysis.reports.run_report import report as report

# Imported at first use: ``segwright data stats`` must not wait for torch.
_NAMES = {
    "comparisons.comparison": "compare",
    "datasets.contact_sheet": "data_sheet training_sheet",
    "datasets.statistics": "SplitStatistics dataset_statistics",
    "models.cost": "ModelCost model_cost",
    "models.info": "model_info recipe_info",
    "models.speed": "Benchmark benchmark largest_batch",
    "reports.report_cases": "Case",
    "reports.report_page": "RunReport",
    "reports.run_report": "report",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _NAMES)
