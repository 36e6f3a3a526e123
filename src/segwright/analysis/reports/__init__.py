"""The report of a run: one HTML page.

- ``run_report``: ``report`` reads a run folder and writes its report; ``EvaluatedRun``, the files of a run
- ``report_page``: the page, rendered from a ``RunReport`` and its cases
- ``report_cases``: its images, the worst and best ones: ``Case``
- ``confusions``: its table of the largest confusions
- ``image_table``: its table of all images, which sorts and filters in the page, and its CSV file
- ``query_masks``: the masks of some queries of a query model, as a picture
- ``segment_section``: the section about panoptic quality and average precision
- ``oracle_section``: the section about the oracle study (``evaluation.oracle_study``)
- ``error_section``: the section about errors: boundaries, sizes of segments, causes of unmatched segments
- ``error_figures``: the figures of that section; ``error_examples``: its pictures of unmatched segments
"""
