"""Files of strangers: no code of theirs runs, they do not exhaust the memory, names stay names."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import pickle
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.data.exports import tools
from tests.data.trees import photo
from tests.faults.damage import aliases, huge_npy, huge_png

from segwright.cli.main import main

pytestmark = pytest.mark.faults
REPOSITORY = Path(__file__).resolve().parents[2]


class Attack:
    """Unpickled, it makes the file ``attacked``."""

    def __reduce__(self) -> Any:
        return (open, ("attacked", "w"))


def pickled() -> bytes:
    return pickle.dumps({"state_dict": Attack(), "model": Attack()})


def torch_file(values: Any, *, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(values, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def numpy_file() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([[Attack()]], dtype=object), allow_pickle=True)
    return file.getvalue()


def archive(values: bytes, name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr(name, values)
    return file.getvalue()


ATTACK = {"model": Attack(), "state_dict": {"a": Attack()}}
FILES: dict[str, Callable[[], bytes]] = {
    "pickle": pickled,
    "torch": lambda: torch_file(ATTACK),
    "old torch": lambda: torch_file(ATTACK, zipped=False),
    "npy": numpy_file,
    "npz": lambda: archive(numpy_file(), "a.npy"),
    "data.pkl": lambda: archive(pickled(), "archive/data.pkl"),
}
READ: dict[str, str] = {
    "attack.pth": "convert attack.pth --family toolbox --architecture pspnet --out new.safetensors",
    "attack.pt": "convert attack.pt --family torchvision --architecture deeplabv3_resnet50 --out new.safetensors",
    "attack.pkl": "convert attack.pkl --family panoptic-deeplab --architecture x --out new.safetensors",
    "attack.bin": "convert attack.bin --family eomt --out new.safetensors",
    "attack.safetensors": "predict attack.safetensors photo.jpg --out new",
    "attack.onnx": "predict attack.onnx photo.jpg --out new",
    "attack.pt2": "predict attack.pt2 photo.jpg --out new",
    "attack.xml": "predict attack.xml photo.jpg --out new",
    "attack.npy": "predict run attack.npy --out new --device cpu",
    "attack.png": "predict run attack.png --out new --device cpu",
    "attack.tif": "predict run attack.tif --out new --device cpu",
    "maps/a.npy": "score semantic --truth truth --prediction maps --labels classes.yaml",
    "data/labels/train/train0.npy": "data check folder --data data --workers 0",
    "run/checkpoints/step-00000002.pt": "train recipe.yaml --data data --out run --device cpu",
    "run/evaluation/val-errors.npz": "report run --device cpu",
    "attack.json": "data convert coco attack.json --out new",
    "attack.yaml": "train attack.yaml --data data --out new",
}


@pytest.mark.filterwarnings("ignore")  # torch warns of old pickles
@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("kind", FILES)
def test_no_pickle_is_run_whatever_the_name_of_the_file(
    name: str, kind: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(name)
    if name.endswith(".npy"):
        path.with_suffix(".png").unlink(missing_ok=True)
    if name.startswith("run/checkpoints"):
        Path("run/checkpoints/step-00000001.pt").unlink()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(FILES[kind]())
    with contextlib.suppress(SystemExit):
        main(READ[name].split())
    assert not Path("attacked").exists()
    assert "Traceback" not in capsys.readouterr().err


def program(**changes: Any) -> bytes:
    """The archive of a program with these members instead."""
    members = {
        "a/archive_format": b"pt2",
        "a/archive_version": b"0",
        "a/data/weights/model_weights_config.json": b'{"config": {}}',
        "a/data/constants/model_constants_config.json": b'{"config": {}}',
        "a/data/sample_inputs/model.pt": torch_file(((), {})),
        "a/models/model.json": b"{}",
        **changes,
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name, content in members.items():
            target.writestr(name, content)
    return file.getvalue()


def graph(**fields: Any) -> dict[str, bytes]:
    return {"a/models/model.json": json.dumps(fields).encode()}


PROGRAMS = {
    "a pickled weight": {"a/data/weights/model_weights_config.json": b'{"config": {"w": {"use_pickle": true}}}'},
    "a pickled constant": {"a/data/constants/custom_obj_0": pickled()},
    "an opaque constant": {"a/data/constants/opaque_obj_0": pickled()},
    "pickled sample inputs": {"a/data/sample_inputs/model.pt": torch_file(ATTACK)},
    "an old archive": {"version": b"1.0", "serialized_state_dict.pt": torch_file(ATTACK)},
    "a call of Python": graph(graph={"nodes": [{"target": "torch.os.system", "inputs": []}]}),
    "a call of an operator that opens files": graph(nodes=[{"target": "torch.ops.aten.from_file.default"}]),
    "a guard that is Python": graph(guards_code=["__import__('os').system('touch attacked')"]),
    "a size that is Python": graph(size={"expr_str": "open('attacked', 'w')"}),
    "a size behind an attribute": graph(size={"expr_str": "Symbol.__class__"}),
    "a range that is Python": graph(range_constraints={"open('attacked', 'w')": {"min_val": 1}}),
    "a name that is code": graph(inputs=[{"name": "x=open('attacked', 'w')"}]),
    "an argument that is code": graph(signature={"forward_arg_names": ["x=open('attacked','w')"]}),
    "a container of Python": graph(in_spec='[1, {"type": "os.system", "context": null, "children_spec": []}]'),
    "a compiled library": {"a/data/aotinductor/model/a.so": b""},
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_that_is_more_than_numbers_and_operators_is_refused(
    name: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("a.pt2").write_bytes(program(**PROGRAMS[name]))
    assert main(["predict", "a.pt2", "photo.jpg", "--out", "new"]) == 2
    assert "a.pt2: refused (" in capsys.readouterr().err
    assert not Path("attacked").exists()


def compressed_json(path: str) -> None:
    Path(path).write_text('{"images": [' + "[" * 10**6)


def bomb_of_supervisely() -> None:
    """A zlib stream of 1 MB that stands for 1 GB, where the bitmap of an object is expected."""
    tools.supervisely(Path("export"))
    path = next(
        path
        for path in Path("export").rglob("*.json")
        if path.parent.name == "ann" and "bitmap" in path.read_text()
    )
    values = json.loads(path.read_text())
    stream = zlib.compressobj(9)
    data = b"".join(stream.compress(bytes(1 << 24)) for _ in range(64)) + stream.flush()
    for row in values["objects"]:
        if "bitmap" in row:
            row["bitmap"]["data"] = base64.b64encode(data).decode()
    path.write_text(json.dumps(values))


def cvat_bomb() -> None:
    tools.cvat(Path("export"))
    path = Path("export/annotations.xml")
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    text = f'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a0 "lol">{entities}]>'
    path.write_text(text + path.read_text().replace("étoile", "&a9;"))


def external_entity() -> None:
    tools.cvat(Path("export"))
    path = Path("export/annotations.xml")
    text = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY secret SYSTEM "file:///etc/passwd">]>'
    path.write_text(text + path.read_text().replace("étoile", "&secret;"))


CHECK = "data check export --workers 0"
BOMBS: dict[str, tuple[Callable[[], object], str]] = {
    "PNG header": (huge_png("a.png"), "predict run a.png --out new --device cpu"),
    "npy header": (huge_npy("a.npy"), "predict run a.npy --out new --device cpu"),
    "npy class map": (
        huge_npy("maps/a.npy"),
        "score semantic --truth truth --prediction maps --labels classes.yaml",
    ),
    "YAML": (lambda: Path("recipe.yaml").write_text(aliases(12)), "train recipe.yaml --data data --out new"),
    "classes": (
        lambda: Path("data/classes.yaml").write_text(aliases(12)),
        "train recipe.yaml --data data --out new",
    ),
    "JSON": (lambda: compressed_json("a.json"), "data convert coco a.json --out new"),
    "zlib": (bomb_of_supervisely, CHECK),
    "XML entities": (cvat_bomb, CHECK),
    "XML files": (external_entity, CHECK),
}
LIMITED = """
import resource, sys
from segwright.cli.main import main
import torch, segwright.prediction.predict_files, segwright.data.exports, segwright.training.train
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 700 * 2**20,) * 2)
code = main(sys.argv[1:])
print("PEAK", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
sys.exit(code)
"""


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_stands_for_much_is_refused_with_little_memory(name: str, place: Path) -> None:
    make, command = BOMBS[name]
    make()
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *command.split()], capture_output=True, text=True, check=False, timeout=120,
        env={"PYTHONPATH": str(REPOSITORY / "src"), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode in (1, 2), done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    assert "root:" not in done.stderr + done.stdout


def test_a_report_escapes_every_name(place: Path) -> None:
    evil = "<script>alert(1)</script>"
    name = "<img src=x onerror=alert(2)>"
    Path("data/classes.yaml").write_text(json.dumps({"classes": {evil: 0, "leaf&": 1, "'\"stone": 2}}))
    Path("data/images/val/val0.png").rename(f"data/images/val/{name}.png")
    Path("data/labels/val/val0.png").rename(f"data/labels/val/{name}.png")
    train = ["train", "recipe.yaml", "--data", "data", "--out", "evil", "--device", "cpu", "--set"]
    assert main([*train, f"name={evil}"]) == 0
    assert main(["report", "evil", "--device", "cpu"]) == 0
    assert main(["report", "evil", "evil", "--device", "cpu", "--out", "comparison.html"]) == 0
    assert main(["data", "stats", "folder", "--data", "data", "--workers", "0", "--html", "stats.html"]) == 0
    for page in (Path("evil/report.html"), Path("comparison.html"), Path("stats.html")):
        text = page.read_text(encoding="utf-8")
        assert evil not in text and name not in text, page
        assert "&lt;script&gt;alert(1)" in text, page


@pytest.mark.parametrize("index", range(3))
def test_names_in_annotation_files_cannot_leave_the_folder(
    index: int, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(Path("outside.png"), 7, (40, 60))
    for layout, path, replace in (
        ("coco", "annotations/instances_default.json", "a.png"),
        ("labelme", "a.json", "C:\\\\photos\\\\a.png"),
        ("hugging_face", "train/metadata.csv", "a.png"),
    ):
        root = Path(layout)
        if root.exists():
            for old in sorted(root.rglob("*"), reverse=True):
                old.unlink() if old.is_file() else old.rmdir()
        tools.LAYOUTS[layout](root)
        images = {"coco": root / "images", "labelme": root, "hugging_face": root / "train"}[layout]
        up = "../" * len(images.parts) + "outside.png"
        name = (up, str(Path("outside.png").resolve()), f"x/../{up}")[index]
        text = (root / path).read_text(encoding="utf-8")
        assert replace in text
        (root / path).write_text(text.replace(replace, name, 1), encoding="utf-8")
        main(["data", "convert", layout, "--to", "semantic", "--out", f"new-{layout}"])
        outside = Path("outside.png").read_bytes()
        written = [copy for copy in Path().glob(f"new-{layout}/**/*.png") if copy.read_bytes() == outside]
        assert not written, layout
    assert "Traceback" not in capsys.readouterr().err
