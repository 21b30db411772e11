"""Frames of videos as pictures: the same samples, whichever of the two a net is trained on."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from helpers.clips import moving_pictures, write_clip
from posewright.annotations import get_format
from posewright.annotations.tables import Annotations, Image
from posewright.annotations.video_frames import all_files, frames_as_pictures
from posewright.errors import PosewrightError
from posewright.media.labelled import picture_of
from posewright.media.pictures import write_picture
from posewright.skeleton import Skeleton


@pytest.fixture
def filmed(tmp_path) -> Annotations:
    """Frames of two videos of one name, and a picture."""
    for side, seed in (("left", 0), ("right", 1)):
        write_clip(tmp_path / f"set/{side}/clip.mp4", moving_pictures(12, seed=seed), options={"g": "5", "bf": "2"})
    write_picture(tmp_path / "set/photo.png", moving_pictures(1, seed=2)[0])
    images = [
        Image("left/clip.mp4", 64, 48, frame=9, split="train"),
        Image("right/clip.mp4", 64, 48, frame=2, split="val", group="mouse 3"),
        Image("photo.png", 64, 48, split="train"),
        Image("left/clip.mp4", 64, 48, frame=1, split="train"),
    ]
    keypoints = np.random.default_rng(0).uniform(8, 40, (4, 2, 3))
    keypoints[..., 2] = 2
    skeleton = Skeleton("pair", ("a", "b"))
    return Annotations(skeleton, images, np.arange(4), keypoints, np.tile([4.0, 4, 44, 44], (4, 1)), tmp_path / "set")


def test_the_pictures_are_the_frames(filmed, tmp_path):
    done: list[int] = []
    a = frames_as_pictures(filmed, tmp_path / "frames", done.append)
    assert sum(done) == 3
    assert not all_files(filmed)
    assert all_files(a)
    names = ["frames/clip/000009.png", "frames/clip-2/000002.png", "set/photo.png", "frames/clip/000001.png"]
    assert [im.path for im in a.images] == names and a.root == tmp_path
    assert [im.group for im in a.images] == ["left/clip.mp4", "mouse 3", None, "left/clip.mp4"]
    for i in range(4):
        assert np.array_equal(picture_of(a, i), picture_of(filmed, i))
    with pytest.raises(PosewrightError, match="is not empty"):
        frames_as_pictures(filmed, tmp_path / "frames")


def test_samples_for_training_are_the_same(filmed, tmp_path):
    pytest.importorskip("torch")
    from posewright.geometry import CropRule
    from posewright.training.augment_config import AugmentConfig
    from posewright.training.dataset import CropDataset

    a = frames_as_pictures(filmed, tmp_path / "frames")
    rule, augment = CropRule((32, 32)), AugmentConfig()
    # A loader process is handed a pickled set.
    film = pickle.loads(pickle.dumps(CropDataset(filmed, rule, augment, seed=1)))
    still = CropDataset(a, rule, augment, seed=1)
    for item in ((0, 0), (0, 1), (3, 3), (2, 0)):
        one, other = film[item], still[item]
        assert all((one[key] == other[key]).all() for key in one)


def test_a_single_video_is_held_out_at_its_end(filmed):
    images = [replace(filmed.images[0], frame=n, split=None) for n in (8, 2, 5, 11)]
    parted = replace(filmed, images=images).with_validation(0.25)
    assert [im.split for im in parted.images] == ["train", "train", "train", "val"]


@pytest.mark.parametrize("name", ["labelme", "yolo-pose", "deeplabcut", "cpm-labels"])
def test_formats_of_pictures_say_so(filmed, tmp_path, name):
    with pytest.raises(PosewrightError, match=r"frame 9 of 'left/clip.mp4': .* knows pictures only"):
        get_format(name).write(filmed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_video_leaves_nothing_behind(filmed, tmp_path):
    (tmp_path / "set/right/clip.mp4").unlink()
    with pytest.raises(PosewrightError, match=r"clip.mp4: does not exist"):
        frames_as_pictures(filmed, tmp_path / "frames")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]


def test_findings_name_the_frame(filmed):
    """A video's path alone would leave a person looking through all of it."""
    from posewright.audit.findings import Audited, Finding
    from posewright.reports.audit import place

    nowhere = np.zeros((1, 2))
    finding = Finding(3, "point", (0,), 1.0, "a", nowhere, nowhere)
    assert place(Audited(filmed, [finding], {}, {}, 4), finding) == ("left/clip.mp4, frame 1", 0)
    assert filmed.images[0].full_name == "left/clip.mp4, frame 9"
    assert filmed.images[2].full_name == "photo.png"
    assert len({im.full_name for im in filmed.images}) == 4
    assert filmed.record(0) == "object 0 on image 'left/clip.mp4, frame 9'"
