"""DeepLabCut projects: a folder with ``config.yaml`` and ``labeled-data/<video>/CollectedData_<scorer>.csv`` or ``.h5``; also one
such table, or a folder with ``CollectedData*.csv`` and ``labeled-data`` but no config, as Lightning Pose lays it out.

Origin: the labelling tools (matplotlib, napari) put (0, 0) at the first pixel's centre, as posewright does.

Visibility: DeepLabCut knows no hidden keypoints. A labelled one counts as visible; an empty cell is not labelled. A picture
without a single label is one that nobody has labelled yet, and is left out.

Boxes come from the keypoints, with ``BOX_MARGIN``; in a multi-animal project one for each individual. Its unique body parts
(those of the individual "single") belong to no animal and are left out. The individual is the track id where the
project says ``identity: true``. The video folder is the group. Of Lightning Pose's files, ``CollectedData_new.csv``
(videos kept apart) is the test split.

The CSV is taken where both files are there, so that h5py is needed only where the h5 lies alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from posewright.annotations.deeplabcut_table import Table, is_table, read_table
from posewright.annotations.deeplabcut_write import losses, write
from posewright.annotations.keypoints import boxes_from_keypoints
from posewright.annotations.pictures import choose_root, emptied_images, fill_sizes, relative_path, without_images
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.annotations.yaml_file import load_yaml
from posewright.errors import PosewrightError, did_you_mean
from posewright.sides import swaps_from_names
from posewright.skeleton import Skeleton

SINGLE = "single"
"""The individual that a multi-animal project's unique body parts belong to."""
STEM = "CollectedData"


@dataclass(frozen=True)
class _Project:
    """What a project's config says; without one, all is empty.

    Attributes:
        name: the project's task.
        parts: body parts of an animal, in order.
        links: pairs of names, as they stand.
        identity: whether an individual is the same animal in every picture.
    """

    name: str = "deeplabcut"
    scorer: str = ""
    parts: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    identity: bool = False


def detect(source: Path) -> bool:
    """Whether ``source`` is a table of labels, a project's config, or a project's folder with either."""
    try:
        if source.is_file():
            return _is_config(source) or is_table(source)
        below = source.glob("labeled-data/*/")
        return _is_config(source / "config.yaml") or any(
            is_table(path) for folder in (source, *below) for path in _in_folder(folder)
        )
    except OSError:
        return False


def _is_config(path: Path) -> bool:
    return path.name == "config.yaml" and path.is_file() and (path.parent / "labeled-data").is_dir()


