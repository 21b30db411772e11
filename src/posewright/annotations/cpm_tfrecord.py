"""The convolutional pose machines' TFRecords, read and written without TensorFlow.

A record is one crop: ``image``, the S x S x 3 pixels as raw bytes, blue first; ``heatmaps``, S x S x (K + 1) floats, at
the resolution of the picture, the background last. Coordinates are not stored: keypoints are decoded from the maps.

Origin: cell i of a map is pixel i, (0, 0) the centre of the first. The system draws its gaussians (sigma 1 or 2) about
the joints' places, and the logarithm of a gaussian is a parabola: the one through the highest cell and its neighbours
returns the place; at the border the one through the highest cell and the next two.

Visibility: none is stored. A joint whose map stays below 0.1 is not labelled (it lies outside the crop by more than two
sigma); every other is visible. Box: the whole crop, since the system cuts at the object's box.

The pictures lie inside the file: reading writes them as PNG into ``ReadOptions.extract``, and ``posewright convert`` names
that folder. Joint order: ``cpm_joints.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.cpm_joints import known_skeleton, skeleton_of, stored_order
from posewright.annotations.losses import ASPECTS, lost
from posewright.annotations.pictures import choose_root
from posewright.annotations.registry import Format, ReadOptions, register
from posewright.annotations.tables import Annotations, Image
from posewright.annotations.tfrecord import frame, is_tfrecord, read_example, read_records, write_example
from posewright.errors import PosewrightError
from posewright.files import whole_file, whole_folder
from posewright.geometry import CropRule, picture_box

Array = NDArray[np.float64]

ENDINGS = (".tfrecords", ".tfrecord")
SIZE = 64
"""Side of the crops written, as the system's script has it."""
SIGMA = 2.0
"""Of the gaussians written, in pixels: the system's ``gaussian_radius``."""
FLOOR = 0.1
"""A map that stays lower shows no joint."""
SMALLEST = 1e-6
"""Cells are taken to be at least this share of the peak, so that their logarithm exists."""
BORDER = 128
"""Grey around a picture."""
_REACH = 5.0
"""Pixels that a decoded place may lie outside the map: further, and less than FLOOR of the gaussian is inside."""


def detect(source: Path) -> bool:
    """Whether ``source`` is a TFRecord file whose first record has an image and heatmaps."""
    if not source.is_file() or source.suffix.lower() not in ENDINGS or not is_tfrecord(source):
        return False
    try:
        _, content = next(read_records(source))
        return isinstance(content, PosewrightError) or {"image", "heatmaps"} <= read_example(content).keys()
    except (PosewrightError, StopIteration, ValueError, IndexError):
        return True  # a TFRecord file that is damaged: reading it says where


# -- reading ----------------------------------------------------------------------------------------------------------


def read(source: Path, options: ReadOptions) -> Annotations:
    """Read a file, and write its pictures as ``000000.png`` and so on into ``options.extract``; with ``--images`` the
    pictures that an earlier reading wrote are used.

    Raises:
        PosewrightError: naming the record that cannot be used; where no folder was given for the pictures, or there is
            one of that name already.
    """
    from posewright.console import progress_bar
    from posewright.media.pictures import write_picture

    known = known_skeleton(source, options.skeleton)
    skeleton = None
    images: list[Image] = []
    found: list[Array] = []
    with _pictures_folder(source, options) as folder, progress_bar("reading records", source.stat().st_size) as advance:
        for number, content in read_records(source):
            try:
                if isinstance(content, PosewrightError):
                    raise content
                advance(len(content))
                bgr, maps = _crop(content, source, number)
                if skeleton is None:
                    skeleton = skeleton_of(source, maps.shape[2] - 1, known)
                if maps.shape[2] != len(skeleton) + 1:
                    what = f"has {maps.shape[2]} maps, not {len(skeleton)} and the background"
                    raise PosewrightError(what, file=source, record=f"record {number}")
            except PosewrightError as error:
                if skeleton is None and error.record is None:
                    raise  # nothing says what the joints are: no record can do without
                options.bad(error)
                continue
            points = np.empty((len(skeleton), 3))
            points[stored_order(skeleton)] = decode_maps(maps[..., :-1])
            name = f"{number:06d}.png"
            if folder is not None:
                write_picture(folder / name, np.ascontiguousarray(bgr[..., ::-1]))
            images.append(Image(name, bgr.shape[1], bgr.shape[0], id=number))
            found.append(points)
        if skeleton is None:
            raise PosewrightError("holds no record to read", file=source)
    root = options.extract or Path()
    if options.images is not None:
        root = choose_root([im.path for im in images], options.images, [options.images], source)[0]
    boxes = np.array([picture_box(im.width, im.height) for im in images])
    return Annotations(skeleton, images, np.arange(len(images)), np.array(found), boxes, root, source=str(source))


@contextmanager
def _pictures_folder(source: Path, options: ReadOptions) -> Iterator[Path | None]:
    """The new folder to write pictures to, or None where they are said to be somewhere already."""
    target = options.extract
    if options.images is not None:
        yield None
        return
    if target is None:
        fix = f"Take them out with: posewright convert {source} -o labels.json"
        raise PosewrightError("holds its pictures inside itself", file=source, fix=fix)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        fix = "Remove it, or use the pictures in it with --images"
        raise PosewrightError("is there already: the pictures are not taken out again", file=target, fix=fix)
    with whole_folder(target) as folder:
        yield folder


