"""The one kind of table, as the terminal shows it."""

from __future__ import annotations

import numpy as np
import pytest

from posewright.reports.tables import cell_text, columns_of, print_table


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.12345, "0.123"), (np.float32(2), "2.000"), (7, "7"), (None, "–"), (np.nan, "–"), (np.inf, "–"), ("1.5", "1.5")],
)
def test_cells(value, text):
    assert cell_text(value) == text


def test_columns_and_which_hold_numbers():
    rows = [{"name": "a", "n": 1, "px": "2.50"}, {"name": "b", "more": None}]
    assert columns_of(rows) == (["name", "n", "px", "more"], {"n", "px"})


def test_the_terminal_shows_every_column_and_takes_no_markup(capsys):
    rows = [{"keypoint": f"[red]{i}[/red]", **{f"a rather long column {k}": k / 7 for k in range(6)}} for i in range(3)]
    print_table(rows, "A [bold]caption", strong=[-1])
    said = capsys.readouterr().out
    assert "[red]2[/red]" in said
    assert "a rather long column 5" in said
    assert "0.714" in said
    assert "A [bold]caption" in said