def _in_folder(folder: Path) -> list[Path]:
    """The tables right in a folder; the CSV where there are two of a name."""
    found = {path.stem: path for ending in (".h5", ".csv") for path in folder.glob(f"{STEM}*{ending}")}
    return [found[stem] for stem in sorted(found)]


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read a project, a folder or one table.

    With ``--images`` the pictures' paths start in that folder. A skeleton that is given chooses keypoints by name.

    Raises:
        PosewrightError: naming the file and the row that cannot be used.
    """
    config = source if source.name == "config.yaml" else source / "config.yaml"
    project = _project(config, options) if config.is_file() else _Project()
    files = _tables(config.parent, project) if config.is_file() or source.is_dir() else [source]
    if source.is_file() and config != source:
        beside = source.resolve().parent.parent.parent / "config.yaml"
        project = _project(beside, options) if _is_config(beside) else project
    tables = [(file, read_table(file, options.bad)) for file in files]
    skeleton = _skeleton(tables, project, options)
    rows = _Rows(skeleton, options, project.identity)
    for file, table in tables:
        rows.add(file, table)
    candidates = [files[0].parent, *files[0].absolute().parents[2:3]]
    if config.is_file():
        candidates.insert(0, config.parent)
    root, _ = choose_root([im.path for im in rows.images], options.images, candidates, source)
    images, unreadable = fill_sizes(rows.images, root, options.bad)

    def report(i: int, problem: str) -> None:
        options.bad(PosewrightError(problem, file=rows.files[i], record=f"picture '{images[rows.image[i]].path}'"))

    keypoints = np.array(rows.keypoints).reshape(-1, len(skeleton), 3)
    result = Annotations(
        skeleton,
        images,
        np.array(rows.image, int),
        keypoints,
        boxes_from_keypoints(keypoints),
        root,
        track=np.array(rows.track, int),
        source=str(source),
        report=report,
    )
    return without_images(result, sorted({*unreadable, *emptied_images(result, rows.image)}))


def _tables(root: Path, project: _Project) -> list[Path]:
    """The tables to read: those of the project's scorer in each video's folder, else those in the folder itself."""
    files = []
    below = root / "labeled-data"
    for folder in sorted(p for p in below.iterdir() if p.is_dir()) if below.is_dir() else []:
        found = _in_folder(folder)
        mine = [path for path in found if path.stem == f"{STEM}_{project.scorer}"] or found
        if len(mine) > 1:
            names = ", ".join(path.name for path in mine)
            raise PosewrightError(f"holds several tables ({names})", file=folder, fix="Give the one to read")
        files += mine
    if not files:
        files = _in_folder(root)
        kept = [path for path in files if path.stem != f"{STEM}_new"]
        if len(kept) > 1:
            names = ", ".join(path.name for path in kept)
            raise PosewrightError(f"holds several tables ({names})", file=root, fix="Give the one to read")
    if not files:
        raise PosewrightError(f"holds no {STEM} file: nothing is labelled yet", file=root)
    return files


# -- the config --------------------------------------------------------------------------------------------------------


def _project(path: Path, options: ReadOptions) -> _Project:
    settings = load_yaml(path)
    several = _yes(settings.get("multianimalproject"))
    key = "multianimalbodyparts" if several else "bodyparts"
    parts = settings.get(key)
    if not isinstance(parts, list) or not parts or not all(isinstance(part, str) and part for part in parts):
        raise PosewrightError(f"has no list '{key}'", file=path)
    chains = settings.get("skeleton") or []
    links: dict[tuple[str, str], None] = {}
    for chain in chains if isinstance(chains, list) else []:
        if isinstance(chain, list) and all(isinstance(name, str) for name in chain):
            links.update(dict.fromkeys(pairwise(chain)))
    strange = sorted({name for link in links for name in link} - set(parts))
    if strange:
        options.skipped.append(f"{path}: links of the skeleton to '{strange[0]}', which is no body part")
    known = tuple(link for link in links if set(link) <= set(parts) and link[0] != link[1])
    name, scorer = (str(settings.get(key) or "").strip() for key in ("Task", "scorer"))
    return _Project(name or "deeplabcut", scorer, tuple(parts), known, _yes(settings.get("identity")))


def _yes(value: Any) -> bool:
    return value is True or (isinstance(value, str) and value.lower() in ("true", "yes", "on"))


def _skeleton(tables: Sequence[tuple[Path, Table]], project: _Project, options: ReadOptions) -> Skeleton:
    """The keypoints by name: as told, as the config has them, or in the order of the first table."""
    found = list(dict.fromkeys(part for _, table in tables for part in _animal_parts(table)))
    wanted = options.skeleton.keypoints if options.skeleton else project.parts or tuple(found)
    missing = [name for name in wanted if name not in found]
    if missing:
        what = f"no table has a column for '{missing[0]}'"
        raise PosewrightError(what, file=tables[0][0], fix=did_you_mean(missing[0], found))
    left = [name for name in found if name not in wanted]
    if left:
        options.skipped.append(f"{tables[0][0]}: body part '{left[0]}', which is none of the skeleton's")
    if options.skeleton:
        return options.skeleton
    names = tuple(wanted)
    links = tuple((names.index(a), names.index(b)) for a, b in project.links)
    try:
        return Skeleton(project.name, names, swaps_from_names(names), (), links)
    except PosewrightError as error:
        raise PosewrightError(error.what, file=tables[0][0]) from None


def _individuals(table: Table) -> list[str]:
    """Each individual once, without the one that stands for unique body parts (unless it is all there is)."""
    names = list(dict.fromkeys(individual for individual, _ in table.parts))
    return [name for name in names if name != SINGLE] or names


def _animal_parts(table: Table) -> list[str]:
    animals = set(_individuals(table))
    return list(dict.fromkeys(part for individual, part in table.parts if individual in animals))


class _Rows:
    """The tables of annotations as they grow, table by table."""

    def __init__(self, skeleton: Skeleton, options: ReadOptions, identity: bool) -> None:
        self.skeleton, self.options, self.identity = skeleton, options, identity
        self.images: list[Image] = []
        self.image: list[int] = []
        self.keypoints: list[Any] = []
        self.track: list[int] = []
        self.files: list[Path] = []
        self._seen: set[str] = set()
        self._animals: dict[str, int] = {}

    def add(self, file: Path, table: Table) -> None:
        individuals = _individuals(table)
        unique = [part for individual, part in table.parts if individual not in individuals]
        if unique:
            self.options.skipped.append(f"{file}: unique body parts ('{unique[0]}', ...), which belong to no animal")
        place = {pair: i for i, pair in enumerate(table.parts)}
        # A part that an individual lacks is taken from a column of NaN behind the others.
        columns = np.array(
            [[place.get((who, name), len(place)) for name in self.skeleton.keypoints] for who in individuals]
        )
        padded = np.concatenate([table.points, np.full((len(table.rows), 1, 2), np.nan)], 1)
        empty = 0
        for name, points in zip(table.rows, padded[:, columns]):
            known = ~np.isnan(points)
            if not known.any():
                empty += 1
                continue
            try:
                path = self._path(name, file)
                if (known[..., 0] != known[..., 1]).any():
                    part = self.skeleton.keypoints[np.argwhere(known[..., 0] != known[..., 1])[0][1]]
                    raise PosewrightError(f"'{part}' has x or y only", file=file, record=f"picture '{name}'")
            except PosewrightError as error:
                self.options.bad(error)
                continue
            self._seen.add(path)
            split = "test" if file.stem == f"{STEM}_new" else None
            self.images.append(Image(path, split=split, group=path.rpartition("/")[0] or None))
            self._objects(file, individuals, points, known[..., 0])
        if empty:
            self.options.skipped.append(f"{file}: {empty} pictures without a single label")

    def _objects(self, file: Path, individuals: list[str], points: Any, known: Any) -> None:
        for who, xy, there in zip(individuals, points, known):
            if there.any():
                self.image.append(len(self.images) - 1)
                self.keypoints.append(np.column_stack([np.where(there[:, None], xy, 0), np.where(there, 2, 0)]))
                number = self._animals.setdefault(who, len(self._animals))
                self.track.append(number if self.identity else -1)
                self.files.append(file)

    def _path(self, name: str, file: Path) -> str:
        """The picture's path from the project's folder, which an absolute one of another machine is cut down to."""
        parts = name.split("/")
        if "labeled-data" in parts:
            parts = parts[parts.index("labeled-data") :]
        path = relative_path("/".join(parts), file=file, record=f"row '{name}'")
        if path in self._seen:
            raise PosewrightError("is listed twice", file=file, record=f"picture '{path}'")
        return path


register(
    Format(
        "deeplabcut",
        "DeepLabCut or Lightning Pose: a project folder, or a CollectedData table as CSV or HDF5",
        detect,
        read,
        write,
        losses,
        frames="copied",
    )
)
