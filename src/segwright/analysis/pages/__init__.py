"""Offline HTML pages: their templates, and what all of them need.

- ``page``: rendering of the templates in this folder, numbers as text
- ``plots``: the figures of all pages, as SVG
"""
