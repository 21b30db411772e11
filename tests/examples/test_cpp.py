"""The C++ program in examples/cpp builds without a warning and finds what the Python runtime finds."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import posewright
from helpers.spots import SPOTS, picture_with_spots, spot_model
from posewright.geometry import CropRule
from posewright.media.pictures import write_picture
from posewright.runtime.entries import ENTRY, NAME, onnx_entry
from posewright.runtime.modelfile import ModelInfo
from posewright.runtime.names import PACKAGED
from posewright.score import ScoreCurve

SOURCE = Path(__file__).resolve().parents[2] / "examples" / "cpp"
CENTRES = [(40.25, 30.5), (110.75, 52.25), (75.5, 88.0)]


@pytest.fixture(scope="session")
def program(request, tmp_path_factory) -> Path:
    """The program, built; kept in pytest's cache, where one is kept."""
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("the C++ example needs OpenVINO: pip install 'posewright[openvino]'")
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"the C++ example is built with {tool}, which is not installed")
    import openvino

    cache = getattr(request.config, "cache", None)
    which = hashlib.sha256(f"{openvino.__file__} {openvino.__version__} {SOURCE}".encode()).hexdigest()[:16]
    build = tmp_path_factory.mktemp("cpp") if cache is None else cache.mkdir(f"cpp-{which}")
    configure = ["cmake", "-S", str(SOURCE), "-B", str(build), f"-DPython3_EXECUTABLE={sys.executable}"]
    done = subprocess.run([*configure, "-DCMAKE_CXX_FLAGS=-Werror"], capture_output=True, text=True)
    lacking = re.search(r"Could NOT find (JPEG|PNG)|No CMAKE_CXX_COMPILER", done.stdout + done.stderr)
    if done.returncode and lacking:
        pytest.skip(f"the C++ example cannot be built here: {lacking.group()} (Debian: libjpeg-dev, libpng-dev)")
    assert done.returncode == 0, done.stderr
    done = subprocess.run(["cmake", "--build", str(build)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return build / "pose"


def run(program: Path, *args) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *map(str, args)], capture_output=True, text=True, timeout=60)


def found_by(program: Path, *args) -> dict:
    done = run(program, "-w", 0, *args)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return json.loads(done.stdout)


def assert_same(
    found: dict, poses: posewright.Poses, pixels: float = 0.05, score: float = 2e-3, astray: float = 0.0
) -> None:
    """The program's JSON against the runtime's poses; a share ``astray`` of the keypoints may lie anywhere."""
    assert (found["width"], found["height"]) == (poses.width, poses.height)
    assert found["skeleton"] == poses.skeleton.name and len(found["poses"]) == len(poses)
    for i, pose in enumerate(found["poses"]):
        points = np.array(pose["keypoints"])
        assert (np.abs(points[:, :2] - poses.xy[i]).max(1) >= pixels).mean() <= astray
        assert np.abs(points[:, 2] - poses.score[i]).max() < score
        assert abs(pose["presence"] - poses.presence[i]) < score
        np.testing.assert_allclose(pose["box"], poses.boxes[i], atol=1e-3)


def texture(width: int, height: int) -> np.ndarray:
    """Something with edges at every scale, of any size."""
    rng = np.random.default_rng(7)
    small = rng.integers(0, 256, (12, 16, 3), np.uint8)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(float)
    return np.clip(large + rng.normal(0, 12, large.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(128, 128), (100, 60), (256, 256), (300, 270), (1001, 333), (37, 900)])
def test_the_shipped_hand_on_pictures_of_any_size(program, tmp_path, size):
    """Enlarged, reduced, and reduced by blocks. These show no hand: a map of next to nothing
    has other cells as high as its highest."""
    path = write_picture(tmp_path / "a.png", texture(*size))
    model = PACKAGED / "hand.onnx"
    crop_pixel = max(size) / 128
    poses = posewright.load(model)(path)
    assert_same(found_by(program, "-m", model, "-i", path), poses, pixels=0.1 * crop_pixel, astray=0.05)


def test_real_hands(program, shared_data):
    model = posewright.load("hand")
    pictures = sorted((shared_data / "hands21" / "images").glob("*.jpg"))[:3]
    assert pictures
    for path in pictures:
        assert_same(found_by(program, "-m", PACKAGED / "hand.onnx", "-i", path), model(path), pixels=0.1)


