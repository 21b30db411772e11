"""Picture paths that mean another place: absolute ones of the machine that labelled, addresses on a server.

No such path is followed. It is cut to the tail under which the picture lies in the pictures' folder here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from posewright.annotations.pictures import find_root, storable

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_SERVED = re.compile(r"/data/local-files/?\?d=([^&]+)")
"""Label Studio's address of a file that lies on its own machine."""
DEPTH = 24
"""How many leading folders may be cut off."""


def is_foreign(name: str) -> bool:
    """Whether a path starts at a root, a drive, a server or above the pictures' folder."""
    path = name.replace("\\", "/")
    return path.startswith(("/", "../")) or bool(re.match(r"[A-Za-z]:", path) or _ADDRESS.match(path))


def _parts(name: str) -> tuple[str, ...]:
    """The folders and the file name of a foreign path, without its root, query or leading ``..``."""
    path = name.replace("\\", "/")
    served = _SERVED.match(path)
    if served:
        path = unquote(served.group(1))
    elif _ADDRESS.match(path):
        try:
            path = unquote(urlsplit(path).path)
        except ValueError:
            return ()
    parts = [part for part in re.sub(r"^[A-Za-z]:", "", path).split("/") if part not in ("", ".")]
    while parts and parts[0] == "..":
        del parts[0]
    return tuple(parts)


def local_paths(
    names: Sequence[str], folders: Sequence[Path], there: Callable[[Path], bool] | None = None
) -> list[str]:
    """The paths with foreign ones cut to the longest tail under which any of them is found in one of the folders.

    ``there`` tells whether a path is what is looked for, where that is not a picture's file.

    Where none is found, what all foreign ones begin with is cut off. Names stay apart: nothing is cut that they differ
    by. One that nothing is left of, or that still climbs, stays as it is, for ``relative_path`` to refuse.
    """
    rows = {i: _parts(name) for i, name in enumerate(names) if is_foreign(name)}
    rows = {i: parts for i, parts in rows.items() if parts and ".." not in parts and storable("/".join(parts))}
    rows = {i: parts for i, parts in rows.items() if min(map(ord, "".join(parts))) >= 32}
    if not rows:
        return list(names)
    apart = len(set(rows.values()))

    def tails(cut: int) -> dict[int, str]:
        return {i: "/".join(parts[min(cut, len(parts) - 1) :]) for i, parts in rows.items()}

    levels = zip(*(parts[:-1] for parts in rows.values()))
    chosen = tails(sum(1 for _ in takewhile(lambda folders: len(set(folders)) == 1, levels)))
    for cut in range(min(DEPTH, max(map(len, rows.values())))):
        option = tails(cut)
        if len(set(option.values())) == apart and find_root(list(option.values()), folders, there) is not None:
            chosen = option
            break
    return [chosen.get(i, name) for i, name in enumerate(names)]
