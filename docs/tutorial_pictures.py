"""Make the pictures of docs/tutorial.md from a folder in which its commands have run.

python docs/tutorial_pictures.py FOLDER (needs Chromium for the picture of the report)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

import segwright as sw

IMAGES = Path(__file__).parent / "images"


def save(picture: Image.Image, name: str, *, width: int = 960) -> None:
    """Write a JPEG of this width, below 100 KB."""
    height = round(picture.height * width / picture.width)
    picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).save(
        IMAGES / f"tutorial-{name}.jpg", quality=72, optimize=True
    )


def screenshot(page: Path) -> Image.Image:
    """The per-class IoU and the confusion matrices of a report."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.png"
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=1200,2200",
        ]
        subprocess.run(["chromium", *options, f"--screenshot={file}", page.resolve().as_uri()], check=True)
        return Image.open(file).crop((0, 960, 1200, 2015))


def main(folder: Path) -> None:
    """All pictures."""
    save(Image.open(folder / "labels.png"), "labels")
    save(Image.open(folder / "training.png"), "augmentation")
    pictures = (folder / "runs/scenes/pictures").glob("step-*.png")
    last = max(pictures, key=lambda path: int(path.stem.split("-")[1]))
    save(Image.open(last), "training", width=760)
    save(screenshot(folder / "runs/scenes/report.html"), "report")
    model = sw.load(folder / "runs/scenes")
    prediction = sw.predict(model, folder / "scenes/images/val/street_val_00002.png")
    parts = [Image.fromarray(array) for array in (prediction.image, prediction.draw(), prediction.legend())]
    row = Image.new(
        "RGB", (sum(part.width for part in parts) + 20, max(part.height for part in parts)), "white"
    )
    left = 0
    for part in parts:
        row.paste(part, (left, 0))
        left += part.width + 10
    save(row, "prediction")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
