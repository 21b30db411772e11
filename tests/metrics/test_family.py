"""Every member of the PCK family on one hand-worked person: which length it takes, and what it then calls right.

The person stands in a box of 60 x 80 px; each figure's length can be read off the points. One keypoint is predicted 10 px off,
all others exactly, so that PCK at t is all but that one exactly while t x length < 10.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from posewright.annotations import Annotations, Image
from posewright.metrics import evaluate, parse_normaliser
from posewright.metrics.breakdown import by_size, by_visibility
from posewright.skeletons import BODY_14, FACE_68, HAND_21, MPII_16

BOX = (10.0, 10.0, 70.0, 90.0)
ENDS = {
    "body": (BODY_14, {"left_shoulder": (20, 30), "right_hip": (50, 70)}),
    "hand": (HAND_21, {"wrist": (40, 80), "middle_1": (40, 55)}),
    "face": (FACE_68, {"right_eye_1": (20, 40), "left_eye_4": (60, 40)}),
    "mpii": (MPII_16, {"upper_neck": (40, 30), "head_top": (40, 18)}),
}


def person(which: str, **more) -> Annotations:
    skeleton, ends = ENDS[which]
    points = np.concatenate([np.tile([40.0, 50.0], (len(skeleton), 1)), np.full((len(skeleton), 1), 2.0)], 1)
    for name, place in ends.items():
        points[skeleton.index(name), :2] = place
    return Annotations(skeleton, [Image("a.jpg", 100, 100)], np.array([0]), points[None], np.array([BOX]), **more)


@pytest.mark.parametrize(
    ("which", "text", "more", "length"),
    [
        ("body", "torso", {}, 50),  # a 3-4-5 triangle: 30 and 40
        ("hand", "palm", {}, 25),
        ("face", "outer_eye_corners", {}, 40),
        ("mpii", "head", {"head_size": np.array([18.0])}, 18),  # labelled: 0.6 x a diagonal of 30
        ("mpii", "head", {}, 12),  # else between its two keypoints
        ("body", "box", {}, 80),
        ("body", "diagonal", {}, 100),
        ("body", "box_area", {}, np.sqrt(4800)),
        ("body", "hourglass", {}, 10),  # a tenth of a crop of 1.25 x 80
        ("body", "fixed:32", {}, 32),
        ("body", "segment:left_shoulder,right_hip", {}, 50),
    ],
)
def test_the_length_and_what_follows_from_it(which, text, more, length):
    truth = person(which, **more)
    k = len(truth.skeleton)
    pred = truth.keypoints[..., :2].copy()
    pred[0, -1] += (6, 8)  # 10 px
    at = 10 / length
    result = evaluate(
        pred, truth, normaliser=parse_normaliser(text, truth.skeleton), thresholds=(at * 0.999, at * 1.001)
    )
    assert result.lengths.tolist() == [pytest.approx(length)]
    assert [r.total for r in result.pck] == [pytest.approx(1 - 1 / k), 1]
    assert result.metrics["NME"] == pytest.approx(at / k)
    assert result.metrics["AUC@0.5"] == pytest.approx(1 - min(at, 0.5) / 0.5 / k)
    assert any(line.startswith("Normaliser: ") for line in result.conventions())


def test_parts_by_visibility_and_size_by_hand():
    """Twenty people: the last keypoint is hidden and 30 px off; the ten large ones are found exactly otherwise, too."""
    points = np.tile(person("body").keypoints, (20, 1, 1))
    points[:, -1, 2] = 1
    boxes = np.tile(np.array(BOX), (20, 1))
    boxes[10:, 2:] += 80
    images = [Image(f"{i}.jpg", 200, 200) for i in range(20)]
    truth = Annotations(BODY_14, images, np.arange(20), points, boxes)
    pred = points[..., :2].copy()
    pred[:, -1, 0] += 30
    pred[:10, 0, 0] += 30
    result = evaluate(pred, truth, thresholds=(0.2,))  # 10 px
    seen, hidden = by_visibility(result)
    assert (seen["n"], hidden["n"]) == (260, 20)
    assert seen["PCK@0.2"] == pytest.approx(250 / 260) and hidden["PCK@0.2"] == 0
    assert hidden["median / normaliser"] == pytest.approx(0.6) and hidden["median px"] == "30.00"
    small, large = by_size(result)
    assert (small["objects"], large["objects"]) == (10, 10)
    assert small["PCK@0.2"] == pytest.approx(12 / 14) and large["PCK@0.2"] == pytest.approx(13 / 14)
    alike = evaluate(pred[:10], truth.subset(np.arange(10)), thresholds=(0.2,))
    assert by_size(alike) == []
    points[..., 2] = 2
    assert by_visibility(evaluate(pred, Annotations(BODY_14, images, np.arange(20), points, boxes))) == []


def test_without_any_length_the_caution_says_so_instead_of_an_interval_of_nothing():
    one = person("body")
    flat = one.keypoints.copy()
    flat[..., :2] = 50.0
    result = evaluate(flat[..., :2], Annotations(BODY_14, one.images, one.image, flat, one.boxes))
    (said,) = result.cautions()
    assert "no object has a length to normalise by (torso" in said
    assert "nan" not in said
    assert json.loads(result.dumps())["metrics"]["PCK@0.2"] is None


def test_few_objects_come_with_a_caution_and_many_do_not():
    one = person("body")
    result = evaluate(one.keypoints[..., :2], one)
    assert result.cautions() == [
        "Caution: only 1 object was measured; PCK@0.2 1.000 may as well be anything from 0.21 to 1.00 (95 % interval)."
    ]
    many = Annotations(
        BODY_14,
        [Image(f"{i}.jpg", 100, 100) for i in range(30)],
        np.arange(30),
        np.tile(one.keypoints, (30, 1, 1)),
        np.tile(one.boxes, (30, 1)),
    )
    assert evaluate(many.keypoints[..., :2], many).cautions() == []
