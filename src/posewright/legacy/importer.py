"""From a file of an older system to a checkpoint and a model file, as a training run leaves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError
from posewright.files import whole_folder
from posewright.geometry import CropRule
from posewright.legacy import cpm, tf_checkpoint
from posewright.legacy.cpm_pickle import read_pickle
from posewright.legacy.hourglass import import_hourglass
from posewright.legacy.keras_h5 import read_keras
from posewright.models.base import HeatmapNet
from posewright.models.checkpoint import Checkpoint, save_checkpoint
from posewright.models.overrides import net_overrides
from posewright.models.presets import Cpm, Hourglass
from posewright.runtime.names import RUN_CHECKPOINT, RUN_MODEL
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN, load_skeleton

FORMATS = {
    "keras": "a Keras .h5 file of the hourglass system",
    "pickle": "a pickle of the pose machine system",
    "tensorflow": "a TensorFlow checkpoint of the pose machine system",
}
"""What can be imported, by name."""

HOURGLASS_SKELETONS = {16: "mpii-16", 17: "coco-17", 20: "animal-20"}
"""By number of keypoints: the class lists that come with the hourglass system."""
CPM_SKELETONS = {14: "cpm-body-14", 21: "hand-21"}
"""The keypoints of the published pose machines."""
HOURGLASS_SIZE, BODY_SIZE, HAND_SIZE = (256, 256), (368, 368), (368, 368)
TRAINED_HAND_SIZE = (256, 256)
"""Sizes of the input that the systems use by themselves."""
MOST_PIXELS = 4096
"""The longest side of an input that is believed of a file."""

HOURGLASS_MARGIN, HOURGLASS_BORDER = 1.25, 0
"""The system crops 250 pixels for each unit of scale; the box that its labels are read as is 200 wide."""
CPM_MARGINS, CPM_BORDER = {True: 1.25, False: 2.0}, 128
"""By whether the net has a centre map, that is, is for bodies. The system says nothing for bodies; around a hand its
tracker cuts out twice what the joints span."""

TERMS = "Imported weights: the terms that came with them, and those of the data they were trained on, go on to apply."
PICKLE_TERMS = f"{TERMS} The published pickles' layers are named after CMU's Caffe nets, whose own terms may apply."


@dataclass(frozen=True)
class Imported:
    """What was made of a file.

    Attributes:
        checkpoint: the net and all that belongs to it.
        format: one of :data:`FORMATS`.
        guessed: what the file does not say and was assumed, in words; empty where nothing was.
    """

    checkpoint: Checkpoint
    format: str
    guessed: tuple[str, ...]


def find_format(path: Path) -> str:
    """Which of :data:`FORMATS` a file or a checkpoint's name is, by its content.

    Raises:
        PosewrightError: where it is missing or none of them.
    """
    if tf_checkpoint.checkpoint_prefix(path) is not None:
        return "tensorflow"
    if path.is_dir():
        raise PosewrightError("is a folder without exactly one TensorFlow checkpoint in it", file=path)
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise PosewrightError("does not exist" if missing else error.strerror or "cannot be read", file=path) from None
    if head == b"\x89HDF\r\n\x1a\n":
        return "keras"
    if head[:1] == b"\x80" or head[:1] in (b"(", b"}"):
        return "pickle"
    if head[:4] == b"PK\x03\x04":
        fix = "If it is a Keras archive, save it from Keras as .h5: model.save('model.h5')"
        raise PosewrightError("is a zip archive", file=path, fix=fix)
    known = "; ".join(FORMATS.values())
    raise PosewrightError("is of no kind that can be imported", file=path, fix=f"Known: {known}")


def import_weights(
    path: str | Path,
    *,
    format: str | None = None,
    size: tuple[int, int] | None = None,
    skeleton: str | None = None,
    margin: float | None = None,
    as_published: bool = False,
    net: Sequence[str] = (),
) -> Imported:
    """Read a net of an older system.

    Args:
        path: the file; of a TensorFlow checkpoint its name, one of its files or the folder it is alone in.
        format: one of :data:`FORMATS`; found by itself where None.
        size: (height, width) of the input in pixels; what the file or the system says where None.
        skeleton: a shipped name or skeleton files (see :func:`posewright.skeletons.load_skeleton`); by the number of
            keypoints where None.
        margin: factor on a box before it is cropped; the system's own where None.
        as_published: decode by the system's own formula, to whole cells or pixels with their bias left in.
        net: settings of the net that the file does not show, as ``name=value``, such as "activation=relu".

    Raises:
        PosewrightError: where the file is not such a net, is damaged or incomplete, or something given does not fit it.
    """
    path = Path(path)
    kind = format or find_format(path)
    if kind == "keras":
        file = read_keras(path)
        changes = ({"decoding": "argmax"} if as_published else {}) | net_overrides(Hourglass, net)
        built, own = import_hourglass(file, changes), file.size or HOURGLASS_SIZE
        rule = (HOURGLASS_MARGIN, HOURGLASS_BORDER)
        known = HOURGLASS_SKELETONS
    else:
        changes = ({"decoding": "argmax_resized"} if as_published else {}) | net_overrides(Cpm, net)
        if kind == "pickle":
            built = cpm.import_pickle(read_pickle(path), path, changes)
        else:
            prefix = tf_checkpoint.checkpoint_prefix(path) or path
            built = cpm.import_variables(tf_checkpoint.read_checkpoint(prefix), prefix, changes)
        body = bool(getattr(built.config, "centre", False))
        own = BODY_SIZE if body else HAND_SIZE if kind == "pickle" else TRAINED_HAND_SIZE
        rule, known = (CPM_MARGINS[body], CPM_BORDER), CPM_SKELETONS
    height, width = size or own
    built.check_size(height, width)
    if max(height, width) > MOST_PIXELS:
        # The export runs the net at this size, which a file may claim at will.
        raise PosewrightError(
            f"an input of {height}x{width} pixels is too large", file=path, fix="Give a smaller --input-size"
        )
    bones, guessed = _skeleton(skeleton, built.keypoints, known, path)
    crop = CropRule((width, height), margin or rule[0], rule[1])
    checkpoint = Checkpoint(
        built,
        bones,
        crop,
        preset_name(built),
        training={"imported": path.name, "format": kind},
        terms=PICKLE_TERMS if kind == "pickle" else TERMS,
    )
    return Imported(checkpoint, kind, guessed)


def write_run(imported: Imported, folder: str | Path) -> Path:
    """Write checkpoint and model file under the names that a training run gives them, both or neither.

    Args:
        imported: what :func:`import_weights` returned.
        folder: a new or empty folder, or one with an earlier import in it, which is replaced.

    Raises:
        PosewrightError: where something else lies in the folder, or the model file differs from the net.
    """
    from posewright.export.exporting import export_onnx

    folder = Path(folder)
    check_folder(folder)
    with whole_folder(folder) as temporary:
        try:
            export_onnx(imported.checkpoint, temporary / RUN_MODEL)
        except PosewrightError as error:
            raise PosewrightError(error.what, file=folder / RUN_MODEL, fix=error.fix) from None
        save_checkpoint(imported.checkpoint, temporary / RUN_CHECKPOINT)
    return folder


def check_folder(folder: Path) -> None:
    """Raise a PosewrightError where writing into a folder would cost what lies in it."""
    if folder.exists() and not folder.is_dir():
        raise PosewrightError("is a file, not a folder", file=folder)
    others = [p.name for p in folder.iterdir() if p.name not in (RUN_CHECKPOINT, RUN_MODEL)] if folder.is_dir() else []
    if others:
        raise PosewrightError(f"holds other things, such as {min(others)}", file=folder, fix="Give another -o")


def preset_name(net: HeatmapNet) -> str:
    """The preset that comes closest to an imported net."""
    config = net.config
    if isinstance(config, Cpm):
        return cpm.preset_name(config)
    assert isinstance(config, Hourglass)
    size = {128: "_tiny", 64: "_nano"}.get(config.channels, "")
    return f"hourglass_s{config.stacks}{'_mobile' if config.mobile else ''}{size}"


def _skeleton(wanted: str | None, count: int, known: dict[int, str], path: Path) -> tuple[Skeleton, tuple[str, ...]]:
    """The skeleton, and what was assumed about it."""
    if wanted is not None:
        skeleton = load_skeleton(wanted)
        if len(skeleton) != count:
            what = f"its net finds {count} keypoints; skeleton '{skeleton.name}' has {len(skeleton)}"
            raise PosewrightError(what, file=path)
        return skeleton, ()
    if count in known:
        line = f"The file does not name its {count} keypoints: taken to be {known[count]}. --skeleton says otherwise."
        return BUILTIN[known[count]], (line,)
    names = tuple(f"keypoint_{i}" for i in range(1, count + 1))
    line = f"The file does not name its {count} keypoints: called keypoint_1 and so on. --skeleton names them."
    return Skeleton(f"imported-{count}", names), (line,)


def summary(imported: Imported) -> list[dict[str, Any]]:
    """One row a fact, for a table."""
    checkpoint = imported.checkpoint
    config, rule = checkpoint.net.config, checkpoint.rule
    stages = getattr(config, "stacks", None) or getattr(config, "stages", 1)
    weights = sum(p.numel() for p in checkpoint.net.parameters())
    rows = {
        "net": f"{checkpoint.preset}, {weights / 1e6:.2f} M parameters",
        "from": FORMATS[imported.format],
        "stages": f"{stages}, each with its own maps",
        "keypoints": f"{len(checkpoint.skeleton)} ({checkpoint.skeleton.name})"
        + (" and background" if config.background else ""),
        "input": f"{rule.size[1]}x{rule.size[0]} {config.colour.upper()}, heat maps at stride {config.stride}",
        "crop": f"box x {rule.margin:g}, border {rule.border}",
        "decoding": _decoding(config.decoding, config.label_shift),
    }
    return [{"": name, "found": value} for name, value in rows.items()]


def _decoding(rule: str, shift: tuple[float, float]) -> str:
    if rule != "gaussian":
        return f"as published ({rule}, to whole pixels)"
    taken = f", less the labels' shift of {shift[0]:+g}, {shift[1]:+g} cells" if any(shift) else ""
    return f"sub-cell peak{taken}"
