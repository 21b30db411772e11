"""posewright convert: the whole road from one file to another, what it prints, and how it fails."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from helpers.labels import assert_same, coco_dict, coco_folder, picture, save_json
from posewright.annotations import formats, read_annotations
from posewright.cli import main


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = main(["convert", *map(str, args)])
    out, err = capsys.readouterr()
    return code, out, err


def test_to_a_json_file(tmp_path, capsys):
    source = coco_folder(tmp_path / "set")
    code, out, err = run(capsys, source, "-o", tmp_path / "out/new.json")
    assert (code, err) == (0, "")
    assert_same(read_annotations(source), read_annotations(tmp_path / "out/new.json"))
    assert "without object" in out
    row = next(line.split() for line in out.splitlines() if line.split()[:1] == ["all"])
    assert row[1:] == ["3", "1", "3", "6", "1", "5"]  # images, without object, objects, visible, hidden, not labelled
    by_name = {line.split()[0]: line.split()[1:] for line in out.splitlines() if len(line.split()) == 4}
    assert by_name["left_ear"] == ["1", "1", "1"]
    assert out.splitlines()[-1] == f"Next: posewright train --data {tmp_path / 'out/new.json'}"


def test_to_a_folder_of_the_hourglass_system_and_back(tmp_path, capsys):
    source = coco_folder(tmp_path / "set")
    code, out, _ = run(capsys, tmp_path / "set", "-o", tmp_path / "hg", "--to", "hourglass-json")
    assert code == 0
    names = ["annotations.json", "mouse_classes.txt", "mouse_match_point.txt", "mouse_skeleton.txt"]
    assert sorted(p.name for p in (tmp_path / "hg").iterdir()) == names
    assert "mouse_classes.txt, mouse_match_point.txt, mouse_skeleton.txt beside it" in out
    assert "not carried over: 1 pictures without an object" in out
    assert "not carried over: the outlines of 1 objects" in out
    assert run(capsys, tmp_path / "hg", "-o", tmp_path / "back")[0] == 0
    a, b = read_annotations(source), read_annotations(tmp_path / "back")
    np.testing.assert_allclose(b.keypoints, a.keypoints)
    np.testing.assert_allclose(b.boxes, a.boxes)
    assert [im.path for im in b.images] == ["a.jpg", "sub/b.png"]
    assert b.missing_pictures() == []


def test_options_reach_the_reader(tmp_path, capsys):
    table = np.ones((14, 3, 2))
    table[:, :2] = np.random.default_rng(0).uniform(5, 60, (14, 2, 2))
    (tmp_path / "set").mkdir()
    savemat(tmp_path / "set/joints.mat", {"joints": table})
    picture(tmp_path / "photos/im1.jpg")
    to = tmp_path / "a.json"
    code, _, err = run(capsys, tmp_path / "set", "-o", to)
    assert (code, to.exists()) == (2, False)
    assert "--flags" in err
    for flag, v in (("labelled", 2), ("hidden", 1)):
        code, out, _ = run(capsys, tmp_path / "set", "-o", to, "--flags", flag, "--images", tmp_path / "photos")
        assert code == 0
        a = read_annotations(to)
        assert (a.keypoints[..., 2] == v).all()
        assert a.root.resolve() == (tmp_path / "photos").resolve()
        assert "1 of 2 pictures are missing; first: " in out
    assert "Each of the 14 keypoints" not in out  # all are hidden


def test_skeleton_by_name_and_by_files(tmp_path, capsys):
    record: dict[str, Any] = {
        "dataset": "x",
        "img_paths": "a.jpg",
        "isValidation": 0,
        "objpos": [9, 9],
        "scale_provided": 1,
    }
    source = save_json(tmp_path / "annotations.json", [record | {"joint_self": [[1, 2, 2], [3, 4, 2]]}])
    code, _, err = run(capsys, source, "-o", tmp_path / "o.json")
    assert code == 2
    assert "--skeleton" in err
    (tmp_path / "names.txt").write_text("left\nright\n")
    code, out, _ = run(capsys, source, "-o", tmp_path / "o.json", "--skeleton", tmp_path / "names.txt")
    assert code == 0
    assert "Each of the 2 keypoints is visible on every object." in out
    assert out.rstrip().endswith("--images PICTURES")  # none was found
    assert json.loads((tmp_path / "o.json").read_text())["categories"][0]["keypoints"] == ["left", "right"]
    code, _, err = run(capsys, source, "-o", tmp_path / "o.json", "--skeleton", "coco17")
    assert code == 2
    assert "Did you mean 'coco-17'" in err


def test_skip_bad_lists_what_it_left_out(tmp_path, capsys):
    content = coco_dict()
    content["annotations"][0]["keypoints"][0] = float("nan")
    source = coco_folder(tmp_path, content)
    code, _, err = run(capsys, source, "-o", tmp_path / "o.json")
    assert (code, (tmp_path / "o.json").exists()) == (2, False)
    assert err.count("\n") == 1
    assert "--skip-bad" in err
    code, out, err = run(capsys, source, "-o", tmp_path / "o.json", "--skip-bad")
    assert (code, err) == (0, "")
    assert f"left out: {source}: annotation 1 on image 'a.jpg': keypoint 'nose' is not a finite number" in out
    assert len(read_annotations(tmp_path / "o.json")) == 2


def broken(folder: Path, kind: str) -> Path:
    """A source that cannot be converted."""
    folder.mkdir()
    content = coco_dict()
    path = folder / "labels.json"
    if kind == "missing":
        return path
    if kind == "zero bytes":
        path.touch()
    elif kind == "cut short":
        path.write_text(json.dumps(content)[:200])
    elif kind == "not JSON":
        path.write_text("keypoints: 3")
    elif kind == "no labels":
        path.write_text("[]")
    elif kind == "no images":
        save_json(path, content | {"images": [], "annotations": []})
    elif kind == "path":
        content["images"][0]["file_name"] = "x/../../secret.jpg"
        save_json(path, content)
    elif kind == "mat":
        path = folder / "joints.mat"
        path.write_bytes(b"MATLAB 5.0 MAT-file" + bytes(40))
    elif kind == "pts":
        path = folder / "a.pts"
        path.write_text("n_points: 68\n{\n1 2\n")
    elif kind == "empty folder":
        return folder
    return path


@pytest.mark.parametrize(
    "kind",
    ["missing", "zero bytes", "cut short", "not JSON", "no labels", "no images", "path", "mat", "pts", "empty folder"],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, capsys, kind):
    source = broken(tmp_path / "set", kind)
    code, out, err = run(capsys, source, "-o", tmp_path / "out/o.json")
    assert (code, out) == (2, "")
    assert err.startswith(f"posewright: {source}")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_targets_that_are_refused(tmp_path, capsys):
    source = coco_folder(tmp_path / "set")
    before = source.read_bytes()
    for target, more, says in (
        (source, (), "belongs to the labels being read"),
        (tmp_path / "o.json", ("--to", "lsp"), "format lsp is read only. Written are: coco, hourglass-json"),
        (tmp_path / "o.json", ("--to", "coc"), "Did you mean 'coco'"),
        (tmp_path / "o.txt", (), "no format is written to a file that ends with '.txt'"),
        (tmp_path / "o.json", ("--format", "lps"), "Did you mean 'lsp'"),
        (tmp_path / "o.json", ("--format", "lsp"), "cannot be read"),
        (source / "inside", (), "cannot be written"),
    ):
        code, _, err = run(capsys, source, "-o", target, *more)
        assert (code, err.count("\n")) == (2, 1)
        assert says in err
    save_json(tmp_path / "set2/annotations.json", coco_dict())
    assert run(capsys, tmp_path / "set2", "-o", tmp_path / "set2")[0] == 2
    assert source.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set", "set2"]


@pytest.mark.parametrize("to", ["coco", "hourglass-json"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, capsys, monkeypatch, to):
    source = coco_folder(tmp_path / "set")

    def full(*args: object, **kwargs: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("posewright.annotations.coco_write.json.dumps", full)
    code, out, err = run(capsys, source, "-o", tmp_path / "out", "--to", to)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "no space left on the device" in err
    assert list((tmp_path / "out").iterdir()) == []


def test_parts_are_shown_apart(tmp_path, capsys):
    content = coco_dict()
    content["images"][0]["split"], content["images"][1]["split"] = "train", "val"
    _, out, _ = run(capsys, coco_folder(tmp_path, content), "-o", tmp_path / "o.json")
    parts = {line.split()[0]: line.split() for line in out.splitlines() if line.split()[:1] != []}
    assert parts["train"][1:4] == ["1", "0", "1"]
    assert parts["val"][1:4] == ["1", "0", "2"]
    assert parts["all"][1:4] == ["3", "1", "3"]


def test_help_explains(capsys):
    with pytest.raises(SystemExit) as done:
        main(["convert", "--help"])
    out = capsys.readouterr().out
    assert done.value.code == 0
    assert "posewright convert lspet/ -o lspet.json" in out
    lines = [line.split() for line in out.splitlines()]
    for found in formats().values():  # each of them on a line of its own, with a star where it is written
        words = [found.name, *(["*"] if found.write else []), *found.title.split()]
        assert any(line[:4] == words[:4] for line in lines), found.name
    assert "What a 1 in an LSP file's flags means" in out


def test_loads_only_what_it_needs(tmp_path):
    """A fresh process shows that labels with known sizes need neither torch nor a picture decoder."""
    source = coco_folder(tmp_path)
    code = (
        "import sys; from posewright.cli import main; "
        f"assert main(['convert', {str(source)!r}, '-o', {str(tmp_path / 'o.json')!r}]) == 0; "
        "print({'torch', 'cv2', 'scipy', 'matplotlib', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["set()"], done.stderr


def test_split_parts_the_set_anew(tmp_path, capsys):
    content = coco_dict()
    content["images"] = [
        {"id": i, "file_name": f"{'ab'[i % 2]}/{i}.jpg", "width": 9, "height": 9, "split": "test"} for i in range(40)
    ]
    content["annotations"] = []
    source = save_json(tmp_path / "labels.json", content)

    def parted(*more: object) -> list[str | None]:
        code, _, err = run(capsys, source, "-o", tmp_path / "o.json", *more)
        assert (code, err) == (0, "")
        return [im.split for im in read_annotations(tmp_path / "o.json").images]

    first = parted("--split", "0.8,0.1,0.1")
    assert [first.count(s) for s in ("train", "val", "test")] == [32, 4, 4]
    assert first == parted("--split", "0.8,0.1,0.1")
    assert first != parted("--split", "0.8,0.1,0.1", "--seed", 1)
    by_folder = parted("--split", "0.5,0.5", "--split-by", "folder")
    assert len(set(by_folder[::2])) == len(set(by_folder[1::2])) == 1
    assert set(by_folder) == {"train", "val"}
    (tmp_path / "o.json").unlink()
    one = [im | {"file_name": f"a/{im['id']}.jpg", "group": "clip"} for im in content["images"]]
    alone = save_json(tmp_path / "alone.json", content | {"images": one})
    code, out, _ = run(capsys, alone, "-o", tmp_path / "o.json", "--split", "0.9,0.1")
    assert code == 0
    assert "All pictures are of one group, such as a video: its last ones are held out." in out
    held = {im.path for im in read_annotations(tmp_path / "o.json").images if im.split == "val"}
    assert held == {f"a/{i}.jpg" for i in range(36, 40)}
    (tmp_path / "o.json").unlink()
    for more, says in (
        (("--split", "0.9"), "has 1 shares"),
        (("--split", "0.9,0.1", "--split-by", "colour"), "cannot be split by 'colour'"),
        (("--split-by", "folder"), "--split-by needs --split"),
        (("--split", "0.4,0.3,0.3", "--split-by", "folder"), "2 groups of pictures that stay together, for 3 splits"),
    ):
        code, _, err = run(capsys, source, "-o", tmp_path / "o.json", *more)
        assert (code, err.count("\n")) == (2, 1)
        assert says in err
        assert not (tmp_path / "o.json").exists()
