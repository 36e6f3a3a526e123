"""Published files of the ancestors as modules of our own."""

from segwright.importers.load import FAMILIES, convert, load

__all__ = ["FAMILIES", "convert", "load"]
