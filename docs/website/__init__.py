"""The documentation site: ``python -m docs.website`` (``make docs``) builds it in the folder site/.

The pages are the Markdown files of docs/, README.md and a few more files of the repository; they are read as they are.
The reference is generated at build time from the code, so it is never out of date.

navigation.yaml  the groups of the navigation and the order of their pages
build.py         ``build``: collects all pages in one folder and runs Sphinx
pages.py         Markdown files of the repository, with links that work on the site
markup.py        text and docstrings as reStructuredText
signatures.py    signatures of functions and classes, with their types as written in the code
api.py           reference of the Python interface
verbs.py         reference of the command line
fields.py        reference of the fields of recipes
conf.py          settings of Sphinx
style.css        what the theme does not decide
"""
