"""SLEAP projects and packages: real samples, and generated ones with everything that the format knows."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.clips import moving_pictures, write_clip
from posewright.annotations import ReadOptions, find_format, read_annotations
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.media.labelled import picture_of
from posewright.media.pictures import read_picture, write_picture
from posewright.media.sources import video_frames

sio = pytest.importorskip("sleap_io", reason="needs sleap-io: pip install 'posewright[sleap]'")
h5py = pytest.importorskip("h5py")

NODES = ["nose", "left ear", "right ear", "tail"]
NAN = float("nan")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two short videos, of which the second lies in a subfolder."""
    root = tmp_path_factory.mktemp("sleap")
    write_clip(root / "one.mp4", moving_pictures(12), options={"x264-params": "keyint=5:bframes=2"})
    write_clip(root / "videos/cage 2/two.mp4", moving_pictures(8, seed=1))
    return root


def project(first="C:\\data\\day 1\\one.mp4", second="/home/someone/day/cage 2/two.mp4", **kinds):
    """A project with all kinds of instances and frames, as it was saved on another machine."""
    skeleton = sio.Skeleton(list(NODES), edges=[("nose", "tail"), ("nose", "left ear")], name="mouse")
    skeleton.add_symmetry("left ear", "right ear")
    videos = [sio.Video(first, open_backend=False), sio.Video(second, open_backend=False)]
    tracks = [sio.Track("a"), sio.Track("b")]
    guess = sio.PredictedInstance.from_numpy(np.full((4, 2), 20.0), skeleton, point_scores=np.ones(4), score=0.9)
    hidden = sio.Instance.from_numpy([[5, 6], [7, 8], [NAN, NAN], [9.25, 10]], skeleton, track=tracks[1])
    hidden.points["visible"][1] = False
    frames = [
        sio.LabeledFrame(
            videos[0], 7, [sio.Instance.from_numpy(np.arange(8.0).reshape(4, 2), skeleton, track=tracks[0]), guess]
        ),
        sio.LabeledFrame(videos[0], 3, [hidden]),
        sio.LabeledFrame(videos[0], 4, [guess]),  # predicted only
        sio.LabeledFrame(videos[0], 5, []),  # opened, not labelled
        sio.LabeledFrame(videos[1], 2, [sio.Instance.from_numpy(np.full((4, 2), 11.5), skeleton)]),
        sio.LabeledFrame(videos[1], 6, [], is_negative=True),
        sio.LabeledFrame(videos[1], 1, [sio.Instance.from_numpy(np.full((4, 2), NAN), skeleton)]),
    ]
    return sio.Labels(frames, videos, [skeleton], tracks, **kinds)


@pytest.fixture(scope="module")
def saved(folder) -> Path:
    path = folder / "labels.slp"
    project().save(str(path), verbose=False, embed=False)
    return path


def test_what_counts_as_labelled(saved, folder):
    options = ReadOptions()
    a = read_annotations(saved, options=options)
    assert find_format(saved).name == "sleap"
    assert a.skeleton.name == "mouse" and list(a.skeleton.keypoints) == NODES
    assert a.skeleton.links == ((0, 3), (0, 1)) and a.skeleton.swaps == ((1, 2),)
    one, two = "one.mp4", "videos/cage 2/two.mp4"
    found = [(im.path, im.frame, im.group, im.width, im.height) for im in a.images]
    assert found == [(one, 7, one, 64, 48), (one, 3, one, 64, 48), (two, 2, two, 64, 48), (two, 6, two, 64, 48)]
    assert a.image.tolist() == [0, 1, 2] and a.track.tolist() == [0, 1, -1]
    assert a.keypoints[0].tolist() == [[0, 1, 2], [2, 3, 2], [4, 5, 2], [6, 7, 2]]
    assert a.keypoints[1].tolist() == [[5, 6, 2], [0, 0, 0], [0, 0, 0], [9.25, 10, 2]]
    said = "\n".join(options.skipped)
    assert "2 predicted instances, which nobody has corrected" in said
    assert "1 instances without a visible node" in said
    frames = [frame.image for frame in video_frames(folder / one)]
    assert np.array_equal(picture_of(a, 0), frames[7]) and np.array_equal(picture_of(a, 1), frames[3])


def test_a_file_of_predictions_only(folder, tmp_path):
    labels = project()
    for frame in labels.labeled_frames:
        frame.instances = list(frame.predicted_instances)
    labels.save(str(tmp_path / "results.slp"), verbose=False, embed=False)
    options = ReadOptions(images=folder)
    a = read_annotations(tmp_path / "results.slp", options=options)
    assert [(im.path, im.frame) for im in a.images if im.path == "one.mp4"] == [("one.mp4", 7), ("one.mp4", 4)]
    assert len(a) == 2 and (a.keypoints[..., 2] == 2).all()
    assert "all 2 instances are predictions" in options.skipped[0]


