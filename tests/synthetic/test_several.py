"""Pictures of several hands: the same every time, apart from one another, with labels that hold."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.geometry import overlaps
from posewright.synthetic.several import MOST_COVERED, MOST_OVERLAP, render_hands


@pytest.fixture(scope="module")
def scenes():
    return [render_hands(5, i, (200, 150), hands=(2, 5), empty_share=0.2) for i in range(16)]


def test_the_same_arguments_give_the_same_picture(scenes):
    again = render_hands(5, 3, (200, 150), hands=(2, 5), empty_share=0.2)
    assert np.array_equal(again.image, scenes[3].image) and np.array_equal(again.keypoints, scenes[3].keypoints)
    assert not np.array_equal(scenes[3].image, scenes[4].image)


def test_there_are_as_many_hands_as_asked_for(scenes):
    counts = [len(s.boxes) for s in scenes]
    assert 0 in counts and max(counts) >= 3 and max(counts) <= 5
    for s in scenes:
        assert s.keypoints.shape == (len(s.boxes), 21, 3) and s.boxes.shape == (len(s.boxes), 4)
        assert s.image.shape == (150, 200, 3) and s.image.dtype == np.uint8


def test_hands_lie_inside_apart_and_mostly_in_view(scenes):
    for s in scenes:
        xy, v = s.keypoints[..., :2], s.keypoints[..., 2]
        assert (xy >= -0.5).all() and (xy <= (199.5, 149.5)).all() and np.isin(v, (1, 2)).all()
        assert (s.boxes[:, :2] >= -0.5).all() and (s.boxes[:, 2:] <= (199.5, 149.5)).all()
        over = overlaps(s.boxes, s.boxes) - np.eye(len(s.boxes))
        assert not len(s.boxes) or over.max() <= MOST_OVERLAP + 1e-9
        assert 0 < MOST_COVERED < 1


def test_what_a_hand_in_front_covers_is_hidden():
    """Two hands, the smaller one drawn first: keypoints under the larger one's flesh are marked as hidden."""
    more = fewer = 0
    for i in range(40):
        both = render_hands(9, i, (200, 150), hands=(4, 4), empty_share=0.0)
        sizes = (both.boxes[:, 2:] - both.boxes[:, :2]).max(1)
        hidden = (both.keypoints[..., 2] == 1).mean(1)
        if len(sizes) > 1:
            more, fewer = more + hidden[sizes.argmin()], fewer + hidden[sizes.argmax()]
    assert more > fewer


@pytest.mark.parametrize("hands", [(0, 3), (3, 2), (1, 99)])
def test_counts_that_make_no_sense(hands):
    with pytest.raises(PosewrightError, match="fewest and the most"):
        render_hands(0, 0, hands=hands)


def test_synthesize_writes_such_a_set(tmp_path, capsys):
    out = tmp_path / "scenes"
    words = ["--count", "6", "--hands", "2", "3", "--size", "160x120", "--empty-share", "0"]
    assert main(["synthesize", str(out), *words]) == 0
    said = capsys.readouterr().out
    assert "0 pictures without a hand" in said and "posewright train-locator" in said
    assert main(["synthesize", str(tmp_path / "a"), "--hands", "3", "2"]) == 2
    assert main(["synthesize", str(tmp_path / "b.mp4"), "--video", "--hands", "1", "2"]) == 2
