"""Where things are kept that can be had again: the user's cache folder."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

FOLDER = "POSEWRIGHT_CACHE"
"""Environment variable with the folder; the system's place for caches unless set."""


def cache_folder(name: str) -> Path:
    """The folder for one kind of thing in the user's cache; it need not exist, and may be deleted at any time."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named) / name
    home = Path(os.path.expanduser("~"))  # noqa: PTH111  Path.home() raises where there is none
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    if not os.access(base if base.exists() else base.parent, os.W_OK):
        base = Path(tempfile.gettempdir())
    return base / "posewright" / name
