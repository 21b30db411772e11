"""Other projects' detectors: small graphs of each layout with known answers. No real weights are tried here."""

from __future__ import annotations

import json

import numpy as np
import pytest
from onnx import TensorProto, helper

from helpers.bright_boxes import Graph
from posewright.errors import PosewrightError
from posewright.runtime.classes import COCO, coco_numbers
from posewright.runtime.detectors import STRIDES, load_detector

FLOAT, UINT8, INT64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT64
WIDTH, HEIGHT = 200, 100
"""Of the picture."""
PICTURE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
PERSON = np.array([20.0, 10, 60, 90])
DOG = np.array([110.0, 40, 150, 80])
"""Their boxes, counted from the picture's corner."""


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def tell(g, name, array, kind=np.float32):
    """An output that is always the same."""
    g.add("Identity", [g.constant(array, kind)], name)


def yolox(path, decoded=True, score=0.8, side=128, entries=None):
    """A net of 80 classes at ``side``: a person, the same person again with a lower score, and a dog."""
    cells = sum((side // s) ** 2 for s in STRIDES)
    grid = np.concatenate([np.stack(np.divmod(np.arange((side // s) ** 2), side // s)[::-1], 1) for s in STRIDES])
    stride = np.concatenate([np.full(((side // s) ** 2, 1), s) for s in STRIDES])
    ratio = min(side / HEIGHT, side / WIDTH)
    rows = np.zeros((cells, 85))
    rows[:, :2], rows[:, 2:4] = (grid + 0.5) * stride, 10
    first = 16 * 16
    for box, kind, objectness in (
        (PERSON, 0, score),
        (PERSON + np.array([1, 0, 1, 0]), 0, 0.7 * score),
        (DOG, 16, score),
    ):
        box = box * ratio
        centre = (box[:2] + box[2:]) / 2
        place = first + int(centre[1] // 16) * 8 + int(centre[0] // 16)
        place += int(rows[place, 4] > 0)  # the second one in the cell beside it
        rows[place, :5] = (*centre, *(box[2:] - box[:2]), objectness)
        rows[place, 5 + kind] = 0.9
    if not decoded:
        rows[:, :2] = rows[:, :2] / stride - grid
        rows[:, 2:4] = np.log(rows[:, 2:4] / stride)
    g = Graph()
    tell(g, "output", rows[None])
    inputs = [value("images", FLOAT, [1, 3, side, side])]
    return g.save(path, inputs, [value("output", FLOAT, [1, cells, 85])], entries)


@pytest.mark.parametrize("decoded", [True, False])
def test_yolox_with_and_without_decoding(tmp_path, decoded):
    detector = load_detector(yolox(tmp_path / "yolox.onnx", decoded))
    assert detector.layout.name.startswith("YOLOX")
    boxes, scores = detector.find(PICTURE)
    assert boxes == pytest.approx(np.stack([PERSON, DOG]) - 0.5, abs=1e-3), "one box each, the double suppressed"
    assert scores == pytest.approx([0.72, 0.72])
    people, _ = load_detector(detector.path, ["person"]).find(PICTURE)
    assert people == pytest.approx(PERSON[None] - 0.5, abs=1e-3)


def test_yolox_sees_the_picture_in_the_corner_as_bgr(tmp_path):
    """The score is the blue channel of the upper left pixel; further down the input is grey."""
    side, cells = 64, 64 + 16 + 4
    g = Graph()
    starts, ends = g.constant([0, 0, 0, 0], np.int64), g.constant([1, 1, 1, 1], np.int64)
    g.add("Slice", ["images", starts, ends], "pixel")
    g.add("Slice", ["images", g.constant([0, 0, 63, 0], np.int64), g.constant([1, 1, 64, 1], np.int64)], "below")
    g.add("Sub", ["pixel", "below"], "apart")
    g.add("Div", ["apart", g.constant(200.0)], "score")
    g.add("Reshape", ["score", g.constant([1, 1, 1], np.int64)], "score_")
    rows = np.zeros((1, cells, 6))
    grid = np.concatenate([np.stack(np.divmod(np.arange((side // s) ** 2), side // s)[::-1], 1) * s for s in STRIDES])
    rows[0, :, :2], rows[0, :, 2:4], rows[0, 5, 5] = grid, 10, 1
    left = np.ones((1, cells, 6))
    left[..., 4] = 0
    g.add("Mul", ["score_", g.constant(1 - left)], "scores")
    g.add("Add", ["scores", g.constant(rows)], "output")
    path = g.save(
        tmp_path / "a.onnx", [value("images", FLOAT, [1, 3, side, side])], [value("output", FLOAT, [1, cells, 6])]
    )
    picture = PICTURE.copy()
    picture[..., 2] = 214
    assert load_detector(path).find(picture)[1] == pytest.approx([0.5])


@pytest.mark.parametrize(("sizes", "dtype"), [(True, INT64), (True, TensorProto.INT32), (False, None)])
def test_detr_with_sizes_and_with_shares(tmp_path, sizes, dtype):
    g = Graph()
    both = np.stack([DOG, PERSON, PERSON])[None]
    if sizes:
        g.add("Cast", ["orig_target_sizes"], "size", to=FLOAT)
        g.add("Concat", ["size", "size"], "size_", axis=1)
        g.add("Mul", [g.constant(both / (WIDTH, HEIGHT, WIDTH, HEIGHT)), "size_"], "boxes")
    else:
        centre, sides = (both[..., :2] + both[..., 2:]) / 2, both[..., 2:] - both[..., :2]
        tell(g, "boxes", np.concatenate([centre, sides], -1) / (WIDTH, HEIGHT, WIDTH, HEIGHT))
    tell(g, "labels", [[16, 0, 0]], np.int64)
    tell(g, "scores", [[0.6, 0.9, 0.1]])
    inputs = [value("images", FLOAT, ["N", 3, 64, 64])]
    inputs += [value("orig_target_sizes", dtype, ["N", 2])] if sizes else []
    outputs = [value("labels", INT64, [1, 3]), value("boxes", FLOAT, [1, 3, 4]), value("scores", FLOAT, [1, 3])]
    path = g.save(tmp_path / "detr.onnx", inputs, outputs)
    detector = load_detector(path)
    assert detector.layout.name.startswith("RT-DETR")
    boxes, scores = detector.find(PICTURE)
    assert boxes == pytest.approx(np.stack([PERSON, DOG]) - 0.5, abs=1e-3) and scores == pytest.approx([0.9, 0.6])
    assert load_detector(path, ["dog"]).find(PICTURE)[0] == pytest.approx(DOG[None] - 0.5, abs=1e-3)
    assert len(load_detector(path, threshold=0.05).find(PICTURE)[0]) == 3, "such nets tell no doubles to suppress"


@pytest.mark.parametrize("named", [True, False])
def test_torchvision_in_the_graphs_own_size(tmp_path, named):
    """Boxes in pixels of an input of half the picture's size; classes from 1, by COCO's ids."""
    names = ("boxes", "scores", "labels") if named else ("a", "b", "c")
    g = Graph()
    tell(g, names[0], np.stack([PERSON, DOG]) / 2)
    tell(g, names[1], [0.8, 0.7])
    tell(g, names[2], [1, 18], np.int64)
    outputs = [value(names[0], FLOAT, ["N", 4]), value(names[1], FLOAT, ["N"]), value(names[2], INT64, ["N"])]
    path = g.save(tmp_path / "ssd.onnx", [value("image", FLOAT, [3, HEIGHT // 2, WIDTH // 2])], outputs)
    detector = load_detector(path)
    assert detector.layout.name.startswith("torchvision")
    assert detector.find(PICTURE)[0] == pytest.approx(np.stack([PERSON, DOG]) - 0.5, abs=1e-3)
    assert load_detector(path, ["dog"]).find(PICTURE)[0] == pytest.approx(DOG[None] - 0.5, abs=1e-3)


def test_tensorflow_boxes_are_shares_and_rows_come_first(tmp_path):
    g = Graph()
    order = [1, 0, 3, 2]
    rows = np.stack([PERSON, DOG, np.array([0, 0, 50, 50.0])])[:, order] / (HEIGHT, WIDTH, HEIGHT, WIDTH)
    tell(g, "detection_boxes", rows[None])
    tell(g, "detection_scores", [[0.8, 0.7, 0.6]])
    tell(g, "detection_classes", [[1.0, 18.0, 1.0]])
    tell(g, "num_detections", [2.0])
    outputs = [value("detection_boxes", FLOAT, [1, 3, 4]), value("detection_scores", FLOAT, [1, 3])]
    outputs += [value("detection_classes", FLOAT, [1, 3]), value("num_detections", FLOAT, [1])]
    path = g.save(tmp_path / "tf.onnx", [value("input_tensor", UINT8, [1, "H", "W", 3])], outputs)
    detector = load_detector(path)
    assert detector.layout.name.startswith("TensorFlow")
    assert detector.find(PICTURE)[0] == pytest.approx(np.stack([PERSON, DOG]) - 0.5, abs=1e-3)
    assert load_detector(path, ["18"]).find(PICTURE)[0] == pytest.approx(DOG[None] - 0.5, abs=1e-3)


@pytest.mark.parametrize("shape", [[3, "H", "W"], [1, 3, HEIGHT // 4, WIDTH // 4]])
def test_other_layouts_see_red_green_blue_from_0_to_1(tmp_path, shape):
    """The scores are the means of the three colours."""
    g = Graph()
    axes = [len(shape) - 2, len(shape) - 1]
    g.add("ReduceMean", ["image", g.constant(axes, np.int64)], "means", keepdims=0)
    g.add("Reshape", ["means", g.constant([3], np.int64)], "scores")
    tell(g, "boxes", np.array([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 45, 10]]))
    tell(g, "labels", [1, 1, 1], np.int64)
    outputs = [value("boxes", FLOAT, ["N", 4]), value("scores", FLOAT, ["N"]), value("labels", INT64, ["N"])]
    path = g.save(tmp_path / "seen.onnx", [value("image", FLOAT, shape)], outputs)
    picture = np.broadcast_to(np.array([204, 51, 102], np.uint8), (HEIGHT, WIDTH, 3)).copy()
    boxes, scores = load_detector(path, threshold=0.01).find(picture)
    assert scores == pytest.approx([0.8, 0.4, 0.2], abs=1e-3) and boxes[0, 0] == -0.5


def test_boxes_beyond_the_picture_are_cut_and_nonsense_is_left_out(tmp_path):
    g = Graph()
    tell(g, "boxes", [[-30.0, -30, 50, 50], [300, 10, 320, 20], [np.nan, 0, 5, 5], [10, 10, 10, 40]])
    tell(g, "scores", [0.9, 0.9, 0.9, 0.9])
    tell(g, "labels", [1, 1, 1, 1], np.int64)
    outputs = [value("boxes", FLOAT, ["N", 4]), value("scores", FLOAT, ["N"]), value("labels", INT64, ["N"])]
    path = g.save(tmp_path / "odd.onnx", [value("image", FLOAT, [3, "H", "W"])], outputs)
    assert load_detector(path).find(PICTURE)[0].tolist() == [[-0.5, -0.5, 49.5, 49.5]]


@pytest.mark.parametrize("names", [["hand", "glove"], {"0": "hand", "1": "glove"}])
def test_names_in_the_file_win_over_cocos(tmp_path, names):
    path = yolox(tmp_path / "own.onnx", entries={"names": json.dumps(names)})
    assert len(load_detector(path, ["hand"]).find(PICTURE)[0]) == 1
    assert len(load_detector(path, ["glove"]).find(PICTURE)[0]) == 0
    with pytest.raises(PosewrightError, match=r"class 'person' is none of the file's 2"):
        load_detector(path, ["person"])


def test_unknown_class_and_unknown_graph(tmp_path):
    with pytest.raises(PosewrightError, match=r"class 'persn'.*Did you mean 'person'"):
        load_detector(yolox(tmp_path / "yolox.onnx"), ["persn"])
    g = Graph()
    tell(g, "logits", np.zeros((1, 1000)))
    path = g.save(tmp_path / "classifier.onnx", [value("x", FLOAT, [1, 3, 8, 8])], [value("logits", FLOAT, [1, 1000])])
    with pytest.raises(PosewrightError, match=r"is no locator and no detector that is known here.*logits \[1, 1000\]"):
        load_detector(path)
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    with pytest.raises(PosewrightError, match="is not an ONNX model file, or was cut short"):
        load_detector(tmp_path / "broken.onnx")


def test_cocos_own_numbers():
    ids = coco_numbers(1)
    assert len(COCO) == len(set(COCO)) == 80
    assert (ids["person"], ids["stop sign"], ids["dog"], ids["toothbrush"]) == (1, 13, 18, 90)
    assert (coco_numbers(0)["person"], coco_numbers(0)["toothbrush"]) == (0, 79)
