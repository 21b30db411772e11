"""What other tools take of poses: supervision's key points, a COCO document that labelling tools read, a pandas table."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from posewright.annotations import read_annotations
from posewright.bridges import to_coco, to_dataframe
from posewright.errors import PosewrightError
from posewright.poses import Poses
from posewright.skeleton import Skeleton

PAIR = Skeleton("pair", ("nose", "tail"), links=((0, 1),))
POSES = "needs {0}: pip install 'posewright[notebook]'"


def some(**more) -> Poses:
    where = {"source": "a.jpg", "width": 100, "height": 80} | more
    return Poses(
        PAIR,
        [[[10.25, 20.5], [30, 40]], [[1, 2], [3, 4]]],
        [[0.9, 0.5], [0.25, 0.125]],
        [0.75, 0.1],
        [[0, 0, 50, 60], [-0.5, -0.5, 9.5, 19.5]],
        **where,
    )


# -- supervision -------------------------------------------------------------------------------------------------------


@pytest.fixture
def sv():
    return pytest.importorskip("supervision", reason=POSES.format("supervision"))


def test_supervision_and_back(sv):
    full = some(track_id=[4, 2], covariance=np.arange(12).reshape(2, 2, 3), visibility=[[1, 0.5], [0.25, 0]])
    found = full.to_supervision()
    assert isinstance(found, sv.KeyPoints) and len(found) == 2 and found.visible is None
    np.testing.assert_allclose(found.keypoint_confidence, full.score)
    np.testing.assert_allclose(found.detection_confidence, full.presence)
    assert list(found.data["class_name"]) == ["pair", "pair"] and list(found.class_id) == [0, 0]
    back = Poses.from_supervision(found, PAIR, source="a.jpg", width=100, height=80)
    for name in ("xy", "score", "presence", "boxes", "covariance", "visibility", "track_id"):
        np.testing.assert_allclose(getattr(back, name), getattr(full, name), rtol=1e-6, err_msg=name)
    assert back.source == "a.jpg"
    # Its own selection takes what came along with it.
    second = Poses.from_supervision(found[found.data["track_id"] == 2], PAIR)
    np.testing.assert_allclose(second.xy, full.xy[1:])
    np.testing.assert_allclose(second.boxes, full.boxes[1:])


def test_its_annotators_draw_our_points(sv):
    """Also: which keypoint lies where, in pixels, is the same for both."""
    poses = Poses(PAIR, [[[12, 20], [40, 32]]], [[0.9, 0.1]], [1], [[0, 0, 50, 60]])
    blank = np.zeros((60, 60, 3), np.uint8)
    dots = sv.VertexAnnotator(color=sv.Color.WHITE, radius=2).annotate(blank.copy(), poses.to_supervision())
    assert dots[20, 12].any() and dots[32, 40].any() and not dots[20, 18].any()
    dots = sv.VertexAnnotator(color=sv.Color.WHITE, radius=2).annotate(blank.copy(), poses.to_supervision(0.5))
    assert dots[20, 12].any() and not dots[32, 40].any()
    edges = [(a + 1, b + 1) for a, b in PAIR.links]
    line = sv.EdgeAnnotator(edges=edges, thickness=2).annotate(blank.copy(), poses.to_supervision())
    assert line[26, 26].any()


def test_supervision_of_nothing(sv):
    nothing = Poses.empty(PAIR, width=5, height=6).to_supervision(0.3)
    assert len(nothing) == 0
    assert len(Poses.from_supervision(nothing, PAIR)) == len(Poses.from_supervision(sv.KeyPoints.empty(), PAIR)) == 0


def test_other_tools_key_points(sv):
    xy = np.array([[[5, 6], [0, 0]], [[0, 0], [0, 0]]], np.float32)
    found = Poses.from_supervision(sv.KeyPoints(xy=xy), PAIR)
    assert found.score.tolist() == [[1, 0], [0, 0]] and found.presence.tolist() == [0.5, 0]
    assert found.boxes.tolist() == [[5, 6, 5, 6], [0, 0, 0, 0]]
    with pytest.raises(PosewrightError, match="3 keypoints are not the 2 of 'pair'"):
        Poses.from_supervision(sv.KeyPoints(xy=np.ones((1, 3, 2), np.float32)), PAIR)


# -- COCO --------------------------------------------------------------------------------------------------------------


def test_a_coco_document_is_read_as_labels(tmp_path):
    document = some(visibility=[[1, 0.2], [1, 1]], track_id=[7, 8]).to_coco(threshold=0.2)
    (tmp_path / "found.json").write_text(json.dumps(document, allow_nan=False))
    labels = read_annotations(tmp_path / "found.json")
    assert labels.skeleton.keypoints == PAIR.keypoints and labels.skeleton.links == PAIR.links
    assert [(im.path, im.width, im.height) for im in labels.images] == [("a.jpg", 100, 80)]
    assert labels.keypoints.tolist() == [[[10.25, 20.5, 2], [30, 40, 1]], [[1, 2, 2], [0, 0, 0]]]
    np.testing.assert_allclose(labels.boxes, some().boxes)
    assert labels.track.tolist() == [7, 8]
    assert [a["score"] for a in document["annotations"]] == [0.7, 0.1875]
    assert [a["num_keypoints"] for a in document["annotations"]] == [2, 1]


def test_several_frames_in_one_coco_document():
    frames = [some(frame=0), Poses.empty(PAIR, source="a.jpg", width=100, height=80, frame=1), some(frame=2)]
    document = to_coco(frames)
    assert [im["frame"] for im in document["images"]] == [0, 1, 2]
    assert [a["image_id"] for a in document["annotations"]] == [1, 1, 3, 3]
    assert [a["id"] for a in document["annotations"]] == [1, 2, 3, 4]


def test_a_point_that_is_nowhere_is_not_labelled():
    poses = some()
    poses.xy[0, 1] = np.nan
    assert poses.to_coco()["annotations"][0]["keypoints"] == [10.25, 20.5, 2, 0, 0, 0]


# -- pandas ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def pd():
    return pytest.importorskip("pandas", reason=POSES.format("pandas"))


def test_one_row_a_keypoint(pd):
    poses = some(frame=3, time=0.125, track_id=[4, 2], covariance=np.arange(12).reshape(2, 2, 3))
    table = poses.to_dataframe()
    assert len(table) == 4 and "visibility" not in table
    row = table.iloc[3]
    assert (row["source"], row["frame"], row["time"], row["pose"], row["track_id"]) == ("a.jpg", 3, 0.125, 1, 2)
    assert (row["keypoint"], row["x"], row["y"], row["score"], row["presence"]) == ("tail", 3, 4, 0.125, 0.1)
    assert table[["covariance_xx", "covariance_xy", "covariance_yy"]].to_numpy().tolist()[3] == [9, 10, 11]
    wide = table.pivot(index=["frame", "pose"], columns="keypoint", values=["x", "y"])
    assert wide.loc[(3, 0), ("y", "nose")] == 20.5


def test_what_is_not_told_is_missing(pd):
    table = to_dataframe([some(), some(frame=5, time=0.5, track_id=[1, 2], visibility=[[1, 1], [0, 0]])])
    assert table["frame"].isna().tolist() == table["track_id"].isna().tolist() == [True] * 4 + [False] * 4
    assert table["visibility"].isna().sum() == 4 and table["time"].isna().sum() == 4
    assert str(table["track_id"].dtype) == str(table["frame"].dtype) == "Int64"
    assert table.groupby("keypoint", observed=True)["x"].mean().to_dict() == {"nose": 5.625, "tail": 16.5}


def test_a_table_of_nothing_has_its_columns(pd):
    table = Poses.empty(PAIR, source="b.jpg").to_dataframe()
    assert len(table) == 0 and {"source", "frame", "keypoint", "x", "y", "score"} <= set(table)
    both = pd.concat([table, some().to_dataframe()])
    assert len(both) == 4 and both["x"].dtype == float


# -- what cannot be done -----------------------------------------------------------------------------------------------


def test_frames_of_two_kinds_do_not_mix():
    other = Poses.empty(Skeleton("one", ("a",)))
    with pytest.raises(PosewrightError, match="frames of 'one' and of 'pair' do not go into one table"):
        to_coco([some(), other])
    with pytest.raises(PosewrightError, match="no frames"):
        to_coco([])


@pytest.mark.parametrize("package", ["supervision", "pandas"])
def test_a_missing_package_is_named(package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    call = {"supervision": some().to_supervision, "pandas": some().to_dataframe}[package]
    with pytest.raises(PosewrightError) as caught:
        call()
    assert str(caught.value).endswith(f"needs {package}, which is not installed. pip install 'posewright[notebook]'")
