from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import segwright as sw
from segwright.cli.main import main
from segwright.cli.video import VIDEO_EXTENSIONS, is_video
from segwright.contracts import CenterOutput, InputContract
from segwright.data.reading.label_maps import write_png
from segwright.models.small_fpn import SmallFPNConfig
from segwright.models.weights.model_file import write_model
from segwright.prediction import predict_frames, predict_video, video
from segwright.prediction.image_prediction import ImagePrediction
from segwright.prediction.video import _rgb

av = pytest.importorskip("av")
INPUT = InputContract(mean=(0.0,) * 3, std=(255.0,) * 3, fill_value=(0.0,) * 3, multiple=4)


def write_clip(path: Path, frames: list[np.ndarray], rate: Fraction | int = 25, codec: str = "mpeg4") -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def read_clip(path: Path) -> tuple[list[np.ndarray], Fraction]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [f.to_ndarray(format="rgb24") for f in container.decode(stream)], stream.average_rate


def moving_square(count: int = 8, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    frames = []
    for number in range(count):
        frame = np.zeros((*size, 3), np.uint8)
        frame[10:30, 4 * number : 4 * number + 20] = (250, 20, 20)
        frames.append(frame)
    return frames


class Red(nn.Module):
    """Class 1 where an image is red."""

    def forward(self, x: Tensor) -> Tensor:
        red = x[:, :1] - x[:, 1:2]
        return 20 * torch.cat([0.5 - red, red], 1)


@pytest.fixture(name="model")
def red_model() -> sw.Model:
    return sw.wrap(Red(), sw.LabelSpace.of("dark", "red"), INPUT)


@pytest.mark.parametrize("rate", [25, Fraction(30000, 1001)])
def test_a_video_keeps_its_frames_its_size_and_its_rate(
    model: sw.Model, tmp_path: Path, rate: Fraction | int
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_square(), rate)
    results = []
    result = predict_video(model, clip, tmp_path / "out" / "o.mp4", on_frame=results.append)
    frames, fps = read_clip(result.path)
    assert result.frames == len(results) == len(frames) == 8
    assert fps == rate
    assert result.fps == pytest.approx(float(rate))
    assert result.frames_per_second > 0
    for number, (prediction, frame) in enumerate(zip(results, frames, strict=True)):
        assert frame.shape == (48, 64, 3)
        expected = np.zeros((48, 64), bool)
        expected[10:30, 4 * number : 4 * number + 20] = True
        assert ((prediction.semantic == 1) == expected).mean() > 0.98
        assert np.abs(frame.astype(int) - prediction.draw()).mean() < 12


def test_odd_sides_get_one_more_row_and_column(model: sw.Model, tmp_path: Path) -> None:
    odd = [frame[:47, :63] for frame in moving_square(2)]
    with av.open(str(tmp_path / "odd.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 47, 63, "bgr0"
        for frame in odd:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    result = predict_video(model, tmp_path / "odd.mkv", tmp_path / "o.mp4")
    assert read_clip(result.path)[0][0].shape == (48, 64, 3)


def test_smoothing_delays_a_change(model: sw.Model) -> None:
    dark, red = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), (250, 0, 0), np.uint8)
    frames = [dark, dark, red, red, red, red]
    alone = [int(p.semantic[0, 0]) for p in predict_frames(model, frames)]
    smooth = [int(p.semantic[0, 0]) for p in predict_frames(model, frames, smooth=0.6)]
    assert alone == [0, 0, 1, 1, 1, 1]
    assert smooth == [0, 0, 0, 1, 1, 1]


class Objects(nn.Module):
    """Two objects: a red and a green square, whose centers are the brightest points of their color."""

    def forward(self, x: Tensor) -> CenterOutput:
        mask = x.amax(1, keepdim=True) > 0.5
        center, offset = torch.zeros_like(x[:, :1]), torch.zeros_like(x[:, :2])
        grid = torch.stack(torch.meshgrid(*map(torch.arange, x.shape[2:]), indexing="ij")).float()
        for channel in (0, 1):
            part = x[0, channel] > 0.5
            if part.any():
                middle = grid[:, part].mean(1).round()
                center[0, 0, int(middle[0]), int(middle[1])] = 1.0
                offset[0, :, part] = middle[:, None] - grid[:, part]
        semantic = torch.cat([~mask, mask], 1).float() * 10
        return CenterOutput(semantic, center, offset)


def test_objects_keep_their_ids_although_their_order_changes() -> None:
    model = sw.wrap(Objects(), sw.LabelSpace.of("ground", "square", things=["square"]), INPUT)
    frames = []
    for number in range(6):  # the red one goes down, the green one up: the order of their centers changes
        frame = np.zeros((80, 80, 3), np.uint8)
        frame[5 + 8 * number : 25 + 8 * number, 4:24] = (255, 0, 0)
        frame[50 - 8 * number : 70 - 8 * number, 40:60] = (0, 255, 0)
        frames.append(frame)
    ids = set()
    for frame, prediction in zip(frames, predict_frames(model, frames), strict=True):
        assert prediction.panoptic is not None
        red = {*prediction.panoptic[frame[..., 0] > 0].tolist()}
        green = {*prediction.panoptic[frame[..., 1] > 0].tolist()}
        assert len(red) == len(green) == 1 and red != green
        ids.add((red.pop(), green.pop()))
    assert len(ids) == 1


def test_of_a_damaged_file_the_frames_before_are_written(model: sw.Model, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mkv", moving_square(12))
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 2 // 3])
    result = predict_video(model, clip, tmp_path / "o.mp4")
    assert 0 < result.frames < 12
    assert len(read_clip(result.path)[0]) == result.frames


def test_a_file_that_is_no_video_is_refused(model: sw.Model, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(sw.UserError, match=r"text\.mp4: cannot be read"):
        predict_video(model, tmp_path / "text.mp4", tmp_path / "o.mp4")
    with pytest.raises(sw.UserError, match=r"absent\.mp4: cannot be read"):
        predict_video(model, tmp_path / "absent.mp4", tmp_path / "o.mp4")
    with pytest.raises(sw.UserError, match="camera 99: cannot be read"):
        predict_video(model, 99, tmp_path / "o.mp4")
    assert {path.name for path in tmp_path.iterdir()} == {"text.mp4"}


def test_max_frames_ends_earlier(model: sw.Model, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_square())
    assert predict_video(model, clip, tmp_path / "o.mp4", max_frames=3).frames == 3


def test_ctrl_c_at_any_moment_ends_a_camera_and_keeps_its_frames(
    model: sw.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, open_source = write_clip(tmp_path / "clip.mp4", moving_square()), video._open_source

    def interrupt(prediction: ImagePrediction) -> None:
        if prediction.name == "frame 2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_video(model, clip, tmp_path / "file.mp4", on_frame=interrupt)
    assert not (tmp_path / "file.mp4").exists()
    monkeypatch.setattr(video, "_open_source", lambda _: open_source(clip))
    result = predict_video(model, 0, tmp_path / "camera.mp4", on_frame=interrupt)
    assert result.frames == len(read_clip(result.path)[0]) == 3


def test_a_turned_frame_is_turned_back() -> None:
    @dataclass
    class Frame:
        rotation: int
        pixels: Any

        def to_ndarray(self, format: str) -> Any:
            return self.pixels

    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert (_rgb(Frame(0, pixels)) == pixels).all()
    assert (_rgb(Frame(90, pixels)) == np.rot90(pixels)).all()
    assert (_rgb(Frame(-90, pixels)) == np.rot90(pixels, -1)).all()


def test_videos_are_recognized_by_their_names() -> None:
    assert all(is_video(f"a{extension.upper()}") for extension in VIDEO_EXTENSIONS)
    assert not is_video("a.png")


@pytest.fixture(name="weights", scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = SmallFPNConfig(channels=(8, 8), depths=(1, 1), stem_channels=8, decoder_channels=8)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    write_model(path, config.build(sw.LabelSpace.of("dark", "red"), InputContract()), config)
    return path


def test_predict_takes_videos_among_images(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", moving_square(3))
    write_png(tmp_path / "photo.png", moving_square(1)[0])
    out = tmp_path / "out"
    arguments = ["predict", str(weights), str(clip), str(tmp_path / "photo.png"), "--out", str(out)]
    assert main([*arguments, "--smooth", "0.5"]) == 0
    assert len(read_clip(out / "overlay" / "clip.mp4")[0]) == 3
    assert (out / "index" / "photo.png").is_file()
    assert "3 frames at 25 fps" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clip.mp4", "--smooth", "2"], "expected 0 to below 1"),
        (["photo.png", "--smooth", "0.5"], "--smooth has no effect without a video"),
        (["a/clip.mp4", "b/clip.mp4"], "two videos"),
        ([], "nothing to predict"),
        (["absent.mp4"], "absent.mp4: cannot be read"),
        (["--camera", "99"], "camera 99: cannot be read"),
    ],
)
def test_wrong_use_ends_in_one_line(  # noqa: PLR0917
    weights: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", moving_square(2))
    write_png(tmp_path / "photo.png", moving_square(1)[0])
    assert main(["predict", str(weights), *arguments, "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_predict_saves_each_class_alone(weights: Path, tmp_path: Path) -> None:
    write_png(tmp_path / "photo.png", moving_square(1)[0])
    arguments = ["predict", str(weights), str(tmp_path / "photo.png"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--save", "classes"]) == 0
    assert (tmp_path / "out" / "classes" / "photo.png").is_file()
