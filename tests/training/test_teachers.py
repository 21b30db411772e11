"""What can teach: checkpoints, model files and foreign ONNX files, matched to the student by name and stage."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from helpers.discs import DISCS
from helpers.spots import SPOTS, picture_with_spots, spot_model
from posewright.errors import PosewrightError
from posewright.export import export_onnx
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint, save_checkpoint
from posewright.models.presets import build_net, preset
from posewright.skeleton import Skeleton
from posewright.training.distill_config import DistillConfig
from posewright.training.pairing import match_keypoints, pair_stages, read_pairs
from posewright.training.teachers import load_teacher

RULE = CropRule((64, 64))


def checkpoint(path, model="hourglass_s2_nano", skeleton=DISCS, size=(96, 64), sigma=None, **settings):
    torch.manual_seed(0)
    net = build_net(preset(model, activation="sigmoid", **settings), len(skeleton)).eval()
    training = {"config": {"sigma": sigma}} if sigma else {}
    return save_checkpoint(Checkpoint(net, skeleton, CropRule(size, 1.4), model, training=training), path)


def crops(teacher, count=2):
    width, height = teacher.rule.size
    return torch.randint(0, 256, (count, height, width, 3), dtype=torch.uint8)


# -- pairing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [(3, 6, (2, 4, 6)), (1, 6, (6,)), (2, 2, (1, 2)), (2, 3, (2, 3)), (3, 1, (1, 1, 1)), (4, 6, (2, 3, 5, 6))],
)
def test_stages_are_paired_with_the_last_of_equal_parts(student, teacher, expected):
    assert pair_stages(student, teacher) == expected


def test_a_list_of_stages():
    assert pair_stages(2, 6, (1, 6)) == (1, 6)
    with pytest.raises(PosewrightError, match="names 1 stages, the student has 2"):
        pair_stages(2, 6, (6,))
    with pytest.raises(PosewrightError, match="names stage 7, the teacher has 6"):
        pair_stages(2, 6, (2, 7))


def test_keypoints_are_matched_by_name_and_by_pairs():
    student = Skeleton("s", ("nose", "left_hand", "tail"))
    teacher = Skeleton("t", ("l_hand", "nose", "ear"))
    found = match_keypoints(student, teacher, [("left_hand", "l_hand")])
    assert found.source.tolist() == [1, 0, 0]
    assert found.known.tolist() == [True, True, False]
    assert found.missing == ("tail",)
    with pytest.raises(PosewrightError, match=r"'t' shares no keypoint name with 'x'.*--distill.map"):
        match_keypoints(Skeleton("x", ("a", "b")), teacher)
    with pytest.raises(PosewrightError, match=r"no keypoint 'ears'. Did you mean 'ear'"):
        match_keypoints(student, teacher, [("nose", "ears")])
    with pytest.raises(PosewrightError, match=r"no keypoint 'noose'. Did you mean 'nose'"):
        match_keypoints(student, teacher, [("noose", "ear")])
    with pytest.raises(PosewrightError, match="'nose' twice"):
        match_keypoints(student, teacher, [("nose", "ear"), ("nose", "nose")])


def test_pairs_from_the_command_line_and_from_a_file(tmp_path):
    assert read_pairs(("a,b", "c , d")) == [("a", "b"), ("c", "d")]
    path = tmp_path / "map.txt"
    path.write_text("# student, teacher\na,b\n\nc,d # the same\n")
    assert read_pairs((str(path),)) == [("a", "b"), ("c", "d")]
    path.write_text("a,b\nc;d\n")
    with pytest.raises(PosewrightError, match=r"map.txt: line 2: 'c;d' is no pair"):
        read_pairs((str(path),))
    path.write_text("# nothing\n")
    with pytest.raises(PosewrightError, match="holds no pair"):
        read_pairs((str(path),))
    with pytest.raises(PosewrightError, match=r"nowhere.txt: No such file"):
        read_pairs((str(tmp_path / "nowhere.txt"),))
    with pytest.raises(PosewrightError, match="'a,b,c' is no pair"):
        read_pairs(("a,b,c", "d,e"))


# -- teachers ----------------------------------------------------------------------------------------------------------


def test_a_checkpoint_and_its_model_file_teach_the_same(tmp_path):
    path = checkpoint(tmp_path / "t.safetensors", sigma=1.1)
    from posewright.models.checkpoint import load_checkpoint

    export_onnx(load_checkpoint(path), tmp_path / "t.onnx")
    config = DistillConfig()
    one, other = (
        load_teacher(str(tmp_path / f"t.{e}"), config, student=DISCS, rule=RULE) for e in ("safetensors", "onnx")
    )
    for teacher in (one, other):
        assert (teacher.skeleton, teacher.rule.size, teacher.stages, teacher.background) == (DISCS, (96, 64), 2, False)
        assert teacher.grid.size == (16, 24)
    assert (one.grid.sigma, other.grid.sigma) == (1.1, 1.5)  # a model file does not say; the student's
    image = crops(one)
    a, b = one(image), other(image)
    assert torch.allclose(a.maps, b.maps, atol=1e-3)
    assert torch.allclose(a.presence, b.presence, atol=1e-3)
    assert a.maps.shape == (2, 2, 3, 16, 24)
    assert not a.maps.requires_grad


def test_features_of_a_checkpoint(tmp_path):
    path = checkpoint(tmp_path / "t.safetensors", channels=32)
    teacher = load_teacher(str(path), DistillConfig(target="features"), student=DISCS, rule=RULE)
    assert teacher.channels == 32
    assert teacher(crops(teacher)).features.shape == (2, 32, 16, 24)


def test_a_teacher_is_never_copied(tmp_path):
    teacher = load_teacher(str(checkpoint(tmp_path / "t.safetensors")), DistillConfig(), student=DISCS, rule=RULE)
    assert copy.deepcopy({"deep": [teacher]})["deep"][0] is teacher


def test_a_model_file_that_returns_only_keypoints(tmp_path):
    path = spot_model(tmp_path / "spots.onnx", outputs=("keypoints", "presence"))
    teacher = load_teacher(str(path), DistillConfig(), student=SPOTS, rule=RULE)
    assert (teacher.stages, teacher.grid) == (0, None)
    centres = [(20.0, 30.0), (70.5, 12.25), (48.0, 50.0)]
    seen = teacher(torch.from_numpy(picture_with_spots(96, 64, centres, 3.0))[None])
    assert seen.maps is None
    assert np.abs(seen.points[0, :, :2].numpy() - centres).max() < 0.2


def foreign(path, kind: str, batch=None, shape=(64, 96), channels=3, first=True, type_=TensorProto.FLOAT):
    """A file of somebody else's: the mean of 4 x 4 pixels of each colour as maps, or fixed keypoints."""
    h, w = shape
    sides = [3, h, w] if first else [h, w, 3]
    nodes, constants = [], []
    source = "pixels"
    if type_ != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT))
        source = "floats"
    if not first:
        nodes.append(helper.make_node("Transpose", [source], ["planes"], perm=[0, 3, 1, 2]))
        source = "planes"
    if kind == "maps":
        nodes.append(helper.make_node("AveragePool", [source], ["out"], kernel_shape=[4, 4], strides=[4, 4]))
    elif kind == "keypoints":
        nodes += [
            helper.make_node("ReduceMean", [source, "axes"], ["means"], keepdims=0),
            helper.make_node("Unsqueeze", ["means", "last"], ["column"]),
            helper.make_node("Concat", ["column", "column"], ["out"], axis=2),
        ]
        constants = [
            numpy_helper.from_array(np.array([2, 3]), "axes"),
            numpy_helper.from_array(np.array([2]), "last"),
        ]
    else:
        nodes.append(helper.make_node("Flatten", [source], ["out"]))
    image = helper.make_tensor_value_info("pixels", type_, [batch or "N", *sides])
    graph = helper.make_graph(
        nodes, "foreign", [image], [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)], constants
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(("batch", "first", "type_"), [(None, True, 1), (1, True, 1), (4, False, 1), (None, False, 2)])
def test_foreign_heat_maps(tmp_path, batch, first, type_):
    path = foreign(tmp_path / "f.onnx", "maps", batch, first=first, type_=type_)
    teacher = load_teacher(str(path), DistillConfig(), student=SPOTS, rule=RULE)
    assert (teacher.rule.size, teacher.rule.margin, teacher.stages) == ((96, 64), RULE.margin, 1)
    assert (teacher.grid.size, teacher.grid.stride) == ((16, 24), 4)
    image = crops(teacher, 3)
    expected = image.float().unflatten(1, (16, 4)).unflatten(3, (24, 4)).mean((2, 4)).permute(0, 3, 1, 2)
    expected = expected / (255 if type_ == 1 else 1)
    assert torch.allclose(teacher(image).maps[:, 0], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("pixels", "bgr", "value"),
    [("0..1", False, 0.2), ("-1..1", False, -0.6), ("0..255", True, 51.0), ("imagenet", False, None)],
)
def test_what_a_foreign_teacher_expects_of_its_pixels(tmp_path, pixels, bgr, value):
    path = foreign(tmp_path / "f.onnx", "keypoints")
    teacher = load_teacher(str(path), DistillConfig(pixels=pixels, bgr=bgr), student=SPOTS, rule=RULE)
    image = torch.zeros(1, 64, 96, 3, dtype=torch.uint8)
    image[..., 0], image[..., 1], image[..., 2] = 51, 102, 204
    found = teacher(image).points[0]
    assert teacher.stages == 0
    assert (found[:, 2] == 1).all()
    if value is None:
        assert torch.allclose(found[:, 0], torch.tensor([(51 - 123.675) / 58.395, (102 - 116.28) / 57.12, (204 - 103.53) / 57.375]), atol=1e-4)  # fmt: skip  # noqa: E501
    else:
        assert found[2 if bgr else 0, 0] == pytest.approx(value, abs=1e-5)


