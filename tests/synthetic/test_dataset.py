"""A set on disk: complete, readable by the package, and never half written."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from posewright.annotations import read_annotations
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.media.pictures import read_picture
from posewright.synthetic import dataset, make_hand_set, render_hand


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "hands"
    done = []
    annotations = make_hand_set(
        folder, 40, seed=6, size=(96, 80), val_share=0.25, empty_share=0.2, progress=done.append
    )
    assert sum(done) == 40
    return folder, annotations


def test_reading_gives_back_what_was_returned(made):
    folder, annotations = made
    read = read_annotations(folder)
    assert [(im.path, im.split, im.width, im.height) for im in read.images] == [
        (im.path, im.split, im.width, im.height) for im in annotations.images
    ]
    assert read.skeleton.name == "hand-21"
    assert read.keypoints == pytest.approx(annotations.keypoints, abs=1e-4)
    assert read.boxes == pytest.approx(annotations.boxes, abs=1e-3)
    assert (read.image == annotations.image).all()
    assert read.root.resolve() == folder.resolve()


def test_pictures_are_those_of_render_hand(made):
    folder, annotations = made
    for i in (0, 17, 39):
        sample = render_hand(6, i, (96, 80), empty_share=0.2)
        written = read_picture(annotations.image_path(i))
        assert np.abs(written.astype(int) - sample.image).mean() < 4  # JPEG
        rows = np.flatnonzero(annotations.image == i)
        assert len(rows) == len(sample.keypoints)
        if len(rows):
            assert annotations.keypoints[rows] == pytest.approx(sample.keypoints)
    assert len(list((folder / "images").iterdir())) == 40


def test_splits_and_empty_pictures(made):
    _, annotations = made
    assert sum(im.split == "val" for im in annotations.images) == 10
    assert annotations.splits == {"train", "val"}
    assert 1 <= 40 - len(annotations) <= 18


def test_interrupted_set_leaves_nothing(tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_hand_set(tmp_path / "hands", 5, size=(64, 64), progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_the_pictures_do_not_depend_on_who_draws_them(tmp_path):
    one, two = (
        make_hand_set(tmp_path / str(workers), 40, size=(48, 48), hands=(1, 2), workers=workers) for workers in (1, 2)
    )
    assert (tmp_path / "1/annotations.json").read_bytes() == (tmp_path / "2/annotations.json").read_bytes()
    assert np.array_equal(one.keypoints, two.keypoints) and len(two.images) == 40
    for im in two.images:
        assert (tmp_path / "1" / im.path).read_bytes() == (tmp_path / "2" / im.path).read_bytes()


def test_several_do_draw_and_one_that_ends_early_is_told_of(tmp_path, monkeypatch):
    class Broken:
        def __init__(self, workers, *_):
            assert workers == 2

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def map(self, *_, **__):
            raise BrokenProcessPool

    monkeypatch.setattr(dataset, "ProcessPoolExecutor", Broken)
    with pytest.raises(PosewrightError, match="a process that drew pictures ended early"):
        make_hand_set(tmp_path / "hands", 40, size=(48, 48), workers=2)
    with pytest.raises(PosewrightError, match="workers is 1 or more, not 0"):
        make_hand_set(tmp_path / "hands", 40, size=(48, 48), workers=0)
    assert not list(tmp_path.iterdir())


def test_a_set_that_several_draw_leaves_nothing_either_when_it_is_interrupted(tmp_path):
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_hand_set(tmp_path / "hands", 200, size=(48, 48), workers=2, progress=stop)
    assert not list(tmp_path.iterdir())


def test_nothing_is_replaced_unasked_and_nothing_foreign_ever(tmp_path):
    folder = tmp_path / "hands"
    make_hand_set(folder, 2, size=(64, 64))
    with pytest.raises(PosewrightError, match="holds a set already"):
        make_hand_set(folder, 3, size=(64, 64))
    assert len(make_hand_set(folder, 3, size=(64, 64), overwrite=True).images) == 3
    assert len(list((folder / "images").iterdir())) == 3
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(PosewrightError, match=r"holds other things, such as 'thesis.txt'"):
        make_hand_set(folder, 3, size=(64, 64), overwrite=True)
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_set_without_any_hand_can_be_written_and_read(tmp_path):
    made = make_hand_set(tmp_path / "none", 3, size=(64, 64), empty_share=1.0)
    assert (len(made), len(made.images)) == (0, 3)
    assert len(read_annotations(tmp_path / "none").images) == 3


def test_command_writes_a_set_and_names_the_next(tmp_path, capsys):
    folder = tmp_path / "hands"
    assert (
        main(["synthesize", str(folder), "--count", "6", "--seed", "4", "--size", "64x48", "--val-share", "0.5"]) == 0
    )
    said = capsys.readouterr().out
    assert "6 pictures of 64x48" in said
    assert f"Next: posewright train --data {folder}" in said
    read = read_annotations(folder)
    assert {(im.width, im.height) for im in read.images} == {(64, 48)}
    assert sum(im.split == "val" for im in read.images) == 3


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--size", "256"], "size '256' is not WIDTHxHEIGHT"),
        (["--size", "9x9"], "9x9"),
        (["--count", "0"], "0 pictures"),
        (["--empty-share", "2"], "empty_share 2"),
        (["--fps", "10"], "--fps goes with --video"),
        (["--video", "--count", "9"], "--count goes with pictures"),
        (["--video", "--seconds", "0"], "0 seconds"),
        (["--video", "--size", "65x64"], "both sides even"),
        (["--seed", "-1"], "seed -1"),
    ],
)
def test_bad_options_are_one_line_and_leave_nothing(tmp_path, capsys, options, complaint):
    assert main(["synthesize", str(tmp_path / "out"), *options]) == 2
    said = capsys.readouterr().err.strip()
    assert complaint in said
    assert "\n" not in said
    assert list(tmp_path.iterdir()) == []
