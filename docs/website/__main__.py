"""``python -m docs.website [FOLDER]`` builds the documentation site."""

from __future__ import annotations

import sys
from pathlib import Path

from docs.website.build import build

if __name__ == "__main__":
    sys.exit(build(Path(sys.argv[1] if len(sys.argv) > 1 else "site")))
