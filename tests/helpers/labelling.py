"""A set of labels being made, without a page: what the tests of the store and of its journal do to it."""

from __future__ import annotations

from pathlib import Path

from helpers.discs import DISCS, draw_discs
from posewright.annotations import ReadOptions
from posewright.web.label_source import open_set
from posewright.web.label_store import LabelStore

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
