"""CVAT's XML: origin, visibility, objects, kinds, where pictures and frames are found, projects, and bad files."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.labels import picture
from posewright.annotations import Image, ReadOptions, find_format, get_format, read_annotations
from posewright.annotations.keypoints import BOX_MARGIN
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

SVG = (
    '<line x1="36.3" y1="45.9" x2="59.0" y2="23.0" stroke="black" data-type="edge" data-node-from="2" '
    'stroke-width="0.5" data-node-to="3"></line><line data-type="edge" data-node-from="1" data-node-to="2"></line>'
    '<circle r="1.5" cx="22.6" cy="25.7" data-type="element node" data-element-id="1" data-node-id="1" '
    'data-label-id="103"></circle><circle r="1.5" data-type="element node" data-element-id="2" data-node-id="2" '
    'data-label-name="left_ear"></circle><circle r="1.5" data-element-id="3" data-node-id="3" '
    'data-label-name="right_ear"></circle>'
)
NAMES = ["nose", "left_ear", "right_ear"]


def label(name: str, kind: str = "points", parent: str = "", svg: str = "") -> str:
    more = (f"<svg>{escape(svg)}</svg>" if svg else "") + (f"<parent>{parent}</parent>" if parent else "")
    return f"<label><name>{name}</name><color>#1</color><type>{kind}</type><attributes></attributes>{more}</label>"


MOUSE = label("mouse", "skeleton", svg=SVG) + "".join(label(name, parent="mouse") for name in NAMES)


def meta(labels: str = MOUSE, *, mode: str = "annotation", source: str = "", task: str = "") -> str:
    size = "<original_size><width>100</width><height>80</height></original_size>" if source else ""
    video = f"<source>{source}</source>" if source else ""
    about = (
        f"<id>4</id><name>mice</name><size>3</size><mode>{mode}</mode><overlap>0</overlap><subset>Train</subset>"
        f"<start_frame>10</start_frame><stop_frame>40</stop_frame><frame_filter>step=5</frame_filter>{task}"
    )
    return f"<meta><task>{about}<labels>{labels}</labels>{size}</task><dumped>2024</dumped>{video}</meta>"


def xml(path: Path, *parts: str, head: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    body = "\n  ".join([meta() if head is None else head, *parts])
    path.write_text(
        f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  {body}\n</annotations>\n'
    )
    return path


def image(name: str, *shapes: str, **more: Any) -> str:
    said = "".join(f' {key}="{value}"' for key, value in ({"width": 100, "height": 80} | more).items())
    return f'<image id="0" name="{name}"{said}>{"".join(shapes)}</image>'


def inner(name: str, x: float, y: float, occluded: int = 0, outside: int = 0, more: str = "") -> str:
    about = f'label="{name}" source="manual" outside="{outside}" occluded="{occluded}"{more}'
    return f'<points {about} points="{x:.2f},{y:.2f}"></points>'


def skeleton(*points: str, kind: str = "mouse", more: str = 'z_order="0"') -> str:
    return f'<skeleton label="{kind}" source="manual" {more}>{"".join(points)}</skeleton>'


def points(name: str, text: str, more: str = "") -> str:
    return f'<points label="{name}" source="manual" occluded="0" points="{text}" z_order="0"{more}></points>'


def box(name: str, corners: tuple[float, float, float, float], more: str = "") -> str:
    sides = " ".join(f'{side}="{value:.2f}"' for side, value in zip(("xtl", "ytl", "xbr", "ybr"), corners))
    return f'<box label="{name}" source="manual" occluded="0" {sides} z_order="0"{more}></box>'


FACE = (inner("nose", 10.5, 20.5), inner("left_ear", 30, 40, occluded=1), inner("right_ear", 5, 6, outside=1))


def export(root: Path, *parts: str, head: str | None = None, pictures: tuple[str, ...] = ("a.png",)) -> Path:
    """An unpacked archive: ``annotations.xml`` and ``images/``."""
    for name in pictures:
        picture(root / "images" / name)
    xml(root / "annotations.xml", *parts, head=head)
    return root


def test_a_task_of_pictures_with_skeletons(tmp_path):
    shape = skeleton(*FACE, '<attribute name="sex">f</attribute>', more='z_order="0" group_id="2"')
    around = box("body", (5, 10, 60, 70), ' group_id="2"')
    outline = '<polygon label="body" occluded="0" points="5.0,10.0;60.0,10.0;60.0,70.0" group_id="2"></polygon>'
    others = '<tag label="blurred"></tag><ellipse label="eye" cx="1" cy="2" rx="3" ry="4"></ellipse>'
    root = export(tmp_path / "set", image("a.png", outline, around, shape, others), image("b.png"))
    a = read_annotations(root)
    assert find_format(root).name == find_format(root / "annotations.xml").name == "cvat"
    assert a.skeleton == Skeleton("mouse", tuple(NAMES), ((1, 2),), (), ((1, 2), (0, 1)))
    assert a.keypoints[0].tolist() == [[10, 20, 2], [29.5, 39.5, 1], [0, 0, 0]]
    assert a.boxes.tolist() == [[4.5, 9.5, 59.5, 69.5]]
    assert a.polygons[0][0].tolist() == [[4.5, 9.5], [59.5, 9.5], [59.5, 69.5]]
    assert a.images == [Image("a.png", 100, 80), Image("b.png", 100, 80)]  # nobody drew on the second
    assert a.root == root / "images"
    assert a.track.tolist() == [-1]


def test_boxes_without_a_group(tmp_path):
    one = skeleton(inner("nose", 20, 20), inner("left_ear", 30, 30))
    two = skeleton(inner("nose", 50, 50), inner("left_ear", 60, 60))
    large, small, elsewhere = box("body", (0, 0, 90, 75)), box("body", (45, 45, 70, 70)), box("car", (80, 0, 95, 9))
    a = read_annotations(export(tmp_path / "a", image("a.png", one, two, large, small, elsewhere)))
    assert a.boxes.tolist() == [[-0.5, -0.5, 89.5, 74.5], [44.5, 44.5, 69.5, 69.5]]
    a = read_annotations(export(tmp_path / "b", image("a.png", one, two, large)))  # it could be either's
    half = 10 * BOX_MARGIN / 2
    np.testing.assert_allclose(a.boxes[0], [24.5 - half, 24.5 - half, 24.5 + half, 24.5 + half])
    crossing = skeleton(inner("nose", 24, 24), inner("left_ear", 28, 28), inner("right_ear", 46, 30, occluded=1))
    mine, next_one = box("body", (21, 21, 40, 60)), box("body", (15, 15, 34, 60))
    a = read_annotations(export(tmp_path / "d", image("a.png", crossing, one, next_one, mine)))
    assert a.boxes[:, 0].tolist() == [20.5, 14.5]  # each its own, though a hidden point was guessed outside
    shared = ' group_id="7"'
    pair = [skeleton(inner("nose", 20, 20), more=shared), skeleton(inner("nose", 50, 50), more=shared)]
    a = read_annotations(export(tmp_path / "c", image("a.png", *pair, box("body", (0, 0, 90, 75), shared))))
    assert (a.boxes[:, 2] < 89).all()  # a group of two objects says nothing about whose box it is


def test_a_turned_box_becomes_the_upright_one_around_it(tmp_path):
    shape = skeleton(inner("nose", 50, 30), more=' group_id="1"')
    a = read_annotations(
        export(tmp_path, image("a.png", shape, box("b", (40, 10, 60, 50), ' group_id="1" rotation="90"')))
    )
    np.testing.assert_allclose(a.boxes, [[29.5, 19.5, 69.5, 39.5]])


def test_single_points(tmp_path):
    head = meta(label("tail") + label("nose") + label("unused") + label("body", "rectangle"))
    group = ' group_id="3"'
    shapes = [
        points("nose", "10.5,20.5", group),
        points("tail", "30.00,40.00", group),
        box("body", (5, 5, 50, 60), group),
    ]
    lone = [box("body", (70, 10, 90, 60)), box("cage", (0, 0, 99, 79)), points("nose", "80.0,20.0")]
    a = read_annotations(export(tmp_path, image("a.png", *shapes, *lone), head=head))
    assert a.skeleton.keypoints == ("tail", "nose", "unused")
    assert a.keypoints[0].tolist() == [[29.5, 39.5, 2], [10, 20, 2], [0, 0, 0]]
    assert a.boxes.tolist() == [[4.5, 4.5, 49.5, 59.5], [69.5, 9.5, 89.5, 59.5]]  # the cage is none of them
    two = [points("nose", "10.0,20.0"), points("nose", "50.0,20.0")]
    with pytest.raises(PosewrightError, match=r"image 'a\.png': point 'nose' stands there twice.*group of their own"):
        read_annotations(export(tmp_path, image("a.png", *two), head=head))


def test_old_files_do_not_say_what_kind_a_label_is(tmp_path):
    labels = "".join(f"<label><name>{n}</name><attributes/></label>" for n in ("car", "tail", "nose"))
    a = read_annotations(
        export(tmp_path, image("a.png", points("nose", "1,2"), points("tail", "3,4")), head=meta(labels))
    )
    assert a.skeleton.keypoints == ("tail", "nose")


def test_shapes_of_several_points(tmp_path):
    body = points("hand", "1.5,2.5;3.0,4.0;5.0,6.0")
    root = export(tmp_path, image("a.png", body, points("hand", "11,12;13,14;15,16")), head=meta(label("hand")))
    a = read_annotations(root)
    assert (a.skeleton.name, a.skeleton.keypoints) == ("hand", ("1", "2", "3"))
    assert a.keypoints[:, 0].tolist() == [[1, 2, 2], [10.5, 11.5, 2]]
    three = Skeleton("three", ("a", "b", "c"))
    assert read_annotations(root, options=ReadOptions(skeleton=three)).skeleton == three
    with pytest.raises(PosewrightError, match=r"'hand' has 3 points, and skeleton 'coco-17' 17 keypoints"):
        read_annotations(root, options=ReadOptions(skeleton=BUILTIN["coco-17"]))
    odd = image("b.png", points("hand", "1,2"))
    root = export(tmp_path, image("a.png", body, body), odd, head=meta(label("hand")))
    with pytest.raises(PosewrightError, match=r"image 'b\.png': 'hand' has 1 points here and 3 elsewhere"):
        read_annotations(root)
    options = ReadOptions(skip_bad=True)
    assert [im.path for im in read_annotations(root, options=options).images] == ["a.png"]
    assert len(options.skipped) == 1


def test_several_kinds_of_skeletons(tmp_path):
    plane = label("plane", "skeleton") + label("nose", parent="plane") + label("wing", parent="plane")
    other = skeleton(inner("nose", 1, 2), inner("wing", 3, 4), kind="plane")
    root = export(tmp_path, image("a.png", skeleton(*FACE), other, other), head=meta(MOUSE + plane))
    says = r"'mouse' \(3 keypoints, 1 objects\), 'plane' \(2 keypoints, 2 objects\). Choose one with --category"
    with pytest.raises(PosewrightError, match=says):
        read_annotations(root)
    a = read_annotations(root, options=ReadOptions(category="plane"))
    assert (a.skeleton.keypoints, len(a)) == (("nose", "wing"), 2)
    assert len(read_annotations(root, options=ReadOptions(skeleton=Skeleton("ears", ("left_ear", "nose"))))) == 1
    both = read_annotations(root, options=ReadOptions(skeleton=Skeleton("noses", ("nose",))))
    assert both.keypoints[:, 0, 0].tolist() == [10, 0.5, 0.5]
    with pytest.raises(PosewrightError, match=r"has no category 'plan' with keypoints. Did you mean 'plane'"):
        read_annotations(root, options=ReadOptions(category="plan"))
    rat = label("rat", "skeleton") + "".join(label(name, parent="rat") for name in reversed(NAMES))
    root = export(tmp_path, image("a.png", skeleton(*FACE), skeleton(*FACE, kind="rat")), head=meta(MOUSE + rat))
    a = read_annotations(root)
    assert a.skeleton.keypoints == tuple(NAMES)
    assert (a.keypoints[0] == a.keypoints[1]).all()


def track(number: int, *shapes: str, name: str = "mouse", more: str = "") -> str:
    return f'<track id="{number}" label="{name}" source="manual"{more}>{"".join(shapes)}</track>'


def at(frame: int, x: float, outside: int = 0, keyframe: int = 1) -> str:
    """A skeleton's shape in a track, as "CVAT for video" writes it."""
    marks = f' keyframe="{keyframe}"'
    body = inner("nose", x, 20, outside=outside, more=marks) + inner("left_ear", x, 30, 1, outside, marks)
    return f'<skeleton frame="{frame}"{marks} z_order="0">{body}</skeleton>'


