"""Sinks write what they are given, and nothing at all where something goes wrong."""

from __future__ import annotations

import csv
import errno
import json
from pathlib import Path

import numpy as np
import pytest

from helpers.spots import SPOTS
from posewright.errors import PosewrightError
from posewright.files import NotWritten
from posewright.media import sinks
from posewright.media.pictures import read_picture
from posewright.media.sources import Frame, video_frames
from posewright.poses import Poses


def frame(i: int, path: str = "shots/a.jpg") -> Frame:
    return Frame(np.full((33, 47, 3), 10 * i, np.uint8), Path(path), i, i / 10)


def poses(i: int, count: int = 1) -> Poses:
    xy = np.arange(count * 6).reshape(count, 3, 2) + i
    found = Poses(SPOTS, xy, np.full((count, 3), 0.5), np.ones(count), np.tile([0, 0, 40, 30], (count, 1)))
    found.source, found.frame, found.time = "a.jpg", i, i / 10
    return found


def draw(given: Frame, _: Poses) -> np.ndarray:
    return given.image + np.uint8(100)


def fill(sink, count: int = 3) -> None:
    with sink as write:
        for i in range(count):
            write(frame(i), poses(i, i))


def test_json_lines(tmp_path):
    fill(sinks.json_lines(tmp_path / "out" / "a.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "out" / "a.jsonl").read_text().splitlines()]
    assert [(d["frame"], len(d["poses"])) for d in lines] == [(0, 0), (1, 1), (2, 2)]
    back = Poses.from_record(lines[2], SPOTS)
    np.testing.assert_allclose(back.xy, poses(2, 2).xy)


def test_csv(tmp_path):
    fill(sinks.csv_rows(tmp_path / "a.csv", SPOTS))
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert (rows[2]["frame"], rows[2]["pose"], rows[2]["green_x"], rows[2]["blue_y"]) == ("2", "1", "10.0", "13.0")


def test_coco(tmp_path):
    fill(sinks.coco_results(tmp_path / "a.json", lambda f: f"picture {f.frame}"))
    rows = json.loads((tmp_path / "a.json").read_text())
    assert [r["image_id"] for r in rows] == ["picture 1", "picture 2", "picture 2"]


def test_drawn_pictures(tmp_path):
    for name, wanted in (("a.png", "a.png"), ("a.tif", "a.jpg")):
        with sinks.drawn_picture(tmp_path / name, draw) as write:
            write(frame(1), poses(1))
        assert abs(read_picture(tmp_path / wanted).mean() - 110) < 1


def test_drawn_folder_keeps_places_and_kinds(tmp_path):
    with sinks.drawn_folder(tmp_path / "drawn", Path("shots"), draw) as write:
        for i, path in enumerate(("shots/a.jpg", "shots/a.tif", "shots/sub/a.png")):
            write(frame(i, path), poses(i))
    files = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file())
    assert files == ["drawn/a.jpg", "drawn/a.tif.jpg", "drawn/sub/a.png"]


def test_drawn_video_has_even_sides_and_every_frame(tmp_path):
    with sinks.drawn_video(tmp_path / "v.mp4", 10, draw) as write:
        for i in range(10):
            write(frame(i), poses(i))
    read = list(video_frames(tmp_path / "v.mp4"))
    assert [f.image.shape for f in read] == [(34, 48, 3)] * 10
    np.testing.assert_allclose([f.time for f in read], [i / 10 for i in range(10)], atol=1e-4)
    assert [abs(f.image.mean() - (100 + 10 * i)) < 4 for i, f in enumerate(read)] == [True] * 10


def test_video_without_times_runs_at_its_rate(tmp_path):
    with sinks.h264_video(tmp_path / "v.mp4", 20) as add:
        for _ in range(5):
            add(np.zeros((32, 32, 3), np.uint8), None)
    times = [f.time for f in video_frames(tmp_path / "v.mp4")]
    np.testing.assert_allclose(times, [0, 0.05, 0.1, 0.15, 0.2], atol=1e-4)


MAKERS = {
    "json": lambda p: sinks.json_lines(p / "a.jsonl"),
    "csv": lambda p: sinks.csv_rows(p / "a.csv", SPOTS),
    "coco": lambda p: sinks.coco_results(p / "a.json", lambda f: 1),
    "folder": lambda p: sinks.drawn_folder(p / "drawn", Path("shots"), draw),
    "video": lambda p: sinks.drawn_video(p / "v.mp4", 10, draw),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_an_error_leaves_nothing_behind(tmp_path, kind):
    with pytest.raises(ZeroDivisionError), MAKERS[kind](tmp_path) as write:
        write(frame(1), poses(1))
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", MAKERS)
def test_an_error_keeps_what_was_there(tmp_path, kind):
    with MAKERS[kind](tmp_path) as write:
        write(frame(1), poses(1))
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert before
    with pytest.raises(ZeroDivisionError), MAKERS[kind](tmp_path) as write:
        write(frame(2), poses(2))
        raise ZeroDivisionError
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("kind", [k for k in MAKERS if k != "folder"])
def test_a_place_that_cannot_be_written(tmp_path, kind):
    (tmp_path / "file").write_text("")
    with pytest.raises(PosewrightError, match="cannot be written"), MAKERS[kind](tmp_path / "file") as write:
        write(frame(1), poses(1))


def test_without_an_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, "_H264", ())
    with pytest.raises(PosewrightError, match=r"no H\.264 encoder"), sinks.h264_video(tmp_path / "v.mp4", 10):
        pass


# -- what is kept where something ends it in the middle ----------------------------------------------------------------

KEPT = {
    "json": ("a.jsonl", lambda p, keep: sinks.json_lines(p, keep)),
    "csv": ("a.csv", lambda p, keep: sinks.csv_rows(p, SPOTS, keep)),
    "coco": ("a.json", lambda p, keep: sinks.coco_results(p, lambda f: f.frame, keep)),
    "video": ("a.mp4", lambda p, keep: sinks.drawn_video(p, 10, draw, keep)),
}


def entries(kind: str, path: Path) -> int:
    """How many frames a file tells of; it has to open."""
    if kind == "video":
        return len(list(video_frames(path)))
    text = path.read_text()
    if kind == "coco":
        return len(json.loads(text))
    assert text.endswith("\n")
    return len(
        [json.loads(line) for line in text.splitlines()] if kind == "json" else list(csv.reader(text.splitlines()))[1:]
    )


@pytest.mark.parametrize("kind", KEPT)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_may_be_kept_is_kept_under_another_name(tmp_path, kind, error):
    name, make = KEPT[kind]
    path = tmp_path / name
    partial = path.with_name(f"a.partial{path.suffix}")
    with pytest.raises(error), make(path, lambda e: isinstance(e, KeyboardInterrupt)) as write:
        for i in range(5):
            write(frame(i), poses(i))
        assert partial.exists()
        raise error
    if error is KeyboardInterrupt:
        assert list(tmp_path.iterdir()) == [partial] and entries(kind, partial) == 5
    else:
        assert list(tmp_path.iterdir()) == []
    with make(path, lambda e: True) as write:
        for i in range(7):
            write(frame(i), poses(i))
    assert list(tmp_path.iterdir()) == [path] and entries(kind, path) == 7


@pytest.mark.parametrize("kind", ["json", "video"])
def test_nothing_is_kept_of_nothing(tmp_path, kind):
    name, make = KEPT[kind]
    with pytest.raises(KeyboardInterrupt), make(tmp_path / name, lambda e: True):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["json", "csv", "coco"])
