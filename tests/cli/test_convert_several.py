"""posewright convert with several sources: one set, a table of what came from where, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from helpers.labels import coco_dict, coco_folder, save_json
from posewright.annotations import read_annotations
from posewright.cli import main


def run(capsys, *args: object) -> tuple[int, str, str]:
    code = main(["convert", *map(str, args)])
    out, err = capsys.readouterr()
    return code, out, err


def rats(root):
    """As the mice, with other names and other pictures."""
    content = coco_dict()
    content["categories"][0]["keypoints"] = ["snout", "Left Ear", "Right Ear", "paw"]
    for image in content["images"]:
        image["file_name"] = f"rat_{image['file_name']}".replace("/", "_")
    return save_json(root / "rats.json", content)


def row_of(out: str, keypoint: str) -> list[str]:
    return next(line.split()[1:] for line in out.splitlines() if line.split()[:1] == [keypoint])


def test_two_sets_become_one(tmp_path, capsys):
    mice, more = coco_folder(tmp_path / "mice"), rats(tmp_path / "more")
    to = tmp_path / "all.json"
    code, out, err = run(capsys, mice, more, "-o", to, "--map", "nose=snout")
    assert (code, err) == (0, "")
    assert row_of(out, "nose") == ["nose", "snout"]
    assert row_of(out, "left_ear") == ["left_ear", "Left", "Ear"]
    assert row_of(out, "tail") == ["tail", "–"]
    assert "(left out)" in out
    assert "rats: paw: left out" in out
    assert "2 sets as one. Keypoints: 'mouse'." in out
    assert out.splitlines()[-1].startswith(f"Next: posewright train --data {to}")
    a, b = read_annotations(mice), read_annotations(to)
    assert (len(b), len(b.images), b.skeleton) == (2 * len(a), 2 * len(a.images), a.skeleton)
    np.testing.assert_array_equal(b.keypoints[: len(a)], a.keypoints)
    np.testing.assert_array_equal(b.keypoints[len(a) :, :3], a.keypoints[:, :3])
    assert not b.keypoints[len(a) :, 3].any()
    assert b.image_path(0).resolve() == a.image_path(0).resolve()
    assert len(json.loads(to.read_text())["images"]) == len({im.id for im in b.images}) == 6


def test_target_map_file_and_split(tmp_path, capsys):
    mice, more = coco_folder(tmp_path / "mice"), rats(tmp_path / "more")
    (tmp_path / "names.txt").write_text("tip = nose\ntip = snout\n")
    (tmp_path / "target_classes.txt").write_text("tip\nright_ear\nleft_ear\n")
    args = (mice, more, "-o", tmp_path / "o.json", "--skeleton", tmp_path / "target_classes.txt")
    code, out, _ = run(capsys, *args, "--map", tmp_path / "names.txt", "--split", "0.5,0.5")
    assert code == 0
    assert row_of(out, "tip") == ["nose", "snout"]
    b = read_annotations(tmp_path / "o.json")
    assert b.skeleton.keypoints == ("tip", "right_ear", "left_ear")
    assert b.skeleton.swaps == ((1, 2),)
    assert b.keypoints[0].tolist() == [[10, 20, 2], [0, 0, 0], [30.5, 20.25, 1]]
    assert sorted(im.split for im in b.images) == ["train"] * 3 + ["val"] * 3


def test_equal_sets_need_no_table(tmp_path, capsys):
    mice = coco_folder(tmp_path / "mice")
    again = save_json(tmp_path / "mice/again.json", coco_dict())
    code, out, _ = run(capsys, mice, again, "-o", tmp_path / "o.json")
    assert code == 0
    assert "All sets have the same keypoints." in out
    assert "3 pictures are in several sets, and in this one once: 3 objects" in out
    assert len(read_annotations(tmp_path / "o.json")) == len(read_annotations(mice))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--map", "nose=snaut"), "--map: 'nose': no set has a keypoint 'snaut'. Did you mean 'snout'"),
        (("--map", "left_ear=Right Ear,right_ear=Left Ear"), "they are on different sides"),
        (("--images", "."), "--images is of one source"),
        (("--skeleton", "hand-21"), "has none of the keypoints of 'hand"),
    ],
)
def test_what_is_refused(tmp_path, capsys, more, says):
    mice, other = coco_folder(tmp_path / "mice"), rats(tmp_path / "more")
    code, out, err = run(capsys, mice, other, "-o", tmp_path / "out/o.json", *more)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert says in err
    assert not (tmp_path / "out").exists()


def test_one_source_takes_no_map_and_none_is_an_error(tmp_path, capsys):
    mice = coco_folder(tmp_path / "mice")
    assert "are for several sources" in run(capsys, mice, "-o", tmp_path / "o.json", "--map", "a=b")[2]
    assert "is given twice" in run(capsys, mice, mice, "-o", tmp_path / "o.json")[2]
    code, _, err = run(capsys, "-o", tmp_path / "o.json")
    assert code == 2
    assert "no labels are named" in err
    code, _, err = run(capsys, mice, rats(tmp_path / "more"), "-o", tmp_path / "more/rats.json")
    assert code == 2
    assert "belongs to the labels being read" in err
