"""Running a model over a labelled set: which objects, in which boxes, in whose keypoint order."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.annotations import Annotations, Image
from posewright.errors import PosewrightError
from posewright.media.labelled import VideoFrame
from posewright.metrics import run_model
from posewright.poses import Poses
from posewright.skeleton import Skeleton

SKELETON = Skeleton("pair", ("left", "right"))


class Corners:
    """Finds "right" in the lower right corner of a box, "left" in the upper left one, and a third nobody asked for."""

    skeleton = Skeleton("three", ("right", "other", "left"))

    def __init__(self, bad=(), size=(100, 80)):
        self.bad, self.size, self.calls = set(bad), size, []

    def predict_batch(self, pictures, boxes, *, flip, batch_size):
        self.calls.append((len(pictures), sum(map(len, boxes)), flip, batch_size))
        out = []
        for path, box in zip(pictures, boxes, strict=True):
            if path.name in self.bad:
                raise PosewrightError("is no picture", file=path)
            xy = np.stack([box[:, 2:], np.full((len(box), 2), -7.0), box[:, :2]], axis=1)
            score = np.tile([0.3, 0.5, 0.9], (len(box), 1))
            size = {"width": self.size[0], "height": self.size[1]}
            out.append(Poses(self.skeleton, xy, score, np.full(len(box), 0.8), box, str(path), **size))
        return out


def labels(counts=(2, 1, 0, 1)):
    image = np.repeat(np.arange(len(counts)), counts)
    n = len(image)
    boxes = np.array([[i, i, i + 10, i + 20] for i in range(n)], float).reshape(-1, 4)
    points = np.concatenate([np.stack([boxes[:, :2], boxes[:, 2:]], axis=1), np.full((n, 2, 1), 2)], axis=2)
    images = [Image(f"{i}.png", 100, 80) for i in range(len(counts))]
    return Annotations(SKELETON, images, image, points, boxes, root="some/where")


def test_every_object_gets_its_own_pose_in_its_own_order():
    truth = labels()
    shuffled = truth.objects([3, 1, 0, 2])
    for data in (truth, shuffled):
        got, kept = run_model(Corners(), data)
        assert kept is data
        np.testing.assert_array_equal(got.xy, data.keypoints[..., :2])
        np.testing.assert_array_equal(got.score, np.tile([0.9, 0.3], (4, 1)))
        np.testing.assert_array_equal(got.presence, 0.8)


def test_objects_that_do_not_count_are_not_run():
    truth = labels()
    truth.keypoints[0] = 0
    truth.iscrowd[2] = True
    model = Corners()
    got, _ = run_model(model, truth)
    assert np.isfinite(got.xy).all((1, 2)).tolist() == [False, True, False, True]
    assert sum(objects for _, objects, _, _ in model.calls) == 2


def test_options_reach_the_model_and_progress_adds_up():
    truth, model, done = labels((3,) * 10), Corners(), []
    run_model(model, truth, flip=True, batch_size=2, progress=done.append)
    assert {call[2:] for call in model.calls} == {(True, 2)}
    assert sum(done) == 30
    assert len(done) > 2


def test_a_model_that_lacks_a_keypoint_is_refused():
    model = Corners()
    model.skeleton = Skeleton("three", ("right", "other", "links"))
    with pytest.raises(
        PosewrightError, match=r"the model \('three'\) does not find 'left', which the labels \('pair'\)"
    ):
        run_model(model, labels())


def test_a_bad_picture_stops_or_is_left_out():
    truth = labels()
    with pytest.raises(PosewrightError, match=r"1\.png: is no picture"):
        run_model(Corners(bad=["1.png"]), truth)
    got, kept = run_model(Corners(bad=["1.png"]), truth, skip_bad=True)
    assert [im.path for im in kept.images] == ["0.png", "2.png", "3.png"]
    np.testing.assert_array_equal(got.xy, kept.keypoints[..., :2])
    assert len(got.xy) == 3
    assert [line.split("/")[-1] for line in got.skipped] == ["1.png: is no picture"]


def test_a_picture_of_another_size_than_the_labels_is_bad():
    with pytest.raises(PosewrightError, match=r"0.png: is 80 x 100; the labels are for 100 x 80"):
        run_model(Corners(size=(80, 100)), labels())


def test_a_frame_of_a_video_is_handed_on_as_such():
    truth = labels()
    truth.images[0] = Image("v.mp4", 100, 80, frame=3)
    seen = []

    class Noting(Corners):
        def predict_batch(self, pictures, boxes, **how):
            seen.extend(pictures)
            return super().predict_batch([getattr(picture, "path", picture) for picture in pictures], boxes, **how)

    run_model(Noting(), truth)
    assert seen[0] == VideoFrame(truth.root / "v.mp4", 3)


def test_empty_batches_are_refused():
    with pytest.raises(PosewrightError, match="batch size must be at least 1"):
        run_model(Corners(), labels(), batch_size=0)


def test_nothing_to_run_is_nothing_predicted():
    got, _ = run_model(Corners(), labels((0, 0)))
    assert got.xy.shape == (0, 2, 2)
