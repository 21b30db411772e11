"""The list of hard objects that ``posewright mine`` writes and ``posewright train --hard`` reads.

A CSV file, one row an object: ``image`` and ``object`` name it, the latter counted from 0 among the objects of its picture;
``weight`` is how often a pass over the data shows it. What else a row holds is for people.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.files import write_text

NEEDED = ("image", "object", "weight")
FITS = 0.5
"""At least this share of a list's rows must name objects of the data; the others may have been taken out as bad."""


def places(annotations: Annotations) -> list[tuple[str, int]]:
    """How a list names each object: its picture (``path`` or ``path#frame``), and its number there."""
    seen: dict[int, int] = {}
    named = []
    for row in annotations.image.tolist():
        im = annotations.images[row]
        named.append((im.path if im.frame is None else f"{im.path}#{im.frame}", seen.setdefault(row, 0)))
        seen[row] += 1
    return named


def write_hard(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows, which hold at least ``image``, ``object`` and ``weight``."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return write_text(path, text.getvalue())


def read_hard(path: str | Path, annotations: Annotations) -> NDArray[np.float64]:
    """The weight of every object, ``[N]``: its row's, and 1 where the list does not name it.

    Args:
        path: the list.
        annotations: the set that is trained on, held-out pictures included, so that a list of all of it fits.

    Raises:
        PosewrightError: where the file cannot be read, a row is wrong, or most rows name no object of this set.
    """
    path = Path(path)
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = (error.strerror if isinstance(error, OSError) else None) or "is no CSV file"
        raise PosewrightError(what, file=path, fix="Make one: posewright mine MODEL DATA -o OUT") from None
    if not rows or any(name not in rows[0] for name in NEEDED):
        raise PosewrightError(
            f"is no list of hard objects: it needs the columns {', '.join(NEEDED)}",
            file=path,
            fix="Make one: posewright mine MODEL DATA -o OUT",
        )
    index = {place: i for i, place in enumerate(places(annotations))}
    weights = np.ones(len(annotations))
    strange = []
    for number, row in enumerate(rows, 2):
        try:
            place, weight = (str(row["image"]), int(row["object"])), float(row["weight"])
        except (TypeError, ValueError):
            weight = np.nan
        if not (np.isfinite(weight) and weight >= 0):
            what = "needs a whole number for object and a weight of at least 0"
            raise PosewrightError(what, file=path, record=f"line {number}")
        if place in index:
            weights[index[place]] = weight
        else:
            strange.append(place)
    if len(strange) > FITS * len(rows):
        image, number = strange[0]
        raise PosewrightError(
            f"is a list of other data: {len(strange)} of its {len(rows)} rows name no object of "
            f"{annotations.source or 'this set'}, such as object {number} on image '{image}'",
            file=path,
            fix="Mine the data that you train on",
        )
    return weights
