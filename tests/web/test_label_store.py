"""Labels while they are made: what is read, what is kept whatever dies, what the file lists."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.discs import DISCS, draw_discs
from posewright.annotations import ReadOptions, get_format, read_annotations
from posewright.errors import PosewrightError
from posewright.web import journal
from posewright.web.label_set import State, open_set
from posewright.web.label_store import LabelStore, Stale

POSE = [[30.25, 40.5, 2], [60.0, 41.0, 1], [0.0, 0.0, 0]]


def drawn(points=POSE, box=None, **extra):
    return {"points": points, "box": box, "extra": extra}


def pictures(tmp_path, count=4) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    draw_discs(folder, count)
    return folder


def store_of(data, output, **more) -> LabelStore:
    skeleton = None if Path(data).is_file() else DISCS
    return LabelStore(open_set(Path(data), output, None, ReadOptions(skeleton))[0], output, **more)


def change(store, i, *objects, done=False, flagged=False):
    base = store.state(i)[0]
    return store.save(i, base, {"objects": list(objects), "done": done, "flagged": flagged})


# -- what there is to label --------------------------------------------------------------------------------------------


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


# -- what dies ---------------------------------------------------------------------------------------------------------

DIES = """
import os, signal, sys
from pathlib import Path
from helpers.discs import DISCS
from posewright.annotations import ReadOptions
from posewright.web.label_set import open_set
from posewright.web.label_store import LabelStore
store = LabelStore(open_set(Path(sys.argv[1]), Path(sys.argv[2]), None, ReadOptions(DISCS))[0], Path(sys.argv[2]))
for n in range(5):
    state = {"objects": [{"points": [[n, 1.5, 2], [4, 5, 1], [0, 0, 0]], "box": None}], "done": n == 4}
    store.save(n % 3, store.state(n % 3)[0], state)
    if n == 2 and sys.argv[3] == "written":
        assert store.write()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL there")
@pytest.mark.parametrize("when", ["never", "written"])
def test_nothing_is_lost_where_the_program_is_killed(tmp_path, when):
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    tests = str(Path(__file__).resolve().parents[1])
    died = subprocess.run(
        [sys.executable, "-c", DIES, folder, output, when], env={**os.environ, "PYTHONPATH": tests}, timeout=60
    )
    assert died.returncode == -9
    assert output.exists() == (when == "written")
    store = store_of(folder, output)
    assert store.recovered == (2 if when == "written" else 5)
    found = [store.state(i)[1] for i in range(3)]
    assert [s.objects[0]["points"][0] for s in found] == [[3, 1.5, 2], [4, 1.5, 2], [2, 1.5, 2]]
    assert [s.done for s in found] == [False, True, False]
    assert store.close()
    assert len(read_annotations(output)) == 3
    assert not list(tmp_path.glob("*.journal"))


def test_a_line_cut_short_is_left_out(tmp_path):
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    store = store_of(folder, output)
    change(store, 0, drawn())
    change(store, 1, drawn())
    store._journal.close()  # as if it had died
    path = tmp_path / "labels.json.journal"
    path.write_bytes(path.read_bytes()[:-20])
    store = store_of(folder, output)
    assert store.recovered == 1
    assert store.state(0)[1].labelled
    assert not store.state(1)[1].labelled
    change(store, 1, drawn())  # goes on a line of its own
    store._journal.close()
    assert store_of(folder, output).recovered == 2


def test_a_damaged_journal_and_one_about_something_else(tmp_path):
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    path = tmp_path / "labels.json.journal"
    store = store_of(folder, output)
    change(store, 0, drawn())
    store._journal.close()
    whole = path.read_bytes()
    for damaged, why in (
        (whole.replace(b'"path"', b"'path'"), "line 2"),
        (b"{}\n" + whole, "no journal that this version reads"),
        (whole.replace(b'"top"', b'"tip"'), "other keypoints"),
        (whole.replace(b"000.png", b"999.png"), "999.png"),
        (whole.replace(b"000.png", b"../0.png"), "leaves the data folder"),
        (whole.replace(b"30.25", b'"30x"'), "not made as an object"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(PosewrightError, match=why):
            store_of(folder, output)
        assert path.read_bytes() == damaged
    path.write_bytes(whole)
    assert store_of(folder, output).recovered == 1


def test_two_programs_on_one_file(tmp_path):
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    first = store_of(folder, output)
    with pytest.raises(PosewrightError, match="is in use"):
        store_of(folder, output)
    first.close()
    store_of(folder, output).close()


def test_a_full_disk(tmp_path, monkeypatch):
    store = store_of(pictures(tmp_path), tmp_path / "labels.json")
    change(store, 0, drawn())
    path = tmp_path / "labels.json.journal"
    before = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(journal.os, "fsync", full)
        with pytest.raises(PosewrightError, match="No space left"):
            change(store, 1, drawn())
        assert path.read_bytes() == before
        assert not store.write()
        assert "no space left" in store.problem
    assert not (tmp_path / "labels.json").exists()
    assert store.write()
    assert store.problem == ""
    store.close()


# -- other programs ----------------------------------------------------------------------------------------------------


def touched(output: Path) -> None:
    content = json.loads(output.read_text())
    content["annotations"] = content["annotations"][:0]
    output.write_text(json.dumps(content))


def test_a_file_changed_by_another_program_is_not_written_over(tmp_path):
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    store = store_of(folder, output)
    change(store, 0, drawn())
    assert store.write()
    os.utime(output)  # touched, but the same
    change(store, 1, drawn())
    assert store.write()
    touched(output)
    theirs = output.read_bytes()
    change(store, 2, drawn())
    assert not store.write()
    assert "changed by another program" in store.problem
    assert output.read_bytes() == theirs
    change(store, 3, drawn())  # goes on being kept
    assert store.write(over=True)
    assert store.problem == ""
    assert (tmp_path / "labels.old-1.json").read_bytes() == theirs
    assert len(read_annotations(output)) == 4
    assert store.close()


@pytest.mark.parametrize("decision", ["mine", "theirs"])
def test_a_conflict_left_over_is_decided_at_the_next_start(tmp_path, decision):
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    store = store_of(folder, output)
    change(store, 0, drawn())
    assert store.write()
    change(store, 1, drawn())
    touched(output)
    assert not store.close()
    with pytest.raises(PosewrightError, match="--on-conflict mine"):
        store_of(folder, output)
    store = store_of(folder, output, on_conflict=decision)
    assert [store.state(i)[1].labelled for i in (0, 1)] == [False, decision == "mine"]
    assert store.close()
    assert len(read_annotations(output)) == (decision == "mine")
    kept = list(tmp_path.glob("labels.json.old-*.journal"))
    assert len(kept) == (decision == "theirs")


def test_an_interrupted_rename_is_no_conflict(tmp_path, monkeypatch):
    """Dead between the writing of the file and the clearing of the journal: the file is our own."""
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    store = store_of(folder, output)
    change(store, 0, drawn())
    with monkeypatch.context() as patch:
        patch.setattr(store._journal, "begin", lambda head: None)
        assert store.write()
    store._journal.close()
    store = store_of(folder, output)
    assert store.recovered == 1
    assert store.close()
    assert len(read_annotations(output)) == 1
