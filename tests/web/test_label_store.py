"""Labels while they are made: what is read, what is kept, what the file lists."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.discs import DISCS, draw_discs
from helpers.labelling import POSE, change, drawn, pictures, store_of
from posewright.annotations import ReadOptions, get_format, read_annotations
from posewright.errors import PosewrightError
from posewright.media.shards import INDEX
from posewright.web.label_set import State
from posewright.web.label_source import open_set
from posewright.web.label_store import Stale


def test_a_folder_of_pictures_and_what_the_file_lists(tmp_path):
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    store = store_of(folder, output)
    change(store, 1, drawn())
    change(store, 2, done=True)
    change(store, 3, flagged=True)
    assert store.close()
    a = read_annotations(output)
    assert [im.path for im in a.images] == ["001.png", "002.png"]  # what is still to do is no picture without objects
    assert a.root.resolve() == folder.resolve()
    assert a.image.tolist() == [0]
    np.testing.assert_array_equal(a.keypoints[0], POSE)
    assert a.skeleton == DISCS
    again, where = open_set(output, None, None, ReadOptions())
    assert where == output
    assert sorted(im.path for im in again.annotations.images) == [f"00{i}.png" for i in range(4)]
    states = {again.annotations.images[i].path: again.state(i) for i in range(4)}
    assert states["000.png"] == State()
    assert states["001.png"].objects[0]["points"] == POSE
    assert states["002.png"] == State(done=True)
    assert states["003.png"] == State(flagged=True)


def test_ids_stay_what_they_are(tmp_path):
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    store = store_of(folder, output)
    change(store, 2, drawn())
    assert store.write()
    before = {im.path: im.id for im in read_annotations(output).images}
    change(store, 0, drawn())
    assert store.close()
    after = {im.path: im.id for im in read_annotations(output).images}
    assert before["002.png"] == after["002.png"]
    draw_discs(folder, 6)
    store = store_of(folder, output)
    assert len(store.labels) == 6  # new pictures of the folder are to do, too
    change(store, 5, drawn())
    assert store.close()
    later = {im.path: im.id for im in read_annotations(output).images}
    assert after.items() <= later.items()
    assert len(set(later.values())) == 3


def test_labels_keep_what_no_hand_touched(tmp_path):
    labels = draw_discs(tmp_path, 6)
    labels = replace(
        labels,
        iscrowd=np.array([0, 1, 0, 0], bool),
        track=np.array([7, -1, -1, 3]),
        weight=np.array([1, 0.5, 1, 1]),
        head_size=np.array([np.nan, 4, np.nan, np.nan]),
        polygons=[[np.array([[1, 2], [3, 4], [5, 9.0]])], [], [], []],
        area=np.array([12.0, 20, 30, 40]),
    )
    source = tmp_path / "set.json"
    get_format("coco").write(labels, source)
    before = read_annotations(source)
    output = tmp_path / "labels.json"
    store = store_of(source, output)
    moved = dict(store.state(0)[1].objects[0])
    moved["points"] = [[10.125, 11.0, 2], *moved["points"][1:]]
    change(store, 0, moved)
    change(store, 1, *store.state(1)[1].objects, done=True)
    assert store.close()
    after = read_annotations(output)
    assert [im.path for im in after.images] == [im.path for im in before.images]
    np.testing.assert_allclose(after.keypoints[1:], before.keypoints[1:], atol=1e-4)
    assert after.keypoints[0, 0].tolist() == [10.125, 11, 2]
    for name in ("boxes", "iscrowd", "area", "weight", "track", "head_size"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), atol=2e-4, err_msg=name)
    np.testing.assert_allclose(after.polygons[0][0], labels.polygons[0][0])
    assert [im.split for im in after.images] == [im.split for im in before.images]


def test_boxes_follow_the_keypoints_unless_drawn(tmp_path):
    store = store_of(pictures(tmp_path), tmp_path / "labels.json")
    change(store, 0, drawn(), drawn(box=[1.5, 2, 50, 61.25]), drawn([[0, 0, 0]] * 3))
    change(store, 1, drawn([[0, 0, 0]] * 3, box=[3, 4, 20, 30]))
    assert store.close()
    a = read_annotations(tmp_path / "labels.json")
    np.testing.assert_allclose(
        a.boxes[0], [30.25 - 2.975, 40.25, 62.975, 41.25]
    )  # 1.2 times as wide; at least 1 px high
    np.testing.assert_allclose(a.boxes[1:], [[1.5, 2, 50, 61.25], [3, 4, 20, 30]])


def test_what_cannot_be_gone_on_from(tmp_path):
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    with pytest.raises(PosewrightError, match="nothing says which keypoints"):
        open_set(folder, output, None, ReadOptions())
    store = store_of(folder, output)
    change(store, 0, drawn())
    store.close()
    other = tmp_path / "other"
    other.mkdir()
    draw_discs(other, 2)
    with pytest.raises(PosewrightError, match="labels of other pictures"):
        store_of(other, output)
    with pytest.raises(PosewrightError, match="other keypoints"):
        open_set(folder, output, None, ReadOptions(replace(DISCS, keypoints=("a", "b", "c"))))
    for name in ("labels.txt", "photos"):
        with pytest.raises(PosewrightError, match="no name of a JSON file"):
            open_set(folder, tmp_path / name, None, ReadOptions(DISCS))
    with pytest.raises(PosewrightError, match="does not exist"):
        open_set(tmp_path / "nowhere", output.with_name("new.json"), None, ReadOptions(DISCS))


@pytest.mark.parametrize(
    "objects",
    [
        None,
        [3],
        [{}],
        [drawn(POSE[:2])],
        [drawn([[1, 2], [3, 4], [5, 6]])],
        [drawn([[float("nan"), 1, 2], *POSE[1:]])],
        [drawn([[9e9, 1, 2], *POSE[1:]])],
        [drawn([[1, 1, 7], *POSE[1:]])],
        [drawn(box=[1, 2, 3])],
        [drawn(box=[5, 5, 5, 9])],
        [drawn(weight="heavy")],
        [drawn(polygons=[[["a", 2]]])],
        [{"points": POSE, "box": None, "extra": 5}],
    ],
)
def test_states_that_are_none_change_nothing(tmp_path, objects):
    store = store_of(pictures(tmp_path), tmp_path / "labels.json")
    base, before = store.state(0)
    with pytest.raises(PosewrightError):
        store.save(0, base, {"objects": objects})
    assert store.state(0) == (base, before)
    assert store.unwritten == 0
    store.close()


def test_a_change_to_what_another_changed_is_refused(tmp_path):
    store = store_of(pictures(tmp_path), tmp_path / "labels.json")
    base = store.state(0)[0]
    first = change(store, 0, drawn())
    assert first != base
    for stale in (base, None, "x", 3):
        with pytest.raises(Stale):
            store.save(0, stale, {"objects": []})
    assert len(store.state(0)[1].objects) == 1
    store.save(0, first, {"objects": []})
    store.close()


def test_a_file_of_another_program_is_not_written_over(tmp_path):
    """It may hold what posewright does not know; a name of its own is asked for."""
    labels = draw_discs(tmp_path, 3)
    foreign = tmp_path / "labels.json"
    get_format("coco").write(labels, foreign)
    content = json.loads(foreign.read_text())
    del content["info"]["posewright"]
    content["annotations"][0]["reviewer"] = "Ada"
    foreign.write_text(json.dumps(content))
    before = foreign.read_bytes()
    for data in (foreign, tmp_path):
        with pytest.raises(PosewrightError, match=r"written by another program.*-o"):
            open_set(data, foreign, None, ReadOptions())
    store = store_of(foreign, tmp_path / "mine.json")
    change(store, 0, drawn())
    assert store.close()
    assert foreign.read_bytes() == before


def test_objects_keep_what_they_are_called(tmp_path):
    draw_discs(tmp_path, 6)
    source, output = tmp_path / "set.json", tmp_path / "labels.json"
    records = [
        {"id": own, "image_id": image, "category_id": 1, "keypoints": [30, 40, 2, 60, 41, 1, 45, 20, 2]}
        for own, image in ((907, 1), (12, 3), ("b-4", 2), (13, 1), (5, 4))
    ]
    images = [{"id": i + 1, "file_name": f"00{i}.png", "width": 96, "height": 96} for i in range(6)]
    source.write_text(json.dumps({"images": images, "annotations": records, "categories": [DISCS.to_coco()]}))
    store = store_of(source, output)
    first, second = store.state(0)[1].objects
    assert (first["extra"]["id"], second["extra"]["id"]) == (907, 13)
    moved = {**second, "points": [[10, 11, 2], *second["points"][1:]]}
    change(store, 0, moved, drawn())  # 907 deleted, 13 moved, one new
    change(store, 4, drawn(id=12))  # as no page does: 12 is another's
    assert store.close()

    def called() -> dict:
        return {a["id"]: (a["image_id"], a["keypoints"][:2]) for a in json.loads(output.read_text())["annotations"]}

    assert called() == {
        13: (1, [10, 11]), 908: (1, [30.25, 40.5]), "b-4": (2, [30, 40]), 12: (3, [30, 40]), 5: (4, [30, 40]),
        909: (5, [30.25, 40.5]),
    }  # fmt: skip
    store = store_of(source, output)
    change(store, 1, *store.state(1)[1].objects, drawn())
    assert store.close()
    assert called().keys() == {13, 908, "b-4", 12, 5, 909, 910}


def test_new_pictures_of_a_folder_that_holds_its_labels_itself(tmp_path):
    folder = pictures(tmp_path)
    output = folder / "labels.json"
    store = store_of(folder, output)
    change(store, 1, drawn())
    assert store.close()
    draw_discs(folder, 6)
    labels, _ = open_set(folder, output, None, ReadOptions())
    assert sorted(im.path for im in labels.annotations.images) == [f"00{i}.png" for i in range(6)]
    assert [labels.state(i).labelled for i, im in enumerate(labels.annotations.images) if im.path == "001.png"] == [
        True
    ]


def packed(folder: Path) -> Path:
    """The head of a packed set's index, by which it is known."""
    (folder / "shards").mkdir()
    (folder / "shards" / INDEX).write_text('{"posewright": "packed pictures", "format_version": 1}\n')
    return folder / "shards"


def test_what_is_no_set_to_label(tmp_path):
    draw_discs(tmp_path, 2)
    clip = tmp_path / "a clip.mp4"
    clip.write_bytes(b"not looked into")
    for data, why in (
        (tmp_path / "000.png", "is a picture. Give the folder"),
        (clip, r"posewright frames '.*a clip\.mp4' -n 40"),
        (packed(tmp_path), "is a packed set.*pack that again"),
    ):
        with pytest.raises(PosewrightError, match=why):
            open_set(data, tmp_path / "labels.json", None, ReadOptions(DISCS))
