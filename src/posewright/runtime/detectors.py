"""Other projects' detectors as locators: ONNX graphs of YOLOX, of RT-DETR and D-FINE, and of SSD-type nets.

A graph is recognised by the names and shapes of its inputs and outputs; see :data:`LAYOUTS`. What differs beside them is how
such a net wants its picture, which is not written in the file, and is done as these projects' own inference code does it:

- YOLOX (Ge et al., arXiv:2107.08430; Apache-2.0): the picture as large as it fits into the upper left of the input, the rest
  grey (114), BGR in 0..255. Where the graph leaves decoding out (no score above 1, and centres given in cells), cells of
  stride 8, 16 and 32 are decoded here.
- RT-DETR (arXiv:2304.08069) and D-FINE (arXiv:2410.13842; both Apache-2.0): the whole picture stretched to the input, RGB in
  0..1.
- SSD-type: torchvision's detectors (BSD-3), one picture ``[3, H, W]`` RGB in 0..1 in its own size or the graph's; and
  TensorFlow's (Apache-2.0), ``uint8 [1, H, W, 3]`` RGB, with boxes (y0, x0, y1, x1) as shares of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.runtime.classes import class_numbers
from posewright.runtime.engines.base import first_line
from posewright.runtime.locator import as_rgb, cut_at_edges, suppressed

Array = NDArray[np.float64]
Picture = NDArray[np.uint8]

LEAST = 0.3
"""Score from which a box counts unless somebody says otherwise."""
USUAL_SIDE = 640
"""Side of the input in pixels where a graph leaves it open."""
GREY = 114
STRIDES = (8, 16, 32)
"""Of the cells of a YOLOX net."""
CORNER = 0.5
"""These nets count pixels from the picture's corner, this package from the first pixel's centre."""


@dataclass(frozen=True)
class Port:
    """An input or output of a graph: its shape, with None where that is open, and its kind of numbers."""

    name: str
    shape: tuple[int | None, ...]
    kind: str

    @property
    def integer(self) -> bool:
        return "int" in self.kind


Ports = dict[str, Port]


@dataclass(frozen=True)
class Layout:
    """One family of graphs.

    Attributes:
        name: what it is called.
        fits: whether inputs and outputs are of this family.
        find: runs the graph on a picture: boxes ``[N, 4]`` (x0, y0, x1, y1) counted from the picture's corner, scores
            ``[N]`` and class numbers ``[N]``.
        first: the number of the first class among its own: 1 where 0 is the background.
        suppress: whether boxes of one object have to be thinned out here.
    """

    name: str
    fits: Callable[[Ports, Ports], bool]
    find: Callable[[Detector, Picture], tuple[Array, Array, NDArray[np.int64]]]
    first: int = 0
    suppress: bool = False


class Detector:
    """Another project's detector, ready to run as a locator; made by :func:`load_detector`.

    Attributes:
        path: its file.
        layout: the family it was taken for.
        inputs, outputs: of its graph, by name.
        threshold: boxes with a lower score are not told.
    """

    def __init__(
        self,
        path: str | Path,
        classes: Sequence[str] = (),
        device: str = "auto",
        threads: int | None = None,
        threshold: float | None = None,
    ) -> None:
        from posewright.runtime.engines.onnx import open_session

        if threshold is not None and not 0 <= threshold <= 1:
            raise PosewrightError(f"a locator's threshold is from 0 to 1, not {threshold:g}")
        self.path, self.threshold = Path(path), LEAST if threshold is None else threshold
        self.device, self._session = open_session(self.path, device, threads)
        self.inputs = {i.name: _port(i) for i in self._session.get_inputs()}
        self.outputs = {o.name: _port(o) for o in self._session.get_outputs()}
        self.layout = recognised(self.inputs, self.outputs, self.path)
        told = self._session.get_modelmeta().custom_metadata_map
        self._wanted = class_numbers(classes, told, self.layout.first, self.path) if classes else None

    def __repr__(self) -> str:
        return f"Detector('{self.path.name}', {self.layout.name} on {self.device})"

    def find(self, image: Picture) -> tuple[Array, Array]:
        """Boxes ``[N, 4]`` (x0, y0, x1, y1) in pixels of a picture ``uint8 [H, W, 3]`` RGB, and scores ``[N]``, best first."""
        image = as_rgb(image)
        boxes, scores, numbers = self.layout.find(self, image)
        keep = np.isfinite(boxes).all(1) & (scores >= max(self.threshold, 1e-6))
        if self._wanted is not None:
            keep &= np.isin(numbers, self._wanted)
        cut = cut_at_edges(boxes[keep] - CORNER, scores[keep], image.shape[1], image.shape[0])
        return suppressed(*cut, 0.5 if self.layout.suppress else 1.0)

    def run(self, feed: dict[str, Any]) -> dict[str, NDArray[Any]]:
        """All outputs by name."""
        try:
            return dict(zip(self.outputs, self._session.run(list(self.outputs), feed), strict=True))
        except Exception as error:  # onnxruntime's errors share no other base
            what = f"onnxruntime failed on {self.device}: {first_line(error)}"
            raise PosewrightError(what, file=self.path) from None

    def side(self, port: Port, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a graph's input, those given where it leaves them open."""
        return port.shape[height] or USUAL_SIDE, port.shape[width] or USUAL_SIDE