def test_boxes(program, tmp_path):
    model = spot_model(tmp_path / "m.onnx")
    path = write_picture(tmp_path / "a.png", picture_with_spots(160, 120, CENTRES, 3))
    boxes = [[20, 15, 130, 100], [-30.5, 10, 90, 119.5]]
    args = [part for box in boxes for part in ("--box", ",".join(map(str, box)))]
    assert_same(found_by(program, "-m", model, "-i", path, *args), posewright.load(model)(path, boxes))


def test_an_openvino_folder(program, tmp_path):
    import openvino

    model = spot_model(tmp_path / "m.onnx")
    folder = tmp_path / "m.openvino"
    openvino.save_model(openvino.Core().read_model(str(model)), str(folder / "model.xml"), compress_to_fp16=False)
    (folder / NAME).write_text(onnx_entry(model))
    path = write_picture(tmp_path / "a.png", picture_with_spots(160, 120, CENTRES, 3))
    assert_same(found_by(program, "-m", folder, "-i", path), posewright.load(model)(path))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_exif_entry_says(program, tmp_path, orientation):
    model = spot_model(tmp_path / "m.onnx")
    data = bytearray(cv2.imencode(".jpg", picture_with_spots(160, 120, CENTRES, 3)[..., ::-1])[1].tobytes())
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation, 0, 0, 0]) + b"\0\0\0\0"
    data[2:2] = b"\xff\xe1" + (len(tiff) + 8).to_bytes(2, "big") + b"Exif\0\0" + tiff
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    assert_same(found_by(program, "-m", model, "-i", path), posewright.load(model)(path))


@pytest.mark.parametrize("kind", ["grey", "alpha", "16 bit", "palette"])
def test_other_pngs(program, tmp_path, kind):
    picture = picture_with_spots(160, 120, CENTRES, 3)
    path = tmp_path / "a.png"
    if kind == "grey":
        stored = picture[..., 0]
    elif kind == "alpha":
        stored = np.dstack([picture[..., ::-1], np.where(np.arange(160) < 30, 0, 255)[None].repeat(120, 0)])
    elif kind == "16 bit":
        stored = picture[..., ::-1].astype(np.uint16) * 257
    else:
        stored = picture[..., ::-1] // 85 * 85
    assert cv2.imwrite(str(path), np.ascontiguousarray(stored, stored.dtype if kind == "16 bit" else np.uint8))
    model = spot_model(tmp_path / "m.onnx")
    assert_same(found_by(program, "-m", model, "-i", path), posewright.load(model)(path))


