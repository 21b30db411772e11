"""docs/formats.md tells of every format that is there, of no other, and its examples are read."""

from __future__ import annotations

import json
import re
from pathlib import Path

from posewright.annotations import find_format, formats, read_annotations
from posewright.cli import COMMANDS

PAGE = (Path(__file__).resolve().parents[2] / "docs/formats.md").read_text(encoding="utf-8")


def table() -> dict[str, list[str]]:
    rows = [line.strip().strip("|").split("|") for line in PAGE.splitlines() if re.match(r"\| `", line)]
    return {re.match(r"`([^`]+)`", row[0].strip()).group(1): [cell.strip() for cell in row] for row in rows}


def test_one_row_a_format():
    rows = table()
    assert list(rows) == list(formats())
    for name, found in formats().items():
        cells = rows[name]
        assert len(cells) == 5, name
        assert cells[0].endswith("*") == (found.write is not None), name
        assert all(cells[1:4]), name
        assert bool(cells[4]) == (found.write is not None), name


def test_its_tables_are_read(tmp_path):
    wide, long = re.findall(r"```csv\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "wide.csv").write_text(wide)
    (tmp_path / "long.csv").write_text(long)
    record = re.search(r"`(\[\{\"path\".*?\}\])`", PAGE, re.DOTALL).group(1)
    (tmp_path / "plain.json").write_text(json.dumps(json.loads(record)))
    assert {name: find_format(tmp_path / name).name for name in ("wide.csv", "long.csv", "plain.json")} == {
        "wide.csv": "csv",
        "long.csv": "csv",
        "plain.json": "json",
    }
    a = read_annotations(tmp_path / "wide.csv")
    assert [im.split for im in a.images] == ["train", "train", "val"]
    assert a.keypoints[0].tolist() == [[201, 189, 2], [105.5, 94, 1]]
    for name in ("long.csv", "plain.json"):
        assert read_annotations(tmp_path / name).keypoints.tolist() == [a.keypoints[0].tolist()]


def test_its_commands_exist():
    named = set(re.findall(r"(?:^|`)posewright ([a-z-]+)", PAGE, re.M))
    assert named <= set(COMMANDS)
    options = set(re.findall(r"-o \S+ --to ([a-z-]+)", PAGE))
    assert options
    assert options <= {name for name, found in formats().items() if found.write}
