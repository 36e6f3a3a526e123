"""Prediction on videos and cameras: frames are read, predicted, drawn on, and written as an mp4 file."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segwright.contracts import Model
from segwright.data.reading.limits import MAX_PIXELS
from segwright.decode.default import DefaultDecoder, decoder_of, inner_decoder
from segwright.errors import UserError
from segwright.files import atomic_write, check_writable
from segwright.inference.single_pass import SINGLE_PASS, InferenceMode
from segwright.inference.temporal_smoothing import TemporalSmoothing
from segwright.prediction.image_prediction import ImagePrediction
from segwright.prediction.predict import predict
from segwright.prediction.tracking import SegmentTracker
from segwright.visualization.label_maps import RGBImage
from segwright.visualization.segments import overlay_segments

_CODECS = ("libx264", "libopenh264", "mpeg4")  # the first one that the installed PyAV has


@dataclass(frozen=True, slots=True)
class VideoResult:
    """What ``predict_video`` wrote: the file, the number of frames, their rate in the video, the seconds it took.

    ``problem``: why the source could not be read to its end; None if it could.
    """

    path: Path
    frames: int
    fps: float
    seconds: float
    problem: str | None = None

    @property
    def frames_per_second(self) -> float:
        """Frames that were read, predicted, drawn and written per second."""
        return self.frames / max(self.seconds, 1e-9)


def predict_video(
    model: Model,
    source: Path | str | int,
    out: Path | str,
    *,
    inference: InferenceMode = SINGLE_PASS,
    smooth: float = 0.0,
    max_frames: int | None = None,
    on_frame: Callable[[ImagePrediction], None] | None = None,
) -> VideoResult:
    """Predict a video file, or the camera of a number; write the frames under their classes to the mp4 file ``out``.

    Needs PyAV (``pip install 'segwright[video]'``). Size and frame rate are those of the source, its mean rate if that
    varies; sound is not copied. Odd sides get one more row or column, as the format needs. ``smooth``: see
    ``TemporalSmoothing``. The objects of a panoptic model keep their ids and colors (``SegmentTracker``).
    ``max_frames`` ends earlier; a camera also ends at Ctrl-C. ``on_frame`` is called with the prediction of each frame.

    ``UserError`` if the source cannot be read or has no frames; then ``out`` is as it was before. Of a damaged file the
    frames before the damage are written.
    """
    path, began = Path(out), time.perf_counter()
    check_writable(path)
    count = 0
    with _open_source(source) as video:

        def write(part: Path) -> None:
            nonlocal count
            frames = map(_rgb, islice(video.frames(), max_frames))
            predictions = predict_frames(model, frames, inference=inference, smooth=smooth)
            interruption = suppress(KeyboardInterrupt) if isinstance(source, int) else nullcontext()
            with _Writer(part, video.rate) as writer, interruption:
                for prediction in predictions:
                    writer.add(draw_frame(prediction, divisor_of(model)))
                    count += 1
                    if on_frame is not None:
                        on_frame(prediction)
            if not count:
                raise UserError(video.problem or f"{source}: contains no frame; expected a video")

        atomic_write(path, write)
        return VideoResult(path, count, float(video.rate), time.perf_counter() - began, video.problem)


def predict_frames(
    model: Model,
    frames: Iterable[RGBImage],
    *,
    inference: InferenceMode = SINGLE_PASS,
    smooth: float = 0.0,
) -> Iterator[ImagePrediction]:
    """The predictions for consecutive frames, RGB uint8 [H, W, 3], one at a time; objects keep their ids.

    ``smooth`` above 0: class scores are averaged over time (``TemporalSmoothing``).
    """
    mode = TemporalSmoothing(smooth, inference) if smooth else inference
    track = SegmentTracker(model.labels, divisor_of(model))
    for number, frame in enumerate(frames):
        result = predict(model, frame, inference=mode)
        yield replace(result, prediction=track(result.prediction), name=f"frame {number}")


def draw_frame(prediction: ImagePrediction, divisor: int = 1000) -> RGBImage:
    """The frame under the colors of its classes; an object has the same shade in all frames."""
    if prediction.panoptic is None:
        return prediction.draw()
    numbers = [max(0, segment.id % divisor - 1) for segment in prediction.segments]
    frame: RGBImage = prediction.image
    return overlay_segments(
        frame, prediction.panoptic, prediction.segments, prediction.labels, numbers=numbers
    )


def divisor_of(model: Model) -> int:
    """The divisor of the panoptic ids of a model's decoder."""
    decoder: Any = inner_decoder(decoder_of(model))
    if isinstance(decoder, DefaultDecoder):
        decoder = decoder.centers
    return int(getattr(decoder, "divisor", 1000))


