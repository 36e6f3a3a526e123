"""The page of the server: one HTML file that loads nothing from elsewhere, and its headers."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from pathlib import Path


@cache
def page() -> str:
    """The page."""
    return (Path(__file__).parent / "page.html").read_text(encoding="utf-8")


@cache
def page_headers() -> dict[str, str]:
    """Headers that let the page run its own script and style, and talk to its own server, and nothing else."""
    scripts, styles = (" ".join(map(_hash, _inside(tag))) for tag in ("script", "style"))
    policy = {
        "default-src": "'none'",
        "script-src": scripts,
        "style-src": styles,
        "img-src": "'self' blob: data:",
        "media-src": "blob:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(self)",
        "Cache-Control": "no-cache",
    }


def _inside(tag: str) -> list[str]:
    return re.findall(rf"<{tag}>(.*?)</{tag}>", page(), re.DOTALL)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
