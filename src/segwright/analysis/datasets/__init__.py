"""Statistics and pictures of a dataset.

- ``statistics``: ``dataset_statistics`` of a split: pixels per class, image sizes, mean and std, class weights
- ``data_page``: the HTML page with these statistics
- ``recipe_lines``: settings of a recipe that follow from these statistics, as lines to paste
- ``contact_sheet``: ``data_sheet`` and ``training_sheet``, images of a dataset or a training with their ground truth
"""
