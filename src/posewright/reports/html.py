"""One HTML file that holds everything: text, tables, figures. It opens by double click and loads nothing."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.files import write_text
from posewright.reports.tables import Row, cell_text, columns_of

TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
    ".mp4": "video/mp4",
    ".webm": "video/webm",
}
"""Files that a figure can show, by ending."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ --ink: #1c2024; --faint: #60666d; --line: #d9dce0; --ground: #ffffff; --card: #f5f6f8; --mark: #0b6bcb;
  --second: #c2570c; --warn: #fff4dc; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --ink: #e6e8eb; --faint: #9aa1a9; --line: #3a3f45; --ground: #16181b; --card: #1f2226; --mark: #6cb2ff;
    --second: #f0a35e; --warn: #3a2f14; }}
}}
* {{ box-sizing: border-box; }}
body {{ margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 62rem; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: 0 0 .6rem; }}
h2 {{ font-size: 1.25rem; margin: 2.4rem 0 .6rem; padding-top: .9rem; border-top: 1px solid var(--line); }}
p {{ margin: .5rem 0; max-width: 46rem; }}
.lead {{ font-size: 1.1rem; color: var(--faint); }}
.tiles {{ display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.2rem 0; padding: 0; list-style: none; }}
.tiles li {{ background: var(--card); border-radius: .6rem; padding: .7rem 1.1rem; min-width: 8rem; }}
.tiles b {{ display: block; font-size: 1.5rem; line-height: 1.25; font-variant-numeric: tabular-nums; }}
.tiles span {{ color: var(--faint); font-size: .9rem; }}
.scroll {{ overflow-x: auto; margin: 1rem 0; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
caption {{ caption-side: bottom; text-align: left; color: var(--faint); font-size: .9rem; padding-top: .5rem; }}
th, td {{ padding: .28rem .9rem .28rem 0; text-align: left; border-bottom: 1px solid var(--line);
  white-space: nowrap; }}
th {{ font-weight: 600; color: var(--faint); font-size: .9rem; white-space: normal; vertical-align: bottom; }}
td.number, th.number {{ text-align: right; }}
tr.strong td {{ font-weight: 700; border-top: 2px solid var(--line); }}
figure {{ margin: 1.2rem 0; }}
figure img, figure video {{ max-width: 100%; height: auto; border-radius: .4rem; background: #fff; display: block; }}
figure.chart {{ margin: 1rem 0; }}
figure.chart svg {{ max-width: 100%; height: auto; display: block; }}
.row {{ display: flex; flex-wrap: wrap; gap: .5rem 2rem; align-items: flex-start; }}
.row figure {{ margin: .4rem 0; }}
.caution {{ background: var(--warn); border-radius: .5rem; padding: .6rem 1rem; }}
figcaption, .under {{ color: var(--faint); font-size: .9rem; margin-top: .4rem; max-width: 46rem; }}
pre {{ background: var(--card); border-radius: .5rem; padding: .8rem 1rem; overflow-x: auto;
  font: 14px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }}
footer {{ margin-top: 3rem; color: var(--faint); font-size: .85rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
<footer>Made by posewright {version}.</footer>
</body>
</html>
"""


class Report:
    """A page built from top to bottom; every method returns the report, so that calls chain.

    Texts are plain text: nothing in them is taken for HTML.

    >>> Report("My model").lead("Trained on 40 pictures.").tiles({"PCK@0.2": "0.93"}).write("report.html")

    Args:
        title: the heading and the browser tab's name.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[str] = []

    def _add(self, part: str) -> Report:
        self._parts.append(part)
        return self

    def lead(self, text: str) -> Report:
        """The one or two sentences under the title that say what this is."""
        return self._add(f'<p class="lead">{html.escape(text)}</p>')

    def heading(self, text: str) -> Report:
        """The start of a section."""
        return self._add(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> Report:
        """Paragraphs; an empty line starts a new one."""
        return self._add("\n".join(f"<p>{html.escape(part)}</p>" for part in text.split("\n\n") if part.strip()))

    def tiles(self, figures: Mapping[str, Any]) -> Report:
        """The few figures that matter most, large, by name."""
        cells = "".join(f"<li><b>{_cell(v)}</b><span>{html.escape(k)}</span></li>" for k, v in figures.items())
        return self._add(f'<ul class="tiles">{cells}</ul>')

    def table(self, rows: Sequence[Row], caption: str = "", *, strong: Sequence[int] = ()) -> Report:
        """A table.

        Args:
            rows: one mapping a row, column name to value; the columns are those of all rows in order of appearance. A
                missing value or NaN shows as a dash; floats show with three decimals, text as it is.
            caption: stands under the table.
            strong: indices of rows to set off (sums, the best one); negative ones count from the end.
        """
        columns, numeric = columns_of(rows)
        marked = {i % len(rows) for i in strong} if rows else set()

        def cells(tag: str, values: Sequence[str]) -> str:
            kinds = [' class="number"' if c in numeric else "" for c in columns]
            return "".join(f"<{tag}{kind}>{value}</{tag}>" for kind, value in zip(kinds, values, strict=True))

        body = "\n".join(
            f"<tr{' class=strong' if i in marked else ''}>{cells('td', [_cell(r.get(c)) for c in columns])}</tr>"
            for i, r in enumerate(rows)
        )
        head = cells("th", [html.escape(c) for c in columns])
        under = f"<caption>{html.escape(caption)}</caption>" if caption else ""
        return self._add(
            f'<div class="scroll"><table>{under}<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
        )

    def figure(self, content: str | Path | NDArray[np.uint8], caption: str = "", *, width: int | None = None) -> Report:
        """A picture or a short video with a caption.

        Args:
            content: a file whose ending is in :data:`TYPES`, or ``uint8 [H, W, 3]`` RGB (or ``[H, W]`` grey), which is
                stored as PNG.
            caption: stands under it and is the picture's description for who cannot see it.
            width: pixels on the page; its own width, at most the page's, where None.

        Raises:
            PosewrightError: where the file cannot be read or is of another kind.
        """
        kind, data = _content(content)
        source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
        size = f' width="{int(width)}"' if width else ""
        words = html.escape(caption)
        if kind.startswith("video/"):
            shown = f'<video src="{source}"{size} controls loop muted playsinline aria-label="{words}"></video>'
        else:
            shown = f'<img src="{source}"{size} alt="{words}">'
        under = f"<figcaption>{words}</figcaption>" if caption else ""
        return self._add(f"<figure>{shown}{under}</figure>")

    def caution(self, text: str) -> Report:
        """A sentence that nobody should overlook."""
        return self._add(f'<p class="caution">{html.escape(text)}</p>')

    def charts(self, *drawn: str, caption: str = "") -> Report:
        """Charts of :mod:`posewright.reports.charts` side by side, as far as the page is wide, with one caption."""
        parts = "".join(f'<figure class="chart">{svg}</figure>' for svg in drawn)
        under = f'<p class="under">{html.escape(caption)}</p>' if caption else ""
        return self._add(f'<div class="row">{parts}</div>{under}')

    def code(self, text: str) -> Report:
        """Commands or a file's content, as they are."""
        return self._add(f"<pre>{html.escape(text)}</pre>")

    def __str__(self) -> str:
        from posewright import __version__

        return _PAGE.format(title=html.escape(self.title), body="\n".join(self._parts), version=__version__)

    def write(self, path: str | Path) -> Path:
        """Write the page whole or not at all; return its path."""
        return write_text(path, str(self))


def _cell(value: Any) -> str:
    return html.escape(cell_text(value))


def _content(content: str | Path | NDArray[np.uint8]) -> tuple[str, bytes]:
    """(MIME type, bytes) of what a figure shows."""
    if isinstance(content, np.ndarray):
        if content.dtype != np.uint8 or content.ndim not in (2, 3):
            raise ValueError(f"a figure is uint8 [H, W, 3] or [H, W], not {content.dtype} {content.shape}")
        from posewright.media.pictures import encode_picture

        data = encode_picture(content, ".png")
        if data is None:
            raise ValueError(f"a figure of shape {content.shape} cannot be encoded")
        return "image/png", data
    path = Path(content)
    kind = TYPES.get(path.suffix.lower())
    if kind is None:
        raise PosewrightError("cannot be shown in a report", file=path, fix="It takes " + ", ".join(TYPES))
    try:
        return kind, path.read_bytes()
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
