"""The comparison of two runs: one HTML page about their differences.

- ``comparison``: ``compare`` reads two run folders and writes the page
- ``comparison_scores``: the scores of two models on the same images, with bootstrap intervals
- ``comparison_page``: the page, rendered from a ``Comparison``; ``comparison_figures``: its figures
- ``recipe_differences``: the settings in which two recipes differ
"""