def test_numbers_are_the_names_of_a_foreign_teacher_in_a_map(tmp_path):
    path = foreign(tmp_path / "f.onnx", "maps")
    student = Skeleton("four", ("b", "a", "c", "d"))
    with pytest.raises(PosewrightError, match=r"returns 3 keypoints, the student has 4.*NAME,NUMBER"):
        load_teacher(str(path), DistillConfig(), student=student, rule=RULE)
    config = DistillConfig(map=("a,0", "b,2"))
    teacher = load_teacher(str(path), config, student=student, rule=RULE)
    found = match_keypoints(student, teacher.skeleton, read_pairs(config.map))
    assert found.source.tolist()[:2] == [2, 0]
    assert found.missing == ("c", "d")


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["onnx", "safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"no model " * 40])
def test_a_teacher_that_is_no_model(tmp_path, ending, content):
    path = tmp_path / f"t.{ending}"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PosewrightError) as caught:
        load_teacher(str(path), DistillConfig(), student=DISCS, rule=RULE)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_onnx_files_that_cannot_teach(tmp_path):
    path = foreign(tmp_path / "f.onnx", "flat")
    with pytest.raises(PosewrightError, match=r"returns neither heat maps nor keypoints: out \[1, 18432\]"):
        load_teacher(str(path), DistillConfig(), student=SPOTS, rule=RULE)
    narrow = foreign(tmp_path / "n.onnx", "maps", shape=(96, 16))  # peaks are found in windows of 5 x 5 cells
    with pytest.raises(PosewrightError, match=r"returns neither heat maps nor keypoints: out \[1, 3, 24, 4\]"):
        load_teacher(str(narrow), DistillConfig(), student=SPOTS, rule=RULE)
    path = spot_model(tmp_path / "s.onnx")
    with pytest.raises(PosewrightError, match="an ONNX file, whose features cannot be seen"):
        load_teacher(str(path), DistillConfig(target="features"), student=SPOTS, rule=RULE)
    with pytest.raises(PosewrightError, match=r"Did you mean|no model|unknown"):
        load_teacher("bodyy", DistillConfig(), student=SPOTS, rule=RULE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 1.5}, "distill.alpha is a share"),
        ({"weight": 0.0}, "distill.weight must be above 0"),
        ({"views": -1}, "distill.views"),
        ({"target": "heatmap"}, "unknown distill.target 'heatmap'. Did you mean 'heatmaps'"),
        ({"target": "features", "cache": "c"}, "too large to be kept"),
    ],
)
def test_settings_are_checked(change, message):
    with pytest.raises(PosewrightError, match=message):
        replace(DistillConfig(), **change)