def test_the_half_pixel_of_old_files(saved, tmp_path, folder):
    """Before format 1.1, (0, 0) was the corner of the first pixel."""
    path = tmp_path / "old.slp"
    path.write_bytes(saved.read_bytes())
    with h5py.File(path, "r+") as file:
        rows = file["instances"][()]
        del file["instances"]
        file["instances"] = rows[[name for name in rows.dtype.names if name != "tracking_score"]].astype(
            [(name, rows.dtype[name]) for name in rows.dtype.names if name != "tracking_score"]
        )
        file["metadata"].attrs["format_id"] = 1.0
    a = read_annotations(path, options=ReadOptions(images=folder))
    assert a.keypoints[0, :, :2].tolist() == [[-0.5, 0.5], [1.5, 2.5], [3.5, 4.5], [5.5, 6.5]]


def test_videos_that_are_not_beside_it(saved, tmp_path, folder):
    alone = tmp_path / "labels.slp"
    alone.write_bytes(saved.read_bytes())
    a = read_annotations(alone)
    assert a.missing_pictures() == [0, 1, 2, 3] and a.images[0].path == "one.mp4"
    with pytest.raises(PosewrightError, match=r"one.mp4 does not exist.*--images"):
        a.require_pictures()
    b = read_annotations(alone, options=ReadOptions(images=folder / "videos"))
    assert [im.path for im in b.images] == ["one.mp4", "one.mp4", "cage 2/two.mp4", "cage 2/two.mp4"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(PosewrightError, match=r"one.mp4', named first in .*, is not there"):
        read_annotations(alone, options=ReadOptions(images=tmp_path / "empty"))


def test_two_videos_of_one_name(tmp_path):
    path = tmp_path / "labels.slp"
    project("/a/left/clip.mp4", "/a/right/clip.mp4").save(str(path), verbose=False, embed=False)
    with pytest.raises(PosewrightError, match=r"videos 0 and 1 are both called 'clip.mp4'"):
        read_annotations(path)
    for side in ("left", "right"):
        write_clip(tmp_path / side / "clip.mp4", moving_pictures(8))
    assert {im.path for im in read_annotations(path).images} == {"left/clip.mp4", "right/clip.mp4"}


def test_pictures_instead_of_a_video(tmp_path):
    names = [tmp_path / "far" / "shots" / f"{i}.png" for i in range(9)]
    for name in names:
        write_picture(name, moving_pictures(1)[0])
    labels = project(second="two.mp4")
    labels.replace_videos([labels.videos[0]], [sio.Video.from_filename([str(name) for name in names])])
    labels.save(str(tmp_path / "labels.slp"), verbose=False, embed=False)
    (tmp_path / "far/shots").rename(tmp_path / "shots")
    a = read_annotations(tmp_path / "labels.slp")
    assert [(im.path, im.frame, im.width) for im in a.images[:2]] == [
        ("shots/7.png", None, 64),
        ("shots/3.png", None, 64),
    ]


def test_a_package(folder, tmp_path, capsys):
    labels = project(str(folder / "one.mp4"), str(folder / "videos/cage 2/two.mp4"))
    for video in labels.videos:
        video.open()
    # Only what is labelled by hand, or negative, is put inside.
    labels.labeled_frames = [labels.labeled_frames[i] for i in (0, 1, 4, 5)]
    path = tmp_path / "set.pkg.slp"
    labels.save(str(path), verbose=False, embed="all")
    with pytest.raises(PosewrightError, match=r"holds its pictures inside.*posewright convert"):
        read_annotations(path)
    assert main(["convert", str(path), "-o", str(tmp_path / "coco.json")]) == 0
    assert "4" in capsys.readouterr().out
    a = read_annotations(tmp_path / "coco.json")
    assert [im.path for im in a.images] == ["one/000007.png", "one/000003.png", "two/000002.png", "two/000006.png"]
    assert [im.group for im in a.images] == ["one", "one", "two", "two"]
    frames = [frame.image for frame in video_frames(folder / "one.mp4")]
    # sleap-io decodes with OpenCV, whose conversion of colours differs by a little.
    assert np.abs(picture_of(a, 0).astype(int) - frames[7]).mean() < 4
    again = read_annotations(path, options=ReadOptions(images=tmp_path / "coco_images"))
    np.testing.assert_array_equal(again.keypoints, a.keypoints)
    assert [im.path for im in again.images] == [im.path for im in a.images]
    (tmp_path / "none").mkdir()
    with pytest.raises(PosewrightError, match=r"one/000007.png', which is inside"):
        read_annotations(path, options=ReadOptions(images=tmp_path / "none"))


def test_several_skeletons(tmp_path):
    labels = project()
    fly = sio.Skeleton(["head", "abdomen"], name="fly")
    labels.labeled_frames[0].instances.append(sio.Instance.from_numpy([[1.0, 2], [30, 4]], fly))
    labels.update()
    labels.save(str(tmp_path / "two.slp"), verbose=False, embed=False)
    with pytest.raises(PosewrightError, match=r"'mouse' \(4 keypoints, 4 objects\), 'fly' .*--category"):
        read_annotations(tmp_path / "two.slp")
    a = read_annotations(tmp_path / "two.slp", options=ReadOptions(category="fly"))
    assert a.skeleton.keypoints == ("head", "abdomen") and a.keypoints[0, 1].tolist() == [30, 4, 2]
    mouse = read_annotations(tmp_path / "two.slp", options=ReadOptions(category="mouse"))
    assert len(mouse) == 3
    part = replace(mouse.skeleton, keypoints=("tail", "nose"), swaps=(), links=(), link_colours=())
    b = read_annotations(tmp_path / "two.slp", options=ReadOptions(skeleton=part))
    assert b.keypoints[0].tolist() == [[6, 7, 2], [0, 1, 2]]


def test_without_sleap_io(saved, monkeypatch):
    monkeypatch.setitem(sys.modules, "sleap_io", None)
    with pytest.raises(PosewrightError, match=re.escape("pip install 'posewright[sleap]'")):
        read_annotations(saved)


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda file: file.pop("points"), "holds no dataset 'points'"),
        (lambda file: file["metadata"].attrs.__setitem__("json", b'{"skel'), "cannot be read as a SLEAP file"),
        (
            lambda file: file["instances"].__setitem__(0, _row(file, "point_id_end", 2)),
            "cannot be read as a SLEAP file",
        ),
        (lambda file: file["instances"].__setitem__(0, _row(file, "skeleton", 9)), "cannot be read as a SLEAP file"),
        (lambda file: file["points"].__setitem__(0, (1e300, 3, True, True)), "is in no picture"),
    ],
)
def test_damaged_files(saved, tmp_path, folder, break_it, said):
    path = tmp_path / "bad.slp"
    path.write_bytes(saved.read_bytes())
    with h5py.File(path, "r+") as file:
        break_it(file)
    with pytest.raises(PosewrightError, match=said) as caught:
        read_annotations(path, "sleap", ReadOptions(images=folder))
    assert "\n" not in str(caught.value)


