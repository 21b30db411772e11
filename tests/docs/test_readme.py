"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.discs import draw_discs
from posewright.annotations import get_format

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_ten_lines_train_evaluate_and_predict(tmp_path, monkeypatch, capsys):
    code = re.search(r"<!-- tested -->\n```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S).group(1)
    assert len([line for line in code.splitlines() if line and "import" not in line]) <= 10
    labels = draw_discs(tmp_path)
    get_format("coco").write(labels, tmp_path / "labels.json")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    pck = float(capsys.readouterr().out.split()[-1])
    assert 0 <= pck <= 1
    assert (tmp_path / "runs/mine/model.onnx").is_file()
