"""From pictures and boxes to poses in the picture's own pixels, on a net whose right answers are known."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import posewright
from helpers.spots import ALL, SIZE, SPOTS, STRIDE, picture_with_spots, spot_model
from posewright.errors import PosewrightError
from posewright.geometry import CropRule, Similarity
from posewright.media.pictures import write_picture
from posewright.runtime.predictor import Predictor

NOWHERE = (np.nan, np.nan)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Predictor:
    return posewright.load(spot_model(tmp_path_factory.mktemp("model") / "spots.onnx", outputs=ALL), "cpu", threads=1)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(40, 700),
    st.integers(40, 700),
    st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    st.floats(0.2, 1.4),
)
def test_a_spot_in_a_box_is_found_where_it_is(model, width, height, place, share):
    """Whatever the picture's size and the box, down to reductions by ten and boxes that reach over the edge."""
    x, y = place[0] * width, place[1] * height
    side = share * min(width, height)
    box = [x - 0.55 * side, y - 0.4 * side, x + 0.45 * side, y + 0.6 * side]
    scale = CropRule(SIZE).similarity(box).scale
    picture = picture_with_spots(width, height, [(x, y)] * 3, max(5 / scale, 1.2))
    poses = model(picture, [box])
    assert poses.xy.shape == (1, 3, 2)
    # A tenth of a crop pixel; where few pixels are enlarged a lot, the bilinear step shifts a spot's centroid a little.
    assert np.abs(poses.xy[0] - (x, y)).max() < 0.1 / scale + 0.02
    np.testing.assert_allclose(poses.boxes[0], box)


@settings(deadline=None, max_examples=40)
@given(st.integers(30, 900), st.integers(30, 900), st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)))
def test_a_whole_picture_is_fitted_in_without_being_squashed(model, width, height, place):
    x, y = place[0] * (width - 1), place[1] * (height - 1)
    scale = CropRule(SIZE).letterbox(width, height).scale
    assert scale == pytest.approx(min(SIZE[0] / width, SIZE[1] / height))
    picture = picture_with_spots(width, height, [(x, y)] * 3, max(4 / scale, 1.2))
    poses = model(picture)
    # At the strip beyond the picture's edge the spot is cut off, which moves its centroid.
    near_edge = min(x, y, width - x, height - y) < 12 / scale
    assert np.abs(poses.xy[0] - (x, y)).max() < (1.5 / scale if near_edge else 0.1 / scale + 0.02)
    np.testing.assert_allclose(poses.boxes, [[-0.5, -0.5, width - 0.5, height - 0.5]])


def test_every_box_gets_its_own_pose(model):
    picture = np.maximum(
        picture_with_spots(400, 300, [(60, 70), (80, 70), (70, 90)], 4),
        picture_with_spots(400, 300, [(300, 200), (320, 210), (310, 230)], 4),
    )
    boxes = [[270, 180, 350, 250], [30, 50, 110, 110]]
    poses = model(picture, boxes)
    np.testing.assert_allclose(poses.xy[0], [(300, 200), (320, 210), (310, 230)], atol=0.2)
    np.testing.assert_allclose(poses.xy[1], [(60, 70), (80, 70), (70, 90)], atol=0.2)
    assert (poses.width, poses.height, len(poses)) == (400, 300, 2)
    assert poses.keypoint("blue", 1)[0] == pytest.approx(70, abs=0.2)


def test_batches_do_not_change_the_answer(model):
    rng = np.random.default_rng(5)
    pictures, boxes = [], []
    for i in range(7):
        w, h = rng.integers(80, 300, 2)
        pictures.append(picture_with_spots(w, h, [tuple(rng.uniform(25, 55, 2)) for _ in range(3)], 5))
        boxes.append([[5, 5, 75, 75], [15, 10, 70, 78]][: i % 3] if i != 4 else None)
    boxes[0] = np.zeros((0, 4))
    apart = [model(p, b) for p, b in zip(pictures, boxes)]
    for batch_size in (1, 3, 16):
        together = model.predict_batch(pictures, boxes, batch_size=batch_size)
        assert [len(p) for p in together] == [0, 1, 2, 0, 1, 2, 0]
        for a, b in zip(apart, together):
            np.testing.assert_allclose(a.xy, b.xy, atol=1e-3)
            np.testing.assert_allclose(a.score, b.score, atol=1e-5)
            assert (a.width, a.height) == (b.width, b.height)
    assert model.predict_batch([]) == []
    assert len(model.predict_batch(pictures[:2])) == 2


