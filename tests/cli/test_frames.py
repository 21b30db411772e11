"""``posewright frames``: pictures, index, sheet and proposals, with and without a model; what is refused."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from helpers.clips import write_clip
from helpers.spots import picture_with_spots, spot_model
from posewright.annotations import read_annotations
from posewright.cli import main
from posewright.media.pictures import read_picture, write_picture
from posewright.media.sources import video_frames

EACH = 10
LOST = range(20, 30)


def shot(i: int) -> np.ndarray:
    """Four scenes: three spots at places of each scene's own; on the third the spots are so faint that they are lost."""
    rng = np.random.default_rng(i // EACH)
    places = rng.uniform((30, 30), (160, 98), (3, 2))
    picture = picture_with_spots(192, 128, [tuple(place) for place in places], 7)
    floor = np.zeros_like(picture)
    floor[:, :, :] = rng.integers(30, 90, 3)
    floor[rng.integers(20, 100) :, :] //= 2
    return np.maximum(picture // 3 if i in LOST else picture, floor)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    place = tmp_path_factory.mktemp("desk")
    spot_model(place / "spots.onnx")
    pictures = [shot(i) for i in range(4 * EACH)]
    write_clip(place / "clip.mp4", pictures, options={"crf": "10", "g": "8", "bf": "2"})
    write_clip(place / "other.mkv", [picture[:, ::-1] for picture in pictures[:EACH]], options={"crf": "10"})
    return place


@pytest.fixture
def run(desk, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(desk)

    def call(*args):
        code = main(["frames", *map(str, args), "-o", str(tmp_path / "out")])
        said = capsys.readouterr()
        return code, said.out, said.err, tmp_path / "out"

    return call


def rows(folder) -> list[dict[str, str]]:
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_frames_of_one_video(run, desk):
    code, said, _, out = run("clip.mp4", "-n", 4)
    assert code == 0
    listed = rows(out)
    assert sorted(path.name for path in out.iterdir()) == ["images", "index.csv", "sheet.jpg"]
    assert {int(row["frame"]) // EACH for row in listed} == {0, 1, 2, 3}
    frames = [frame.image for frame in video_frames(desk / "clip.mp4")]
    for row in listed:
        assert row["file"] == f"images/clip_{int(row['frame']):06d}.png" and row["video"] == "clip.mp4" and row["why"]
        assert float(row["time"]) == pytest.approx(int(row["frame"]) / 25, abs=2e-3)
        assert np.array_equal(read_picture(out / row["file"]), frames[int(row["frame"])])
    assert len(list((out / "images").iterdir())) == 4
    assert read_picture(out / "sheet.jpg").ndim == 3
    assert f"Next: posewright label {out / 'images'}" in said


def test_several_videos_share(run):
    code, said, _, out = run("clip.mp4", "other.mkv", "-n", 4, "--gap", 0)
    assert code == 0
    # The second shows but one scene: what it cannot give, the first does.
    assert [row["video"] for row in rows(out)] == ["clip.mp4"] * 3 + ["other.mkv"]
    assert "4 frames instead" not in said


def test_with_a_model_the_uncertain_come_first(run):
    code, said, _, out = run("clip.mp4", "-n", 3, "--model", "spots.onnx", "--gap", 0)
    assert code == 0
    listed = rows(out)
    assert int(listed[0]["frame"]) in LOST
    degrees = [float(row["uncertainty"]) for row in listed]
    assert degrees == sorted(degrees, reverse=True) and degrees[0] > 0.4 > degrees[-1]
    assert "score" in listed[0]["why"] and f"label {out / 'images'} --model spots.onnx --order uncertain" in said
    a = read_annotations(out / "proposals.json")
    assert [im.path for im in a.images] == [row["file"].removeprefix("images/") for row in listed]
    assert a.missing_pictures() == [] and {im.group for im in a.images} == {"clip"}
    # Nothing is proposed on the first, and what is there on the others.
    assert 0 not in a.image.tolist() and len(a) >= 1
    for i, image in enumerate(a.image.tolist()):
        places = np.random.default_rng(int(listed[image]["frame"]) // EACH).uniform((30, 30), (160, 98), (3, 2))
        assert np.abs(a.keypoints[i, :, :2] - places).max() < 4


def test_the_same_seed_chooses_the_same(run, tmp_path):
    first = run("clip.mp4", "-n", 3, "--seed", 5)
    text = (first[3] / "index.csv").read_text()
    first[3].rename(tmp_path / "before")
    assert (run("clip.mp4", "-n", 3, "--seed", 5)[3] / "index.csv").read_text() == text


def test_too_few_different_frames(run):
    code, said, _, out = run("other.mkv", "-n", 7, "--gap", 0)
    assert code == 0 and len(rows(out)) == 1
    assert "1 frames instead of 7: the others look like one of these" in said


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("clip.mp4", "-n", "0"), "-n must be at least 1"),
        (("clip.mp4", "--gap", "-1"), "--gap is a time in seconds"),
        (("clip.mp4", "--seed", "-1"), "--seed must not be below 0"),
        (("none.mp4",), "does not exist"),
        (("photo.png",), "is no video"),
        (("clip.mp4", "--threads", "2"), "are for --model"),
        (("night.mp4",), "every frame is dark or blurred"),
    ],
)
def test_what_is_refused(run, desk, args, said):
    write_picture(desk / "photo.png", shot(0))
    if args == ("night.mp4",):
        write_clip(desk / "night.mp4", [np.zeros((64, 64, 3), np.uint8)] * 4)
    code, _, err, out = run(*args)
    assert code == 2 and said in err and err.count("\n") == 1 and not out.exists()


def test_nothing_is_replaced(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    code, _, err, out = run("clip.mp4")
    assert code == 2 and "is not empty" in err and [p.name for p in out.iterdir()] == ["mine.txt"]
