"""Label Studio: the JSON (or JSON-MIN) export of a project with key points on pictures; read only.

Origin: ``x`` and ``y`` are percentages of the picture's width and height from its top-left corner, for key points,
rectangles (their top-left corner) and polygons alike; they are multiplied by ``original_width`` and
``original_height``, and half a pixel is taken off. A rectangle that was turned becomes the upright box around it.

Visibility: the tool has none. A key point that is there is visible, one that is not there is not labelled.

Objects: a key point belongs to the rectangle that is its parent (``parentID``) or that a relation joins it to, in
either direction; ``loose_points`` tells what happens to one with neither. JSON-MIN holds neither. Where there is no
rectangle the box comes from the key points, ``BOX_MARGIN`` times their extent.

Of several annotations of a task the one marked as ground truth is taken, else the last that was not cancelled, and the
rest are listed as left out; predictions are no labels. A task that nobody annotated is left out; one whose annotation
is empty is a picture without an object.

The names and their order come from the one labelling configuration (``.xml``) beside the file whose key point labels
are those of the export, else they are those of a shipped skeleton, else stand as they are met.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

from posewright.annotations.json_file import head, is_number, load_json
from posewright.annotations.loose_points import Outline, Point, Rectangle, Thing, as_tables, gather, skeleton_for
from posewright.annotations.pictures import (
    USUAL_FOLDERS,
    choose_root,
    emptied_images,
    fill_sizes,
    find_root,
    relative_path,
    without_images,
)
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.errors import PosewrightError

_TASKS = re.compile(rb'"(annotations|completions)"\s*:\s*\[|"(keypoint|rectangle)labels"\s*:')
_KINDS = ("keypointlabels", "rectanglelabels", "polygonlabels")
_PICTURE = re.compile(r"\.(jpe?g|png|webp|bmp|tiff?|gif|jp2|p[gp]m)$", re.IGNORECASE)
_UPLOADED = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""What the tool puts before the name of an uploaded file."""


def _is_export(path: Path) -> bool:
    start = head(path)
    return start.startswith(b"[") and _TASKS.search(start) is not None and b'"joint_self"' not in start


def _label_file(source: Path) -> Path | None:
    if source.is_file():
        return source if source.suffix.lower() == ".json" and _is_export(source) else None
    found = sorted(path for path in source.glob("*.json") if _is_export(path))
    return found[0] if len(found) == 1 else None


def detect(source: Path) -> bool:
    """Whether ``source`` is such an export, or a folder with exactly one."""
    return _label_file(source) is not None


# -- reading ----------------------------------------------------------------------------------------------------------


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read an export.

    The pictures are often on a server: they are looked for beside the file and in the usual folders, or with
    ``--images``, by the path the task gives, by its bare name, and by that without what an upload put before it.

    Raises:
        PosewrightError: naming the file, the task and the region that cannot be used.
    """
    path = source if source.is_file() else _label_file(source)
    if path is None:
        raise PosewrightError("holds no Label Studio export, or several", file=source, fix="Name the file itself")
    tasks = load_json(path)
    if not isinstance(tasks, list):
        raise PosewrightError("is no Label Studio export: it is no list of tasks", file=path)
    names: list[str] = []
    objects: list[list[Thing]] = []
    sizes: list[tuple[int, int]] = []
    for i, task in enumerate(tasks):
        record = f"task {task.get('id', i) if isinstance(task, dict) else i}"
        try:
            regions = _regions(task, path, record, options)
            if regions is None:
                options.skipped.append(f"{path}: {record}: nobody annotated it")
                continue
            things, size = _things(regions)
            names.append(_picture_name(task))
        except PosewrightError as error:
            options.bad(PosewrightError(error.what, file=path, record=record, fix=error.fix))
            continue
        objects.append(things)
        sizes.append(size)
    names, root = _places(names, path, options.images)
    images, unreadable = fill_sizes([Image(n, *size) for n, size in zip(names, sizes)], root, options.bad)
    flat = [thing for things in objects for thing in things]
    place = [i for i, things in enumerate(objects) for _ in things]
    seen = [name for thing in flat for name in thing.points]
    labels = Counter(thing.label for thing in flat if thing.label)
    common = labels.most_common(1)[0][0] if labels else None
    try:
        skeleton = skeleton_for(seen, _configured(path.parent, set(seen)), options.skeleton, common)
    except PosewrightError as error:
        raise PosewrightError(error.what, file=path, fix=error.fix) from None
    result = as_tables(flat, place, images, skeleton, root, path, lambda _: path, options.bad)
    return without_images(result, sorted({*unreadable, *emptied_images(result, place)}))


def _configured(folder: Path, seen: set[str]) -> list[str] | None:
    """The key point labels of the configuration beside the export, where one fits.

    Looked for as text: a parser would follow entities.
    """
    found = []
    for path in sorted(folder.glob("*.xml")):
        text = head(path, 1 << 20).decode("utf-8", "replace")
        inside = re.findall(r"<KeyPointLabels\b[^>]*>(.*?)</KeyPointLabels>", text, re.DOTALL)
        names = [_unescaped(n) for part in inside for n in re.findall(r"<Label\b[^>]*?\bvalue=\"([^\"]*)\"", part)]
        names = [name.strip() for name in names if name.strip()]
        if names and seen <= set(names):
            found.append(names)
    return found[0] if len(found) == 1 else None


def _unescaped(text: str) -> str:
    """XML's five predefined entities as the characters that they stand for."""
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&")):
        text = text.replace(entity, character)
    return text