def test_records_are_whole_at_any_time(tmp_path, kind):
    name, make = KEPT[kind]
    path = tmp_path / name
    partial = path.with_name(f"a.partial{path.suffix}")
    with make(path, lambda e: True) as write:
        for i in range(6):
            write(frame(i), poses(i))
            assert entries(kind, partial) == i + 1


@pytest.mark.parametrize("kind", ["json", "csv", "coco"])
def test_a_disk_that_fills_up_in_the_middle_of_a_record(tmp_path, kind, monkeypatch):
    """The half that still fitted is taken back, the file that it happened to is named, and earlier ones are whole."""
    name, make = KEPT[kind]
    real = sinks._Records._put

    def half(self, data: bytes) -> None:
        if self.count >= 3 and len(data) > 10:
            self._file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(self, data)

    monkeypatch.setattr(sinks._Records, "_put", half)
    with pytest.raises(NotWritten, match=rf"{name}: no space left"), make(tmp_path / name, lambda e: True) as write:
        for i in range(9):
            write(frame(i), poses(i))
    assert entries(kind, tmp_path / f"a.partial{Path(name).suffix}") == 3


def test_a_video_fits_later_pictures_into_the_size_of_the_first(tmp_path):
    with sinks.h264_video(tmp_path / "v.mp4", 10) as add:
        add(np.full((40, 80, 3), 200, np.uint8), None)
        add(np.full((80, 40, 3), 200, np.uint8), None)
    first, second = (f.image for f in video_frames(tmp_path / "v.mp4"))
    assert first.shape == second.shape == (40, 80, 3)
    assert second[:, :25].mean() < 20 and second[:, 35:45].mean() > 180 and second[:, 55:].mean() < 20
