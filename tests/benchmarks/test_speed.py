"""The speed benchmarks run, on nets and counts small enough for a test, and hold what they claim about what they compare."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import sys
import types

import pytest

from helpers.pages import REPOSITORY
from posewright.runtime.names import find_model

torch = pytest.importorskip("torch", reason="the benchmarks train: pip install 'posewright[train]'")


def script(path: str) -> types.ModuleType:
    """A script of the repository as a module, with its own folder on the path as when it is run."""
    file = REPOSITORY / path
    spec = importlib.util.spec_from_file_location(f"script_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(file.parent))
        patch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
    return module


def rows(text: str) -> dict[str, list[str]]:
    """The cells of printed tables, by their first."""
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")
    ]
    return {row[0]: row[1:] for row in found}


def test_ways_take_turns_and_the_first_round_does_not_count():
    turns, order = script("benchmarks/turns.py"), []

    def way(name):
        return lambda: order.append(name) or [float(len(order))]

    times = turns.in_turn({name: way(name) for name in "abc"}, 2)
    assert "".join(order) == "abcbcacab"
    assert times == {"a": [6, 8], "b": [4, 9], "c": [5, 7]}
    assert turns.matrix_rate("fp32", sides=(64,), seconds=0.01) > 1e6


def test_a_helper_that_ends_is_told_of(tmp_path):
    turns = script("benchmarks/turns.py")
    (tmp_path / "ends.py").write_text("print('no such module'); raise SystemExit(1)")
    with pytest.raises(SystemExit, match="no such module"):
        turns.Helper(sys.executable, str(tmp_path / "ends.py"), {})


def test_training_is_compared_on_one_net(discs, tmp_path, capsys):
    bench = script("benchmarks/train_cpu.py")
    args = bench.Args(size=64, steps=1, rounds=1, precision="fp32")
    bench.compare("hourglass_s1_mobile_nano", args, discs, tmp_path, {"fp32": 1e9, "bf16": 1e9})
    out = capsys.readouterr().out
    cells = rows(out)
    same, own, plain = (cells[w] for w in ("posewright, same layers", "posewright, the preset", "textbook PyTorch"))
    assert plain[3] == "1.00" and float(same[3]) > 0 and float(own[3]) > 0
    share = (
        3 * bench.Ours("hourglass_s1_mobile_nano", "conv_relu_bn", args, discs, tmp_path).macs / float(same[1]) / 1e6
    )
    assert float(same[5].rstrip("%")) / 100 == pytest.approx(share, rel=0.03, abs=0.01)


def test_nets_that_differ_are_not_compared(discs, tmp_path, monkeypatch):
    bench = script("benchmarks/train_cpu.py")
    monkeypatch.setattr(bench.Textbook, "step", lambda self: None)
    monkeypatch.setattr(bench, "KERAS_ORDER", "conv_relu_bn")
    real = bench.Textbook.__init__

    def other(self, *args):
        real(self, *args)
        self.parameters += 1

    monkeypatch.setattr(bench.Textbook, "__init__", other)
    with pytest.raises(SystemExit, match="not the same net"):
        bench.compare("hourglass_s1_nano", bench.Args(size=64, steps=1, rounds=1), discs, tmp_path, {})


def test_a_cards_ways_run_without_one(discs, capsys):
    bench = script("benchmarks/train_gpu.py")
    args = bench.Args(device="cpu", size=64, batch=4, steps=1, rounds=1, ways=("textbook", "loader", "on the device"))
    bench.compare("hourglass_s1_nano", args, discs, {"fp32": 1e9, "bf16": 1e9})
    cells = rows(capsys.readouterr().out)
    assert cells["textbook"][1] == "1.00"
    assert float(cells["on the device"][0].replace(",", "")) > 0


def test_prediction_is_timed_and_what_is_missing_named(tmp_path, capsys, discs):
    bench = script("benchmarks/predict_cpu.py")
    shutil.copy(find_model("hand"), tmp_path / "hourglass_s1_nano.onnx")
    args = bench.Args(models=tmp_path, calls=1, rounds=1, threads=1, formats=("onnx", "executorch"))
    bench.compare("hourglass_s1_nano", args, discs.image_path(0), tmp_path)
    out = capsys.readouterr().out
    assert float(rows(out)["posewright, onnxruntime"][1]) > 0
    if importlib.util.find_spec("executorch") is None:
        assert "ExecuTorch: left out: --to executorch needs executorch" in out


def test_growth_is_measured_on_real_labels():
    bench = script("benchmarks/scale.py")
    found = bench.one_count(40)
    assert found["file"] > 40 * 200
    assert all(found[name] > 0 for name in ("read", "index", "epoch", "sample", "peak"))
    assert bench.Budget(0).over() and not bench.Budget(1).over()


# -- the Ray job, all but Ray --------------------------------------------------------------------------------------------


def test_a_list_is_cut_into_parts_once(tmp_path):
    job, listed, out = script("examples/ray_predict.py"), tmp_path / "list.txt", tmp_path / "out"
    listed.write_text('a.jpg\n\n{"path": "b.jpg", "boxes": [[0, 0, 9, 9]]}\nc.jpg\n')
    assert job.write_parts(listed, out, 2) == 2
    first, second = ((out / "parts" / f"00000{i}.jsonl").read_text().splitlines() for i in range(2))
    assert [json.loads(line)["path"] for line in first + second] == ["a.jpg", "b.jpg", "c.jpg"]
    assert json.loads(first[1])["boxes"] == [[0, 0, 9, 9]]
    assert job.write_parts(listed, out, 2) == 2
    with pytest.raises(SystemExit, match="another list's parts"):
        job.write_parts(listed, out, 3)
    listed.write_text('{"boxes": []}\n')
    with pytest.raises(SystemExit, match="line 1: neither"):
        job.write_parts(listed, tmp_path / "other", 3)


def test_a_broken_picture_becomes_a_row_and_stops_nothing(tmp_path, discs):
    pytest.importorskip("pyarrow", reason="parts are Parquet: pip install 'ray[data]'")
    import pyarrow.parquet as pq

    job, bad = script("examples/ray_predict.py"), tmp_path / "bad.jpg"
    bad.write_text("no picture")
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join([str(discs.image_path(0)), str(bad), str(discs.image_path(1))]))
    job.write_parts(listed, tmp_path, 9)
    told = job.Worker("hand", str(tmp_path), 1).part(0)
    assert (told["pictures"], told["poses"], told["failed"]) == (3, 2, 1)
    table = pq.read_table(tmp_path / "part-000000.parquet").to_pylist()
    assert [row["pose"] for row in table] == [0, -1, 0]
    assert re.search("bad.jpg", table[1]["error"]) and len(table[0]["keypoints"]) == 63
    assert not list(tmp_path.glob(".part*"))
