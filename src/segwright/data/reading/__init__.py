"""Reading files: images, label maps, lists of files, run-length masks.

blocks.py       parts of images that may not fit into memory
file_lists.py   the images of a folder, the label maps that belong to them, list files; compact lists of paths
images.py       photographs and images of several bands, their size, their EXIF orientation
bands.py        the error for images with other bands than expected
label_maps.py   label maps in PNG, TIFF or .npy; colors as numbers; PNG output
limits.py       the largest image that is read
png_decoder.py  fast decoding of plain PNG files
png_encoder.py  PNG files from maps and RGB images
png_rows.py     PNG files of any size, written from blocks of rows
remote_files.py remote files through a local cache (fsspec)
rle.py          run-length masks, as pycocotools encodes them
tar_index.py    where the members of a tar file start
tiff.py         TIFF files in any layout, with their values as stored
tiff_blocks.py  parts of TIFF files; their georeference
tiff_tiles.py   TIFF files of any size, written tile by tile
"""

from __future__ import annotations

from segwright.data.reading.file_lists import CompactPaths as CompactPaths
from segwright.data.reading.file_lists import CompactStrings as CompactStrings
from segwright.data.reading.file_lists import ListedImages as ListedImages
from segwright.data.reading.file_lists import find_list_file as find_list_file
from segwright.data.reading.file_lists import has_hidden_part as has_hidden_part
from segwright.data.reading.file_lists import is_hidden as is_hidden
from segwright.data.reading.file_lists import list_images as list_images
from segwright.data.reading.file_lists import match_files as match_files
from segwright.data.reading.file_lists import read_lines as read_lines
from segwright.data.reading.file_lists import require_files as require_files
from segwright.data.reading.file_lists import unmatched_maps as unmatched_maps
from segwright.data.reading.images import apply_orientation as apply_orientation
from segwright.data.reading.images import image_size as image_size
from segwright.data.reading.images import orientation as orientation
from segwright.data.reading.images import read_bands as read_bands
from segwright.data.reading.images import read_image as read_image
from segwright.data.reading.label_maps import pack_rgb as pack_rgb
from segwright.data.reading.label_maps import read_map as read_map
from segwright.data.reading.label_maps import unique_values as unique_values
from segwright.data.reading.label_maps import unpack_rgb as unpack_rgb
from segwright.data.reading.label_maps import write_png as write_png
from segwright.data.reading.limits import refuse_decompression_bomb as refuse_decompression_bomb
from segwright.data.reading.rle import annotation_to_rle as annotation_to_rle
from segwright.data.reading.rle import decode_mask as decode_mask
from segwright.data.reading.rle import encode_crop as encode_crop
from segwright.data.reading.rle import encode_masks as encode_masks
from segwright.data.reading.rle import run_starts as run_starts

__all__ = [
    "CompactPaths",
    "CompactStrings",
    "ListedImages",
    "annotation_to_rle",
    "apply_orientation",
    "decode_mask",
    "encode_crop",
    "encode_masks",
    "find_list_file",
    "has_hidden_part",
    "image_size",
    "is_hidden",
    "list_images",
    "match_files",
    "orientation",
    "pack_rgb",
    "read_bands",
    "read_image",
    "read_lines",
    "read_map",
    "refuse_decompression_bomb",
    "require_files",
    "run_starts",
    "unique_values",
    "unmatched_maps",
    "unpack_rgb",
    "write_png",
]