def load_detector(
    path: str | Path,
    classes: Sequence[str] = (),
    device: str = "auto",
    threads: int | None = None,
    threshold: float | None = None,
) -> Detector:
    """Load another project's detector.

    Args:
        path: its ONNX file.
        classes: names or numbers of the classes that count; all where empty. Names are those in the file's metadata, else
            COCO's where it has as many classes.
        device, threads: as for :func:`posewright.load`.
        threshold: least score of a box; :data:`LEAST` where None.

    Raises:
        PosewrightError: where the file is no such graph, or a class is not known.
    """
    return Detector(path, classes, device, threads, threshold)


def recognised(inputs: Ports, outputs: Ports, path: Path) -> Layout:
    """The family of a graph.

    Raises:
        PosewrightError: where it is none of those known here.
    """
    for layout in LAYOUTS:
        if layout.fits(inputs, outputs):
            return layout
    shown = ", ".join(f"{p.name} {_shown(p.shape)}" for p in outputs.values())
    raise PosewrightError(
        f"is no locator and no detector that is known here; its outputs are {shown}"[:400],
        file=path,
        fix="Known: posewright's own locators, " + ", ".join(layout.name for layout in LAYOUTS),
    )


def _port(value: Any) -> Port:
    shape = tuple(s if isinstance(s, int) and s > 0 else None for s in value.shape or ())
    return Port(value.name, shape, value.type)


