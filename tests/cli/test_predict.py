"""``posewright predict`` as a person uses it: what it writes, what it says, and what it says when all goes wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.predicting import PLACES, complaint, places, records, run
from helpers.spots import SPOTS, picture_with_spots, spot_model
from posewright.media.pictures import read_picture, write_picture
from posewright.media.sinks import h264_video
from posewright.poses import Poses


def shot(move: float = 0.0, width: int = 192, height: int = 128) -> np.ndarray:
    return picture_with_spots(width, height, [(x + move, y) for x, y in PLACES], 7)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder to work in: a model, a picture, a folder of pictures, a video."""
    spot_model(tmp_path / "spots.onnx")
    write_picture(tmp_path / "a.png", shot())
    for i, name in enumerate(("one.jpg", "two.png", "deep/one.jpg")):
        write_picture(tmp_path / "shots" / name, shot(5 * i), quality=98)
    with h264_video(tmp_path / "clip.mp4", 10) as add:
        for i in range(5):
            add(shot(4 * i), i / 10)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_one_picture(desk, capsys):
    assert run("spots.onnx", "a.png", "-o", "out") == 0
    assert files(desk / "out") == ["a.jsonl", "a_overlay.png"]
    (record,) = records(desk / "out" / "a.jsonl")
    assert (record["source"], record["width"], record["height"], record["skeleton"]) == ("a.png", 192, 128, "spots")
    np.testing.assert_allclose(places(record), PLACES, atol=0.2)
    overlay = read_picture(desk / "out" / "a_overlay.png")
    assert overlay.shape == (128, 192, 3) and (overlay != shot()).any()
    out = capsys.readouterr().out
    assert out.startswith("1 picture, 1 pose: ") and "out holds a.jsonl" in out
    assert "posewright evaluate spots.onnx" in out.splitlines()[-1]


