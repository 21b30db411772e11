"""Poses and their bridges: JSON records come back, COCO results and CSV rows say what they should."""

from __future__ import annotations

import json

import numpy as np
import pytest

from posewright.errors import PosewrightError
from posewright.poses import Poses
from posewright.skeleton import Skeleton

PAIR = Skeleton("pair", ("nose", "tail"), links=((0, 1),))


def some(**more) -> Poses:
    return Poses(
        PAIR,
        [[[10.25, 20.5], [30, 40]], [[1, 2], [3, 4]]],
        [[0.9, 0.5], [0.25, 0.125]],
        [0.75, 0.1],
        [[0, 0, 50, 60], [-0.5, -0.5, 9.5, 19.5]],
        source="a.jpg",
        width=100,
        height=80,
        **more,
    )


def test_a_record_comes_back():
    full = some(
        frame=7,
        time=0.28,
        covariance=np.arange(12).reshape(2, 2, 3),
        visibility=[[1, 0.5], [0.25, 0]],
        track_id=[4, 2],
    )
    back = Poses.from_record(json.loads(full.to_json()), PAIR)
    for name in ("xy", "score", "presence", "boxes", "covariance", "visibility", "track_id"):
        np.testing.assert_allclose(getattr(back, name), getattr(full, name), err_msg=name)
    assert (back.source, back.width, back.height, back.frame, back.time) == ("a.jpg", 100, 80, 7, 0.28)


def test_a_plain_record_holds_no_more_than_it_must():
    record = json.loads(some().to_json())
    assert list(record) == ["source", "width", "height", "skeleton", "poses"]
    assert list(record["poses"][0]) == ["box", "presence", "keypoints"]
    assert record["poses"][0]["keypoints"] == [[10.25, 20.5, 0.9], [30, 40, 0.5]]
    back = Poses.from_record(record, PAIR)
    assert back.frame is None and back.covariance is None and back.track_id is None


def test_nothing_found():
    nothing = Poses.empty(PAIR, source="b.jpg", width=5, height=6)
    assert len(nothing) == 0 and nothing.xy.shape == (0, 2, 2)
    back = Poses.from_record(json.loads(nothing.to_json()), PAIR)
    assert len(back) == 0 and (back.source, back.width, back.height) == ("b.jpg", 5, 6)
    assert nothing.to_coco_results(1) == [] and nothing.to_csv_rows() == []


def test_json_is_strict():
    broken = some()
    broken.xy[0, 0, 0] = np.nan
    with pytest.raises(ValueError):
        broken.to_json()


def test_coco_results():
    first, second = some().to_coco_results(42, category_id=3)
    assert first == {
        "image_id": 42,
        "category_id": 3,
        "keypoints": [10.25, 20.5, 0.9, 30.0, 40.0, 0.5],
        "score": 0.7,
        "bbox": [0.5, 0.5, 50.0, 60.0],
    }
    # A whole-picture box starts at COCO's own corner, (0, 0).
    assert second["bbox"] == [0.0, 0.0, 10.0, 20.0]


def test_csv_rows_fit_their_header():
    poses = some(frame=3, time=0.125)
    header = poses.csv_header()
    row = dict(zip(header, poses.to_csv_rows()[1], strict=True))
    assert row["source"] == "a.jpg" and row["frame"] == 3 and row["time"] == 0.125 and row["pose"] == 1
    assert (row["tail_x"], row["tail_y"], row["tail_score"], row["track_id"]) == (3, 4, 0.125, "")


def test_keypoints_by_name():
    assert some().keypoint("tail") == (30, 40, 0.5)
    assert some().keypoint("nose", 1) == (1, 2, 0.25)
    with pytest.raises(PosewrightError, match=r"has no keypoint 'tale'\. Did you mean 'tail'"):
        some().keypoint("tale")


@pytest.mark.parametrize(
    "change",
    [
        {"score": [[1, 2]]},
        {"boxes": [[1, 2, 3, 4]]},
        {"presence": [1, 2, 3]},
        {"visibility": [[1, 1]]},
        {"track_id": [1]},
    ],
)
def test_shapes_must_agree(change):
    columns = {"xy": np.zeros((2, 2, 2)), "score": np.zeros((2, 2)), "presence": np.zeros(2), "boxes": np.zeros((2, 4))}
    with pytest.raises(ValueError):
        Poses(PAIR, **(columns | change))
    Poses(PAIR, **columns)