def _crop(content: memoryview, path: Path, number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Pixels ``[S, S, 3]``, blue first, and maps ``[S, S, K + 1]`` of a record."""
    record = f"record {number}"
    try:
        features = read_example(content)
    except (ValueError, IndexError):
        raise PosewrightError("is no tf.train.Example", file=path, record=record) from None
    image, maps = features.get("image"), features.get("heatmaps")
    if not isinstance(image, bytes) or not isinstance(maps, np.ndarray):
        raise PosewrightError("has no image of bytes and heatmaps of floats", file=path, record=record)
    side = round((len(image) / 3) ** 0.5)
    if side < 5 or 3 * side**2 != len(image):
        raise PosewrightError(f"its image has {len(image)} bytes, not 3 x S x S", file=path, record=record)
    if len(maps) % side**2 or len(maps) < 2 * side**2:
        what = f"has {len(maps)} numbers of heatmaps, which is not {side} x {side} x (joints and background)"
        raise PosewrightError(what, file=path, record=record)
    if not np.isfinite(maps).all() or (np.abs(maps) > 1e6).any():
        raise PosewrightError("its heatmaps are not finite numbers", file=path, record=record)
    return np.frombuffer(image, np.uint8).reshape(side, side, 3), maps.reshape(side, side, -1)


def decode_maps(maps: NDArray[np.float32]) -> Array:
    """Keypoints ``[K, 3]`` (x, y, v) of gaussians ``[h, w, K]``, in pixels of the map; v is 0 or 2."""
    height, width, count = maps.shape
    out = np.zeros((count, 3))
    for k in range(count):
        values = maps[..., k].astype(float)
        y, x = divmod(int(values.argmax()), width)
        if values[y, x] < FLOOR:
            continue
        dx, dy = _offset(values[y], x), _offset(values[:, x], y)
        out[k] = np.clip(x + dx, -_REACH, width - 1 + _REACH), np.clip(y + dy, -_REACH, height - 1 + _REACH), 2
    return out


def _offset(profile: Array, place: int) -> float:
    """Where the gaussian's top lies from its highest cell, along one axis: on the parabola through three cells."""

    def log(at: int) -> float:
        return float(np.log(max(profile[at] / profile[place], SMALLEST)))

    if 0 < place < len(profile) - 1:
        before, after = log(place - 1), log(place + 1)
        bend = before + after
        return (before - after) / (2 * bend) if bend < 0 else 0.0
    inwards = 1 if place == 0 else -1
    one, two = log(place + inwards), log(place + 2 * inwards)
    bend = two - 2 * one
    return inwards * (0.5 - one / bend) if bend < 0 else 0.0


# -- writing ----------------------------------------------------------------------------------------------------------


def write(annotations: Annotations, target: Path) -> list[Path]:
    """Write every object's crop of 64 x 64 pixels with its maps, and beside the file the texts that name the joints.

    Args:
        annotations: the labels, with their pictures.
        target: a ``.tfrecords`` file, or a folder, which gets ``annotations.tfrecords``.

    Returns:
        The files written, the records first.

    Raises:
        PosewrightError: where a picture is missing, or the file cannot be written.
    """
    path = target if target.suffix.lower() in ENDINGS else target / "annotations.tfrecords"
    annotations.require_pictures()
    with whole_file(path) as temporary, temporary.open("wb") as file:
        for record in _records(annotations):
            file.write(record)
        texts = annotations.skeleton.to_files(path.parent, path.stem)
    return [path, *texts]


def _records(a: Annotations) -> Iterator[bytes]:
    from posewright.media.labelled import picture_of
    from posewright.warp import warp

    rule = CropRule(size=(SIZE, SIZE), margin=1.0, border=BORDER)
    order = stored_order(a.skeleton)
    last, rgb = -1, np.zeros((0, 0, 3), np.uint8)
    for i in np.argsort(a.image, kind="stable").tolist():
        if a.image[i] != last:
            last = int(a.image[i])
            rgb = picture_of(a, last)
        crop = rule.similarity(a.boxes[i])
        pixels = np.ascontiguousarray(warp(rgb, crop, rule)[..., ::-1])
        labelled = a.labelled[i][order]
        maps = draw_maps(crop.apply(a.keypoints[i, order, :2]), labelled, SIZE, SIGMA)
        yield frame(write_example({"image": pixels.tobytes(), "heatmaps": maps.ravel()}))


def draw_maps(points: Array, labelled: NDArray[np.bool_], size: int, sigma: float) -> NDArray[np.float32]:
    """Maps ``[size, size, K + 1]`` of points ``[K, 2]`` in pixels: gaussians of height 1, and 1 - their maximum."""
    place = np.arange(size)
    x = np.exp(-((place - points[:, :1]) ** 2) / (2 * sigma**2))
    y = np.exp(-((place - points[:, 1:]) ** 2) / (2 * sigma**2))
    joints = np.where(labelled, np.einsum("ky,kx->yxk", y, x), 0)
    return np.concatenate([joints, 1 - joints.max(2, keepdims=True)], 2).astype(np.float32)


def losses(a: Annotations) -> list[str]:
    """What the format has no place for."""
    cut = f"the rest of the pictures: they are cut to {SIZE} x {SIZE} pixels about each of {len(a)} objects, names left out"
    return [cut, *lost(a, *(aspect for aspect in ASPECTS if aspect != "areas"))]


register(
    Format(
        "cpm-tfrecord",
        "the pose machines' TFRecords: crops with their heatmaps, the pictures inside",
        detect,
        read,
        write,
        losses,
        embedded=True,
        frames="named",
    )
)
