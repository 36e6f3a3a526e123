"""Error counts: what kinds of errors the predictions of a split contain, counted image by image in one pass.

- ``split_errors``: ``SplitErrors`` counts everything below for the images of a split; ``ImageErrors`` of one image
- ``confusion_images``: in how many images a class is confused with another, and where most
- ``boundaries``: wrong pixels near boundaries of the ground truth and elsewhere
- ``segment_sizes``: IoU and recall of ground truth segments by their size
- ``objects``: missed, spurious, merged, split and misclassified segments of a panoptic prediction
- ``error_pass``: the error counts of a run: its model is run over the split, once
- ``storage``: the file of the counts, which lies beside the evaluation of a run
- ``bootstrap``: the paired bootstrap interval of a difference between two models
"""
