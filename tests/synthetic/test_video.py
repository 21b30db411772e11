"""A clip: smooth, the same again, crossed once, and with frames, times and truth that belong together."""

from __future__ import annotations

import av
import numpy as np
import pytest

from posewright.annotations import read_annotations
from posewright.cli import main
from posewright.synthetic import hand_clip, make_hand_video
from posewright.synthetic.hand import check_size
from posewright.synthetic.motion import _CROSSING, _Passer

SIZE, FPS, SECONDS = (160, 120), 25.0, 3.0


@pytest.fixture(scope="module")
def clip():
    return list(hand_clip(seconds=SECONDS, fps=FPS, size=SIZE, seed=8))


def test_clip_is_the_same_again_and_another_with_another_seed(clip):
    again = list(hand_clip(seconds=SECONDS, fps=FPS, size=SIZE, seed=8))
    assert all(
        (a.image == b.image).all() and (a.keypoints == b.keypoints).all() for a, b in zip(clip, again, strict=True)
    )
    other = next(hand_clip(seconds=SECONDS, fps=FPS, size=SIZE, seed=9))
    assert (other.image != clip[0].image).any()


def test_motion_is_smooth_and_really_moves(clip):
    xy = np.array([s.keypoints[0, :, :2] for s in clip])
    assert xy.min() >= 0
    assert (xy.max((0, 1)) <= np.array(SIZE) - 1).all()
    step = np.linalg.norm(np.diff(xy, axis=0), axis=2)
    assert step.max() < 0.12 * max(SIZE)
    assert np.linalg.norm(np.diff(xy, n=2, axis=0), axis=2).max() < 0.07 * max(SIZE)
    assert np.ptp(xy[:, 0], axis=0).max() > 5
    reach = np.linalg.norm(xy[:, 12] - xy[:, 0], axis=1)  # opening and closing
    assert reach.min() < 0.75 * reach.max()


def test_background_stands_still_where_nothing_passes(clip):
    corner = np.array([s.image[:12, :12] for s in clip[:10]], float)
    assert corner.std(0).mean() < 6  # noise alone


@pytest.mark.parametrize("seed", range(6))
def test_something_passes_once_over_the_whole_width(seed):
    passer = _Passer(np.random.default_rng(seed), SECONDS, SIZE)
    times = np.linspace(0, SECONDS, 400)
    bars = [passer.at(t) for t in times]
    there = np.array([bool(b) for b in bars])
    assert (times[there] >= _CROSSING[0] * SECONDS).all()
    assert (times[there] <= _CROSSING[1] * SECONDS).all()
    middle = np.array([(b[0].start[0] + b[0].end[0]) / 2 for b in bars if b])
    assert (np.diff(middle) > 0).all() or (np.diff(middle) < 0).all()
    for edge in (bars[there.argmax()][0], bars[len(there) - 1 - there[::-1].argmax()][0]):
        reach = [edge.start[0], edge.end[0]]
        assert max(reach) < 0 or min(reach) > SIZE[0] - 1


def test_what_passes_hides_keypoints_for_a_while():
    for seed in (0, 1, 2):
        frames = list(hand_clip(seconds=SECONDS, fps=10, size=SIZE, seed=seed))
        hidden = np.array([(s.keypoints[0, :, 2] == 1).sum() for s in frames])
        passing = slice(int(_CROSSING[0] * len(frames)), int(_CROSSING[1] * len(frames)) + 1)
        assert hidden[passing].max() >= 3


def test_video_frames_times_and_truth_belong_together(tmp_path, clip):
    done = []
    truth = make_hand_video(tmp_path / "wave.mp4", seconds=SECONDS, fps=FPS, size=SIZE, seed=8, progress=done.append)
    with av.open(str(tmp_path / "wave.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", *SIZE)
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
    assert len(frames) == len(truth.images) == sum(done) == len(clip) == round(SECONDS * FPS)
    assert [time for time, _ in frames] == pytest.approx(np.arange(len(frames)) / FPS, abs=1e-4)
    for sample, (_, frame) in zip(clip, frames, strict=True):
        assert np.abs(frame.astype(int) - sample.image).mean() < 8  # the codec's loss; another frame differs more
    read = read_annotations(tmp_path / "wave.json")
    assert [(im.path, im.frame) for im in read.images] == [("wave.mp4", i) for i in range(len(frames))]
    assert read.keypoints == pytest.approx(np.array([s.keypoints[0] for s in clip]), abs=1e-4)
    assert (read.track == 0).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["wave.json", "wave.mp4"]


def test_command_writes_a_video_and_keeps_one_that_is_there(tmp_path, capsys):
    options = ["--video", "--seconds", "0.4", "--fps", "10", "--size", "64x48"]
    assert main(["synthesize", str(tmp_path / "clip"), *options]) == 0
    said = capsys.readouterr().out
    assert "4 frames of 64x48" in said
    assert f"Next: posewright predict hand {tmp_path / 'clip.mp4'}" in said
    assert main(["synthesize", str(tmp_path / "clip.mp4"), *options]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["synthesize", str(tmp_path / "clip.mp4"), *options, "--overwrite"]) == 0


def test_sizes_are_whole_numbers():
    assert check_size((64.0, 48.0)) == (64, 48)
