"""Matching the keypoints of several skeletons: by name, by a person's map, and never so that a mirror makes them wrong."""

from __future__ import annotations

import json

import pytest

from posewright.annotations.name_map import NameMap, match_names, match_rows, plain, read_name_map
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

TARGET = Skeleton("mouse", ("nose", "left_ear", "right_ear", "tail"), ((1, 2),))


def match(names: str, text: str | None = None, swaps: tuple = (), target: Skeleton = TARGET) -> tuple:
    """Where the target's keypoints come from in a set with these keypoints."""
    source = Skeleton("other", tuple(names.split()), swaps)
    (found,) = match_names(target, [("set", source)], None if text is None else read_name_map(text))
    return found.order


def test_names_match_by_themselves_whatever_their_spelling():
    assert match("tail right_ear left_ear nose") == (3, 2, 1, 0)
    assert match("Nose leftEar RIGHT-EAR") == (0, 1, 2, None)
    assert match("Nose nose") == (1, None, None, None)  # the exact one
    assert match("Tail TAIL nose") == (2, None, None, None)  # nobody knows which
    assert plain("Left Ear") == plain("left_ear") == plain("leftEar") != plain("right_ear")
    assert plain("鼻") == "鼻"


def test_a_map_counts_before_equal_names():
    assert match("snout nose tail", "nose=snout") == (0, None, None, 2)
    assert match("snout tail", "nose=snout tail=") == (0, None, None, None)
    assert match("snout base", "nose=snout,tail=base") == (0, None, None, 1)


def test_commas_part_pairs_whose_names_hold_spaces():
    found = read_name_map("nose=tip of nose, tail = base of tail")
    assert found.told("nose", "any") == ("tip of nose",)
    assert found.told("tail", "any") == ("base of tail",)
    assert found.told("ear", "any") is None


@pytest.mark.parametrize("ending", ["yaml", "json", "txt"])
def test_files(tmp_path, ending):
    path = tmp_path / f"names.{ending}"
    if ending == "txt":
        path.write_text("# of both\nnose = snout  # or\nnose = beak\n\ntail =\n")
    elif ending == "yaml":
        pytest.importorskip("yaml")
        path.write_text("nose: [snout, beak]\ntail: null\nleft_ear: {mice: ear_l}\n")
    else:
        path.write_text(json.dumps({"nose": ["snout", "beak"], "tail": None, "left_ear": {"mice": "ear_l"}}))
    found = read_name_map(str(path))
    assert found.told("nose", "mice") == ("snout", "beak")
    assert found.told("tail", "mice") == ()
    if ending != "txt":
        assert found.told("left_ear", "mice") == ("ear_l",)
        assert found.told("left_ear", "rats") is None
    sets = [
        ("mice", Skeleton("a", ("snout", "ear_l", "ear_r"))),
        ("birds", Skeleton("b", ("beak", "tail"))),
    ]
    orders = [m.order for m in match_names(TARGET, sets, found)]
    assert orders == [(0, None if ending == "txt" else 1, None, None), (0, None, None, None)]


BAD = {
    "unknown target": (
        "nose tail",
        "nos=tail",
        (),
        r"--map: the target 'mouse' has no keypoint 'nos'. Did you mean 'nose'",
    ),
    "unknown source": ("nose tail", "nose=tial", (), r"'nose': no set has a keypoint 'tial'. Did you mean 'tail'"),
    "no pair": ("nose", "nose", (), r"'nose' is neither a file nor pairs of names"),
    "half a pair": ("nose", "nose=a tail", (), r"'tail' is not target=source"),
    "used twice": ("nose tail", "tail=nose", (), r"'nose' would be both 'nose' and 'tail'.*\"tail=\""),
    "both there": ("snout beak", "nose=snout nose=beak", (), r"'snout' and 'beak' are both in set 'set'"),
    "sides by name": ("rightear nose", "left_ear=rightear right_ear=", (), r"'rightear' cannot be 'left_ear'"),
    "nothing in common": ("a b c", None, (), r"set: has none of the keypoints of 'mouse': a, b, c. Say with --map"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_refused(case):
    names, text, swaps, says = BAD[case]
    with pytest.raises(PosewrightError, match=says):
        match(names, text, swaps)


MIRRORED = {
    "pair onto pair": ("e1 e2", "left_ear=e1 right_ear=e2", True),
    "one of a pair": ("e1 e2", "left_ear=e1", True),
    "a pair onto what is none": ("e1 e2", "nose=e1 tail=e2", False),
    "one of a pair onto the middle": ("e1 e2", "nose=e1", False),
    "half of each pair": ("e1 e2 f", "left_ear=e1 right_ear=f", False),
    "partner elsewhere": ("e1 e2 f", "left_ear=e1 nose=e2", False),
}


@pytest.mark.parametrize("case", MIRRORED)
def test_a_mirror_leaves_every_label_right(case):
    names, text, good = MIRRORED[case]
    if good:
        order = match(names, text, ((0, 1),))
        assert order[1] == 0
        return
    with pytest.raises(
        PosewrightError, match=r"set 'set': 'e[12]' changes places with 'e[12]' when mirrored left to right"
    ):
        match(names, text, ((0, 1),))


def test_sets_are_named_or_refused(tmp_path):
    names = NameMap({"nose": {"rats": ("snout",)}})
    with pytest.raises(PosewrightError, match=r"'nose': there is no set 'rats'. Did you mean 'rat'"):
        match_names(TARGET, [("rat", Skeleton("a", ("snout",)))], names)
    with pytest.raises(PosewrightError, match=r"set 'mice' does not have 'snout'"):
        sets = [("mice", Skeleton("a", ("nose",))), ("rat", Skeleton("b", ("snout",)))]
        match_names(TARGET, sets, NameMap({"nose": {"mice": ("snout",)}}))
    for content, says in (
        ("[1]", "is no map of names"),
        ('{"nose": {"a": 1.5}}', "'1.5' is no name"),
        ("{", "cut short"),
    ):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(PosewrightError, match=says):
            read_name_map(str(tmp_path / "a.json"))


def test_the_table_tells_every_keypoint_of_every_set():
    shipped = BUILTIN
    target = shipped["body-14"]
    sets = [("coco", shipped["coco-17"]), ("mpii", shipped["mpii-16"])]
    rows = match_rows(target, match_names(target, sets, read_name_map("neck=upper_neck")))
    by_name = {row["keypoint"]: row for row in rows[:14]}
    assert list(by_name) == list(target.keypoints)
    assert by_name["neck"] == {"keypoint": "neck", "coco": None, "mpii": "upper_neck"}
    assert by_name["left_knee"]["coco"] == by_name["left_knee"]["mpii"] == "left_knee"
    told = {label: [row[label] for row in rows if row[label]] for label, _ in sets}
    assert all(sorted(told[label]) == sorted(skeleton.keypoints) for label, skeleton in sets)
    assert [row["keypoint"] for row in rows[14:]] == ["(left out)"] * 5