def video(root: Path, *parts: str, source: str = "clip.mp4") -> Path:
    xml(root / "annotations.xml", *parts, head=meta(mode="interpolation", source=source))
    return root


def test_tracks_are_frames_of_the_video(tmp_path):
    (tmp_path / "clip.mp4").touch()
    root = video(tmp_path, track(0, at(10, 5), at(15, 6, keyframe=0), at(20, 6, outside=1)), track(3, at(15, 50)))
    a = read_annotations(root)
    assert a.images == [Image("clip.mp4", 100, 80, frame, "train", "clip.mp4") for frame in (10, 15)]
    assert a.root == root
    assert a.image.tolist() == [0, 1, 1]
    assert a.track.tolist() == [0, 0, 3]
    assert a.keypoints[:, :2].tolist() == [
        [[4.5, 19.5, 2], [4.5, 29.5, 1]],
        [[5.5, 19.5, 2], [5.5, 29.5, 1]],
        [[49.5, 19.5, 2], [49.5, 29.5, 1]],
    ]


@pytest.mark.parametrize("ending", ["PNG", "png", "jpg"])
def test_frames_that_were_exported_are_pictures(tmp_path, ending):
    root = video(tmp_path, track(0, at(10, 5), at(15, 6)))
    for number in (10, 15):
        picture(root / f"images/frame_{number:06d}.{ending}")
    a = read_annotations(root)
    assert [im.path for im in a.images] == [f"frame_000010.{ending}", f"frame_000015.{ending}"]
    assert {(im.frame, im.group) for im in a.images} == {(None, "clip.mp4")}
    assert a.missing_pictures() == []


