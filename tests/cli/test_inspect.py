"""posewright inspect: what it prints, the one page it writes, and how it fails."""

from __future__ import annotations

import base64
import json
import re
import shutil

import cv2
import numpy as np
import pytest

from helpers.discs import draw_discs
from helpers.labels import coco_dict, coco_folder, save_json
from posewright.annotations import Annotations, get_format, read_annotations
from posewright.annotations.duplicates import Twin
from posewright.cli import main
from posewright.reports.inspection import extremes, inspect
from posewright.reports.tiles import TILE


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = main(["inspect", *map(str, args)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def labels(tmp_path) -> Annotations:
    """Discs with a picture of val copied into train, one of the wrong size and one that is broken."""
    folder = tmp_path / "set"
    folder.mkdir()
    a = draw_discs(folder)
    shutil.copy(folder / "004.png", folder / "005.png")
    cv2.imwrite(str(folder / "006.png"), cv2.resize(cv2.imread(str(folder / "006.png")), (48, 48)))
    (folder / "007.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    a.keypoints[2, 2, :2] = [48, -6]
    get_format("coco").write(a, folder / "labels.json")
    return read_annotations(folder / "labels.json")


def test_terminal_and_page(labels, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "set/labels.json", "--json", "figures.json")
    assert (code, err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.split()}
    assert rows["train"][:3] == ["18", "2", "16"]
    assert rows["val"][:3] == ["6", "0", "6"]
    assert rows["top"] == ["0.773", "0.227", "0.000"]
    assert re.search(r"picture +2 +007.png: ", out)
    assert "top: up to 6 px outside the picture" in out
    assert "1 of 6 pictures of later splits are nearly the same as one in an earlier" in out
    assert out.splitlines()[-2] == "Open inspection/labels.html."
    assert "--split-by similar" in out.splitlines()[-1]

    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["across_splits"] == [{"image": "004.png", "like": "005.png", "bits": 0}]
    kinds = {(s["kind"], s["image"]) for s in figures["suspicious"]}
    assert {("picture", "006.png"), ("picture", "007.png"), ("outside the picture", "002.png")} <= kinds
    assert figures["pictures_read"] == 23

    page = (tmp_path / "inspection/labels.html").read_text()
    headings = re.findall(r"<h2>(.*?)</h2>", page)
    for wanted in ("Mean pose", "Near-duplicates across splits", "By chance: train", "Extremes: val", "Left out"):
        assert wanted in headings
    assert not re.search(r'(src|href)="(?!data:)', page)
    for data in re.findall(r'src="data:image/\w+;base64,([^"]+)"', page):
        assert cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR) is not None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["figures.json", "inspection", "set"]


def test_the_seed_decides_which_pictures_are_shown(labels):
    first, again, other = (dict_of(inspect(labels, "x", seed=seed).sheets(5)[0]) for seed in (0, 0, 1))
    name = "By chance: train"
    np.testing.assert_array_equal(first[name], again[name])
    assert (first[name] != other[name]).any()
    np.testing.assert_array_equal(first["Extremes: train"], other["Extremes: train"])


def dict_of(sheets: list[tuple[str, str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {heading: sheet for heading, _, sheet in sheets}


def test_a_sheet_shows_the_pair_it_names(labels):
    found = inspect(labels, "x")
    assert found.twins == [Twin(4, 5, 0)]
    sheet = dict_of(found.sheets(5)[0])["Near-duplicates across splits"]
    side = TILE.size[0]
    assert sheet.shape[1] >= 2 * side
    left, right = sheet[4 : 4 + side, 4 : 4 + side], sheet[4 : 4 + side, 4 + side : 4 + 2 * side]
    assert (left != right).any(2).mean() < 0.2  # the same picture, other labels drawn on it
    assert left.std() > 10


def test_extremes_are_the_edges_of_the_set(discs):
    side = (discs.boxes[:, 2:] - discs.boxes[:, :2]).max(1)
    found = extremes(discs, 3)
    assert [i for i, _ in found[:3]] == np.argsort(side, kind="stable")[:3].tolist()
    assert [i for i, _ in found[3:6]] == np.argsort(-side, kind="stable")[:3].tolist()
    assert len({i for i, _ in found}) == len(found) == 9  # every keypoint is labelled: no row for that
    assert found[0][1].startswith(f"{side.min():.0f} px")


def test_quick_reads_no_picture(labels, tmp_path, capsys):
    code, out, _ = run(capsys, tmp_path / "set/labels.json", "--quick", "--tiles", 0, "-o", tmp_path / "p.html")
    assert code == 0
    assert "The pictures were not read" in out
    assert "007.png" not in (tmp_path / "p.html").read_text()
    assert out.splitlines()[-1].startswith("Next: posewright train --data ")


def test_one_split(labels, tmp_path, capsys):
    code, out, _ = run(capsys, tmp_path / "set/labels.json", "--split", "val", "-o", tmp_path / "p.html", "--tiles", 2)
    assert code == 0
    assert "train " not in out.split("Next:")[0]
    code, _, err = run(capsys, tmp_path / "set/labels.json", "--split", "test")
    assert (code, err.count("\n")) == (2, 1)
    assert "has no split 'test'; its splits are train, val" in err


def test_pictures_that_are_all_missing(tmp_path, capsys):
    source = save_json(tmp_path / "a.json", coco_dict())
    code, out, err = run(capsys, source, "-o", tmp_path / "p.html")
    assert (code, err) == (0, "")
    assert "none of the pictures could be read; first: " in out
    assert "Contact" not in (tmp_path / "p.html").read_text()


def test_sets_without_objects_and_frames_of_videos(tmp_path, capsys):
    content = coco_dict() | {"annotations": []}
    code, out, _ = run(capsys, coco_folder(tmp_path / "none", content), "-o", tmp_path / "p.html")
    assert code == 0
    assert "By chance: all" in (tmp_path / "p.html").read_text()
    content = coco_dict()
    content["images"][0] |= {"file_name": "v.mp4", "frame": 3}
    code, out, _ = run(capsys, coco_folder(tmp_path / "video", content), "-o", tmp_path / "p.html")
    assert code == 0
    assert "v.mp4, frame 3: does not exist" in out


def test_what_is_refused(labels, tmp_path, capsys):
    source = tmp_path / "set/labels.json"
    for args, says in (
        ((tmp_path / "nowhere.json",), "does not exist"),
        ((source, "-o", tmp_path / "p.pdf"), "End it with .html"),
        ((source, "--tiles", -1), "--tiles must not be below 0"),
        ((source, "--seed", -1), "--seed must not be below 0"),
        ((save_json(tmp_path / "e.json", coco_dict() | {"images": [], "annotations": []}),), "lists no images"),
    ):
        code, out, err = run(capsys, *args)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert says in err
    assert not (tmp_path / "p.pdf").exists()