def test_files_and_arrays_and_grey(model, tmp_path):
    picture = picture_with_spots(200, 150, [(100, 80)] * 3, 9)
    path = write_picture(tmp_path / "a.png", picture)
    from_file, from_array = model(path), model(picture)
    assert from_file.source == str(path) and from_array.source == ""
    np.testing.assert_allclose(from_file.xy, from_array.xy)
    np.testing.assert_allclose(model(str(path)).xy, from_array.xy)
    np.testing.assert_allclose(model(picture[..., 0]).xy, from_array.xy)
    np.testing.assert_allclose(model(np.asfortranarray(picture)).xy, from_array.xy)
    np.testing.assert_allclose(model(picture[::1, ::-1]).xy[0, :, 0], 199 - from_array.xy[0, :, 0], atol=0.05)


def test_presence_and_what_is_absent(model):
    shown = picture_with_spots(96, 64, [(40, 30), NOWHERE, NOWHERE], 6)
    nothing = picture_with_spots(96, 64, [NOWHERE] * 3, 6)
    assert model(shown).presence[0] > 0.9
    assert model(shown).score[0, 0] > 0.9 and model(shown).score[0, 1] == 0
    assert model(nothing).presence[0] == 0
    found = model.predict_batch([shown, nothing], min_presence=0.5)
    assert [len(p) for p in found] == [1, 0]
    assert found[1].xy.shape == (0, 3, 2) and found[1].covariance.shape == (0, 3, 3)


def test_covariance_turns_and_grows_with_the_map():
    from posewright.runtime.predictor import _turned_covariance

    turn = Similarity.crop([0, 0, 50, 80], (64, 64), rotation=33, flip=True)
    back = turn.inverse()
    points = np.random.default_rng(0).multivariate_normal([5, 6], [[4, 1], [1, 2]], 200_000)
    true = np.cov(back.apply(points).T)
    got = _turned_covariance(np.array([[4.0, 1.0, 2.0]]), back)[0]
    np.testing.assert_allclose(got, [true[0, 0], true[0, 1], true[1, 1]], rtol=0.03, atol=0.02)


def test_covariance_and_visibility_reach_the_poses(model):
    picture = picture_with_spots(192, 128, [(90, 60)] * 3, 9)
    poses = model(picture)
    np.testing.assert_allclose(poses.covariance[0], [[16, 4, 8]] * 3, rtol=1e-5)
    np.testing.assert_allclose(poses.visibility, poses.score, atol=1e-6)


def test_flip_averages_the_maps(model):
    """Points, covariances and scores of a picture and of its mirror image agree, to the mirror."""
    picture = picture_with_spots(96, 64, [(41.3, 30.2), (50, 20.7), (30.4, 40)], 7)
    flipped = model(picture, flip=True)
    np.testing.assert_allclose(flipped.xy[0], [(41.3, 30.2), (50, 20.7), (30.4, 40)], atol=0.25)
    np.testing.assert_allclose(flipped.covariance[0], [[4, 0, 2]] * 3, atol=1e-6)
    mirrored = model(np.ascontiguousarray(picture[:, ::-1]), flip=True)
    np.testing.assert_allclose(mirrored.xy[0, :, 0], 95 - flipped.xy[0, :, 0], atol=1e-3)
    np.testing.assert_allclose(mirrored.score, flipped.score, atol=1e-5)


class Sides:
    """Stands in for an engine: each half of the crop holds the keypoint of that side, where it is brightest."""

    device, path = "nowhere", "sides.onnx"
    info = None

    def __init__(self, outputs=("keypoints", "presence", "heatmaps"), bias=0.0):
        from posewright.runtime.modelfile import ModelInfo
        from posewright.skeleton import Skeleton

        two = Skeleton("two", ("left", "right"), swaps=((0, 1),))
        self.info = ModelInfo(two, CropRule((64, 48), 1.0), STRIDE, "sides", outputs)
        self.bias = bias

    def run(self, crops, names):
        light = crops.astype(np.float32).mean(3) / 255
        maps = light.reshape(len(crops), 12, 4, 16, 4).mean((2, 4))
        halves = np.stack([maps * (np.arange(16) < 8), maps * (np.arange(16) >= 8) * (1 - self.bias)], 1)
        # One stage before the last, and a background map after the keypoints: neither may be read.
        stages = np.stack([np.ones_like(halves), halves], 1)
        full = np.concatenate([stages, np.ones_like(stages[:, :, :1]) * 2], 2)
        return [{"heatmaps": full, "presence": halves.max((1, 2, 3))}[name] for name in names]


