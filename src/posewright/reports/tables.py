"""One kind of table, a sequence of mappings, as the terminal and the HTML report show it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Row = Mapping[str, Any]


def columns_of(rows: Sequence[Row]) -> tuple[list[str], set[str]]:
    """The columns of all rows in order of appearance, and which of them hold numbers (or text that reads as one)."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return columns, {c for c in columns if any(_reads_as_number(r.get(c)) for r in rows)}


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def _reads_as_number(value: Any) -> bool:
    try:
        return is_number(value) or (isinstance(value, str) and float(value) is not None)
    except ValueError:
        return False


def cell_text(value: Any) -> str:
    """Floats with three decimals, everything else as it is; a dash for what is missing or not finite."""
    if value is None or (is_number(value) and not np.isfinite(value)):
        return "–"
    return f"{value:.3f}" if isinstance(value, (float, np.floating)) else str(value)


def print_table(rows: Sequence[Row], caption: str = "", *, strong: Sequence[int] = ()) -> None:
    """Print rows to the terminal.

    Args:
        rows: one mapping a row, column name to value.
        caption: stands under the table.
        strong: indices of rows to set off; negative ones count from the end.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns, numeric = columns_of(rows)
    marked = {i % len(rows) for i in strong} if rows else set()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(Text(name), justify="right" if name in numeric else "left", no_wrap=True)
    for i, row in enumerate(rows):
        if i in marked and i - 1 not in marked and i:
            table.add_section()
        style = "bold" if i in marked else ""
        table.add_row(*[Text(cell_text(row.get(c)), style) for c in columns])
    console = Console()
    # Rich would cut columns off at the edge; a line that the terminal wraps has lost nothing.
    needed = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    console.width = max(console.width, needed)
    console.print(table)
    if caption:
        console.print(Text(caption, "dim"))
