"""Pictures of what the net sees: every stage, every keypoint, each map where it belongs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.spots import picture_with_spots, spot_model
from posewright.errors import PosewrightError
from posewright.live.views import Drawing, check_view
from posewright.live.watched import Watched, looks_of
from posewright.live.work import Item
from posewright.media.sources import Frame
from posewright.runtime import load

PLACES = [(60.0, 40.0), (100.0, 80.0), (140.0, 60.0)]
PICTURE = picture_with_spots(192, 128, PLACES, 7)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Watched:
    return Watched(load(spot_model(tmp_path_factory.mktemp("m") / "spots.onnx")), "maps")


def item(model: Watched, view, boxes=((20, 0, 180, 110),)) -> Item:
    poses = model.predict_batch([PICTURE], [list(boxes)])[0]
    return Item(Frame(PICTURE, Path("a.png")), poses, looks_of(model.take(), 4), view)


def with_stages(given: Item, count: int) -> Item:
    """As a net with more stages would have it: each but the last fainter than the one after it."""
    look = given.looks[0]
    maps = np.concatenate([look.maps[-1:] * (i + 1) / count for i in range(count)])
    given.looks[0] = replace(look, maps=maps)
    return given


@pytest.mark.parametrize("count", [1, 2, 3, 6, 8])
def test_any_number_of_stages(model, count):
    drawn = Drawing(model)(with_stages(item(model, "stages"), count))
    columns = int(np.ceil(np.sqrt(count + 1)))
    rows = -(-(count + 1) // columns)
    assert drawn.dtype == np.uint8 and drawn.shape[1] % columns in range(columns + 5)
    assert abs(drawn.shape[1] / columns - drawn.shape[1] // columns) < 1
    tile = (drawn.shape[1] - 4) // columns - 4
    assert tile >= 112 and drawn.shape[0] >= rows * tile * 64 // 96


def test_heat_maps_lie_over_what_they_are_of(model):
    """Turbo is red at its top: each tile is reddest where its keypoint is."""
    given = item(model, "heatmaps")
    view = Drawing(model)
    crop = np.zeros((256, 384, 3), np.uint8)
    for k in range(3):
        coloured = view._coloured(given.looks[0].maps[-1][k], crop).astype(int)
        red = coloured[..., 0] - coloured[..., 1] - coloured[..., 2]
        y, x = np.unravel_index(red.argmax(), red.shape)
        true = view._scale(crop).apply(given.looks[0].to_crop.apply(np.array(PLACES[k])))
        assert np.hypot(x - true[0], y - true[1]) < 16
    assert view(given).shape[1] > 300


def test_a_map_of_noise_is_not_made_bright(model):
    view = Drawing(model)
    black = np.zeros((64, 96, 3), np.uint8)
    faint = view._coloured(np.full((16, 24), 0.001, np.float32), black)
    assert np.abs(faint.astype(int) - view._coloured(np.zeros((16, 24), np.float32), black)).max() < 40


def test_the_crop_is_what_the_net_saw(model):
    given = item(model, "crop", ((20, 0, 180, 110), (40, 10, 170, 100)))
    view = Drawing(model)
    assert view.crop(given, given.looks[0]).shape == (64, 96, 3)
    one, two = view(item(model, "crop")), view(given)
    assert two.shape[1] > 1.8 * one.shape[1]
    model.prepare = lambda crop: 255 - crop
    try:
        inverted = view.crop(given, given.looks[0])
    finally:
        model.prepare = None
    np.testing.assert_array_equal(inverted, 255 - view.crop(given, given.looks[0]))


@pytest.mark.parametrize("view", ["stages", "heatmaps", "crop"])
def test_nothing_looked_at(model, view):
    given = item(model, view)
    given.looks = []
    assert Drawing(model)(given).size > 0


def test_looks_are_the_best_ones(model):
    model.predict_batch([PICTURE], [[(0, 100, 20, 120), (20, 0, 180, 110), (150, 100, 170, 120)]])
    (best, _) = looks_of(model.take(), 2)
    np.testing.assert_array_equal(best.pose.boxes[0], [20, 0, 180, 110])
    assert model.take() == []


def test_the_look_that_is_reported_comes_first(model):
    boxes = [(20, 0, 180, 110), (60, 50, 140, 120)]
    poses = model.predict_batch([PICTURE], [boxes])[0]
    seen, worse = model.take(), int(poses.presence.argmin())
    np.testing.assert_array_equal(looks_of(seen, 2)[1].pose.boxes[0], boxes[worse])
    np.testing.assert_array_equal(looks_of(seen, 2, poses.only([worse]))[0].pose.boxes[0], boxes[worse])


def test_maps_can_be_had_afterwards(model):
    quick = Watched(model, "crops")
    poses = quick.predict_batch([PICTURE], [[(20, 0, 180, 110)]])[0]
    looks = looks_of(quick.take(), 4)
    assert looks[0].maps is None
    np.testing.assert_array_equal(looks[0].pose.xy, poses.xy)
    (again,) = quick.again(PICTURE, looks)
    np.testing.assert_array_equal(again.maps, item(model, "stages").looks[0].maps)
    assert quick.again(PICTURE, []) == []


def test_watching_changes_nothing(model):
    plain, seen = Watched(model, "nothing"), Watched(model, "maps")
    boxes = [[(20, 0, 180, 110), (0, 0, 40, 40)]]
    for more in ({}, {"min_presence": 0.5}, {"flip": True}):
        a, b = (m.predict_batch([PICTURE], boxes, **more)[0] for m in (plain, seen))
        np.testing.assert_array_equal(a.xy, b.xy)
    assert plain.take() == []


def test_a_model_without_maps(tmp_path):
    bare = load(spot_model(tmp_path / "bare.onnx", outputs=("keypoints",)))
    check_view("crop", bare, "bare.onnx")
    with pytest.raises(PosewrightError, match=r"bare\.onnx: has no heat maps"):
        check_view("stages", bare, "bare.onnx")
