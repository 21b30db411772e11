"""Packing that was stopped, killed or refused: what is finished is kept, the rest is made again, nothing of others is touched."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.packs import LOSSLESS
from helpers.scenes import draw_scenes
from posewright.annotations import read_annotations
from posewright.errors import PosewrightError
from posewright.media import shard_writer
from posewright.training import packing
from posewright.training.packing import pack

SMALL_SHARDS = replace(LOSSLESS, shard_mb=0.15)


class Stop(Exception):
    pass


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize("at", [1, 5, 9])
def test_a_stopped_run_goes_on_to_the_same_bytes(scenes, tmp_path, monkeypatch, at):
    whole = pack(scenes, tmp_path / "whole", SMALL_SHARDS)
    assert whole.shards > 3
    original = packing._Cutter.__call__
    calls: list[int] = []

    def stops(self, cuts):
        calls.append(cuts[0].image)
        if cuts[0].image == at:
            raise KeyboardInterrupt
        return original(self, cuts)

    monkeypatch.setattr(packing._Cutter, "__call__", stops)
    with pytest.raises(KeyboardInterrupt):
        pack(scenes, tmp_path / "b", SMALL_SHARDS)
    monkeypatch.undo()
    left = content(tmp_path / "b") if (tmp_path / "b").exists() else {}
    assert "index.jsonl" not in left
    if left:
        (tmp_path / "b" / ".000009-killed.tmp.tar").write_bytes(b"half")  # as a kill leaves it
    done = pack(scenes, tmp_path / "b", SMALL_SHARDS)
    assert done.taken_up == sum(name.endswith(".tar") for name in left)
    assert content(tmp_path / "b") == content(tmp_path / "whole")
    assert replace(done, index=whole.index, taken_up=0) == whole


def test_other_settings_start_again(scenes, tmp_path, monkeypatch):
    def stops(self, header):
        raise KeyboardInterrupt

    monkeypatch.setattr(shard_writer.ShardWriter, "finish", stops)
    with pytest.raises(KeyboardInterrupt):
        pack(scenes, tmp_path / "a", SMALL_SHARDS)
    monkeypatch.undo()
    (tmp_path / "a" / "000001.tar").write_bytes(b"damaged since")
    (tmp_path / "a" / "notes.txt").write_text("mine")
    once = pack(scenes, tmp_path / "a", replace(SMALL_SHARDS, seed=4))
    assert once.taken_up == 0
    assert (tmp_path / "a" / "notes.txt").read_text() == "mine"
    other = pack(scenes, tmp_path / "b", replace(SMALL_SHARDS, seed=4))
    assert once.bytes == other.bytes


def test_a_damaged_shard_is_made_again(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer.ShardWriter, "finish", lambda self, header: (_ for _ in ()).throw(Stop))
    with pytest.raises(Stop):
        pack(scenes, tmp_path / "a", SMALL_SHARDS)
    monkeypatch.undo()
    shard = tmp_path / "a" / "000001.tar"
    shard.write_bytes(shard.read_bytes()[:-600] + b"x" * 600)
    assert pack(scenes, tmp_path / "a", SMALL_SHARDS).taken_up == 1
    read_annotations(tmp_path / "a")


def test_nothing_is_overwritten_and_nothing_left_behind(scenes, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.txt").write_text("years")
    with pytest.raises(PosewrightError, match="holds other things"):
        pack(scenes, tmp_path / "thesis", LOSSLESS)
    pack(scenes.subset([1]), tmp_path / "done", LOSSLESS)
    with pytest.raises(PosewrightError, match="holds a packed set already"):
        pack(scenes, tmp_path / "done", LOSSLESS)
    missing = replace(scenes, root=tmp_path)
    with pytest.raises(PosewrightError, match="does not exist"):
        pack(missing, tmp_path / "new", LOSSLESS)
    assert not (tmp_path / "new").exists()
    with pytest.raises(PosewrightError, match="packed already"):
        pack(read_annotations(tmp_path / "done"), tmp_path / "twice", LOSSLESS)
    nothing = replace(scenes.subset([0]))
    with pytest.raises(PosewrightError, match="not one labelled object"):
        pack(nothing, tmp_path / "new", LOSSLESS)


def test_broken_pictures_are_left_out_on_request(tmp_path):
    scenes = draw_scenes(tmp_path / "scenes", 6)
    (tmp_path / "scenes" / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(PosewrightError, match=r"001\.png"):
        pack(scenes, tmp_path / "a", LOSSLESS)
    found: list[PosewrightError] = []
    pack(scenes, tmp_path / "a", LOSSLESS, bad=found.append)
    assert len(found) == 1
    part = read_annotations(tmp_path / "a")
    assert "001.png" not in {im.part.path for im in part.images}
    wrong = replace(scenes, images=[replace(im, width=im.width + 1) for im in scenes.images])
    with pytest.raises(PosewrightError, match="the labels are for"):
        pack(wrong, tmp_path / "b", LOSSLESS)
