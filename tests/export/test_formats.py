"""Model files for OpenVINO, LiteRT and MNN: written, carried about, loaded by their ending, and refused where they are broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import posewright
from helpers.untrained import fresh
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.export import exporting
from posewright.export.exporting import export
from posewright.export.job import Job, make_job
from posewright.export.parity import compare, patterns
from posewright.export.targets import TARGETS
from posewright.models.checkpoint import save_checkpoint
from posewright.runtime import read_info
from posewright.runtime.engines import ENGINES, open_engine

TO = ("openvino", "mnn", "litert")
PICTURE = np.random.default_rng(0).integers(0, 256, (70, 90, 3), np.uint8)


@pytest.fixture(scope="module")
def checkpoint():
    return fresh(activation="sigmoid")


@pytest.fixture(scope="module")
def job(checkpoint) -> Job:
    return make_job(checkpoint)


@pytest.fixture(scope="module")
def files(job, tmp_path_factory):
    """A function that writes the job to a format, once, or skips the test where that is not possible here."""
    folder = tmp_path_factory.mktemp("files")

    def path_of(to: str) -> Path:
        target = TARGETS[to]
        if not target.installed or not target.runs_here:
            pytest.skip(f"{to} needs {' and '.join(target.packages)} and {' or '.join(target.format.engines)}")
        path = folder / f"m{target.format.ending}"
        if not path.exists():
            if target.format.folder:
                path.mkdir()
            target.writer()(job, path)
        return path

    return path_of


def copied(path: Path, folder: Path) -> Path:
    (shutil.copytree if path.is_dir() else shutil.copyfile)(path, folder / path.name)
    return folder / path.name


@pytest.mark.parametrize("to", TO)
def test_loaded_by_its_ending_it_gives_what_the_onnx_file_gives(to, files):
    onnx, other = posewright.load(files("onnx"), "cpu"), posewright.load(files(to), exact=True)
    assert read_info(files(to)) == onnx.info
    a, b = onnx.predict_batch([PICTURE] * 3, flip=True)[2], other.predict_batch([PICTURE] * 3, flip=True)[2]
    assert np.allclose(a.xy, b.xy, atol=0.01) and np.allclose(a.score, b.score, atol=1e-4)
    assert np.allclose(a.presence, b.presence, atol=1e-4)


@pytest.mark.parametrize("to", TO)
def test_any_batch(to, files):
    engine = open_engine(files(to), "cpu", exact=True)
    crops = np.random.default_rng(1).integers(0, 256, (5, 64, 96, 3), np.uint8)
    outputs = list(engine.info.outputs)
    alone = [np.concatenate(a) for a in zip(*(engine.run(c[None], outputs) for c in crops), strict=True)]
    for a, b in zip(engine.run(crops, outputs), alone, strict=True):
        assert a.dtype == np.float32 and np.allclose(a, b, atol=2e-3)
    # What was handed out is not what the next run writes to.
    kept = engine.run(crops[:1], ["keypoints"])[0]
    before = kept.copy()
    engine.run(crops[1:2], ["keypoints"])
    assert np.array_equal(kept, before)


@pytest.mark.parametrize("batch", [1, 2])
def test_keypoints_alone_in_a_fixed_batch(batch, checkpoint, tmp_path):
    job = make_job(checkpoint, wanted="keypoints", batch=batch)
    crops = patterns(job.size).crops[:3]
    for to in ("openvino", "mnn"):
        if not TARGETS[to].installed:
            continue
        path = tmp_path / f"m{TARGETS[to].format.ending}"
        if TARGETS[to].format.folder:
            path.mkdir()
        TARGETS[to].writer()(job, path)
        engine = open_engine(path, "cpu", exact=True)
        assert (engine.batch, engine.info.outputs) == (batch, ("keypoints", "presence"))
        found = engine.run(crops, ["presence", "keypoints"])
        assert [f.shape for f in found] == [(3,), (3, 3, 3)]
        assert compare(job.net, engine.run, patterns(job.size)).worst_px < 0.01


@pytest.mark.parametrize(("to", "precision"), [(t, p) for t in TO for p in TARGETS[t].precisions if p != "fp32"])
def test_in_other_precisions_it_is_smaller_and_near(to, precision, job, files, tmp_path, monkeypatch):
    if (to, precision) == ("openvino", "int8"):
        pytest.importorskip("nncf", reason="OpenVINO's int8 needs nncf")
    whole = files(to)
    path = tmp_path / whole.name
    if whole.is_dir():
        path.mkdir()
    lower = exporting.make_job(fresh(activation="sigmoid"), precision, seen=patterns(job.size))
    lower.__dict__["graph"] = job.graph
    TARGETS[to].writer()(lower, path)
    report = compare(job.net, open_engine(path, "cpu", exact=True).run, patterns(job.size))
    assert read_info(path).precision == precision
    assert 0 < report.worst_map < (0.02 if precision == "fp16" else 0.5)
    size = {p: sum(f.stat().st_size for f in ([p] if p.is_file() else p.glob("*.bin"))) for p in (whole, path)}
    assert size[path] < (0.75 if precision == "fp16" else 0.7) * size[whole]


def test_what_openvino_computes_in(files):
    path = files("openvino")
    exact, fast = posewright.load(path, "cpu", exact=True), posewright.load(path, "cpu")
    assert exact.computes == "fp32" and fast.computes in ("fp32", "bf16")
    a, b = exact(PICTURE), fast(PICTURE)
    assert np.array_equal(a.xy, b.xy) == (fast.computes == "fp32")
    also = posewright.load(files("onnx"), engine="openvino", exact=True)(PICTURE)
    assert np.allclose(a.xy, also.xy, atol=1e-3)


@pytest.mark.parametrize("to", TO)
def test_devices_and_threads_that_are_not_there(to, files):
    with pytest.raises(PosewrightError, match="unknown device 'cpuu'"):
        posewright.load(files(to), "cpuu")
    with pytest.raises(PosewrightError, match="threads must be at least 1"):
        posewright.load(files(to), threads=0)


def test_openvino_without_the_device(files):
    with pytest.raises(PosewrightError, match="finds no npu here; it has cpu"):
        posewright.load(files("openvino"), "npu")


@pytest.mark.parametrize("name", ["model.bin", "model.xml"])
def test_an_openvino_folder_without_a_part(name, files, tmp_path):
    path = copied(files("openvino"), tmp_path)
    (path / name).unlink()
    with pytest.raises(PosewrightError, match=f"lacks its {name}"):
        posewright.load(path)


@pytest.mark.parametrize("name", ["model.bin", "model.xml"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_an_openvino_folder_with_a_part_cut_short(name, share, files, tmp_path):
    path = copied(files("openvino"), tmp_path)
    data = (path / name).read_bytes()
    (path / name).write_bytes(data[: int(share * len(data))])
    with pytest.raises(PosewrightError) as caught:
        posewright.load(path)
    assert "cannot be loaded by OpenVINO" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("to", ["mnn", "litert"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_file_cut_short(to, share, files, tmp_path):
    path = copied(files(to), tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(PosewrightError, match=r"not a posewright model file|for all its name"):
        posewright.load(path)


@pytest.mark.parametrize("to", TO)
@pytest.mark.parametrize("other", ["onnx", *TO])
def test_a_file_under_another_formats_name(to, other, files, tmp_path):
    if to == other:
        pytest.skip("that is its own name")
    wrong = tmp_path / f"m{TARGETS[other].format.ending}"
    copied(files(to), tmp_path).rename(wrong)
    with pytest.raises(PosewrightError) as caught:
        posewright.load(wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("to", TO)
def test_an_engine_that_is_not_installed(to, files, monkeypatch):
    path = files(to)
    real = ENGINES[to]
    monkeypatch.setitem(ENGINES, to, type(real)(real.name, real.module, real.type, "no_such_package", real.install))
    with pytest.raises(PosewrightError, match=rf"which runs it, is not installed.*posewright\[{to}\]"):
        posewright.load(path)


@pytest.mark.parametrize("to", TO)
def test_a_writer_that_is_not_installed(to, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("posewright.export.targets.installed", lambda package: False)
    with pytest.raises(PosewrightError, match=f"--to {to} needs .*, which is not installed"):
        export(checkpoint, tmp_path / "m", to)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("to", TO)
def test_the_command(to, checkpoint, files, tmp_path, capfd):
    files(to)
    source = save_checkpoint(checkpoint, tmp_path / "net.safetensors")
    assert main(["export", str(source), "--to", to, "-o", str(tmp_path / "out")]) == 0
    out, ending = capfd.readouterr().out, TARGETS[to].format.ending
    assert f"out{ending}: " in out and f"Next: posewright predict {tmp_path / 'out'}{ending}" in out
    # Nothing that a converter or an engine says of itself is printed.
    assert len(out.splitlines()) <= 4
    assert {p.name for p in tmp_path.iterdir()} == {"net.safetensors", f"out{ending}"}


@pytest.mark.parametrize("to", TO)
def test_loading_prints_nothing(to, files):
    code = f"import posewright; posewright.load({str(files(to))!r}, warm_up=1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
