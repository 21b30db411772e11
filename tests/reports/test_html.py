"""A report is one file that any browser opens, offline."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from posewright.errors import PosewrightError
from posewright.reports import Report


class Balance(HTMLParser):
    """Fails where tags do not nest; collects what the page shows and what it would load."""

    EMPTY = ("meta", "img", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data.strip())


def parse(report: Report) -> Balance:
    page = Balance()
    page.feed(str(report))
    page.close()
    assert page.open == []
    return page


def full(tmp_path) -> Report:
    picture = tmp_path / "p.jpg"
    cv2.imwrite(str(picture), np.zeros((4, 5, 3), np.uint8))
    rows = [{"keypoint": "nose & <mouth>", "PCK": 0.5, "n": 3}, {"keypoint": "all", "PCK": float("nan"), "n": 9}]
    return (
        Report("A <title>")
        .lead("What this is")
        .tiles({"PCK@0.2": 0.91234})
        .heading("Figures")
        .text("One.\n\nTwo.")
        .table(rows, "A caption", strong=[-1])
        .figure(picture, "a file")
        .figure(np.zeros((2, 3, 3), np.uint8), "an array", width=300)
        .code("posewright predict <MODEL>")
    )


def test_everything_is_inside_and_escaped(tmp_path):
    page = parse(full(tmp_path))
    assert [value.split(",")[0] for value in page.loads] == ["data:image/jpeg;base64", "data:image/png;base64"]
    shown = [t for t in page.text if t]
    for text in ("A <title>", "nose & <mouth>", "0.500", "–", "One.", "Two.", "0.912", "posewright predict <MODEL>"):
        assert text in shown
    assert not re.search(r"https?://|<script|@import|url\(", str(full(tmp_path)))


def test_an_array_is_stored_without_loss_and_in_the_right_colours(tmp_path):
    image = np.zeros((2, 2, 3), np.uint8)
    image[0, 0] = (255, 10, 20)
    data = base64.b64decode(parse(Report("t").figure(image)).loads[0].split(",")[1])
    got = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(got, image)


def test_a_video_is_shown_as_one(tmp_path):
    (tmp_path / "v.mp4").write_bytes(b"\0\0\0\x18ftypmp42")
    assert '<video src="data:video/mp4;base64,' in str(Report("t").figure(tmp_path / "v.mp4", "clip"))


def test_numbers_stand_right_and_sums_are_marked(tmp_path):
    page = str(full(tmp_path))
    assert '<td class="number">0.500</td>' in page
    assert '<td class="number">9</td>' in page
    assert page.count("class=strong") == 1
    assert page.index("class=strong") > page.index("nose &amp;")


def test_an_empty_table_is_a_table():
    parse(Report("t").table([], "nothing"))


def test_write_makes_folders_and_one_file(tmp_path):
    path = full(tmp_path).write(tmp_path / "a" / "b" / "report.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_files_that_cannot_be_shown_are_named(tmp_path):
    with pytest.raises(PosewrightError, match=r"none\.png: No such file"):
        Report("t").figure(tmp_path / "none.png")
    with pytest.raises(PosewrightError, match="cannot be shown in a report"):
        Report("t").figure(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="uint8"):
        Report("t").figure(np.zeros((2, 2, 3)))