def _regions(task: Any, path: Path, record: str, options: ReadOptions) -> list[Any] | None:
    """The regions of the annotation that counts; None where the task has none."""
    if not isinstance(task, dict):
        raise PosewrightError("is no object")
    told = task.get("annotations", task.get("completions"))
    if told is None:
        # JSON-MIN: one list for each tag, its entries flat.
        lists = [value for value in task.values() if isinstance(value, list)]
        regions = [r for value in lists for r in value if isinstance(r, dict) and any(kind in r for kind in _KINDS)]
        return [{"type": next(k for k in _KINDS if k in r), "value": r, **r} for r in regions] if lists else None
    if not isinstance(told, list):
        raise PosewrightError("its annotations are no list")
    done = [a for a in told if isinstance(a, dict) and not a.get("was_cancelled")]
    if not done:
        return None
    chosen = next((a for a in done if a.get("ground_truth") is True), done[-1])
    if len(done) > 1:
        options.skipped.append(f"{path}: {record}: {len(done)} annotations; {chosen.get('id', 'the last')} is taken")
    if not isinstance(chosen.get("result"), list):
        raise PosewrightError("its annotation has no list 'result'")
    return list(chosen["result"])


def _things(regions: list[Any]) -> tuple[list[Thing], tuple[int, int]]:
    """The objects of one task, and the picture's size (0, 0 where no region says it)."""
    if not all(isinstance(region, dict) for region in regions):
        raise PosewrightError("a region is no object")
    shapes = [region for region in regions if region.get("type") in _KINDS]
    owners = _owners(shapes, regions)
    points: list[Point] = []
    rectangles: list[Rectangle] = []
    outlines: list[Outline] = []
    size = (0, 0)
    used = set(owners.values())
    for region in shapes:
        kind, value, key = region["type"], region.get("value"), _key(region.get("id"))
        named = value.get(kind) if isinstance(value, dict) else None
        if not isinstance(value, dict) or not isinstance(named, list) or not named or not isinstance(named[0], str):
            raise PosewrightError(f"region {key} has no {kind}")
        label = named[0].strip()
        where = f"region {key} ('{label}')"
        width, height = region.get("original_width"), region.get("original_height")
        if not all(is_number(n) and 1 <= n < 1e6 for n in (width, height)):
            raise PosewrightError(f"{where} does not say original_width and original_height")
        if size not in ((0, 0), (int(width), int(height))):  # type: ignore[arg-type]  # is_number, above
            raise PosewrightError(f"{where} gives the picture another size than the regions before it")
        size = int(width), int(height)  # type: ignore[arg-type]
        if region.get("image_rotation") not in (None, 0):
            fix = "Turn the picture back in Label Studio, or turn the file itself"
            raise PosewrightError(f"{where} was drawn on a turned picture", fix=fix)
        mark = key if key in used else owners.get(key)
        if kind == "polygonlabels":
            outline = _polygon(value, size, where)
            if len(outline) > 2:
                outlines.append(Outline(outline, mark))
        elif kind == "rectanglelabels":
            rectangles.append(Rectangle(_upright(value, size, where), label, mark))
        else:
            x, y = _numbers(value, ("x", "y"), where)
            if not label:
                raise PosewrightError(f"region {key} has an empty label")
            points.append(Point(label, x * size[0] / 100 - 0.5, y * size[1] / 100 - 0.5, mark=mark))
    return gather(points, rectangles, outlines), size


