"""Analysis: the report of a run, the comparison of two, statistics of a dataset, contact sheets.

All pages are HTML files that work offline.

- ``run_report``: ``report`` reads a run folder and writes its report; ``EvaluatedRun``, the files of a run
- ``report_page``: the page of a run, rendered from a ``RunReport`` and its cases
- ``report_cases``: its images, the worst and best ones: ``Case``
- ``confusions``: its table of the largest confusions
- ``query_masks``: the masks of some queries of a query model, as a picture
- ``segment_section``: the section of that page about panoptic quality and average precision
- ``oracle_section``: its section about the oracle study (``evaluation.oracle_study``)
- ``errors``: error counts of a split, from images in one pass
- ``error_pass``: the error counts of a run: its model is run over the split, once
- ``error_section``: the section about errors: boundaries, sizes of segments, causes of unmatched segments
- ``error_examples``: pictures of unmatched segments
- ``error_figures``: the figures of that section
- ``image_table``: the table of all images, which sorts and filters in the page, and its CSV file
- ``comparison``: ``compare`` reads two run folders and writes the page about their differences
- ``comparison_scores``: the scores of two models on the same images, with bootstrap intervals
- ``comparison_page``: the page about them; ``comparison_figures``: its figures
- ``recipe_differences``: the settings in which two recipes differ
- ``statistics``: ``dataset_statistics`` of a split: pixels per class, image sizes, mean and std, class weights
- ``data_page``: the HTML page with these statistics
- ``recipe_lines``: settings of a recipe that follow from these statistics, as lines to paste
- ``contact_sheet``: ``data_sheet`` and ``training_sheet``, images of a dataset or a training with their ground truth
- ``info``: ``model_info`` of a run, a model file or a recipe: cost, preprocessing, classes, origin, training
- ``exported_info``: ``exported_info`` of an ONNX, OpenVINO or torch.export file
- ``cost``: ``model_cost``, the parameters, FLOPs and memory of a network
- ``speed``: ``benchmark``, speed, latency and memory of predictions; ``largest_batch``
- ``environment``: ``environment``, the versions, devices and memory of a machine, and what is missing
- ``plots``: the figures of all pages, as SVG
- ``precision_recall``: the precision-recall curves of instances, as an image file
- ``page``: rendering of the HTML templates, numbers as text
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from segwright.lazy import lazy_names

if TYPE_CHECKING:
    from segwright.analysis.comparison import compare as compare
    from segwright.analysis.contact_sheet import data_sheet as data_sheet
    from segwright.analysis.contact_sheet import training_sheet as training_sheet
    from segwright.analysis.cost import ModelCost as ModelCost
    from segwright.analysis.cost import model_cost as model_cost
    from segwright.analysis.info import model_info as model_info
    from segwright.analysis.info import recipe_info as recipe_info
    from segwright.analysis.report_cases import Case as Case
    from segwright.analysis.report_page import RunReport as RunReport
    from segwright.analysis.run_report import report as report
    from segwright.analysis.speed import Benchmark as Benchmark
    from segwright.analysis.speed import benchmark as benchmark
    from segwright.analysis.speed import largest_batch as largest_batch
    from segwright.analysis.statistics import SplitStatistics as SplitStatistics
    from segwright.analysis.statistics import dataset_statistics as dataset_statistics

# Imported at first use: ``segwright data stats`` must not wait for torch.
_NAMES = {
    "comparison": "compare",
    "contact_sheet": "data_sheet training_sheet",
    "cost": "ModelCost model_cost",
    "info": "model_info recipe_info",
    "report_cases": "Case",
    "report_page": "RunReport",
    "run_report": "report",
    "speed": "Benchmark benchmark largest_batch",
    "statistics": "SplitStatistics dataset_statistics",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _NAMES)