def _row(file, name, value):
    row = file["instances"][0]
    row[name] = value
    return row


def test_converted_to_pictures_and_kept_in_videos(saved, tmp_path, folder, capsys):
    """A set for any tool has pictures; --keep-videos leaves the frames where they are, for posewright."""
    target = tmp_path / "coco.json"
    assert main(["convert", str(saved), "-o", str(target)]) == 0
    assert "coco_frames: 4 frames of videos, as pictures." in capsys.readouterr().out
    a = read_annotations(target)
    assert [im.path for im in a.images] == ["one/000007.png", "one/000003.png", "two/000002.png", "two/000006.png"]
    frames = [frame.image for frame in video_frames(folder / "one.mp4")]
    assert np.array_equal(read_picture(a.image_path(0)), frames[7])
    assert {im.frame for im in a.images} == {None} and [im.group for im in a.images][:2] == ["one.mp4"] * 2
    assert main(["convert", str(saved), "-o", str(tmp_path / "kept.json"), "--keep-videos"]) == 0
    b = read_annotations(tmp_path / "kept.json")
    assert [(im.path, im.frame) for im in b.images][:2] == [("one.mp4", 7), ("one.mp4", 3)]
    np.testing.assert_array_equal(a.keypoints, b.keypoints)
    assert main(["convert", str(saved), "-o", str(tmp_path / "yolo"), "--to", "yolo-pose"]) == 0
    assert len(list((tmp_path / "yolo").rglob("*.png"))) == 4
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"coco.json", "coco_frames", "kept.json", "yolo"}
    capsys.readouterr()
    assert main(["convert", str(saved), "-o", str(tmp_path / "y2"), "--to", "yolo-pose", "--keep-videos"]) == 2
    assert "knows pictures only" in capsys.readouterr().err


def test_real_projects(shared_data):
    source = shared_data / "formats" / "sleap"
    a = read_annotations(source / "minimal_instance.slp")
    assert a.skeleton.keypoints == ("A", "B") and a.skeleton.links == ((0, 1),)
    assert [(im.path, im.frame, im.width, im.height) for im in a.images] == [
        ("centered_pair_low_quality.mp4", 0, 384, 384)
    ]
    assert a.keypoints[0].round(3).tolist() == [[92.652, 202.726, 2], [152.342, 158.424, 2]]
    assert picture_of(a, 0).shape == (384, 384, 3)
    b = read_annotations(source / "small_robot_minimal.slp")
    assert [im.frame for im in b.images] == [0, 79] and b.missing_pictures() == [0, 1]
    # The order of the skeleton's graph, not of the list of nodes.
    assert b.skeleton.keypoints == ("A", "B") and b.keypoints[0, 0].round(2).tolist() == [316.49, 47.69, 2]