def test_a_video_task_exported_for_images(tmp_path):
    head = meta(mode="interpolation", source="clip.mp4")
    root = export(tmp_path, image("frame_000010", skeleton(*FACE)), image("frame_000015"), head=head, pictures=())
    a = read_annotations(root)
    assert [(im.path, im.frame) for im in a.images] == [("clip.mp4", 10), ("clip.mp4", 15)]
    elsewhere = tmp_path / "films"
    elsewhere.mkdir()
    (elsewhere / "clip.mp4").touch()
    assert read_annotations(root, options=ReadOptions(images=elsewhere)).root == elsewhere
    (tmp_path / "nothing").mkdir()
    with pytest.raises(PosewrightError, match=r"picture 'clip\.mp4', named first in .* is not there"):
        read_annotations(root, options=ReadOptions(images=tmp_path / "nothing"))


def test_tracks_of_boxes_and_points(tmp_path):
    def shape(frame: int, x: float, outside: int = 0) -> str:
        return f'<points frame="{frame}" keyframe="1" outside="{outside}" occluded="1" points="{x},20"></points>'

    square = '<box frame="10" keyframe="1" outside="0" occluded="0" xtl="0" ytl="0" xbr="50" ybr="60"></box>'
    group = ' group_id="4"'
    root = video(
        tmp_path,
        track(0, shape(10, 5), shape(15, 6), name="nose", more=group),
        track(1, shape(10, 30), shape(15, 31, outside=1), name="tail", more=group),
        track(2, square, name="body", more=group),
    )
    a = read_annotations(root)
    assert a.skeleton.keypoints == ("nose", "tail")
    assert a.keypoints.tolist() == [[[4.5, 19.5, 1], [29.5, 19.5, 1]], [[5.5, 19.5, 1], [0, 0, 0]]]
    assert a.boxes[0].tolist() == [-0.5, -0.5, 49.5, 59.5]


