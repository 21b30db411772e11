"""Training histories of three kinds, and the charts made of them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from posewright.errors import PosewrightError
from posewright.reports.curves import draw_curves, read_run, read_runs, summary

OURS = """epoch,step,train_loss,val_loss,val_pck,lr,seconds
0,10,0.5,0.4,0.2,0.001,30.0
1,20,0.3,0.35,0.6,0.002,61.5
2,30,0.2,0.36,0.55,0.001,90.0
"""
LIGHTNING = """epoch,lr,step,train_loss_epoch,train_loss_step,val_loss,val_pck
0,,9,,0.51,,
0,0.001,9,,,,
0,,9,,,0.4,0.2
0,,9,0.5,,,
1,,19,,,0.3,0.6
1,,19,0.25,,,
"""
VAL_TXT = "model:hg_s2_mobile_256_256;dataset:MPI\nEpoch 0:0.0390\nEpoch 1:0.41\n\nEpoch 2:0.40\n"


def write(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_our_own_history(tmp_path):
    write(tmp_path / "runs" / "small", "metrics.csv", OURS)
    run = read_run(tmp_path / "runs" / "small")
    assert run.name == "small"
    assert run.epoch.tolist() == [1, 2, 3]
    assert run.series["val_pck"].tolist() == [0.2, 0.6, 0.55]
    row = summary(run)
    assert (row["epochs"], row["best epoch"], row["best PCK"], row["last PCK"]) == (3, 2, 0.6, 0.55)
    assert (row["val loss"], row["train loss"], row["minutes"]) == (0.35, 0.3, "1.5")


def test_a_lightning_log_has_several_rows_an_epoch(tmp_path):
    write(tmp_path / "x" / "version_0", "metrics.csv", LIGHTNING)
    run = read_run(tmp_path / "x" / "version_0" / "metrics.csv")
    assert run.name == "x"
    assert run.series["train_loss"].tolist() == [0.5, 0.25]
    assert run.series["val_pck"].tolist() == [0.2, 0.6]
    assert np.isnan(run.series["lr"][1])
    assert read_run(tmp_path / "x").epoch.tolist() == [1, 2]


def test_the_hourglass_systems_val_txt(tmp_path):
    run = read_run(write(tmp_path / "000", "val.txt", VAL_TXT))
    assert run.name == "hg_s2_mobile_256_256 MPI"
    assert run.series["val_pck"].tolist() == [0.039, 0.41, 0.40]
    assert run.epoch.tolist() == [1, 2, 3]
    assert "hourglass" in run.note
    assert summary(run)["best epoch"] == 2


def test_without_pck_the_lowest_loss_is_best(tmp_path):
    run = read_run(write(tmp_path, "metrics.csv", "epoch,train_loss,val_loss\n0,3,2\n1,2,nan\n2,1,1\n"))
    assert summary(run)["best epoch"] == 3
    assert "best PCK" not in summary(run)


def test_runs_of_one_name_are_told_apart(tmp_path):
    for parent in ("a", "b"):
        write(tmp_path / parent / "last", "metrics.csv", OURS)
    assert [r.name for r in read_runs([tmp_path / "a" / "last", tmp_path / "b" / "last"])] == ["a/last", "b/last"]
    assert [r.name for r in read_runs([tmp_path / "a" / "last"] * 2)] == ["a/last (1)", "a/last (2)"]


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf", ".jpg"])
def test_one_chart_of_several_runs(tmp_path, ending):
    write(tmp_path / "a", "metrics.csv", OURS)
    write(tmp_path / "b", "val.txt", VAL_TXT)
    path = draw_curves([tmp_path / "a", tmp_path / "b"], tmp_path / f"c{ending}")
    if ending == ".svg":
        assert path.read_text().count("<svg") == 1
    elif ending == ".pdf":
        assert path.read_bytes().startswith(b"%PDF")
    else:
        picture = cv2.imread(str(path))
        assert picture.shape[1] > 2 * picture.shape[0]  # PCK, loss and learning rate beside each other
        assert picture.std() > 5
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", path.name]


def test_one_epoch_and_gaps_can_be_drawn(tmp_path):
    write(tmp_path / "one", "metrics.csv", "epoch,val_pck,train_loss\n0,0.5,0.1\n")
    write(tmp_path / "gaps", "metrics.csv", "epoch,val_pck,train_loss\n0,,0.1\n5,0.5,nan\n")
    assert draw_curves([tmp_path / "one", tmp_path / "gaps"], tmp_path / "c.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("metrics.csv", "", "metrics.csv: is empty"),
        ("metrics.csv", "epoch,val_pck\n", "has no epoch yet"),
        ("metrics.csv", "step,val_pck\n1,2\n", "line 1: has no column 'epoch'"),
        ("metrics.csv", "epoch,val_pck\n0,0.5\n1,high\n", "line 3: column 'val_pck' holds 'high', not a number"),
        ("metrics.csv", "epoch,val_pck\n,0.5\n", "line 2: has no epoch"),
        ("metrics.csv", "epoch,val_pck\n-1,0.5\n", "line 2: has no epoch"),
        ("metrics.csv", "epoch,val_pck\ninf,0.5\n", "line 2: has no epoch"),
        ("metrics.csv", "epoch,val_pck\n0,0.5,7\n", "line 2: has more values than the 2 columns"),
        ("val.txt", "hello\nEpoch 0:0.1\n", "line 1: is no training history"),
        ("val.txt", "model:a;dataset:b\n", "has no epoch yet"),
        ("val.txt", "model:a;dataset:b\nEpoch 0:0.1\nEpoch one:2\n", "line 3: 'Epoch one:2' is not 'Epoch N:PCK'"),
        ("val.txt", "model:a;dataset:b\nEpoch 0:zero\n", "line 2: column 'PCK' holds 'zero'"),
    ],
)
def test_bad_histories_are_one_clear_line(tmp_path, name, text, complaint):
    path = write(tmp_path, name, text)
    with pytest.raises(PosewrightError) as caught:
        read_run(path)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_missing_wrong_and_ambiguous_places(tmp_path):
    with pytest.raises(PosewrightError, match="does not exist"):
        read_run(tmp_path / "none")
    with pytest.raises(PosewrightError, match=r"holds neither metrics\.csv nor val\.txt"):
        read_run(tmp_path)
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(PosewrightError, match="not a text file"):
        read_run(tmp_path / "b.csv")
    for version in ("version_0", "version_1"):
        write(tmp_path / version, "metrics.csv", OURS)
    with pytest.raises(PosewrightError, match=r"holds 2 runs \(version_0, version_1"):
        read_run(tmp_path)
    with pytest.raises(PosewrightError, match="no loss and no PCK"):
        draw_curves([write(tmp_path / "c", "metrics.csv", "epoch,step\n0,1\n")], tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()
