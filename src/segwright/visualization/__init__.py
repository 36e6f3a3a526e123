"""Drawings of label maps, segments and predictions, as RGB uint8 arrays [H, W, 3].

- ``label_maps``: class maps in colors, overlays, error maps, grids of images, images as data URIs
- ``segments``: overlays of segments, center heat maps, centers and offsets
"""

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
    "colorize",
    "colorize_offsets",
    "colorize_prediction",
    "colorize_segments",
    "data_uri",
    "draw_centers",
    "draw_ground_truth",
    "draw_prediction",
    "error_map",
    "image_grid",
    "overlay",
    "overlay_heatmap",
    "overlay_segments",
    "resize",
]