def test_a_picture_task_exported_for_video_says_so(tmp_path):
    root = export(tmp_path, track(0, at(0, 5)))
    with pytest.raises(PosewrightError, match=r"does not name. Export it as 'CVAT for images 1\.1'"):
        read_annotations(root)
    xml(root / "annotations.xml", track(0, at(0, 5)), head="")
    with pytest.raises(PosewrightError, match=r"frame 0: names neither a picture nor a video.*--images"):
        read_annotations(root)


PROJECT = (
    "<meta><project><id>1</id><name>p</name><tasks>"
    "<task><id>4</id><mode>annotation</mode><subset>Train</subset></task>"
    "<task><id>5</id><mode>interpolation</mode><subset>Validation</subset><source>clip.mp4</source>"
    "<original_size><width>64</width><height>48</height></original_size></task>"
    f"</tasks><labels>{MOUSE}</labels></project></meta>"
)


def test_a_project_with_subsets(tmp_path):
    root = export(
        tmp_path,
        image("a.png", skeleton(*FACE), subset="Train", task_id=4),
        image("a.png", skeleton(*FACE), subset="Test", task_id=6),
        image("frame_000007", skeleton(*FACE), subset="Validation", task_id=5, width=64, height=48),
        head=PROJECT,
        pictures=("Train/a.png", "Test/a.png"),
    )
    (root / "videos").mkdir()
    (root / "videos/clip.mp4").touch()
    a = read_annotations(root)
    assert a.images == [
        Image("images/Train/a.png", 100, 80, split="train"),
        Image("images/Test/a.png", 100, 80, split="test"),
        Image("videos/clip.mp4", 64, 48, 7, "val", "clip.mp4"),
    ]
    assert a.missing_pictures() == []
    for name in ("Train", "Test"):
        (root / f"images/{name}/a.png").unlink()
    picture(root / "images/a.png")
    with pytest.raises(PosewrightError, match=r"image 'a\.png': is labelled twice"):
        read_annotations(root)