def test_flip_swaps_sides():
    predictor = Predictor(Sides(bias=0.5))
    picture = picture_with_spots(64, 48, [(16, 20)] * 3, 6, background=0)
    picture = np.maximum(picture, picture_with_spots(64, 48, [(45, 30)] * 3, 6, background=0))
    poses = predictor(picture, flip=True)
    np.testing.assert_allclose(poses.xy[0], [(16, 20), (45, 30)], atol=0.4)
    # Seen alone, the right side scores half as much; mirrored, the left one does: the average is three quarters.
    np.testing.assert_allclose(poses.score[0], [0.7, 0.7], atol=0.06)


def test_a_file_with_maps_only_is_decoded_here():
    predictor = Predictor(Sides(outputs=("heatmaps",)))
    picture = picture_with_spots(64, 48, [(16, 20)] * 3, 6, background=0)
    poses = predictor(picture)
    np.testing.assert_allclose(poses.xy[0, 0], (16, 20), atol=0.3)
    assert poses.presence[0] == pytest.approx(poses.score.mean())


def test_flip_needs_maps(tmp_path):
    poor = posewright.load(spot_model(tmp_path / "m.onnx", outputs=("keypoints", "presence")))
    with pytest.raises(PosewrightError, match="flip averaging needs heat maps"):
        poor(picture_with_spots(96, 64, [(20, 20)] * 3, 5), flip=True)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_arrays_that_are_no_picture(model, picture):
    with pytest.raises(PosewrightError, match=r"a picture is uint8 \[H, W, 3\] RGB"):
        model(picture)


@pytest.mark.parametrize(
    ("boxes", "reason"),
    [
        ([[10, 10, 10, 20]], "box 0: box .* has no area"),
        ([[0, 0, 5, 5], [1, 2, np.nan, 4]], "box 1: box .* has no area"),
        ([[0, 0, 1e300, 5]], "box 0: box .* reaches further than any picture"),
        ([1, 2, 3, 4], r"not of shape \[4\]"),
        ([[1, 2, 3]], r"not of shape \[1, 3\]"),
    ],
)
def test_boxes_that_are_none(model, boxes, reason):
    with pytest.raises(PosewrightError, match=reason):
        model(np.zeros((30, 30, 3), np.uint8), boxes)


def test_wrong_counts(model):
    picture = np.zeros((30, 30, 3), np.uint8)
    with pytest.raises(PosewrightError, match="1 entries of boxes for 2 pictures"):
        model.predict_batch([picture, picture], [None])
    with pytest.raises(PosewrightError, match="batch size must be at least 1"):
        model.predict_batch([picture], batch_size=0)


def test_repr_says_what_it_is(model):
    assert repr(model) == "Predictor(3 keypoints of 'spots' at 96x64 on cpu)"
    assert model.skeleton == SPOTS


def test_running_a_model_imports_no_torch(tmp_path):
    spot_model(tmp_path / "m.onnx")
    write_picture(tmp_path / "a.png", picture_with_spots(200, 150, [(100, 80)] * 3, 9))
    code = f"""
import sys, posewright
from posewright.cli import main
assert not [m for m in ("numpy", "cv2", "onnxruntime", "torch") if m in sys.modules], "import posewright is not cheap"
assert main(["models"]) == 0
base = {str(tmp_path)!r}
assert main(["predict", base + "/m.onnx", base + "/a.png", "-o", base + "/out", "--csv", "--coco", "--flip"]) == 0
poses = posewright.load(base + "/m.onnx")(base + "/a.png")
heavy = [m for m in ("torch", "lightning", "onnx", "safetensors", "scipy", "matplotlib") if m in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "a.jsonl").is_file()
