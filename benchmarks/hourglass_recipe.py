"""The training recipe of tf-keras-stacked-hourglass in this package's parts: samples, targets, loss, optimiser, decoding.

Only the recipe; the net is whatever it is compared on. Taken over exactly:

- **Crop.** A square of 1.25 times the box's longer side (``scale_provided`` is that side over 200, as its converters for sets
  without a scale of their own have it), its centre 15 of 200 parts of that side lower than the box's; black outside.
- **Geometry.** Mirror left to right with probability 0.5 as x -> W - x, which puts labels one picture pixel beside their
  pixels; mirror top to bottom with probability 0.5 and no swap of sides; the crop's side times U(0.8, 1.2); a turn by a whole
  number of degrees from -30 to 29 with probability 0.5. Nothing else: no shift, no cut-out, no crops without the object.
- **Targets.** The label's cell is ``trunc(t) + 1``; sigma 1 within a patch of 7 x 7; no target at all where the patch would
  leave the map, which are cells below 3 and above size - 5. The same maps for every stack.
- **Visibility rule.** A keypoint that is not labelled, or has no target for its place, is taught as an empty map.
- **Loss.** Mean square over channels, cells and batch, summed over stacks.
- **Optimiser.** Keras's RMSprop (rho 0.9, no momentum, epsilon 1e-7) at 5e-4, constant; batches of 16; no weight decay, no
  clipping, no running mean of weights.
- **Decoding.** Cells below 1e-6 are 0, the first highest cell, ``trunc`` of its place in the picture, plus 1; a peak in row or
  column 0 stays in cells, as there.
- **What is kept.** The epoch with the best PCK on the held-out pictures.

Not exact, and why:

- Brightness, colour, contrast and sharpness (each always, by U(0.5, 2)), grey (0.1), blur (0.2) and CLAHE (0.2) are applied to
  the whole picture and in that order, but computed by OpenCV: up to about a grey level beside Pillow's. Of a packed set the
  whole picture is the packed part.
- The crop is one bilinear resampling with area reduction, not Pillow's nearest turn and bicubic resizing, and its window is
  not rounded to whole pixels: kinder to the recipe.
- Batches are mixed in every epoch; there the first one goes through the file in order. The last batch's rest is dropped in both.
- Weights begin as this package begins them, and the arithmetic is the machine's default (bf16 where it is native) for both sides.
- The best epoch is chosen by this package's PCK@0.2 of the torso, read with the recipe's mean shift of a cell taken out.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posewright.annotations import Annotations
from posewright.geometry import Similarity
from posewright.media.labelled import picture_of
from posewright.models.base import HeatmapNet
from posewright.training.augment import mirror_order
from posewright.training.augment_config import AugmentConfig
from posewright.training.config import TrainConfig
from posewright.training.dataset import DRAWN, EMPTY, CropDataset, Sample
from posewright.training.perspective import CropMap
from posewright.training.task import KeypointTask
from posewright.warp import warp

MARGIN, LOWER = 1.25, 15 / 200
"""Factor on the box's longer side, and how far below the box's centre the crop's lies, as a share of that side."""
REACH, EDGE = 3, 5
"""Half of the patch, and how many of the last cells get no target."""
SILENT = 1e-6
BLACK = 0
SHIFT = "label_shift=1,1"
"""``trunc(t) + 1`` lies on average one cell right and down of the truth: ``t`` is half a cell more than this package's cells."""


def settings(config: TrainConfig) -> TrainConfig:
    """The recipe's settings, in place of those of ``config``; net, input size, epochs, seed and machine stay."""
    augment = AugmentConfig(  # nearest settings, which say how far a packed set must reach
        colour=0, hue=0, saturation=1, value=1, contrast=1, sharpness=1, grey=0.1, clahe=0.2, blur=0.2, cutout=0,
        scale=0.25, rotation=30, rotation_share=0.5, shift=0, flip=0.5, flip_vertical=0.5, negative=0,
    )  # fmt: skip
    return replace(
        config,
        loss="mse",
        optimiser="rmsprop",
        lr=5e-4,
        weight_decay=0.0,
        schedule="constant",
        warmup=0.0,
        clip=0.0,
        ema=0.0,
        batch_size=16,
        sigma=1.0,
        margin=MARGIN,
        augment=augment,
        net=(*config.net, SHIFT),
    )


def lowered(labels: Annotations) -> Annotations:
    """The set with boxes whose crops are those of the recipe."""
    side = (labels.boxes[:, 2:] - labels.boxes[:, :2]).max(1)
    down = np.zeros_like(labels.boxes)
    down[:, [1, 3]] = (LOWER * side)[:, None]
    return replace(labels, boxes=labels.boxes + down)


# -- samples -------------------------------------------------------------------------------------------------------------