def test_several_files_below_a_folder(tmp_path):
    (tmp_path / "two/clip.mp4").parent.mkdir()
    (tmp_path / "two/clip.mp4").touch()
    export(tmp_path / "one", image("a.png", skeleton(*FACE)))
    video(tmp_path / "two", track(0, at(10, 5)), track(1, at(10, 50)))
    video(tmp_path / "three", track(0, at(1, 5)), source="other.mp4")
    a = read_annotations(tmp_path)
    assert [im.path for im in a.images] == ["one/images/a.png", "three/other.mp4", "two/clip.mp4"]
    assert a.track.tolist() == [-1, 0, 1, 2]  # a track of one file is none of another's


def test_a_set_without_points(tmp_path):
    root = export(tmp_path, image("a.png", box("car", (1, 2, 3, 4))))
    with pytest.raises(PosewrightError, match=r"holds neither a skeleton nor a point"):
        read_annotations(root)


NAN = float("nan")
BAD = {
    "text": (image("b.png", skeleton(inner("nose", 1, 2).replace("1.00,2.00", "a,b"))), "points are 'a,b', not x,y"),
    "three": (image("b.png", skeleton(inner("nose", 1, 2).replace("1.00,2.00", "1,2,3"))), "not x,y;x,y"),
    "none": (image("b.png", skeleton(inner("nose", 1, 2).replace("1.00,2.00", ""))), "points are '', not x,y"),
    "NaN": (
        image("b.png", skeleton(inner("nose", NAN, 2))),
        "image 'b.png', skeleton 'mouse', point 'nose': .*not finite",
    ),
    "two places": (
        image("b.png", skeleton(inner("nose", 1, 2).replace("1.00,2.00", "1,2;3,4"))),
        "'nose' has 2 places",
    ),
    "twice": (image("b.png", skeleton(inner("nose", 1, 2), inner("nose", 3, 4))), "holds point 'nose' twice"),
    "no label": (image("b.png", skeleton(inner("", 1, 2))), "holds a point without a label"),
    "no kind": (image("b.png", skeleton(inner("nose", 1, 2), kind="")), "image 'b.png': a skeleton has no label"),
    "box": (image("b.png", box("body", (1, 2, 3, 4)).replace("1.00", "x")), "box 'body': xtl is 'x', not a number"),
    "far": (image("b.png", skeleton(inner("nose", 900, 2), inner("left_ear", 1, 2))), "'nose' is marked visible at"),
    "path": (image("../b.png", skeleton(*FACE)), "leaves the data folder"),
    "absolute": (image("/etc/passwd", skeleton(*FACE)), "leaves the data folder"),
    "subset": (image("b.png", skeleton(*FACE), subset="../.."), "leaves the data folder"),
    "no name": (image("", skeleton(*FACE)), "image 0: has no name"),
    "frame": (track(0, at(10, 5)).replace('frame="10"', 'frame="-1"'), "track 0, skeleton: frame is '-1', not a whole"),
    "track": (track(0, at(10, 5)).replace('id="0"', 'id="x"'), "track x: id is 'x', not a whole number"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_shape(tmp_path, case):
    bad, says = BAD[case]
    root = export(tmp_path, image("a.png", skeleton(*FACE)), bad)
    with pytest.raises(PosewrightError, match=rf"annotations\.xml: .*{says}"):
        read_annotations(root)
    options = ReadOptions(skip_bad=True)
    a = read_annotations(root, options=options)
    assert [im.path for im in a.images] == ["a.png"]
    assert len(a) == len(options.skipped) == 1


def test_a_picture_that_is_listed_twice_is_left_out(tmp_path):
    root = export(tmp_path, image("a.png", skeleton(*FACE)), image("b.png", skeleton(*FACE)), image("b.png"))
    with pytest.raises(PosewrightError, match=r"image 'b\.png': is listed twice"):
        read_annotations(root)
    assert [im.path for im in read_annotations(root, options=ReadOptions(skip_bad=True)).images] == ["a.png"]


def test_xml_that_declares_entities_is_refused(tmp_path):
    path = tmp_path / "a.xml"
    entities = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    body = "<annotations><version>1.1</version><image id='0' name='&x;'/></annotations>"
    for encoding in ("utf-8", "utf-16"):
        path.write_bytes(f'<?xml version="1.0" encoding="{encoding}"?>{entities}{body}'.encode(encoding))
        with pytest.raises(PosewrightError, match=r"declares entities"):
            read_annotations(path, "cvat")
    for content, says in ((b"", "is empty|no element"), (b"<annotations>", "is not XML"), (b"<a/>", "its root is 'a'")):
        path.write_bytes(content)
        with pytest.raises(PosewrightError, match=says):
            read_annotations(path, "cvat")


def test_only_its_own_files_are_taken(tmp_path, shared_data):
    for name in ("labelstudio", "coco", "deeplabcut/openfield"):
        assert not get_format("cvat").detect(shared_data / "formats" / name)
    (tmp_path / "voc.xml").write_text("<annotation><folder>x</folder></annotation>")
    assert not get_format("cvat").detect(tmp_path)
