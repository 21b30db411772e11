"""The convolutional pose machines' ``labels.txt`` beside ``imgs/``, read and written; also folders of such folders
(``dataset/person_1/``, ...), one group each.

One object a line, in columns parted by spaces, and there are two conventions:

- ``cpm-labels``, what the system's script reads: name, box x y x y, two columns that it ignores, x y of the **last**
  joint, x y of the others: 7 + 2 K columns, 49 for its 21 joints.
- ``cpm-labels-readme``, what its README says: name, box y x y x, then y x of each joint: 5 + 2 K columns, 47 for 21.

They are told apart by the number of columns, and checked against the sizes of the pictures: a convention that puts
points outside its pictures, where the other does not, is out. Where that leaves both or none, ``--format`` has to say
it. Files that posewright writes say it in their first line.

Origin: pixel indices, (0, 0) at the centre of the first pixel. The box is a slice of rows and columns, so that its
second corner is the first pixel outside: as edges, both corners lie half a pixel less. Corners may come in any order.

Visibility: the format has none, and every joint is visible. -1 -1 stands for a joint that is not labelled: the script
draws no map for it, as it lies outside every box.

Joint order: ``cpm_joints.py``. Lines whose name does not end with jpg or png are no records, for the script too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.coco_write import DECIMALS
from posewright.annotations.cpm_joints import known_skeleton, skeleton_of, stored_order
from posewright.annotations.json_file import head
from posewright.annotations.losses import TEXT_FILES, lost, lost_of_skeleton
from posewright.annotations.pictures import (
    choose_root,
    emptied_images,
    fill_sizes,
    from_hint,
    join_roots,
    picture_hint,
    relative_path,
    without_images,
)
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.annotations.video_frames import refuse_frames
from posewright.errors import PosewrightError
from posewright.files import read_text, whole_file
from posewright.media.header import picture_size
from posewright.skeleton import Skeleton

Array = NDArray[np.float64]

NAME = "labels.txt"
ENDINGS = (".jpg", ".png")
EDGE = 0.5
MISSING = -1.0
_RECORD = re.compile(
    rb"^\S+\.(?:jpg|png)(?:[ \t]+[-+]?[\d.]+(?:[eE][-+]?\d+)?){7,}[ \t]*\r?$", re.MULTILINE | re.IGNORECASE
)
_OWN = re.compile(r"# posewright (script|readme) images=(.*)")
_SAMPLE = 64
"""Records that a convention is judged by, spread over the file."""


@dataclass(frozen=True)
class _Convention:
    name: str
    """What the first line of our files calls it."""
    before: int
    """Columns before the first of the 2 K of the joints."""
    y_first: bool
    last_first: bool
    """Whether the first joint's columns are those of the last joint."""

    def count(self, columns: int) -> int | None:
        """How many joints a line has, or None where no number of joints gives that many columns."""
        rest = columns - self.before
        return rest // 2 if rest >= 2 and rest % 2 == 0 else None

    def split(self, rows: Array) -> tuple[Array, Array]:
        """Numbers ``[N, columns - 1]`` -> boxes ``[N, 2, 2]`` by corners and joints ``[N, K, 2]``, (x, y) as stored."""
        corners = rows[:, :4].reshape(-1, 2, 2)
        joints = rows[:, self.before - 1 :].reshape(len(rows), (rows.shape[1] - self.before + 1) // 2, 2)
        if self.y_first:
            corners, joints = corners[..., ::-1], joints[..., ::-1]
        return np.sort(corners, 1), np.roll(joints, -1, 1) if self.last_first else joints


SCRIPT = _Convention("script", 7, False, True)
README = _Convention("readme", 5, True, False)
_CONVENTIONS = (SCRIPT, README)


@dataclass(frozen=True)
class _Line:
    file: Path
    number: int
    name: str
    numbers: list[str]

    @property
    def record(self) -> str:
        return f"line {self.number} ('{self.name}')"


# -- which file, which convention -------------------------------------------------------------------------------------


def _label_files(source: Path) -> list[Path]:
    if source.is_file():
        return [source] if source.suffix.lower() == ".txt" and _RECORD.search(head(source)) else []
    found = [source / NAME] if (source / NAME).is_file() else sorted(source.glob(f"*/{NAME}"))
    return [path for path in found if _RECORD.search(head(path))]


def _lines(path: Path) -> tuple[list[_Line], list[str], str | None]:
    """The records of a file, what was no record, and our own first line."""
    text = read_text(path)
    records, others = [], []
    rows = text.split("\n")
    own = rows[0].rstrip("\r") if _OWN.fullmatch(rows[0].rstrip("\r")) else None
    for number, row in enumerate(rows, 1):
        parts = row.split()
        if parts and parts[0].lower().endswith(ENDINGS):
            records.append(_Line(path, number, parts[0], parts[1:]))
        elif parts and not parts[0].startswith("#"):
            others.append(f"{path}: line {number}: its name does not end with jpg or png")
    return records, others, own


def _numbers(lines: list[_Line], columns: int) -> Array:
    """The numbers of lines of the same length, NaN in lines that do not hold numbers."""
    rows = np.full((len(lines), columns), np.nan)
    for i, line in enumerate(lines):
        try:
            rows[i] = [float(text) for text in line.numbers]
        except ValueError:
            continue
    return rows


def _usual(lines: list[_Line]) -> int:
    """The number of numbers that most lines have."""
    lengths = [len(line.numbers) for line in lines]
    return max(set(lengths), key=lengths.count)


def _contradicted(lines: list[_Line], columns: int, convention: _Convention, folders: list[Path]) -> bool:
    """Whether a reading puts more than one point in twenty outside the pictures, where these can be seen."""
    same = [line for line in lines if len(line.numbers) == columns]
    sample = same[:: max(1, len(same) // _SAMPLE)][:_SAMPLE]
    corners, joints = convention.split(_numbers(sample, columns))
    outside = seen = 0
    for i, line in enumerate(sample):
        try:
            name = relative_path(line.name, file=line.file, record=line.record)
            place = next(folder / name for folder in folders if (folder / name).is_file())
            size = np.array(picture_size(place), float)
        except (PosewrightError, StopIteration):
            continue
        points = np.concatenate([corners[i], joints[i][(joints[i] != MISSING).any(1)]])
        seen += len(points)
        outside += int((points > size).any(1).sum())
    return seen > 0 and outside > seen / 20


def _conventions(path: Path, told: Skeleton | None = None) -> list[_Convention]:
    """The conventions that a file can be in."""
    lines, _, own = _lines(path)
    if not lines:
        return []
    if own:
        return [SCRIPT if own.split()[2] == "script" else README]
    columns = _usual(lines)
    known = known_skeleton(path, told)
    expected = len(known) if known else 21
    fit = [c for c in _CONVENTIONS if c.count(columns + 1) == expected]
    fit = fit or [c for c in _CONVENTIONS if c.count(columns + 1)]
    folders = _folders(path, None)
    standing = [c for c in fit if not _contradicted(lines, columns, c, folders)]
    return standing or list(_CONVENTIONS)


def _detects(convention: _Convention, source: Path) -> bool:
    files = _label_files(source)
    try:
        # Several files are one set: what the first can be is what all of them are taken to be.
        return bool(files) and convention in _conventions(files[0])
    except PosewrightError:
        return False


def detect_script(source: Path) -> bool:
    """Whether ``source`` is such a file or folder and can be in the convention of the script."""
    return _detects(SCRIPT, source)


def detect_readme(source: Path) -> bool:
    """Whether ``source`` is such a file or folder and can be in the convention of the README."""
    return _detects(README, source)


# -- reading ----------------------------------------------------------------------------------------------------------


def _folders(path: Path, own: str | None) -> list[Path]:
    match = _OWN.fullmatch(own) if own else None
    hint = from_hint(match.group(2), path) if match else []
    return [*hint, path.parent / "imgs", path.parent / "images", path.parent]


def read_script(source: Path, options: ReadOptions) -> Annotations:
    """Read in the convention of the script.

    Raises:
        PosewrightError: naming the file and the line that cannot be used, or where nothing says what the joints are.
    """
    return _read(SCRIPT, source, options)


def read_readme(source: Path, options: ReadOptions) -> Annotations:
    """Read in the convention of the README; raises like :func:`read_script`."""
    return _read(README, source, options)


def _read(convention: _Convention, source: Path, options: ReadOptions) -> Annotations:
    files = _label_files(source) or [source / NAME if source.is_dir() else source]
    lines: list[_Line] = []
    roots: list[tuple[Path, list[str]]] = []
    for path in files:
        records, others, own = _lines(path)
        if own and own.split()[2] != convention.name:
            what = f"says in its first line that it is in the convention of the {own.split()[2]}"
            raise PosewrightError(what, file=path, fix="Leave --format out")
        options.skipped.extend(others)
        kept, names = [], []
        for line in records:
            try:
                names.append(relative_path(line.name, file=path, record=line.record))
                kept.append(line)
            except PosewrightError as error:
                options.bad(error)
        lines += kept
        told = options.images / path.parent.name if options.images and len(files) > 1 else options.images
        roots.append((choose_root(names, told, _folders(path, own), path)[0], names))
    if not lines:
        raise PosewrightError("holds no line with a jpg or png picture", file=files[0])
    columns = _usual(lines)
    count = convention.count(columns + 1)
    if count is None:
        what = f"has {columns + 1} columns, which is not {convention.before} and 2 a joint, as the {convention.name} has it"
        raise PosewrightError(what, file=files[0])
    skeleton = skeleton_of(files[0], count, known_skeleton(files[0], options.skeleton))
    root, paths = join_roots(roots)
    groups = [path.parent.name if len(files) > 1 else None for (_, names), path in zip(roots, files) for _ in names]
    return _table(
        convention, lines, [name for part in paths for name in part], groups, columns, skeleton, root, source, options
    )


def _table(
    convention: _Convention,
    lines: list[_Line],
    paths: list[str],
    groups: list[str | None],
    columns: int,
    skeleton: Skeleton,
    root: Path,
    source: Path,
    options: ReadOptions,
) -> Annotations:
    place: dict[str, int] = {}
    images: list[Image] = []
    for name, group in zip(paths, groups):
        if place.setdefault(name, len(images)) == len(images):
            images.append(Image(name, group=group))
    images, unreadable = fill_sizes(images, root, options.bad)
    good: list[int] = []
    for i, line in enumerate(lines):
        problem = _problem(line, columns)
        if problem:
            options.bad(PosewrightError(problem, file=line.file, record=line.record))
        else:
            good.append(i)
    corners, joints = convention.split(_numbers([lines[i] for i in good], columns))
    v = np.where((joints == MISSING).all(2), 0.0, 2.0)
    keypoints = np.empty((len(good), len(skeleton), 3))
    keypoints[:, stored_order(skeleton)] = np.concatenate([joints, v[..., None]], 2)

    def report(i: int, problem: str) -> None:
        line = lines[good[i]]
        options.bad(PosewrightError(problem, file=line.file, record=line.record))

    image = np.array([place[paths[i]] for i in good], np.int64)
    boxes = corners.reshape(-1, 4) - EDGE
    result = Annotations(skeleton, images, image, keypoints, boxes, root, source=str(source), report=report)
    return without_images(result, unreadable + emptied_images(result, range(len(images))))


def _problem(line: _Line, columns: int) -> str | None:
    if len(line.numbers) != columns:
        return f"has {len(line.numbers) + 1} columns, not {columns + 1} as most lines have"
    for text in line.numbers:
        try:
            float(text)
        except ValueError:
            return f"'{text[:30]}' is not a number"
    return None


# -- writing ----------------------------------------------------------------------------------------------------------


def write_script(annotations: Annotations, target: Path) -> list[Path]:
    """Write ``labels.txt`` as the system's script reads it, and beside it the text files that name the joints.

    Args:
        annotations: the labels; the pictures stay where they are (the script itself looks for them in ``imgs/``).
        target: a ``.txt`` file, or a folder, which gets ``labels.txt``.

    Returns:
        The files written, the labels first.

    Raises:
        PosewrightError: where a picture's name cannot stand in the file, or it cannot be written.
    """
    return _write(SCRIPT, annotations, target)


def write_readme(annotations: Annotations, target: Path) -> list[Path]:
    """Write ``labels.txt`` as the system's README describes it; otherwise like :func:`write_script`."""
    return _write(README, annotations, target)


def _write(convention: _Convention, a: Annotations, target: Path) -> list[Path]:
    path = target if target.suffix.lower() == ".txt" else target / NAME
    refuse_frames(a, "The format")
    for im in a.images:
        if len(im.path.split()) != 1 or not im.path.lower().endswith(ENDINGS):
            fix = "The format parts its columns by spaces and knows jpg and png: rename the picture"
            raise PosewrightError("cannot stand in this format", record=f"picture '{im.path}'", fix=fix)
    corners = (a.boxes + EDGE).reshape(-1, 2, 2)
    joints = a.keypoints[..., :2].round(DECIMALS)
    joints[(joints == MISSING).all(2), 0] -= 10.0**-DECIMALS  # else a joint at just that place would count as missing
    joints[~a.labelled] = MISSING
    joints = joints[:, stored_order(a.skeleton)]
    if convention.last_first:
        joints = np.roll(joints, 1, 1)
        joints = np.concatenate([np.zeros((len(joints), 1, 2)), joints], 1)  # the two columns that the script ignores
    points = np.concatenate([corners, joints], 1)
    if convention.y_first:
        points = points[..., ::-1]
    rows = points.reshape(len(points), points.shape[1] * 2).round(DECIMALS).tolist()
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"# posewright {convention.name} images={picture_hint(a.root, path)}\n")
        for place, row in zip(a.image.tolist(), rows):
            file.write(
                " ".join([a.images[place].path, *(f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".") for value in row)])
            )
            file.write("\n")
        texts = a.skeleton.to_files(path.parent, path.stem)
    return [path, *texts]


def losses(a: Annotations) -> list[str]:
    """What the format has no place for."""
    kept = ("crowds", "outlines", "areas", "tracks", "weights", "head sizes", "terms")
    return lost(a, "empty", "hidden", "splits", "groups", *kept) + lost_of_skeleton(a.skeleton, *TEXT_FILES)


register(
    Format(
        "cpm-labels",
        "labels.txt beside imgs/ as the pose machines' script reads it: x first, the last joint's columns first",
        detect_script,
        read_script,
        write_script,
        losses,
    )
)
register(
    Format(
        "cpm-labels-readme",
        "labels.txt beside imgs/ as the pose machines' README describes it: y first",
        detect_readme,
        read_readme,
        write_readme,
        losses,
    )
)
