"""``posewright curves`` as it is typed."""

from __future__ import annotations

import pytest

from posewright.cli import main

OURS = "epoch,step,train_loss,val_pck\n0,1,0.5,0.2\n1,2,0.3,0.6\n"


@pytest.fixture
def runs(tmp_path):
    for name, text in (("a", OURS), ("b", OURS.replace("0.6", "0.7"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.csv").write_text(text)
    (tmp_path / "b" / "model.onnx").touch()
    return tmp_path


def test_table_chart_and_next_command(runs, capsys):
    assert main(["curves", str(runs / "a"), str(runs / "b"), "-o", str(runs / "out" / "c.png")]) == 0
    said = capsys.readouterr().out
    assert "0.600" in said
    assert "0.700" in said
    assert f"Next: posewright evaluate {runs / 'b'} DATA" in said
    assert (runs / "out" / "c.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["none"], "none: does not exist"),
        (["a", "-o", "c.xyz"], "'.xyz' is no ending of a chart"),
        ([], "no run given"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(runs, capsys, monkeypatch, arguments, complaint):
    monkeypatch.chdir(runs)
    assert main(["curves", *arguments]) == 2
    said = capsys.readouterr()
    assert complaint in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert sorted(p.name for p in runs.iterdir()) == ["a", "b"]


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as done:
        main(["curves", "--help"])
    assert done.value.code == 0
    assert "posewright curves runs/last" in capsys.readouterr().out
