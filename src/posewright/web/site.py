"""A web page of one's own model: a static folder that any server can serve, ``posewright export MODEL --web FOLDER``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata, resources, util
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError
from posewright.files import whole_folder
from posewright.web.site_runtime import INTEGRITY, PACKAGE, VERSION, runtime_files

MANIFEST = "files.json"
MODEL, ABOUT = "model.onnx", "model.json"
RUNTIME = "runtime"
"""Folder of the files of :mod:`posewright.web.site_runtime`."""


@dataclass(frozen=True)
class Site:
    """What was written.

    Attributes:
        folder: where.
        name: what the page calls the model.
        files: how many files.
        size: their bytes.
        terms: what the model file says of its training data's terms.
    """

    folder: Path
    name: str
    files: int
    size: int
    terms: str = ""

    @property
    def serving(self) -> str:
        """A command that serves it on this machine."""
        text = str(self.folder)
        quoted = text if re.fullmatch(r"[\w./:\\-]+", text) else f'"{text}"'
        return f"python -m http.server --bind 127.0.0.1 -d {quoted} 8000"


def write_site(model: str | Path, folder: str | Path, *, name: str = "", runtime: Path | None = None) -> Site:
    """Write the page of a model.

    The folder holds the page, the model file, ``model.json`` (what the model file says of itself), onnxruntime-web, the
    licences, and ``files.json`` with the sha256 digest of every other file. It is the same for the same model.

    Args:
        model: an ONNX model file of kind "keypoints" with keypoints among its outputs.
        folder: made; one that holds an older page and nothing else is replaced.
        name: what the page calls the model; the file's name unless given, or the run's.
        runtime: onnxruntime-web's package, for machines without npm.

    Raises:
        PosewrightError: where the model cannot run on a page, the folder holds something else or cannot be written, or
            onnxruntime-web cannot be had.
    """
    model, folder = Path(model), Path(folder)
    name = name or (model.resolve().parent.name if model.stem == "model" else model.stem)
    target = folder.resolve()
    _check_target(target, folder)
    content = _readable(model)
    about = _about(model, content, name)
    files = {f.name: f.read_bytes() for f in _page_files()}
    licence = files.pop("runtime-license.txt")
    files |= {MODEL: content, ABOUT: _json(about)}
    files |= {f"{RUNTIME}/{own}": data for own, data in runtime_files(runtime).items()}
    files |= {f"{RUNTIME}/LICENSE.txt": licence, **_notices(about["posewright"]["terms"])}
    listed = {own: {"sha256": _digest(data), "bytes": len(data)} for own, data in sorted(files.items())}
    files[MANIFEST] = _json(
        {
            "made_by": f"posewright {metadata.version('posewright')}",
            "runtime": {"package": PACKAGE, "version": VERSION, "integrity": INTEGRITY},
            "files": listed,
        }
    )
    with whole_folder(target) as temporary:
        for own, data in files.items():
            path = temporary / own
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
    return Site(folder, name, len(files), sum(map(len, files.values())), about["posewright"]["terms"])


def _check_target(target: Path, folder: Path) -> None:
    """Refuse a folder whose content would be lost."""
    if not target.exists():
        return
    if not target.is_dir():
        raise PosewrightError("is a file, not a folder", file=folder)
    if target in (Path.cwd(), *Path.cwd().parents):
        raise PosewrightError("is the folder you are in, or above it", file=folder, fix="Name a new one, such as site/")
    foreign = sorted(_names(target) - _own_names(target))
    if foreign:
        what = f"holds something else than an older page, such as '{foreign[0]}'"
        raise PosewrightError(what, file=folder, fix="Name a new folder")


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()}


def _own_names(folder: Path) -> set[str]:
    """The names of the files that an older page's manifest lists, and its own; none where there is no manifest."""
    try:
        listed = json.loads((folder / MANIFEST).read_bytes())
        return {MANIFEST, *listed["files"]} if str(listed["made_by"]).startswith("posewright ") else set()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return set()


def _about(model: Path, content: bytes, name: str) -> dict[str, Any]:
    """What the page has to know of the model; the file is loaded once to see that it is what it says."""
    from posewright.runtime.graph import read_graph
    from posewright.runtime.modelfile import read_info, require_kind
    from posewright.runtime.predictor import load

    info = read_info(model)
    require_kind(info, "keypoints", model)
    if "keypoints" not in info.outputs:
        fix = "Export it again with --outputs keypoints"
        raise PosewrightError("returns heat maps only, and the page does not decode them", file=model, fix=fix)
    load(model, device="cpu", threads=1)
    first = next(iter(read_graph(model).inputs.values())).partition("[")[2].partition(",")[0]
    return {
        "name": name,
        "file": MODEL,
        "bytes": len(content),
        "sha256": _digest(content),
        "batch": int(first) if first.isdecimal() else None,
        "runtime": f"{PACKAGE} {VERSION}",
        "posewright": json.loads(info.to_json()),
    }


def _readable(model: Path) -> bytes:
    if model.suffix.lower() != ".onnx":
        fix = "Make an ONNX file of it: posewright export MODEL"
        raise PosewrightError("is no ONNX file, and pages run nothing else", file=model, fix=fix)
    try:
        return model.read_bytes()
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=model) from None


def _page_files() -> Iterable[Any]:
    return (f for f in (resources.files("posewright.web") / "site_page").iterdir() if f.is_file())


def _notices(terms: str) -> dict[str, bytes]:
    """Whose all this is, and the texts of the licences that are installed here."""
    about = [
        "The page (index.html and the scripts and styles beside it) is part of posewright, under the Apache License 2.0;",
        "see LICENSE.txt where it lies here.",
        f"The folder {RUNTIME}/ is onnxruntime-web, under the MIT licence; see {RUNTIME}/LICENSE.txt, and",
        f"{RUNTIME}/ThirdPartyNotices.txt where it lies there.",
        f"The model ({MODEL}): {terms or 'its terms are not stated'}",
    ]
    texts = {"NOTICE.txt": ("\n".join(about) + "\n").encode()}
    try:
        found = [f for f in metadata.files("posewright") or () if f.name == "LICENSE"]
        texts |= {"LICENSE.txt": found[0].read_binary()} if found else {}
    except (OSError, metadata.PackageNotFoundError):
        pass
    # The engine's build for Python is made of the same parts as the one for browsers.
    installed = util.find_spec("onnxruntime")
    if installed is not None and installed.origin:
        notices = Path(installed.origin).with_name("ThirdPartyNotices.txt")
        if notices.is_file():
            texts[f"{RUNTIME}/ThirdPartyNotices.txt"] = notices.read_bytes()
    return texts


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