def _shown(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("?" if s is None else str(s) for s in shape) + "]"


def _only_picture(inputs: Ports, ndim: int, channels: int) -> bool:
    """Whether the graph takes nothing but one picture, with its channels in this place."""
    ports = list(inputs.values())
    return len(ports) == 1 and len(ports[0].shape) == ndim and ports[0].shape[channels] in (3, None)


# -- YOLOX -------------------------------------------------------------------------------------------------------------


def _is_yolox(inputs: Ports, outputs: Ports) -> bool:
    if not _only_picture(inputs, 4, 1) or len(outputs) != 1:
        return False
    shape = next(iter(outputs.values())).shape
    height, width = (s or USUAL_SIDE for s in next(iter(inputs.values())).shape[2:])
    cells = sum((height // s) * (width // s) for s in STRIDES)
    return len(shape) == 3 and shape[1] in (cells, None) and (shape[2] or 0) >= 6


def _find_yolox(detector: Detector, image: Picture) -> tuple[Array, Array, NDArray[np.int64]]:
    port = next(iter(detector.inputs.values()))
    height, width = detector.side(port, 2, 3)
    ratio = min(height / image.shape[0], width / image.shape[1])
    small = (max(1, int(image.shape[1] * ratio)), max(1, int(image.shape[0] * ratio)))
    filled = np.full((height, width, 3), GREY, np.uint8)
    filled[: small[1], : small[0]] = cv2.resize(image, small, interpolation=cv2.INTER_LINEAR)
    pixels = np.ascontiguousarray(filled[..., ::-1].transpose(2, 0, 1))[None]
    (rows,) = detector.run({port.name: pixels.astype(_numbers(port))}).values()
    told = np.asarray(rows[0], float)
    if told.shape[0] != sum((height // s) * (width // s) for s in STRIDES):
        raise PosewrightError(f"told {len(told)} rows for an input of {height}x{width}", file=detector.path)
    if _in_cells(told, height, width):
        told = _from_cells(told, height, width)
    centre, half = told[:, :2], told[:, 2:4] / 2
    share = told[:, 4:5] * told[:, 5:]
    return np.concatenate([centre - half, centre + half], 1) / ratio, share.max(1), share.argmax(1)


def _cells(height: int, width: int) -> tuple[Array, Array]:
    """Column and row ``[N, 2]`` and stride ``[N, 1]`` of every cell, in the order of the rows of the output."""
    grids, strides = [], []
    for stride in STRIDES:
        rows, columns = np.divmod(np.arange((height // stride) * (width // stride)), width // stride)
        grids.append(np.stack([columns, rows], 1))
        strides.append(np.full((len(rows), 1), stride))
    return np.concatenate(grids).astype(float), np.concatenate(strides).astype(float)


def _in_cells(told: Array, height: int, width: int) -> bool:
    """Whether the graph leaves decoding out: its centres are then offsets within cells and not places in the picture.

    Decoded centres lie near the cells that tell them, and so vary over the whole input; offsets stay near their cells' corner.
    """
    grid, stride = _cells(height, width)
    decoded = np.abs(told[:, :2] - (grid + 0.5) * stride) / stride
    raw = np.abs(told[:, :2] - 0.5)
    return bool(np.median(raw) < np.median(decoded))


def _from_cells(told: Array, height: int, width: int) -> Array:
    """Decode offsets in cells and logarithms of sides (arXiv:2107.08430, official ``demo_postprocess``)."""
    grid, stride = _cells(height, width)
    sides = np.exp(np.clip(told[:, 2:4], None, 20)) * stride
    return np.concatenate([(told[:, :2] + grid) * stride, sides, told[:, 4:]], 1)


# -- RT-DETR, D-FINE -----------------------------------------------------------------------------------------------------

SIZES = "orig_target_sizes"


def _is_detr(inputs: Ports, outputs: Ports) -> bool:
    pictures = [p for n, p in inputs.items() if n != SIZES]
    return (
        len(pictures) == 1
        and len(pictures[0].shape) == 4
        and pictures[0].shape[1] in (3, None)
        and {"labels", "boxes", "scores"} <= set(outputs)
        and len(outputs["boxes"].shape) == 3
    )


def _find_detr(detector: Detector, image: Picture) -> tuple[Array, Array, NDArray[np.int64]]:
    port = next(p for n, p in detector.inputs.items() if n != SIZES)
    height, width = detector.side(port, 2, 3)
    feed: dict[str, Any] = {port.name: _planes(image, height, width).astype(_numbers(port))[None]}
    picture = np.array([image.shape[1], image.shape[0]], float)
    if SIZES in detector.inputs:
        wanted: Any = np.int32 if "int32" in detector.inputs[SIZES].kind else np.int64
        feed[SIZES] = picture.astype(wanted)[None]
    found = detector.run(feed)
    boxes = np.asarray(found["boxes"][0], float).reshape(-1, 4)
    if SIZES not in detector.inputs:
        # Without the picture's size a graph can only tell shares of it, as (centre, sides), or pixels of its input.
        if not boxes.size or np.abs(boxes).max() <= 2.0:
            boxes = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1)
            boxes = boxes * np.tile(picture, 2)
        else:
            boxes = boxes * np.tile(picture / (width, height), 2)
    scores, numbers = np.asarray(found["scores"][0], float), np.asarray(found["labels"][0])
    return boxes, scores, numbers.astype(np.int64)


# -- SSD-type --------------------------------------------------------------------------------------------------------------

_TF = ("detection_boxes", "detection_scores", "detection_classes")
_OF_BOX = ("boxes", "scores", "labels", "classes")


def _is_tf(inputs: Ports, outputs: Ports) -> bool:
    return _only_picture(inputs, 4, 3) and all(any(_plain(o) == t for o in outputs) for t in _TF)


def _plain(name: str) -> str:
    """An output's name without what TensorFlow's converters put behind it."""
    return name.split(":")[0]


def _find_tf(detector: Detector, image: Picture) -> tuple[Array, Array, NDArray[np.int64]]:
    port = next(iter(detector.inputs.values()))
    height, width = port.shape[1] or image.shape[0], port.shape[2] or image.shape[1]
    pixels = image if (height, width) == image.shape[:2] else cv2.resize(image, (width, height))
    feed = np.asarray(pixels)[None]
    if not port.integer:
        feed = (feed / 127.5 - 1).astype(_numbers(port))
    found = {_plain(n): a for n, a in detector.run({port.name: feed.astype(_numbers(port))}).items()}
    boxes, scores, numbers = (np.asarray(found[name][0], float) for name in _TF)
    if "num_detections" in found:
        count = int(np.ravel(found["num_detections"])[0])
        boxes, scores, numbers = boxes[:count], scores[:count], numbers[:count]
    size = np.array([image.shape[0], image.shape[1]], float)
    boxes = (boxes * np.tile(size, 2))[:, [1, 0, 3, 2]]
    return boxes, scores, np.rint(numbers).astype(np.int64)


def _by_role(outputs: Ports) -> dict[str, str] | None:
    """The outputs of a torchvision graph by what they hold; exports without names are known by their shapes."""
    if {"boxes", "scores"} <= set(outputs) and {"labels", "classes"} & set(outputs):
        label = "labels" if "labels" in outputs else "classes"
        return {"boxes": "boxes", "scores": "scores", "labels": label}
    boxes = [n for n, p in outputs.items() if len(p.shape) == 2 and p.shape[1] == 4 and not p.integer]
    scores = [n for n, p in outputs.items() if len(p.shape) == 1 and not p.integer]
    labels = [n for n, p in outputs.items() if len(p.shape) == 1 and p.integer]
    if len(outputs) == 3 and len(boxes) == len(scores) == len(labels) == 1:
        return {"boxes": boxes[0], "scores": scores[0], "labels": labels[0]}
    return None


def _is_torchvision(inputs: Ports, outputs: Ports) -> bool:
    if not (_only_picture(inputs, 3, 0) or _only_picture(inputs, 4, 1)):
        return False
    roles = _by_role(outputs)
    return roles is not None and len(outputs[roles["boxes"]].shape) == 2


def _find_torchvision(detector: Detector, image: Picture) -> tuple[Array, Array, NDArray[np.int64]]:
    port = next(iter(detector.inputs.values()))
    rows, columns = len(port.shape) - 2, len(port.shape) - 1
    height, width = port.shape[rows] or image.shape[0], port.shape[columns] or image.shape[1]
    planes = _planes(image, height, width).astype(_numbers(port))
    found = detector.run({port.name: planes if len(port.shape) == 3 else planes[None]})
    roles = _by_role(detector.outputs)
    assert roles is not None
    boxes, scores, numbers = (np.asarray(found[roles[role]], float) for role in ("boxes", "scores", "labels"))
    scale = np.array([image.shape[1] / width, image.shape[0] / height])
    return boxes.reshape(-1, 4) * np.tile(scale, 2), scores, np.rint(numbers).astype(np.int64)


def _planes(image: Picture, height: int, width: int) -> NDArray[np.float32]:
    """A picture stretched to a size, ``[3, height, width]`` in 0..1."""
    sized: Any = image
    if (height, width) != image.shape[:2]:
        smaller = height < image.shape[0] or width < image.shape[1]
        sized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return np.multiply(np.ascontiguousarray(sized.transpose(2, 0, 1)), 1 / 255, dtype=np.float32)


def _numbers(port: Port) -> Any:
    """The kind of numbers that an input takes."""
    kinds: dict[str, Any] = {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16, "tensor(double)": np.float64}
    return kinds.get(port.kind, np.float32)


LAYOUTS = (
    Layout("TensorFlow detection (detection_boxes, detection_scores, detection_classes)", _is_tf, _find_tf, first=1),
    Layout("RT-DETR or D-FINE (labels, boxes, scores)", _is_detr, _find_detr),
    Layout("torchvision detection (boxes, scores, labels)", _is_torchvision, _find_torchvision, first=1),
    Layout("YOLOX ([1, cells, 5 + classes])", _is_yolox, _find_yolox, suppress=True),
)
"""The families in the order they are tried, the most telling names first."""
