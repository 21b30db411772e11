"""``posewright pack`` as a person uses it."""

from __future__ import annotations

import pytest

from helpers.scenes import draw_scenes
from posewright.annotations import get_format, read_annotations
from posewright.cli import main


@pytest.fixture
def desk(tmp_path, monkeypatch):
    get_format("coco").write(draw_scenes(tmp_path / "pictures", 6), tmp_path / "labels.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(capsys, *args: str) -> str:
    assert main(["pack", *args]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error


def test_pack_check_and_what_to_type_next(desk, capsys):
    arguments = [
        "labels.json",
        "-o",
        "my shards",
        "--input-size",
        "48x64",
        "--augment.rotation",
        "60",
        "--terms",
        "mine",
    ]
    assert main(["pack", *arguments, "--shard-mb", "0.2"]) == 0
    said = capsys.readouterr().out
    assert "Next: posewright train --data 'my shards'" in said
    packed = read_annotations(desk / "my shards")
    objects = str(int((~packed.iscrowd).sum()))
    row = next(line.split() for line in said.splitlines() if line.split()[:1] == [objects])
    assert int(row[1]) == len(packed.images) - int(objects)
    held = sum(p.stat().st_size for p in (desk / "my shards").glob("*.tar"))
    assert row[5] == f"{held / 1e6:.1f}"
    assert packed.terms == "mine"
    assert main(["pack", "--check", "my shards"]) == 0
    said = capsys.readouterr().out
    assert f"is whole: {len(packed.images)} pictures" in said
    assert main(["inspect", "my shards", "--tiles", "2"]) == 0
    (desk / "my shards" / "000000.tar").write_bytes(b"x")
    assert "is cut short" in complaint(capsys, "--check", "my shards")


@pytest.mark.parametrize("to", ["yolo-pose", "labelme", "coco", "csv"])
def test_a_packed_set_is_converted_with_its_pictures(desk, capsys, to):
    """Tools that read these formats open files; members of a tar they do not."""
    assert main(["pack", "labels.json", "-o", "shards", "--input-size", "32"]) == 0
    target = desk / ("out.json" if to == "coco" else "out.csv" if to == "csv" else "out")
    assert main(["convert", "shards", "-o", str(target), "--to", to]) == 0
    packed, found = read_annotations(desk / "shards"), read_annotations(target)
    assert found.require_pictures() is found
    assert all((found.root / im.path).is_file() for im in found.images)
    assert len(found.images) == len(packed.images)
    assert ("pictures of the packed set" in capsys.readouterr().out) == (to != "yolo-pose")


def test_bad_input(desk, capsys):
    assert "no place to write to" in complaint(capsys, "labels.json")
    assert "does not exist" in complaint(capsys, "nothing.json", "-o", "a")
    assert "neither a number nor" in complaint(capsys, "labels.json", "-o", "a", "--input-size", "big")
    assert "--quality" in complaint(capsys, "labels.json", "-o", "a", "--quality", "0")
    assert "--shard-mb" in complaint(capsys, "labels.json", "-o", "a", "--shard-mb", "0")
    assert "--backgrounds" in complaint(capsys, "labels.json", "-o", "a", "--backgrounds", "2")
    assert "--detail" in complaint(capsys, "labels.json", "-o", "a", "--detail", "0.5")
    assert "--margin" in complaint(capsys, "labels.json", "-o", "a", "--margin", "0")
    assert "is no packed set" in complaint(capsys, "--check", "labels.json")
    assert "--check writes nothing" in complaint(capsys, "--check", "labels.json", "-o", "a")
    assert "holds other things" in complaint(capsys, "labels.json", "-o", ".")
    (desk / "pictures" / "002.png").write_bytes(b"no picture")
    assert "002.png" in complaint(capsys, "labels.json", "-o", "a")
    assert not (desk / "a").exists()
    assert main(["pack", "labels.json", "-o", "a", "--skip-bad"]) == 0
    assert "left out:" in capsys.readouterr().out
