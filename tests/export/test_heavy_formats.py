"""The formats whose packages few people have: torch's own, ExecuTorch, TensorFlow and Core ML.

torch's is tested wherever a C++ compiler is; the others where their packages are: ``make test-tensorflow``,
``make test-executorch`` and ``make test-coreml`` make environments that have them.
"""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import posewright
from helpers.untrained import fresh
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.export.exporting import export
from posewright.export.targets import TARGETS
from posewright.media.pictures import write_picture
from posewright.runtime import read_info
from posewright.runtime.entries import NAME, pb_entry
from posewright.skeleton import Skeleton

TO = ("torch", "executorch", "savedmodel", "frozen")
PICTURE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)


FOUR = Skeleton("four", ("a", "left_b", "right_b", "c"))
"""onnx2tf takes three keypoints for their three numbers, and what it writes of those is refused."""


@pytest.fixture(scope="module")
def checkpoint():
    return fresh("hourglass_s1_nano", (64, 64), FOUR, activation="sigmoid")


@pytest.fixture(scope="module")
def files(checkpoint, tmp_path_factory):
    """A function that exports to a format, once, or skips the test where that is not possible here."""
    folder = tmp_path_factory.mktemp("files")
    reports = {}

    def made(to: str) -> tuple[Path, object]:
        target = TARGETS[to]
        if not target.installed:
            pytest.skip(f"{to} needs {' and '.join(target.packages)}")
        if to == "torch" and shutil.which("g++") is None:
            pytest.skip("a torch package needs a C++ compiler")
        path = folder / f"m{target.format.ending}"
        if to not in reports:
            reports[to] = export(checkpoint, path, to)
        return path, reports[to]

    return made


@pytest.mark.parametrize("to", TO)
def test_it_gives_what_the_onnx_file_gives(to, files):
    path, report = files(to)
    assert report.worst_map < 1e-3 and report.worst_px < 0.01
    onnx, other = posewright.load(files("onnx")[0], "cpu"), posewright.load(path, trust=True)
    assert read_info(path) == onnx.info
    for a, b in zip(*(m.predict_batch([PICTURE, PICTURE[::2]], flip=True) for m in (onnx, other)), strict=True):
        assert np.allclose(a.xy, b.xy, atol=0.05) and np.allclose(a.score, b.score, atol=1e-4)
        assert np.allclose(a.presence, b.presence, atol=1e-4)


@pytest.mark.parametrize("to", [to for to in TO if TARGETS[to].format.native])
def test_what_brings_code_is_loaded_only_if_trusted(to, files, tmp_path, monkeypatch, capsys):
    path, _ = files(to)
    with pytest.raises(PosewrightError, match=r"runs code that came with it.*--trust"):
        posewright.load(path)
    write_picture(tmp_path / "a.png", PICTURE)
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(path), "a.png", "-o", "out"]) == 2
    assert "--trust" in capsys.readouterr().err
    assert main(["predict", str(path), "a.png", "-o", "out", "--trust"]) == 0


@pytest.mark.parametrize("to", TO)
def test_a_damaged_one_is_one_line(to, files, tmp_path):
    whole, _ = files(to)
    path = tmp_path / whole.name
    (shutil.copytree if whole.is_dir() else shutil.copyfile)(whole, path)
    part = path / "saved_model.pb" if whole.is_dir() else path
    part.write_bytes(part.read_bytes()[: part.stat().st_size // 2])
    with pytest.raises(PosewrightError) as caught:
        posewright.load(path, trust=True)
    assert "\n" not in str(caught.value)


def test_a_torch_package_that_holds_nothing_to_run(files, tmp_path):
    path = tmp_path / "m.pt2"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"m/extra/{NAME}", read_info(files("onnx")[0]).to_json())
    with pytest.raises(PosewrightError, match="cannot be loaded by torch"):
        posewright.load(path, trust=True)


def test_devices_that_torch_packages_are_not_for(files):
    with pytest.raises(PosewrightError, match="runs on the processor here"):
        posewright.load(files("torch")[0], "cuda", trust=True)


def test_a_frozen_graph_without_a_description(tmp_path):
    path = tmp_path / "theirs.pb"
    path.write_bytes(b"\x22\x02\x08\x01")
    assert pb_entry(path) is None
    with pytest.raises(PosewrightError, match="frozen TensorFlow graph, but not a posewright model file"):
        posewright.load(path, trust=True)


def test_a_core_ml_package_is_written_and_runs_elsewhere(checkpoint, tmp_path):
    pytest.importorskip("coremltools", reason="Core ML needs coremltools")
    path = tmp_path / "m.mlpackage"
    for precision in ("fp32", "fp16"):
        assert export(checkpoint, path, "coreml", precision) is None
        info = read_info(path)
        assert (info.precision, info.outputs) == (precision, ("keypoints", "presence", "heatmaps"))
    with pytest.raises(PosewrightError, match="a Core ML package, which nothing here runs"):
        posewright.load(path)