@dataclass(slots=True)
class _Video:
    """An opened video: its PyAV container, the name for messages, and why reading it ended early."""

    container: Any
    name: str
    problem: str | None = None

    @property
    def rate(self) -> Fraction:
        stream = self.container.streams.video[0]
        return stream.average_rate or stream.guessed_rate or Fraction(25)

    def frames(self) -> Iterator[Any]:
        """The frames in the order of their times, up to the end or to damage in the file, the ``problem``."""
        av = _av()
        stream = self.container.streams.video[0]
        stream.thread_type = "AUTO"
        try:
            for frame in self.container.decode(stream):
                _refuse_large_frame(self.name, frame.width, frame.height)
                yield frame
        except av.FFmpegError as error:
            self.problem = f"{self.name}: damaged ({error.strerror}); expected a complete video"


def _refuse_large_frame(name: str, width: int, height: int) -> None:
    """``UserError`` for frames of more pixels than ``predict`` takes."""
    if width * height > MAX_PIXELS:
        raise UserError(
            f"{name}: frames of {width}x{height} pixels; expected at most {MAX_PIXELS:,} in all; reduce their size"
        )


@contextmanager
def _open_source(source: Path | str | int) -> Iterator[_Video]:
    av = _av()
    if isinstance(source, int):
        formats = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}
        devices = {"linux": f"/dev/video{source}", "darwin": str(source), "win32": f"video={source}"}
        platform = sys.platform if sys.platform in formats else "linux"
        arguments: dict[str, Any] = {"file": devices[platform], "format": formats[platform]}
        name = f"camera {source}"
    else:
        arguments, name = {"file": str(source)}, str(source)
    try:
        container = av.open(**arguments)
    except (av.FFmpegError, ValueError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{name}: cannot be read ({reason}); expected a video file or a camera") from None
    with container:
        if not container.streams.video:
            raise UserError(f"{name}: contains no video, only {[s.type for s in container.streams]}")
        coded = container.streams.video[0].codec_context
        _refuse_large_frame(name, coded.width, coded.height)
        yield _Video(container, name)


class _Writer:
    """Writes RGB frames to an mp4 file; the size of the video is that of the first frame."""

    def __init__(self, path: Path, rate: Fraction) -> None:
        av = _av()
        self._container = av.open(str(path), "w", format="mp4")
        self._codec = next(codec for codec in _CODECS if codec in av.codecs_available)
        self._rate, self._count = rate.limit_denominator(65535), 0
        self._stream: Any = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: Any) -> None:
        try:
            if self._stream is not None:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()

    def add(self, image: RGBImage) -> None:
        """Write the next frame."""
        height, width = image.shape[:2]
        padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._stream is None:
            self._stream = self._container.add_stream(self._codec, rate=self._rate)
            self._stream.height, self._stream.width = padded.shape[:2]
            self._stream.pix_fmt = "yuv420p"
            self._stream.bit_rate = max(1_000_000, 6 * padded.shape[0] * padded.shape[1])
        frame = _av().VideoFrame.from_ndarray(np.ascontiguousarray(padded), format="rgb24")
        frame.pts, frame.time_base = self._count, 1 / self._rate
        self._count += 1
        self._container.mux(self._stream.encode(frame))


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise UserError("videos need PyAV; install it: pip install 'segwright[video]'") from None
    return av


def _rgb(frame: Any) -> RGBImage:
    """A frame of PyAV as RGB uint8 [H, W, 3], turned as the file says."""
    image: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
