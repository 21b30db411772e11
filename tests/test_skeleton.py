"""Skeletons: the shipped ones, what construction refuses, names' sides, and every way they are read and written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posewright.errors import PosewrightError
from posewright.sides import side_of, swaps_from_names
from posewright.skeleton import COLOURS, Normaliser, Skeleton
from posewright.skeletons import BUILTIN, load_skeleton

# -- shipped ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "count", "swaps", "links", "normaliser"),
    [
        ("body-14", 14, 6, 14, "torso (left_shoulder to right_hip)"),
        ("mpii-16", 16, 6, 15, "head (upper_neck to head_top)"),
        ("coco-17", 17, 8, 19, "torso (left_shoulder to right_hip)"),
        ("hand-21", 21, 0, 20, "palm (wrist to middle_1)"),
        ("face-68", 68, 29, 63, "outer_eye_corners (right_eye_1 to left_eye_4)"),
        ("animal-20", 20, 8, 19, "box"),
    ],
)
def test_shipped(name, count, swaps, links, normaliser):
    s = BUILTIN[name]
    assert (len(s), len(s.swaps), len(s.links), str(s.normaliser)) == (count, swaps, links, normaliser)
    assert load_skeleton(name) is s


def test_orders_of_the_sets_they_come_from():
    """As the sets document them, by the indices that their users know by heart."""
    assert BUILTIN["body-14"].keypoints[12:] == ("neck", "head_top")
    assert BUILTIN["mpii-16"].keypoints[6:10] == ("pelvis", "thorax", "upper_neck", "head_top")
    assert BUILTIN["coco-17"].keypoints[5:7] == ("left_shoulder", "right_shoulder")
    assert BUILTIN["hand-21"].index("middle_1") == 9
    assert BUILTIN["animal-20"].keypoints[17:] == ("throat", "withers", "tailbase")
    face = BUILTIN["face-68"]
    assert [face.keypoints[i - 1] for i in (1, 9, 18, 31, 37, 46, 49, 61)] == [
        "jaw_1", "jaw_9", "right_brow_1", "nose_bridge_4", "right_eye_1", "left_eye_4", "outer_lip_1", "inner_lip_1",
    ]  # fmt: skip


def test_coco_sigmas_are_the_official_ones():
    official = [26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89]
    assert BUILTIN["coco-17"].sigmas == tuple(s / 1000 for s in official)


@pytest.mark.parametrize("name", BUILTIN)
def test_mirror_twice_is_nothing(name):
    s = BUILTIN[name]
    for vertical in (False, True):
        order = s.flip_order(vertical)
        assert sorted(order) == list(range(len(s)))
        assert [order[i] for i in order] == list(range(len(s)))


@pytest.mark.parametrize("name", ["body-14", "mpii-16", "coco-17", "animal-20"])
def test_mirror_changes_every_side(name):
    s = BUILTIN[name]
    for i, j in enumerate(s.flip_order()):
        sides = {side_of(s.keypoints[i]), side_of(s.keypoints[j])}
        assert sides == {"left", "right"} if i != j else sides == {""}


def test_face_mirror_is_that_of_300w():
    order = [i + 1 for i in BUILTIN["face-68"].flip_order()]
    known = {1: 17, 9: 9, 18: 27, 22: 23, 28: 28, 32: 36, 37: 46, 38: 45, 40: 43, 41: 48, 49: 55, 52: 52, 58: 58}
    known |= {59: 57, 60: 56, 61: 65, 62: 64, 63: 63, 67: 67, 68: 66}
    assert {i: order[i - 1] for i in known} == known


def test_links_reach_every_keypoint():
    for s in BUILTIN.values():
        assert {i for link in s.links for i in link} == set(range(len(s)))


# -- construction -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"keypoints": ()}, "has no keypoints"),
        ({"keypoints": ("a", "b", "a")}, "keypoint 'a' appears more than once"),
        ({"keypoints": ("pelvis", "plevis")}, "keypoint 'pelvis' appears more than once"),
        ({"keypoints": ("a", " b", "c")}, "keypoint name ' b' is empty or padded"),
        ({"keypoints": ("a", "", "c")}, "keypoint name '' is empty"),
        ({"swaps": ((0, 3),)}, r"swap \(0, 3\) does not join two of 3"),
        ({"swaps": ((1, 1),)}, r"swap \(1, 1\) does not join"),
        ({"swaps": ((0, 1), (1, 2))}, "keypoint 'b' stands in two swap pairs"),
        ({"vertical_swaps": ((0, 1), (0, 2))}, "keypoint 'a' stands in two vertical swap pairs"),
        ({"links": ((-1, 0),)}, r"link \(-1, 0\) does not join"),
        ({"links": ((0, 1),), "link_colours": ((0, 0, 0), (1, 1, 1))}, "2 colours for 1 links"),
        ({"sigmas": (0.1, 0.1)}, "2 sigmas for 3 keypoints"),
        ({"sigmas": (0.1, 0.0, 0.1)}, "every sigma must be above 0"),
        ({"normaliser": Normaliser("torso", ("a", "x"))}, "no keypoint 'x'"),
    ],
)
def test_construction_refuses(fields, says):
    with pytest.raises(PosewrightError, match=f"skeleton 'thing'.*{says}"):
        Skeleton(**({"name": "thing", "keypoints": ("a", "b", "c")} | fields))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("torsso",), "unknown normaliser 'torsso'. Did you mean 'torso'"),
        (("torso",), "needs the names of two keypoints"),
        (("fixed",), "needs a length"),
        (("fixed", None, 0.0), "needs a length"),
    ],
)
def test_normaliser_refuses(arguments, says):
    with pytest.raises(PosewrightError, match=says):
        Normaliser(*arguments)


def test_index_by_name_and_alias():
    s = BUILTIN["mpii-16"]
    assert s.index("plevis") == s.index("pelvis") == 6
    with pytest.raises(PosewrightError, match=r"no keypoint 'left_kne'. Did you mean 'left_knee'"):
        s.index("left_kne")


# -- sides ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("left_knee", "left"), ("RIGHT KNEE", "right"), ("knee-left", "left"), ("leftKnee", "left"),
        ("kneeRight", "right"), ("Right", "right"), ("l_knee", "left"), ("knee_R", "right"), ("knee.l", "left"),
        ("RKnee", "right"), ("kneeL", "left"), ("left1", "left"),
        ("nose", ""), ("cleft", ""), ("bright_spot", ""), ("Rump", ""), ("tail", ""), ("Lip", ""), ("r", "right"),
    ],
)  # fmt: skip
def test_side_of(name, side):
    assert side_of(name) == side


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (["nose", "left_eye", "right_eye"], ((1, 2),)),
        (["leftEye", "rightEye", "eyeLeft", "eyeRight"], ((0, 1), (2, 3))),
        (["REar", "LEar", "LPaw"], ((0, 1),)),
        (["ear_l", "paw_l", "paw_r", "ear_r"], ((0, 3), (1, 2))),
        (["left_front", "right_back"], ()),
        (["a", "b"], ()),
    ],
)
def test_swaps_from_names(names, pairs):
    assert swaps_from_names(names) == pairs


@given(st.lists(st.from_regex(r"[a-z]{2,6}", fullmatch=True), unique=True, min_size=1, max_size=6))
def test_swaps_of_made_up_names(stems):
    names = [f"left_{s}" for s in stems] + [f"right_{s}" for s in stems]
    assert swaps_from_names(names) == tuple((i, i + len(stems)) for i in range(len(stems)))


def test_default_colours_tell_sides_or_chains():
    body = Skeleton("x", ("left_a", "left_b", "right_a", "mid"), ((0, 2),), (), ((0, 1), (2, 3), (0, 2)))
    assert body.link_colours == (COLOURS["b"], COLOURS["r"], COLOURS["g"])
    assert len(set(BUILTIN["hand-21"].link_colours)) == 5


# -- dictionaries and COCO --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILTIN)
def test_dictionary_and_coco_round_trip(name):
    s = BUILTIN[name]
    assert Skeleton.from_dict(s.to_dict()) == s
    assert Skeleton.from_coco(s.to_coco(3)) == s


@pytest.mark.parametrize(
    "broken", [{}, {"name": "x"}, {"name": "x", "keypoints": 3}, {"name": "x", "keypoints": ["a"], "swaps": 1}]
)
def test_broken_dictionary(broken):
    with pytest.raises(PosewrightError, match=r"not a skeleton"):
        Skeleton.from_dict(broken)


def test_coco_links_are_one_based_and_swaps_come_from_names():
    s = Skeleton.from_coco(
        {"id": 1, "name": "mouse", "keypoints": ["nose", "l_ear", "r_ear"], "skeleton": [[1, 2], [1, 3]]}
    )
    assert (s.name, s.links, s.swaps, s.sigmas) == ("mouse", ((0, 1), (0, 2)), ((1, 2),), None)


def test_a_known_list_of_keypoints_takes_what_is_known_of_it():
    names = list(BUILTIN["coco-17"].keypoints)
    assert Skeleton.from_coco({"id": 1, "name": "person", "keypoints": names}) == BUILTIN["coco-17"]
    mpii = ["plevis" if n == "pelvis" else n for n in BUILTIN["mpii-16"].keypoints]
    assert Skeleton.from_coco({"id": 1, "name": "person", "keypoints": mpii}) == BUILTIN["mpii-16"]


def test_our_own_entry_is_not_believed_against_changed_names():
    category = Skeleton("pair", ("a", "b"), ((0, 1),)).to_coco()
    category["keypoints"] = ["a", "c"]
    assert Skeleton.from_coco(category).keypoints == ("a", "c")


@pytest.mark.parametrize(
    ("category", "says"),
    [
        ({"id": 4}, "labels.json: category '4': has no list of keypoint names"),
        ({"name": "x", "keypoints": "abc"}, "category 'x': has no list of keypoint names"),
        ({"name": "x", "keypoints": ["a", 2]}, "category 'x': has no list of keypoint names"),
        ({"name": "x", "keypoints": ["a", "a"]}, "category 'x': .*'a' appears more than once"),
        ({"name": "x", "keypoints": ["a", "b"], "skeleton": [[1, 3]]}, "category 'x': .*does not join"),
        ({"name": "x", "keypoints": ["a", "b"], "skeleton": [[1]]}, "category 'x'"),
        ({"name": "x", "keypoints": ["a", "b"], "skeleton": 5}, "category 'x'"),
        ({"name": "x", "keypoints": ["a", "b"], "posewright": {"name": "x"}}, "category 'x': not a skeleton"),
    ],
)
def test_broken_category(category, says):
    with pytest.raises(PosewrightError, match=says):
        Skeleton.from_coco(category, file="labels.json")


# -- the hourglass system's text files --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BUILTIN)
def test_files_round_trip(tmp_path, name):
    s = BUILTIN[name]
    files = s.to_files(tmp_path, "thing")
    assert [f.name for f in files] == ["thing_classes.txt", "thing_match_point.txt", "thing_skeleton.txt"]
    assert Skeleton.from_files(*files) == s
    assert load_skeleton(str(tmp_path)) == s
    assert load_skeleton(str(files[0])) == s
    assert load_skeleton(",".join(map(str, files))) == s
    letters = {line.rsplit(",", 1)[1] for line in files[2].read_text().splitlines()}
    assert letters <= {"r", "g", "b"}


def test_files_of_a_new_skeleton_round_trip(tmp_path):
    colours = (COLOURS["b"], COLOURS["r"])
    s = Skeleton("robot", ("grip_l", "grip_r", "base"), ((0, 1),), ((1, 2),), ((0, 2), (1, 2)), colours)
    assert Skeleton.from_files(*s.to_files(tmp_path, "robot")) == s


def test_own_links_and_swaps_win_over_the_shipped_ones(tmp_path):
    s = BUILTIN["coco-17"]
    classes, match, skeleton = s.to_files(tmp_path, "coco")
    match.write_text("left_eye,right_eye,h\nnose,left_ankle,v\n")
    skeleton.write_text("nose,left_eye,m\n\n")
    own = Skeleton.from_files(classes, match, skeleton)
    assert (own.swaps, own.vertical_swaps, own.links) == (((1, 2),), ((0, 15),), ((0, 1),))
    assert own.link_colours == (COLOURS["m"],)
    assert (own.sigmas, own.normaliser) == (s.sigmas, s.normaliser)


def test_without_match_points_names_tell_and_an_empty_file_says_none(tmp_path):
    classes, match = tmp_path / "paw_classes.txt", tmp_path / "paw_match_point.txt"
    classes.write_text("left_claw\nright_claw\n", encoding="utf-8-sig")
    assert load_skeleton(str(classes)).swaps == ((0, 1),)
    match.write_text("\n")
    assert load_skeleton(str(classes)).swaps == ()
    assert load_skeleton(str(classes)).name == "paw"


def test_the_published_spelling_of_pelvis(tmp_path):
    classes, match, skeleton = BUILTIN["mpii-16"].to_files(tmp_path, "mpii")
    for file in (classes, match, skeleton):
        file.write_text(file.read_text().replace("pelvis", "plevis"))
    assert Skeleton.from_files(classes, match, skeleton) == BUILTIN["mpii-16"]


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("classes", "", "classes.txt: is empty"),
        ("classes", "a\na\n", "classes.txt: .*'a' appears more than once"),
        (
            "match_point",
            "left_eye,right_eye\n",
            "match_point.txt: line 1: 'left_eye,right_eye' is not name1,name2,h or v",
        ),
        ("match_point", "left_eye,right_eye,x\n", "match_point.txt: line 1: axis 'x' is neither h nor v"),
        ("match_point", "\nleft_eye,right_ey,h\n", "match_point.txt: line 2: .*no keypoint 'right_ey'. Did you mean"),
        ("match_point", "left_eye,right_eye,h\nleft_eye,nose,h\n", "match_point.txt: .*'left_eye' stands in two swap"),
        ("skeleton", "nose,left_eye,z\n", "skeleton.txt: line 1: unknown colour 'z'. Use r, g, b"),
        ("skeleton", "nose\n", "skeleton.txt: line 1: 'nose' is not name1,name2,colour"),
        ("skeleton", "nose,nose,r\n", "skeleton.txt: line 1: joins 'nose' with itself"),
        ("match_point", "nose,nose,h\n", "match_point.txt: line 1: joins 'nose' with itself"),
    ],
)
def test_broken_files(tmp_path, file, content, says):
    files = {f.stem.removeprefix("coco_"): f for f in BUILTIN["coco-17"].to_files(tmp_path, "coco")}
    files[file].write_text(content)
    with pytest.raises(PosewrightError, match=says):
        Skeleton.from_files(files["classes"], files["match_point"], files["skeleton"])


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "binary_classes.txt").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(PosewrightError, match=r"binary_classes.txt: is not a text file"):
        load_skeleton(str(tmp_path / "binary_classes.txt"))
    with pytest.raises(PosewrightError, match=r"No such file"):
        Skeleton.from_files(tmp_path / "none.txt")


def test_load_refuses(tmp_path):
    with pytest.raises(PosewrightError, match=r"no skeleton 'body14'.*Did you mean 'body-14'"):
        load_skeleton("body14")
    with pytest.raises(PosewrightError, match=r"holds 0 files named \*classes.txt"):
        load_skeleton(str(tmp_path))
    for name in ("a_classes.txt", "b_classes.txt"):
        (tmp_path / name).write_text("x\n")
    with pytest.raises(PosewrightError, match=r"holds 2 files named \*classes.txt"):
        load_skeleton(str(tmp_path))


def test_a_name_with_a_comma_cannot_stand_in_the_files(tmp_path):
    with pytest.raises(PosewrightError, match=r"keypoint name 'a,b' cannot stand in these files"):
        Skeleton("x", ("a,b", "c")).to_files(tmp_path, "x")
    assert list(tmp_path.iterdir()) == []