def test_folders_patterns_and_videos_at_once(desk, capsys):
    assert run("spots.onnx", "shots", "clip.mp4", "a.*", "-o", "out", "--csv", "--batch-size", "2") == 0
    assert files(desk / "out") == sorted(
        [f"{stem}{end}" for stem in ("shots", "clip", "a") for end in (".jsonl", ".csv")]
        + ["a_overlay.png", "clip_overlay.mp4"]
        + [f"shots_overlays/{n}" for n in ("one.jpg", "two.png", "deep/one.jpg")]
    )
    shots = records(desk / "out" / "shots.jsonl")
    assert [r["source"] for r in shots] == ["shots/deep/one.jpg", "shots/one.jpg", "shots/two.png"]
    for record, move in zip(shots, (10, 0, 5)):
        np.testing.assert_allclose(places(record) - PLACES, [[move, 0]] * 3, atol=0.4)
    frames = records(desk / "out" / "clip.jsonl")
    assert [(r["frame"], r["time"]) for r in frames] == [(i, i / 10) for i in range(5)]
    np.testing.assert_allclose([places(r)[0, 0] for r in frames], [60 + 4 * i for i in range(5)], atol=1)
    with (desk / "out" / "clip.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 5 and float(rows[4]["red_x"]) == pytest.approx(76, abs=1)
    assert "9 frames, 9 poses" in capsys.readouterr().out


def test_given_boxes(desk):
    assert run("spots.onnx", "a.png", "--box", "20,0,180,110", "--box", "30 10 170 120", "--no-overlay") == 0
    (record,) = records(desk / "predictions" / "a.jsonl")
    assert [p["box"] for p in record["poses"]] == [[20, 0, 180, 110], [30, 10, 170, 120]]
    for pose in record["poses"]:
        np.testing.assert_allclose(np.array(pose["keypoints"])[:, :2], PLACES, atol=0.2)
    assert files(desk / "predictions") == ["a.jsonl"]


def label(desk, images: list[dict], annotations: list[dict], name: str = "labels.json") -> Path:
    """A COCO keypoints file about some of the desk's pictures."""
    category = {"id": 1, "name": "spots", "keypoints": list(SPOTS.keypoints), "skeleton": [[1, 2], [2, 3]]}
    path = desk / name
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return path


def annotation(id: int, image: int, box: tuple[float, float, float, float], **more) -> dict:
    points = [v for x, y in PLACES for v in (x, y, 2)]
    return {"id": id, "image_id": image, "category_id": 1, "bbox": box, "keypoints": points, "num_keypoints": 3} | more


def test_boxes_from_labels(desk):
    images = [
        {"id": 7, "file_name": "shots/one.jpg", "width": 192, "height": 128},
        {"id": 9, "file_name": "a.png", "width": 192, "height": 128},
        {"id": 4, "file_name": "shots/two.png", "width": 192, "height": 128},
    ]
    boxes = [(9, (20, 0, 160, 110)), (9, (0, 0, 192, 128)), (7, (10, 0, 170, 120))]
    label(desk, images, [annotation(i, image, box) for i, (image, box) in enumerate(boxes, 1)])
    assert run("spots.onnx", "--boxes", "labels.json", "-o", "out", "--coco") == 0
    counts = {Path(r["source"]).name: len(r["poses"]) for r in records(desk / "out" / "labels.jsonl")}
    assert counts == {"one.jpg": 1, "a.png": 2, "two.png": 0}
    results = json.loads((desk / "out" / "labels.coco.json").read_text())
    assert [r["image_id"] for r in results] == [7, 9, 9]
    np.testing.assert_allclose(results[1]["bbox"], [20, 0, 160, 110])
    assert files(desk / "out" / "labels_overlays") == ["a.png", "shots/one.jpg", "shots/two.png"]
    # The same for named pictures, in the order of the command.
    assert run("spots.onnx", "a.png", "--boxes", "labels.json", "-o", "some", "--coco") == 0
    assert [r["image_id"] for r in json.loads((desk / "some" / "a.coco.json").read_text())] == [9, 9]


def test_pictures_that_the_labels_do_not_know(desk, capsys):
    label(desk, [{"id": 9, "file_name": "a.png", "width": 192, "height": 128}], [annotation(1, 9, (20, 0, 160, 110))])
    said = complaint(capsys, "spots.onnx", "a.png", "shots/two.png", "--boxes", "labels.json", "-o", "out")
    assert "shots/two.png: is not among the pictures of" in said
    assert run("spots.onnx", "a.png", "shots/two.png", "--boxes", "labels.json", "-o", "out", "--skip-bad") == 0
    out, err = capsys.readouterr()
    assert "1 left out, listed above" in out and "left out: shots/two.png: is not among" in err
    assert files(desk / "out") == ["a.jsonl", "a_overlay.png"]


def test_coco_without_labels_names_the_pictures(desk):
    assert run("spots.onnx", "shots", "clip.mp4", "-o", "out", "--coco", "--no-overlay") == 0
    names = [r["image_id"] for r in json.loads((desk / "out" / "shots.coco.json").read_text())]
    assert names == ["deep/one.jpg", "one.jpg", "two.png"]
    assert [r["image_id"] for r in json.loads((desk / "out" / "clip.coco.json").read_text())] == [0, 1, 2, 3, 4]


def test_same_stems_do_not_overwrite_each_other(desk):
    write_picture(desk / "other" / "a.png", shot(9))
    assert run("spots.onnx", "a.png", "other/a.png", "-o", "out") == 0
    assert files(desk / "out") == ["a-2.jsonl", "a-2_overlay.png", "a.jsonl", "a_overlay.png"]
    assert records(desk / "out" / "a-2.jsonl")[0]["source"] == "other/a.png"


def test_results_inside_the_pictures_are_not_read_again(desk):
    for _ in range(2):
        assert run("spots.onnx", "shots", "-o", "shots/out") == 0
        assert len(records(desk / "shots" / "out" / "shots.jsonl")) == 3


def test_threshold_hides_but_does_not_forget(desk):
    write_picture(desk / "faint.png", picture_with_spots(192, 128, PLACES, 7, background=30) // 4 * 3)
    assert run("spots.onnx", "faint.png", "--threshold", "0.9", "-o", "high") == 0
    assert run("spots.onnx", "faint.png", "--threshold", "0", "-o", "low") == 0
    assert np.array_equal(read_picture(desk / "high" / "faint_overlay.png"), read_picture(desk / "faint.png"))
    assert (read_picture(desk / "low" / "faint_overlay.png") != read_picture(desk / "faint.png")).any()
    assert (desk / "high" / "faint.jsonl").read_text() == (desk / "low" / "faint.jsonl").read_text()


def test_min_presence_leaves_poses_out(desk, capsys):
    write_picture(desk / "empty.png", np.full((50, 60, 3), 30, np.uint8))
    assert run("spots.onnx", "empty.png", "a.png", "--min-presence", "0.5", "-o", "out") == 0
    assert records(desk / "out" / "empty.jsonl")[0]["poses"] == []
    assert len(records(desk / "out" / "a.jsonl")[0]["poses"]) == 1
    assert "2 pictures, 1 pose: an object (presence 0.5 or more) on 1." in capsys.readouterr().out


def test_flip_and_names(desk):
    assert run("spots.onnx", "a.png", "-o", "plain") == 0
    assert run("spots.onnx", "a.png", "-o", "named", "--flip", "--names", "--threads", "1", "--device", "cpu") == 0
    np.testing.assert_allclose(places(records(desk / "named" / "a.jsonl")[0]), PLACES, atol=0.6)
    plain, named = (read_picture(desk / d / "a_overlay.png") for d in ("plain", "named"))
    assert (plain != shot()).any(2).sum() < (named != shot()).any(2).sum()


def test_a_run_and_a_shipped_name(desk, monkeypatch):
    shutil.copy(desk / "spots.onnx", desk / "shots" / "model.onnx")
    assert run("shots", "a.png", "-o", "one") == 0
    monkeypatch.setenv("POSEWRIGHT_MODELS", str(desk))
    assert run("spots", "a.png", "-o", "two") == 0
    assert (desk / "one" / "a.jsonl").read_text() == (desk / "two" / "a.jsonl").read_text()


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "does not exist"),
        (b"", "is empty"),
        (b"not a picture at all", "is not a picture"),
        ("truncated jpeg", "is cut short"),
        ("truncated png", "is cut short"),
    ],
)
def test_bad_pictures(desk, capsys, content, reason):
    if isinstance(content, str):
        ending = content.split()[1]
        whole = write_picture(desk / f"whole.{ending}", shot()).read_bytes()
        content = whole[: len(whole) * 2 // 3]
    if content is not None:
        (desk / "bad.jpg").write_bytes(content)
    said = complaint(capsys, "spots.onnx", "bad.jpg", "-o", "out")
    assert "bad.jpg: " in said and reason in said
    assert not (desk / "out").exists() or files(desk / "out") == []


def test_a_bad_picture_among_good_ones(desk, capsys):
    (desk / "shots" / "two.png").write_bytes(b"")
    assert "two.png: is empty" in complaint(capsys, "spots.onnx", "shots", "-o", "out", "--csv", "--coco")
    assert files(desk / "out") == []
    assert run("spots.onnx", "shots", "-o", "out", "--skip-bad") == 0
    out, err = capsys.readouterr()
    assert "2 pictures, 2 poses" in out and "1 left out" in out
    assert err.startswith("left out: shots/two.png: is empty") and err.count("\n") == 1
    assert len(records(desk / "out" / "shots.jsonl")) == 2


def test_nothing_but_bad_pictures(desk, capsys):
    (desk / "bad.jpg").write_bytes(b"")
    said = complaint(capsys, "spots.onnx", "bad.jpg", "-o", "out", "--skip-bad")
    assert "nothing could be read; first: bad.jpg: is empty" in said
    assert not (desk / "out").exists() or files(desk / "out") == []


def test_a_source_without_anything_leaves_no_files(desk, capsys):
    (desk / "bad.mp4").write_bytes(b"x" * 100)
    (desk / "bad.jpg").write_bytes(b"")
    assert run("spots.onnx", "bad.jpg", "a.png", "-o", "out", "--skip-bad", "--csv", "--coco") == 0
    assert files(desk / "out") == ["a.coco.json", "a.csv", "a.jsonl", "a_overlay.png"]
    capsys.readouterr()
    assert "bad.mp4: is not a video" in complaint(capsys, "spots.onnx", "bad.mp4", "-o", "video")


def test_a_video_that_ends_early(desk, capsys):
    path = desk / "long.mp4"
    with h264_video(path, 25) as add:
        for i in range(60):
            add(np.random.default_rng(i).integers(0, 255, (64, 96, 3), dtype=np.uint8), None)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "long.mp4: " in complaint(capsys, "spots.onnx", "long.mp4", "-o", "out", "--no-overlay")
    assert run("spots.onnx", "long.mp4", "-o", "out", "--skip-bad") == 0
    assert 10 < len(records(desk / "out" / "long.jsonl")) < 50


def test_bad_models(desk, capsys):
    data = (desk / "spots.onnx").read_bytes()
    (desk / "cut.onnx").write_bytes(data[: len(data) // 2])
    (desk / "text.onnx").write_text("hello")
    (desk / "empty.onnx").write_bytes(b"")
    spot_model(desk / "plain.onnx", described=False)
    for name, reason in (
        ("cut.onnx", "was cut short"),
        ("text.onnx", "is not an ONNX model file"),
        ("empty.onnx", "is empty"),
        ("plain.onnx", "not a posewright model file"),
        ("none.onnx", "does not exist"),
        ("a.png", "is not an ONNX model file"),
        ("shots", "holds no model.onnx"),
        ("elephant", "no shipped model 'elephant'"),
    ):
        assert reason in complaint(capsys, name, "a.png", "-o", "out")
    assert not (desk / "out").exists()


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        ((), "no pictures given"),
        (("a.png", "--box", "1,2,3"), "'1,2,3' is not a box"),
        (("a.png", "--box", "9,9,3,20"), "'9,9,3,20' is not a box"),
        (("a.png", "--box", "a,b,c,d"), "is not a box"),
        (("a.png", "--box", "1,2,3,nan"), "is not a box"),
        (("a.png", "--threshold", "2"), "--threshold is from 0 to 1"),
        (("a.png", "--min-presence", "-1"), "--min-presence is from 0 to 1"),
        (("a.png", "--batch-size", "0"), "--batch-size must be at least 1"),
        (("a.png", "--threads", "0"), "threads must be at least 1"),
        (("a.png", "--images", "x"), "--images says where"),
        (("a.png", "--box", "1,2,3,4", "--boxes", "x.json"), "exclude each other"),
        (("a.png", "--boxes", "none.json"), "none.json: does not exist"),
        (("*.gif",), "no file matches"),
    ],
)
def test_bad_options(desk, capsys, args, reason):
    assert reason in complaint(capsys, "spots.onnx", *args, "-o", "out")
    assert not (desk / "out").exists()


def test_a_missing_device(desk, capsys, monkeypatch):
    monkeypatch.setattr("posewright.runtime.engines.onnx._available", lambda: ["CPUExecutionProvider"])
    assert "cannot run on cuda. Install onnxruntime-gpu" in complaint(capsys, "spots.onnx", "a.png", "--device", "cuda")


def test_an_output_that_is_a_file(desk, capsys):
    (desk / "out").write_text("mine")
    assert "cannot be written" in complaint(capsys, "spots.onnx", "a.png", "-o", "out")
    assert (desk / "out").read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_that_is_locked(desk, capsys):
    (desk / "out").mkdir()
    (desk / "out").chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "cannot be written" in complaint(capsys, "spots.onnx", "a.png", "-o", "out")


@pytest.mark.parametrize("what", ["json", "picture"])
def test_a_full_disk(desk, capsys, monkeypatch, what):
    """What was there stays, nothing half written is left."""
    run("spots.onnx", "a.png", "-o", "out")
    before = {p.name: p.read_bytes() for p in (desk / "out").iterdir()}
    capsys.readouterr()

    def full(*_):
        raise OSError(28, "No space left on device")

    if what == "json":
        monkeypatch.setattr(Poses, "to_json", full)
    else:
        monkeypatch.setattr(Path, "write_bytes", full)
    said = complaint(capsys, "spots.onnx", "a.png", "-o", "out")
    assert "no space left on the device. Free some, or write elsewhere" in said
    assert {p.name: p.read_bytes() for p in (desk / "out").iterdir()} == before


def test_help_names_what_is_untested(capsys):
    with pytest.raises(SystemExit) as done:
        run("--help")
    assert done.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "untested" in text and "posewright predict hand photo.jpg" in text


def test_a_cold_process_says_nothing_on_stderr(desk):
    done = subprocess.run(
        [sys.executable, "-m", "posewright", "predict", "spots.onnx", "a.png", "-o", "out"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr


def test_a_folder_on_a_terminal_gets_a_progress_bar(monkeypatch, tmp_path):
    from posewright.cli.predicting import progress
    from posewright.media.sources import find_sources

    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.zeros((8, 8, 3), np.uint8))
    with progress(find_sources([str(tmp_path)])) as advance:
        advance(3)
    assert "predict" in screen.getvalue()
    assert "3/3" in screen.getvalue()