def _key(said: Any) -> Hashable:
    return said if isinstance(said, (str, int)) else None


def _owners(shapes: list[dict[str, Any]], regions: Iterable[dict[str, Any]]) -> dict[Hashable, Hashable]:
    """The rectangle (its id) that each other region (its id) belongs to."""
    boxes = {_key(r.get("id")) for r in shapes if r["type"] == "rectanglelabels"} - {None}
    others = {_key(r.get("id")) for r in shapes if r["type"] != "rectanglelabels"} - {None}
    owners: dict[Hashable, Hashable] = {}
    for region in regions:
        pairs = []
        if region.get("type") == "relation":
            one, two = _key(region.get("from_id")), _key(region.get("to_id"))
            pairs = [(one, two), (two, one)]
        elif "parentID" in region:
            pairs = [(_key(region["parentID"]), _key(region.get("id")))]
        for box, other in pairs:
            if box in boxes and other in others and owners.setdefault(other, box) != box:
                raise PosewrightError(f"region {other} belongs to two rectangles")
    return owners


def _numbers(value: dict[str, Any], names: tuple[str, ...], where: str) -> list[float]:
    numbers = [value.get(name) for name in names]
    for name, number in zip(names, numbers):
        if not is_number(number) or abs(number) > 1e9:  # type: ignore[arg-type]  # is_number, before
            raise PosewrightError(f"{where}: {name} is {str(number)[:30]}, which is not a percentage")
    return [float(number) for number in numbers]  # type: ignore[arg-type]


def _upright(value: dict[str, Any], size: tuple[int, int], where: str) -> tuple[float, float, float, float]:
    """The upright box around a rectangle that is turned clockwise about its top-left corner."""
    x, y, width, height = _numbers(value, ("x", "y", "width", "height"), where)
    (angle,) = np.deg2rad(_numbers(value, ("rotation",), where)) if value.get("rotation") else (0.0,)
    scale = np.array(size) / 100
    across = np.array([np.cos(angle), np.sin(angle)]) * width * scale[0]
    down = np.array([-np.sin(angle), np.cos(angle)]) * height * scale[1]
    corners = np.array([x, y]) * scale - 0.5 + np.array([[0, 0], [1, 0], [0, 1], [1, 1]]) @ np.array([across, down])
    x0, y0, x1, y1 = map(float, [*corners.min(0), *corners.max(0)])
    return x0, y0, x1, y1


def _polygon(value: dict[str, Any], size: tuple[int, int], where: str) -> Any:
    points = value.get("points")
    fits = isinstance(points, list) and all(isinstance(p, list) and len(p) == 2 for p in points)
    if not fits or not all(is_number(n) and abs(n) < 1e9 for p in points for n in p):  # type: ignore[union-attr]
        raise PosewrightError(f"{where} has no list of points")
    return np.array(points, float).reshape(-1, 2) * np.array(size) / 100 - 0.5


# -- pictures ---------------------------------------------------------------------------------------------------------


def _picture_name(task: dict[str, Any]) -> str:
    """The picture of a task as a path: of a URL what follows the host, of a local file what follows ``?d=``."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    texts = [v for k, v in sorted(data.items(), key=lambda item: item[0] != "image") if isinstance(v, str)]
    for text in texts:
        try:
            parts = urlsplit(text)
        except ValueError:
            continue
        local = re.match(r"d=([^&]+)", parts.query)
        name = unquote(local.group(1) if local else parts.path).replace("\\", "/").lstrip("/")
        if _PICTURE.search(name):
            if len(name.encode("utf-8", "replace")) > 250:
                raise PosewrightError(f"picture '{name[:60]}...' has too long a name")
            return relative_path(name, file=Path(), record="data")
    raise PosewrightError("names no picture in its data")


def _places(names: list[str], path: Path, told: Path | None) -> tuple[list[str], Path]:
    """The pictures' paths as they are found, and the folder they start from."""
    bare = [PurePosixPath(name).name for name in names]
    plain = [_UPLOADED.sub("", name) for name in bare]
    folders = [told] if told else [path.parent / folder for folder in USUAL_FOLDERS]
    usable = [option for option in (names, bare, plain) if len(set(option)) == len(option)]
    for option in usable:
        if find_root(option, folders) is not None:
            return option, choose_root(option, told, folders, path)[0]
    option = bare if bare in usable else names
    return option, choose_root(option, told, folders, path)[0]


register(Format("label-studio", "Label Studio: the JSON or JSON-MIN export of key points on pictures", detect, read))
