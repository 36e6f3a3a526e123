"""Prediction on files: images, folders and globs in; PNG images and official formats out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from segwright.contracts import Model
from segwright.errors import UserError
from segwright.files import remove_leftovers
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.prediction.image_ids import image_ids, image_ids_in
from segwright.prediction.inputs import InputImage, named_images
from segwright.prediction.journal import Journal
from segwright.prediction.large_images import predict_any_size
from segwright.prediction.outputs import OUTPUTS, Outputs
from segwright.prediction.pipeline import PredictedImage
from segwright.prediction.remote_images import discard_copy, fetched
from segwright.prediction.resume_settings import settings_of
from segwright.prediction.shard import ALL_IMAGES, Shard
from segwright.prediction.writers import Row


def predict_files(  # noqa: PLR0913 - each by its name
    model: Model,
    sources: Iterable[str],
    out: Path,
    *,
    save: Collection[str] = (),
    inference: InferenceMode = SINGLE_PASS,
    ids: Path | None = None,
    batch: int | None = None,
    shard: Shard = ALL_IMAGES,
    resume: bool = False,
    max_pixels: int | None = None,
    tolerance: float = 0.0,
) -> Iterator[tuple[Path, str | None]]:
    """Predict images, folders and globs into ``out``. Yields each file, and the reason if it was skipped, else None.

    The parameters are those of ``FilePrediction.open``, which says what is written and what is an error.
    """
    prediction = FilePrediction.open(
        model,
        sources,
        out,
        save=save,
        inference=inference,
        ids=ids,
        batch=batch,
        shard=shard,
        resume=resume,
        max_pixels=max_pixels,
        tolerance=tolerance,
    )
    yield from prediction.run()


class FilePrediction:
    """A prediction of files whose images, outputs and settings are checked. ``run`` computes what is not done yet.

    ``images``: the images of this shard; ``remaining``: those that are not done. ``outputs`` writes their files,
    ``journal`` holds the images that are done.
    """

    def __init__(
        self,
        model: Model,
        images: Sequence[InputImage],
        outputs: Outputs,
        journal: Journal,
        *,
        shard: Shard = ALL_IMAGES,
        inference: InferenceMode = SINGLE_PASS,
        batch: int | None = None,
        max_pixels: int | None = None,
    ) -> None:
        self.model, self.inference, self.batch, self.max_pixels = model, inference, batch, max_pixels
        self.outputs, self.journal, self.shard = outputs, journal, shard
        self.all_images = images
        self.images = shard.of(self.all_images)
        self.remaining = [image for image in self.images if not self._is_done(image)]

    @classmethod
    def open(  # noqa: PLR0913 - each by its name
        cls,
        model: Model,
        sources: Iterable[str],
        out: Path,
        *,
        save: Collection[str] = (),
        inference: InferenceMode = SINGLE_PASS,
        ids: Path | None = None,
        batch: int | None = None,
        shard: Shard = ALL_IMAGES,
        resume: bool = False,
        max_pixels: int | None = None,
        tolerance: float = 0.0,
    ) -> FilePrediction:
        """The prediction of images, folders and globs into the folder ``out``.

        Without ``save`` it writes ``index/`` (raw values of the dataset), ``color/`` and ``overlay/``, one PNG per
        image in each, and of a model that predicts segments also ``panoptic/`` and, at the end, ``panoptic.json``
        (COCO). ``save`` adds formats of ``WRITERS``, "classes" (a picture with the share of each class, and each class
        alone), drawings of ``VISUALIZATIONS`` (models that predict object centers), "uncertainty" and "disagreement"
        (``outputs.UNCERTAINTIES``), and "yolo", "labelme", "cvat", "labelstudio": annotations to correct in these
        tools, with copies of the images; ``tolerance`` is the largest distance of a polygon from the border of its
        object in pixels, 0 gives back each mask. If ``save`` names one of "index", "color", "overlay" and "panoptic",
        then of these four only the named ones are written.

        Folders are read with their subfolders, and an output keeps the folders below its source. ``ids``: a COCO file
        with the ids of the images by file name. Without it the id of an image is its name, as a number if it has only
        digits; where two images would have one id, all ids are the names with their folders.

        ``batch``: how many images of one size go through the network together (default: 1 on a CPU, up to 8 on a GPU).
        ``shard``: predict only this part of the images. ``resume``: skip the images that are done, by the journal in
        ``out`` of an earlier run with the same settings; without such a journal it starts.

        ``max_pixels``: larger images are skipped (default: 2^28). Above the default ``inference`` must be sliding
        windows. ``large_images`` says what is written of large images.

        ``UserError`` if two images would have one name or one id, if ``ids`` lacks an image, if an output would replace
        an image, or if the earlier run had other settings.
        """
        if out.exists() and not out.is_dir():
            raise UserError(f"{out}: is a file; expected a folder to write into; choose another --out")
        outputs = Outputs(out, model.labels, save, ids_from=ids, tolerance=tolerance)
        images = _with_ids(named_images(sources, out, OUTPUTS), ids)
        outputs.check(images)
        _make_folder(out)
        journal = Journal(
            out / f"done{shard.suffix}.jsonl", settings_of(model, inference, outputs, images, shard)
        )
        if resume:
            journal.read()
        return cls(
            model,
            images,
            outputs,
            journal,
            shard=shard,
            inference=inference,
            batch=batch,
            max_pixels=max_pixels,
        )

    @property
    def done(self) -> int:
        """The number of images of this shard that are done."""
        return sum(image in self.journal for image in self.images)

    def _is_done(self, image: InputImage) -> bool:
        """Whether an image is done, and its files are still there."""
        if image not in self.journal:
            return False
        files = self.outputs.files(image.name, self.journal.formats_of(image))
        return all(map(_is_filled, files))

    def run(
        self,
        *,
        stop: Callable[[], object] = lambda: False,
        predict: Callable[[Sequence[InputImage]], Generator[PredictedImage, None, None]] | None = None,
    ) -> Iterator[tuple[Path, str | None]]:
        """Predict what remains. Yields each file, in order, and the reason if it was skipped, else None.

        An image that cannot be read, predicted or written is skipped. ``stop`` is that of ``predict_images``. At the
        end, also after an exception, the collected files are written: they contain the images of earlier runs, too.
        The shard that ends last writes those of all shards. ``predict`` computes the images in another way than this
        process does, in any order.
        """
        for waiting in self.remaining:
            self.journal.forget(waiting)
        results: Counter[bool] = Counter()  # by whether the image was skipped
        completed = False
        predictions = self._predict(stop) if predict is None else predict(self.remaining)
        try:
            with closing(predictions):
                for image in predictions:
                    results[self._note(image)] += 1
                    discard_copy(image.image)
                    yield image.image.path, image.problem
            completed = True
            if results.total() == len(self.remaining):
                self.journal.finish(images=len(self.images), skipped=results[True])
                if self.shard.count == 1:  # the others may be writing
                    remove_leftovers(self.outputs.out)
        finally:
            self.journal.close()
            if completed or len(self.journal):  # after an interruption: what was predicted so far is not lost
                self._collect(self.images, [self.journal], self.shard.suffix)
                self._merge()

    def _predict(self, stop: Callable[[], object]) -> Generator[PredictedImage, None, None]:
        remote = any(image.url is not None for image in self.remaining)
        return predict_any_size(
            self.model,
            fetched(self.remaining) if remote else self.remaining,
            self.outputs,
            inference=self.inference,
            batch=self.batch,
            max_pixels=self.max_pixels,
            stop=stop,
        )

    def _note(self, image: PredictedImage) -> bool:
        """Write a predicted image into the journal; whether it was skipped."""
        if image.problem is None:
            self.journal.append(image.image, image.rows)
        return image.problem is not None

    def _merge(self) -> None:
        """Write the collected files of all shards, if all of them are finished."""
        if self.shard.count == 1 or self.journal.finished is None:
            return
        journals = []
        for shard in self.shard.all():
            journal = Journal(self.outputs.out / f"done{shard.suffix}.jsonl", self.journal.settings)
            try:
                journal.read()
            except UserError:  # of an earlier prediction with other settings
                return
            if journal.finished is None:
                return
            journals.append(journal)
        self._collect(self.all_images, journals, "")

    def _collect(self, images: Sequence[InputImage], journals: Sequence[Journal], suffix: str) -> None:
        """Write the collected files of ``images``, of which each journal has every N-th."""
        count = len(journals)

        def rows(name: str) -> Iterator[Row]:
            parts = [journal.rows(images[index::count]) for index, journal in enumerate(journals)]
            return (row for k in range(len(images)) for row in next(parts[k % count]).get(name, ()))

        formats = {name for journal in journals for name in journal.formats}
        self.outputs.collect(rows, occurring=formats, suffix=suffix)


def _with_ids(images: list[InputImage], source: Path | None) -> list[InputImage]:
    names = [image.name for image in images]
    id_of = image_ids(names) if source is None else image_ids_in(source, images)
    return [replace(image, id=id_of[image.name]) for image in images]


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{out}: cannot be created ({error.strerror}); choose another --out") from None
    if not os.access(out, os.W_OK):
        raise UserError(f"{out}: no permission to write there; choose another --out")


def _is_filled(path: Path) -> bool:
    try:
        return path.stat().st_size > 0  # a power cut may leave an empty file
    except OSError:
        return False
