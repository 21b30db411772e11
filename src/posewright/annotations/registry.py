"""The formats posewright reads and writes. One module adds a format: it builds a ``Format`` and calls ``register``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from posewright.annotations.json_file import load_json, no_collection
from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError, did_you_mean
from posewright.skeleton import Skeleton

MODULES = (
    "coco",
    "hourglass_json",
    "lsp_mat",
    "pts300w",
    "mpii_mat",
    "mpii_json",
    "animal_pose",
    "animal_pose_xml",
    "cvat_xml",
    "cpm_labels",
    "cpm_tfrecord",
    "yolo",
    "labelme",
    "labelstudio",
    "deeplabcut",
    "deepposekit",
    "sleap",
    "plain_json",
    "plain_csv",
    "packed",
)
"""Modules of this package that register a format, in the order in which they are asked whether a source is theirs."""


LOOKED_AT = 40
"""Entries of a folder in no format that are looked at for labels, to say which could be meant."""


@dataclass
class ReadOptions:
    """What a reader may be told.

    Attributes:
        skeleton: overrides or supplies what the format does not say.
        images: folder of the pictures where they do not lie beside the labels.
        skip_bad: leave bad records out instead of stopping at the first; each is added to ``skipped``.
        flags: for formats whose visibility flag has two readings: "labelled" or "hidden".
        category: the kind of object to read where the labels hold several with keypoints of their own.
        extract: folder to make for the pictures that lie inside a label file (``Format.embedded``); None where nobody
            said that anything may be written.
        skipped: one line for each record or keypoint left out, filled by the reader; worth showing to the user.
    """

    skeleton: Skeleton | None = None
    images: Path | None = None
    skip_bad: bool = False
    flags: str | None = None
    category: str | None = None
    extract: Path | None = None
    skipped: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.flags not in (None, "labelled", "hidden"):
            fix = "A flag of 1 means either that the keypoint is labelled, or that it is hidden"
            raise PosewrightError(f"flags '{self.flags}' is neither labelled nor hidden", fix=fix)

    def bad(self, error: PosewrightError) -> None:
        """Raise, or with ``skip_bad`` note the record and go on."""
        if not self.skip_bad:
            fix = error.fix or "Mend it, or leave bad records out with --skip-bad"
            raise PosewrightError(error.what, file=error.file, record=error.record, fix=fix) from None
        self.skipped.append(str(error))


@dataclass(frozen=True)
class Format:
    """One annotation format.

    Attributes:
        name: what ``--format`` and ``--to`` take.
        title: one line for people.
        detect: whether a file or folder is in this format; must be cheap and must not raise.
        read: (source, options) to Annotations.
        write: (annotations, target) to the list of files written, or None where the format is only read. Must write to
            a temporary name and rename.
        losses: what of these annotations the format has no place for, one line each, for people.
        asks_flags: whether the format obeys ``ReadOptions.flags``.
        asks_category: whether the format obeys ``ReadOptions.category``.
        embedded: whether the pictures lie inside the label file; the reader then writes them into ``ReadOptions.extract``.
        frames: what writing does with frames of videos: "named" as such, which posewright reads again; "copied" into the
            target, like all pictures, after they were written as pictures; "refused" until they were.
    """

    name: str
    title: str
    detect: Callable[[Path], bool]
    read: Callable[[Path, ReadOptions], Annotations]
    write: Callable[[Annotations, Path], list[Path]] | None = None
    losses: Callable[[Annotations], list[str]] = lambda annotations: []
    asks_flags: bool = False
    asks_category: bool = False
    embedded: bool = False
    frames: Literal["named", "copied", "refused"] = "refused"


_FORMATS: dict[str, Format] = {}


def register(fmt: Format) -> Format:
    if fmt.name in _FORMATS:
        raise ValueError(f"format '{fmt.name}' is registered twice")
    _FORMATS[fmt.name] = fmt
    return fmt


def formats() -> dict[str, Format]:
    """All formats by name."""
    for module in MODULES:
        importlib.import_module(f"posewright.annotations.{module}")
    return _FORMATS


def get_format(name: str) -> Format:
    """The format of that name.

    Raises:
        PosewrightError: where there is none, with the nearest name.
    """
    known = formats()
    if name not in known:
        raise PosewrightError(f"unknown annotation format '{name}'", fix=did_you_mean(name, known))
    return known[name]


def find_format(source: Path) -> Format:
    """The one format that recognises a file or folder.

    Raises:
        PosewrightError: where none or several do.
    """
    if not source.exists():
        raise PosewrightError("does not exist", file=source)
    if source.is_file() and source.stat().st_size == 0:
        raise PosewrightError("is empty", file=source)
    found = [f for f in formats().values() if f.detect(source)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(f.name for f in found)
        raise PosewrightError(f"could be any of {names}", file=source, fix="Say which with --format")
    if source.suffix.lower() == ".zip" and source.is_file():
        raise PosewrightError("is an archive", file=source, fix="Unpack it and give the folder")
    if source.suffix.lower() == ".json" and source.is_file():
        content = load_json(source)  # says it better where the file is not JSON at all
        if isinstance(content, dict) and {"skeletons", "videos", "labels"} <= set(content):
            fix = "Open it in SLEAP and save it as .slp, which is read"
            raise PosewrightError("is a project that SLEAP saved as JSON", file=source, fix=fix)
    inside = _labels_inside(source) if source.is_dir() else []
    if inside:
        fix = f"Name one of them: {', '.join(inside)}"
        raise PosewrightError("holds labels, but is in no annotation format itself", file=source, fix=fix)
    names = ", ".join(formats())
    raise PosewrightError("is in no annotation format known here", file=source, fix=f"Name one with --format ({names})")


def _labels_inside(folder: Path) -> list[str]:
    """The first entries of a folder that are labels of some format, with its name."""
    found = []
    for path in sorted(folder.iterdir())[:LOOKED_AT]:
        names = [] if path.name.startswith(".") else [f.name for f in formats().values() if f.detect(path)]
        found += [f"{path.name} ({' or '.join(names)})"] if names else []
    return found[:5]


def read_annotations(source: str | Path, format: str | None = None, options: ReadOptions | None = None) -> Annotations:
    """Read labels from a file or folder in any known format.

    Args:
        source: the file or folder.
        format: a format's name; found from the source where None.
        options: see :class:`ReadOptions`.

    Raises:
        PosewrightError: naming the file and the record that cannot be used.
    """
    path, options = Path(source), options or ReadOptions()
    if not path.exists():
        raise PosewrightError("does not exist", file=path)
    fmt = get_format(format) if format else find_format(path)
    if options.flags and not fmt.asks_flags:
        raise PosewrightError(f"format {fmt.name} says itself what its flags mean: leave --flags out", file=path)
    if options.category and not fmt.asks_category:
        what = f"format {fmt.name} holds one kind of object: leave --category out"
        raise PosewrightError(what, file=path)
    with no_collection():
        return fmt.read(path, options)