def maps_model(path: Path, **about) -> Path:
    """A model file that returns the same three maps whatever it sees, and no keypoints."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:16, :24]
    peaks = [np.exp(-((x - a) ** 2 + (y - b) ** 2) / 4) for a, b in ((6.3, 4.8), (23.4, 15.2), (0.2, 9.6))]
    maps = np.stack([0.8 * p + 0.03 * rng.random((16, 24)) for p in peaks])
    stages = np.stack([rng.random((4, 16, 24)), np.concatenate([maps, np.ones((1, 16, 24))])])[None]
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["maps", "nothing"], ["heatmaps"]),
    ]
    constants = [
        numpy_helper.from_array(np.float32(0), "zero"),
        numpy_helper.from_array(stages.astype(np.float32), "maps"),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, 64, 96, 3])
    found = helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, [1, 2, 4, 16, 24])
    graph = helper.make_graph(nodes, "maps", [image], [found], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    info = ModelInfo(SPOTS, CropRule((96, 64)), 4, "maps", ("heatmaps",), **about)
    model.metadata_props.append(onnx.StringStringEntryProto(key=ENTRY, value=info.to_json()))
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"label_shift": (0.25, -0.5)},
        {"decoding": "argmax"},
        {"decoding": "argmax_resized"},
        {"calibrated": True, "score_curve": ScoreCurve(1.5, 0.7, (0.1, -0.4, 1.2), 0.2, "box")},
    ],
    ids=["gaussian", "shifted", "argmax", "argmax_resized", "calibrated"],
)
def test_a_model_file_with_heat_maps_only(program, tmp_path, about):
    model = maps_model(tmp_path / "m.onnx", **about)
    path = write_picture(tmp_path / "a.png", texture(160, 120))
    assert_same(found_by(program, "-m", model, "-i", path), posewright.load(model)(path), score=1e-3)


def test_it_measures_as_often_as_it_was_told(program, tmp_path):
    model = spot_model(tmp_path / "m.onnx")
    path = write_picture(tmp_path / "a.png", picture_with_spots(160, 120, CENTRES, 3))
    done = run(program, "--model", model, "--image", path, "--count", 7, "--warmup", 3, "--threads", 1, "-v", "-f", 1)
    latency = json.loads(done.stdout)["latency_ms"]
    assert latency["runs"] == 7 and 0 < latency["median"] <= latency["p95"]
    assert [line.split()[0] for line in done.stderr.splitlines()] == list(SPOTS.keypoints)


def test_bad_input_is_one_line(program, tmp_path):
    model = spot_model(tmp_path / "m.onnx")
    path = write_picture(tmp_path / "a.png", picture_with_spots(160, 120, CENTRES, 3))
    (tmp_path / "cut.png").write_bytes(path.read_bytes()[:500])
    (tmp_path / "cut.jpg").write_bytes(cv2.imencode(".jpg", texture(90, 90))[1].tobytes()[:900])
    (tmp_path / "words.jpg").write_text("no picture")
    (tmp_path / "cut.onnx").write_bytes(model.read_bytes()[:300])
    plain = spot_model(tmp_path / "plain.onnx", described=False)
    for args, complaint in (
        ([], "needs -m MODEL and -i PICTURE"),
        (["-m", model], "needs -m MODEL and -i PICTURE"),
        (["-m", model, "-i"], "-i needs a value"),
        (["-m", model, "-i", path, "-x"], "unknown option '-x'"),
        (["-m", model, "-i", path, "-c", "0"], "-c takes a whole number from 1 on"),
        (["-m", model, "-i", path, "-b", "1,2,3"], "a box is X0,Y0,X1,Y1"),
        (["-m", model, "-i", tmp_path / "none.png"], "none.png: cannot be opened"),
        (["-m", model, "-i", tmp_path / "words.jpg"], "words.jpg: is neither a JPEG nor a PNG"),
        (["-m", model, "-i", tmp_path / "cut.jpg"], "cut.jpg: "),
        (["-m", model, "-i", tmp_path / "cut.png"], "cut.png: "),
        (["-m", tmp_path / "none.onnx", "-i", path], "none.onnx: is neither a .onnx file nor an OpenVINO folder"),
        (["-m", tmp_path / "cut.onnx", "-i", path], "cut.onnx: is no whole model file"),
        (["-m", plain, "-i", path], "plain.onnx: is not a posewright model file"),
    ):
        done = run(program, *args)
        assert done.returncode == 2 and done.stdout == "", args
        assert done.stderr.count("\n") == 1 and complaint in done.stderr, (args, done.stderr)


def test_its_page_tells_of_every_flag(program):
    usage = run(program, "--help").stdout
    page = (SOURCE / "README.md").read_text()
    flags = re.findall(r"^  -\w, (--\w+)", usage, re.M)
    assert len(flags) >= 9 and all(f"`{flag}" in page for flag in flags)
    assert set(re.findall(r"`(\w+\.[ch]pp)`", page)) == {f.name for f in SOURCE.glob("*.?pp")} - {"picture.hpp"}


def test_help(program):
    done = run(program, "--help")
    assert done.returncode == 0 and "usage: pose -m MODEL -i PICTURE" in done.stdout


@pytest.mark.parametrize(
    ("place", "value", "complaint"),
    [
        (("crop", "width"), 1e18, "impossible crop rule: width"),
        (("crop", "margin"), 0, "impossible crop rule: margin"),
        (("crop", "border"), -1, "impossible crop rule: border"),
        (("format_version",), 2, "is of another format version"),
        (("kind",), "locator", "is not a keypoint model"),
        (("skeleton", "keypoints"), ["one"], "the model's keypoints are not those it describes"),
    ],
)
def test_a_description_that_lies(program, tmp_path, place, value, complaint):
    model = spot_model(tmp_path / "m.onnx")
    proto = onnx.load_model_from_string(model.read_bytes())
    description = json.loads(proto.metadata_props[0].value)
    within = description
    for name in place[:-1]:
        within = within[name]
    within[place[-1]] = value
    proto.metadata_props[0].value = json.dumps(description)
    model.write_bytes(proto.SerializeToString())
    path = write_picture(tmp_path / "a.png", texture(40, 30))
    done = run(program, "-m", model, "-i", path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert complaint in done.stderr


def test_a_box_far_away_is_all_border(program, tmp_path):
    model = spot_model(tmp_path / "m.onnx")
    path = write_picture(tmp_path / "a.png", picture_with_spots(160, 120, CENTRES, 3))
    for box in ("1e15,1e15,2e15,2e15", "-5000,-5000,-4000,-4000", "0,0,1e9,1e9"):
        found = found_by(program, "-m", model, "-i", path, "-b", box)
        assert found["poses"][0]["presence"] == 0
