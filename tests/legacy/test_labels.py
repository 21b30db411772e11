"""The old systems' labels, their old formulas, and what an imported net makes of maps that were taught by them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from posewright.export.deploy import DeployedNet
from posewright.geometry import CropRule
from posewright.legacy.cpm import import_pickle, import_variables
from posewright.legacy.hourglass import LABEL_SHIFT
from posewright.models.checkpoint import Checkpoint
from posewright.models.heatmaps import decode, encode
from posewright.models.presets import DECODINGS, Hourglass, build_net
from posewright.runtime.decode import RULES
from posewright.runtime.decode import decode as numpy_decode
from posewright.runtime.modelfile import ModelInfo
from posewright.runtime.predictor import Predictor
from posewright.skeleton import Skeleton

COUNT = 10_000


def hourglass_maps(points: np.ndarray, size: int) -> np.ndarray:
    """The hourglass system's targets for points ``[N, 2]`` in our pixels of an input of ``size``, ``[N, size/4, size/4]``.

    Its continuous coordinate is t = x / 4, with x counted from the picture's edge; the label is floor(t) + 1; the target a
    patch of 7 x 7 cells around that.
    """
    cells = size // 4
    maps = np.zeros((len(points), cells, cells), np.float32)
    label = np.floor((points + 0.5) / 4).astype(int) + 1
    steps = np.arange(7) - 3
    patch = np.exp(-(steps[:, None] ** 2 + steps**2) / 2)
    for target, (x, y) in zip(maps, label, strict=True):
        assert min(x, y) >= 3
        assert max(x, y) < cells - 3  # where the system draws at all
        target[y - 3 : y + 4, x - 3 : x + 4] = patch
    return maps


def pose_machine_maps(points: np.ndarray, size: int, stride: int) -> np.ndarray:
    """The pose machine system's own targets: a gaussian of one cell around cell joint // stride."""
    centre = points // stride
    steps = np.arange(size // stride)
    return _gaussians(steps - centre[:, :1], steps - centre[:, 1:], 1.0)


def caffe_maps(points: np.ndarray, size: int, stride: int) -> np.ndarray:
    """The targets of the Caffe nets behind the pickles: a gaussian of 7 pixels sampled at the cells' centres."""
    centres = stride / 2 - 0.5 + np.arange(size // stride) * stride
    return _gaussians(centres - points[:, :1], centres - points[:, 1:], 7.0)


def _gaussians(dx: np.ndarray, dy: np.ndarray, sigma: float) -> np.ndarray:
    gx, gy = np.exp(-(dx**2) / (2 * sigma**2)), np.exp(-(dy**2) / (2 * sigma**2))
    return (gy[:, :, None] * gx[:, None, :]).astype(np.float32)


def random_points(size: int, margin: float) -> np.ndarray:
    return np.random.default_rng(0).uniform(margin, size - margin, (COUNT, 2))


def settings_of(source: str):
    """The settings that an import gives a net of each source."""
    if source == "hourglass":
        return Hourglass(label_shift=LABEL_SHIFT)
    from pathlib import Path

    from helpers.pickles import cpm_arrays, variable_arrays
    from posewright.models.presets import Cpm

    arrays = cpm_arrays("hand", 2, 1)
    if source == "pickle":
        return import_pickle(arrays, Path("a"), {}).config
    stride = {"stride": 4} if source == "v2" else {}
    return import_variables(variable_arrays(arrays, Cpm(stages=2), False), Path("a"), stride).config


@pytest.mark.parametrize(
    ("source", "taught"),
    [
        ("hourglass", lambda p: hourglass_maps(p, 128)),
        ("checkpoint", lambda p: pose_machine_maps(p, 128, 8)),
        ("v2", lambda p: pose_machine_maps(p, 128, 4)),
        ("pickle", lambda p: caffe_maps(p, 128, 8)),
    ],
)
def test_the_imports_decoding_has_no_bias(source, taught):
    config = settings_of(source)
    points = random_points(128, 24)
    maps = torch.from_numpy(taught(points))[None]
    found = decode(maps, config.stride, config.label_shift, config.decoding)[0, :, :2].numpy()
    offset = (found - points).mean(0) / config.stride
    assert np.abs(offset).max() < 0.02
    # Without the shift, the bias is there to be seen.
    plain = (decode(maps, config.stride)[0, :, :2].numpy() - points).mean(0) / config.stride
    assert np.allclose(plain, config.label_shift, atol=0.02)
    reference = numpy_decode(maps[0, :500].numpy(), config.stride, config.label_shift, config.decoding)[:, :2]
    assert np.abs(reference - found[:500]).max() < 0.01


@pytest.mark.parametrize("shift", [(1.0, 1.0), (-0.125, 0.25)])
def test_further_training_draws_what_decoding_reads(shift):
    points = torch.from_numpy(random_points(128, 24)[:200])[None]
    maps = encode(points, torch.ones(1, 200, dtype=torch.bool), (32, 32), 4, 1.5, shift)
    assert (decode(maps, 4, shift)[..., :2] - points).abs().max() < 0.05
    moved = decode(maps, 4)[..., :2] - points
    assert torch.allclose(moved.mean(1)[0] / 4, torch.tensor(shift, dtype=moved.dtype), atol=0.01)


# -- as published -----------------------------------------------------------------------------------------------------


def published_hourglass(maps: np.ndarray) -> np.ndarray:
    """``post_process_heatmap_simple`` and the demo's mapping, in whole numbers: input pixel = 4 x cell."""
    points = []
    for single in maps.copy():
        single[single < 1e-6] = 0
        rows, columns = np.where(single == single.max())
        points.append((4 * columns[0], 4 * rows[0]))
    return np.array(points)


def published_pose_machine(maps: np.ndarray, side: int) -> np.ndarray:
    """The demo's formula: the map enlarged to the picture by OpenCV, then its highest pixel."""
    large = [cv2.resize(single, (side, side)) for single in maps]
    return np.array([np.unravel_index(m.argmax(), m.shape)[::-1] for m in large])


@pytest.mark.parametrize(("rule", "side"), [("argmax", 256), ("argmax_resized", 368)])
def test_the_published_formulas_to_the_pixel(rule, side):
    rng = np.random.default_rng(1)
    stride = 4 if rule == "argmax" else 8
    maps = rng.normal(0.1, 0.3, (300, side // stride, side // stride)).astype(np.float32)
    maps[0] = -1  # nothing reaches the threshold: the first cell
    maps[1] = 0.5  # all the same: the first one
    if rule == "argmax":
        maps[2, 5, 7] = maps[2, 40, 3] = 9
    else:
        maps[:2] += rng.normal(0, 0.01, maps[:2].shape).astype(np.float32)
    wanted = published_hourglass(maps) if rule == "argmax" else published_pose_machine(maps, side)
    found = decode(torch.from_numpy(maps)[None], stride, (1.0, 1.0), rule)[0].numpy()
    assert np.array_equal(found[:, :2], wanted)
    assert (found[:, 2] >= 0).all()
    assert (found[:, 2] <= 1).all()
    assert np.array_equal(numpy_decode(maps, stride, (1.0, 1.0), rule)[:, :2], wanted)


def test_a_net_imported_as_published_runs_its_formula():
    torch.manual_seed(0)
    config = Hourglass(stacks=1, channels=16, order="conv_relu_bn", label_shift=LABEL_SHIFT, decoding="argmax")
    net = build_net(config, 3).eval()
    torch.nn.init.normal_(net.heads[0].predict.weight)
    deployed = DeployedNet(Checkpoint(net, Skeleton("s", ("a", "b", "c")), CropRule((64, 64)), "x"))
    image = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        keypoints, _, maps, *_ = deployed(image)
    assert np.array_equal(keypoints[0, :, :2].numpy(), published_hourglass(maps[0, -1].numpy()))


def test_rules_are_known_under_the_same_names_everywhere():
    assert DECODINGS == RULES


# -- the mirrored run -------------------------------------------------------------------------------------------------


class ShiftedEngine:
    """A net whose maps peak where its labels would put the brightest pixel, beside the truth."""

    def __init__(self, shift: tuple[float, float], decoding: str = "gaussian") -> None:
        self.info = ModelInfo(
            Skeleton("spot", ("spot",)),
            CropRule((128, 128), 1.0),
            4,
            "x",
            ("heatmaps",),
            label_shift=shift,
            decoding=decoding,
        )
        self.path, self.device = None, "cpu"

    def run(self, crops, outputs):
        place = crops[..., 0].reshape(len(crops), -1).argmax(1)
        points = torch.tensor(np.stack([place % 128, place // 128], -1), dtype=torch.float32)[:, None]
        drawn = torch.ones(len(crops), 1, dtype=torch.bool)
        return [encode(points, drawn, (32, 32), 4, 1.5, self.info.label_shift).numpy()[:, None] for _ in outputs]


@pytest.mark.parametrize("shift", [(0.0, 0.0), (1.0, 1.0), (-0.125, -0.125)])
@pytest.mark.parametrize("flip", [False, True])
def test_averaging_with_the_mirror_image_heeds_the_shift(flip, shift):
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[70, 41] = 255
    poses = Predictor(ShiftedEngine(shift))(picture, flip=flip)
    assert np.abs(poses.xy[0, 0] - (41, 70)).max() < 0.05
