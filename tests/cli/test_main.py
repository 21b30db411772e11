"""The command line as a whole: overview, help of every command, and bad input to those that have no test of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from posewright.cli import COMMANDS, main


def complaint(capsys, *args: str) -> str:
    """Run a command that must fail on its input: exit code 2, one line, no traceback; returns the line."""
    assert main(list(args)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert "Traceback" not in error
    return error


def test_overview_names_every_command(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "examples:" in text
    assert f"posewright {command}" in text


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("posewright ")


def test_unknown_command(capsys):
    assert "Did you mean 'train'?" in complaint(capsys, "trian")


def test_the_overview_loads_nothing_heavy():
    code = "import sys; from posewright.cli import main; main([]); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "cv2", "numpy", "tyro", "onnxruntime", "rich"} & set(loaded)


TRAIN_HELP = """
import sys
from posewright.cli import main
try:
    main(["train", "--help"])
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""


def test_help_on_training_needs_no_torch():
    done = subprocess.run([sys.executable, "-c", TRAIN_HELP], capture_output=True, text=True, check=True)
    assert "torch" not in done.stderr.split()


def labels(folder, **changes) -> str:
    """A COCO file of two 64 x 64 pictures with one object each, and the pictures."""
    import cv2
    import numpy as np

    for i in (1, 2):
        cv2.imwrite(str(folder / f"{i}.png"), np.full((64, 64, 3), 90, np.uint8))
    body = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 64} for i in (1, 2)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [8, 8, 40, 40], "keypoints": [20, 20, 2, 30, 30, 2]}
            for i in (1, 2)
        ],
        "categories": [{"id": 1, "name": "thing", "keypoints": ["a", "b"], "skeleton": []}],
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(body | changes))
    return str(path)


def test_train_bad_input(capsys, tmp_path):
    run = ("-o", str(tmp_path / "run"))
    data = labels(tmp_path)
    assert "no data given" in complaint(capsys, "train", *run)
    assert "does not exist" in complaint(capsys, "train", "--data", str(tmp_path / "none.json"), *run)
    assert "Did you mean 'hourglass_s2_tiny'" in complaint(
        capsys, "train", "--data", data, "--model", "hourglas_s2_tiny", *run
    )
    assert "multiples of 32" in complaint(capsys, "train", "--data", data, "--input-size", "100", *run)
    assert "no skeleton 'body-15'" in complaint(capsys, "train", "--data", data, "--skeleton", "body-15", *run)
    assert "no run to resume" in complaint(capsys, "train", "--resume", *run)
    assert "not available here" in complaint(capsys, "train", "--data", data, "--device", "mps", *run)
    (tmp_path / "2.png").unlink()
    assert "2.png does not exist" in complaint(capsys, "train", "--data", data, *run)
    empty = labels(tmp_path, images=[], annotations=[])
    assert "labels.json" in complaint(capsys, "train", "--data", empty, *run)
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_ends_with_its_own_settings(capsys, monkeypatch):
    import posewright.training.fit as training

    own = SimpleNamespace(training={"config": {"threshold": 0.05, "data": "mine.json"}})
    monkeypatch.setattr(training, "fit", lambda settings, resume: training.Run(Path("runs/x"), own, 0.5, 60.0))
    assert main(["train", "-o", "runs/x", "--resume"]) == 0
    said = capsys.readouterr().out
    assert "PCK@0.05 0.500" in said
    assert "Next: posewright evaluate runs/x mine.json" in said


def test_train_with_a_broken_config(capsys, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("model: [unclosed\n")
    assert "is not YAML" in complaint(capsys, "train", "--config", str(path))
    assert "--config needs a file" in complaint(capsys, "train", "--config")


def test_a_picture_cut_short_stops_training_with_one_line(capsys, tmp_path):
    data = labels(tmp_path)
    picture = tmp_path / "2.png"
    picture.write_bytes(picture.read_bytes()[:60])
    line = complaint(
        capsys, "train", "--data", data, "--model", "hourglass_s1_nano", "--net", "channels=8", "--input-size", "32",
        "--epochs", "1", "--workers", "0", "-o", str(tmp_path / "run"),
    )  # fmt: skip
    assert "2.png" in line


def test_export_bad_input(capsys, tmp_path):
    assert "nothing" in complaint(capsys, "export", "nothing")
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"\0" * 50)
    assert "not a safetensors file" in complaint(capsys, "export", str(path))
    assert not path.with_suffix(".onnx").exists()


def test_augment_preview(capsys, tmp_path):
    from posewright.media.pictures import read_picture

    data = labels(tmp_path)
    target = tmp_path / "sheet.png"
    assert main(["augment-preview", "--data", data, "--input-size", "64", "--objects", "2", "-o", str(target)]) == 0
    sheet = read_picture(target)
    assert sheet.shape[1] > 8 * 64
    assert sheet.std() > 5
    assert "posewright train" in capsys.readouterr().out


def test_demo_keeps_its_hands_off_other_folders(capsys, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    assert "holds other things" in complaint(capsys, "demo", "-o", str(tmp_path))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
