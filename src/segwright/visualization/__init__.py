"""Drawings of label maps, segments and predictions, as RGB uint8 arrays [H, W, 3].

- ``label_maps``: class maps in colors, overlays, error maps, grids of images, images as data URIs
- ``classes``: shares of the classes of an image, each class alone, legend, a sheet of all of them
- ``segment_names``: names and scores written on the segments of a drawing
- ``segments``: overlays of segments, center heat maps, centers and offsets
"""

from segwright.visualization.classes import class_shares, class_sheet, draw_legend, isolate_class
from segwright.visualization.label_maps import (
    RGBImage,
    as_rgb,
    blend,
    colorize,
    data_uri,
    error_map,
    image_grid,
    overlay,
    resize,
)
from segwright.visualization.segment_names import draw_names
from segwright.visualization.segments import (
    VISUALIZATIONS,
    colorize_offsets,
    colorize_prediction,
    colorize_segments,
    draw_centers,
    draw_ground_truth,
    draw_prediction,
    overlay_heatmap,
    overlay_segments,
)

__all__ = [
    "VISUALIZATIONS",
    "RGBImage",
    "as_rgb",
    "blend",
    "class_shares",
    "class_sheet",
    "colorize",
    "colorize_offsets",
    "colorize_prediction",
    "colorize_segments",
    "data_uri",
    "draw_centers",
    "draw_ground_truth",
    "draw_legend",
    "draw_names",
    "draw_prediction",
    "error_map",
    "image_grid",
    "isolate_class",
    "overlay",
    "overlay_heatmap",
    "overlay_segments",
    "resize",
]
