"""The errors that explain themselves: the command line prints them as one line."""

from __future__ import annotations


class UserError(ValueError):
    """Wrong use or wrong data (exit code 2): what was found, where, what was expected, what to do."""


class RunError(RuntimeError):
    """A run that failed for a known reason (exit code 1): what happened, where, what to do."""