def varied(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Colours of a whole picture ``uint8 [H, W, 3]`` RGB as the recipe varies them."""
    levels = np.arange(256)
    brightness, colour, contrast, sharpness = rng.uniform(0.5, 2.0, 4)
    picture = cv2.LUT(picture, np.clip(levels * brightness, 0, 255).astype(np.uint8))
    grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    picture = cv2.addWeighted(picture, colour, grey, 1 - colour, 0)
    middle = int(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).mean() + 0.5)
    picture = cv2.LUT(picture, np.clip(middle + contrast * (levels - middle), 0, 255).astype(np.uint8))
    smooth = cv2.filter2D(picture, -1, np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13)
    picture = cv2.addWeighted(picture, sharpness, smooth, 1 - sharpness, 0)
    if rng.random() < 0.1:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.2:
        picture = cv2.GaussianBlur(picture, (5, 5), 0)
    if rng.random() < 0.2:
        light = cv2.cvtColor(picture, cv2.COLOR_RGB2YUV)
        light[..., 0] = cv2.createCLAHE(2.0, (8, 8)).apply(light[..., 0])
        picture = cv2.cvtColor(light, cv2.COLOR_YUV2RGB)
    return np.asarray(picture, np.uint8)


class HourglassDataset(CropDataset):
    """The recipe's training samples; every keypoint is DRAWN or EMPTY, none ignored."""

    def _positive(self, index: int, rng: np.random.Generator) -> Sample:
        a = self.annotations
        flip, flip_vertical = (bool(m) for m in rng.random(2) < 0.5)
        zoom = 1 / rng.uniform(0.8, 1.2)
        turn = float(rng.integers(-30, 30)) if rng.random() < 0.5 else 0.0
        similarity = Similarity.crop(
            a.boxes[index],
            self.rule.size,
            margin=self.rule.margin,
            rotation=turn,
            scale=zoom,
            flip=flip,
            flip_vertical=flip_vertical,
        )
        keypoints = a.keypoints[index][mirror_order(a.skeleton, flip, False)]
        points = similarity.apply(keypoints[:, :2]) + beside(similarity, flip, flip_vertical)
        state = np.where(keypoints[:, 2] > 0, DRAWN, EMPTY).astype(np.uint8)
        visible = np.where(state == DRAWN, keypoints[:, 2], 0).astype(np.uint8)
        picture = varied(picture_of(a, int(a.image[index])), rng)
        crop = warp(picture, CropMap(similarity).similarity, self.rule)
        return {
            "image": torch.from_numpy(crop),
            "points": torch.from_numpy(points.astype(np.float32)),
            "state": torch.from_numpy(state),
            "visible": torch.from_numpy(visible),
            "present": torch.tensor(True),
            "inverse": torch.from_numpy(similarity.inverse().matrix.astype(np.float32)),
            "index": torch.tensor(index),
        }


def beside(similarity: Similarity, flip: bool, flip_vertical: bool) -> NDArray[np.float64]:
    """How far beside its pixel a mirrored label lies, in crop pixels: x -> W - x is one picture pixel more than the mirror."""
    linear = similarity.matrix[:, :2].copy()
    # One pixel along the axes of the mirrored picture, which are those of the picture turned about.
    linear[:, 0] *= -1 if flip else 1
    linear[:, 1] *= -1 if flip_vertical else 1
    return linear @ np.array([float(flip), float(flip_vertical)])


# -- targets, loss, optimiser --------------------------------------------------------------------------------------------


def label_cells(points: Tensor, stride: int) -> Tensor:
    """The whole cell that a label is put into, from crop pixels; ``t`` counts from the crop's corner."""
    return torch.trunc((points.float() + 0.5) / stride) + 1


def hourglass_targets(points: Tensor, drawn: Tensor, size: tuple[int, int], stride: int) -> Tensor:
    """Target maps ``[B, K, h, w]`` of points ``[B, K, 2]`` in crop pixels, of which those not ``drawn`` stay empty."""
    height, width = size
    cells = label_cells(points, stride)
    last = cells.new_tensor([width - EDGE, height - EDGE])
    drawn = drawn & (cells >= REACH).all(-1) & (cells <= last).all(-1)
    sides = []
    for axis, count in ((0, width), (1, height)):
        off = torch.arange(count, device=points.device) - cells[..., axis, None]
        sides.append(torch.exp(-(off**2) / 2) * (off.abs() <= REACH))
    return sides[1][..., :, None] * (sides[0] * drawn[..., None])[..., None, :]


class HourglassTask(KeypointTask):
    """The recipe's targets, loss and optimiser."""

    def targets(self, batch: Sample, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        state = batch["state"]
        return hourglass_targets(batch["points"], state == DRAWN, size, self.net.config.stride), state

    def map_loss(self, logits: Tensor, target: Tensor, state: Tensor) -> Tensor:
        maps = self.net.activate(logits)
        return ((maps - target[:, None]) ** 2).mean((0, 2, 3, 4)).sum()

    def configure_optimizers(self) -> Any:
        trained = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.RMSprop(trained, lr=self.config.lr, alpha=0.9, eps=1e-7)


# -- decoding ------------------------------------------------------------------------------------------------------------


def hourglass_points(net: HeatmapNet, maps: Tensor, batch: dict[str, Any]) -> Tensor:
    """The recipe's way from maps ``[B, K, h, w]`` to points ``[B, K, 2]`` in picture pixels, for crops without a turn."""
    maps = torch.where(maps < SILENT, torch.zeros_like(maps), maps).cpu()
    index = maps.flatten(2).argmax(2)
    cells = torch.stack([index % maps.shape[-1], torch.div(index, maps.shape[-1], rounding_mode="floor")], -1).double()
    inverse = batch["inverse"].double()
    # A cell's number counts from the crop's corner, which lies half a pixel up and left of the first pixel's centre.
    crop = cells * net.config.stride - 0.5
    there = (crop[..., None, :] * inverse[:, None, :, :2]).sum(-1) + inverse[:, None, :, 2]
    mapped = torch.trunc(there) + 1
    return torch.where((cells > 0).all(-1, keepdim=True), mapped, cells)
