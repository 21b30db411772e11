"""The reader of docs/adding-a-format.md obeys what the page says a reader owes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from helpers.pages import REPOSITORY, blocks
from posewright.annotations import ReadOptions, find_format, formats, read_annotations
from posewright.errors import PosewrightError

CODE = next(b.text for b in blocks(REPOSITORY / "docs/adding-a-format.md") if b.language == "python")
GOOD = "a.png\npivot 48.5 52.5\ntip 20.0 30.0 hidden\n"


@pytest.fixture
def gauges(tmp_path, monkeypatch):
    """Writes a file of gauges after the page's code was run."""
    monkeypatch.setattr("posewright.annotations.registry._FORMATS", dict(formats()))
    exec(compile(CODE, "gauges.py", "exec"), {"__name__": "gauges"})
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((80, 100, 3), np.uint8))

    def write(text: str):
        path = tmp_path / "shots.gauges"
        path.write_text("# gauges\n" + text, encoding="utf-8")
        return path

    return write


def test_origin_visibility_and_pictures_without_an_object(gauges):
    path = gauges(GOOD + "\n\nb.png\n")
    labels = read_annotations(path)
    assert find_format(path).name == "gauges"
    assert labels.keypoints.tolist() == [[[48, 52, 2], [19.5, 29.5, 1]]]
    assert [(im.path, im.width, im.height) for im in labels.images] == [("a.png", 100, 80), ("b.png", 100, 80)]


@pytest.mark.parametrize(
    "line", ["tip 20", "tip x 3", "nose 1 2", "tip nan 3", "tip 1e9 3"], ids=lambda line: line.replace(" ", "_")
)
def test_a_bad_record_stops_or_is_left_out_with_its_picture(gauges, line):
    path = gauges(f"b.png\n{line}\n\n{GOOD}")
    with pytest.raises(PosewrightError, match=r"b\.png"):
        read_annotations(path)
    options = ReadOptions(skip_bad=True)
    labels = read_annotations(path, options=options)
    assert [im.path for im in labels.images] == ["a.png"] and len(labels) == 1 and len(options.skipped) == 1


def test_paths_stay_inside_and_an_empty_file_is_no_traceback(gauges):
    with pytest.raises(PosewrightError, match="leaves the data folder"):
        read_annotations(gauges("../a.png\n"))
    assert not read_annotations(gauges("\n\n\n")).images
