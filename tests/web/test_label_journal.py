"""Labels while they are made: what is kept whatever dies, fills up, or is changed by another program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.labelling import change, drawn, pictures, store_of
from posewright.annotations import read_annotations
from posewright.errors import PosewrightError
from posewright.web import journal

DIES = """
import os, signal, sys
from pathlib import Path
from helpers.discs import DISCS
from posewright.annotations import ReadOptions
from posewright.web.label_source import open_set
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


FULL = """
import json, resource, signal, sys
from pathlib import Path
from helpers.labelling import change, drawn, store_of
from posewright.web.journal import NotKept
folder, output = map(Path, sys.argv[1:])
store = store_of(folder, output)
change(store, 0, drawn())
size = store.journal_path.stat().st_size
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 40, resource.RLIM_INFINITY))  # room for a part of a line
try:
    change(store, 1, drawn())
except NotKept as error:
    print(error)
assert store.journal_path.stat().st_size == size
assert not store.state(1)[1].labelled
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
change(store, 2, drawn())
"""


@pytest.mark.skipif(os.name == "nt", reason="no limit of file sizes there")
def test_a_disk_that_fills_up_in_the_middle_of_a_line(tmp_path):
    """It takes a part of what is written and says nothing: the rest of it must be asked for."""
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", FULL, folder, output], env=env, timeout=120, capture_output=True, text=True, check=True
    )
    assert "cannot be written" in done.stdout
    store = store_of(folder, output)
    assert store.recovered == 2
    assert [store.state(i)[1].labelled for i in range(3)] == [True, False, True]
    assert store.close()


def test_a_disk_that_is_full_when_the_journal_begins_anew(tmp_path, monkeypatch):
    """The labels file has just been written; what comes next is kept nevertheless."""
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    store = store_of(folder, output)
    change(store, 0, drawn())
    begin, put = store._journal.begin, store._journal._put

    def full(data: bytes) -> None:
        raise journal.NotKept("cannot be written: No space left on device")

    def begin_when_full(head: dict) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(store._journal, "_put", full)
            begin(head)

    monkeypatch.setattr(store._journal, "begin", begin_when_full)
    assert store.write()
    assert store._journal._put == put
    change(store, 1, drawn())
    store._journal.close()  # as if it had died
    again = store_of(folder, output)
    assert again.recovered == 1
    assert [again.state(i)[1].labelled for i in range(3)] == [True, True, False]
    assert again.close()


def test_a_place_that_cannot_be_written(tmp_path, monkeypatch):
    """The journal is open already: changes are kept there, and a person is told."""
    folder, output = pictures(tmp_path), tmp_path / "labels.json"
    store = store_of(folder, output)
    change(store, 0, drawn())
    with monkeypatch.context() as patch:
        patch.setattr("posewright.files.tempfile.mkstemp", _refused)
        assert not store.write()
        assert "cannot be written" in store.problem
        assert not store.overtaken
        change(store, 1, drawn())
        assert not store.close()
    store = store_of(folder, output)
    assert store.recovered == 2
    assert store.close()


def _refused(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


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
