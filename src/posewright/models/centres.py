"""Boxes to maps and maps to boxes: the two directions of a locator's one convention.

Zhou, Wang and Krähenbühl, "Objects as Points" (arXiv:1904.07850): an object is the peak of a map at its box's centre, and
the maps beside it tell at that place how large the box is. Cell ``i`` of a map with stride ``s`` is centred on pixel
``s * i + (s - 1) / 2``, as everywhere in this package. The maps hold, in this order,

- ``heat``: 1 in the cell nearest to a centre, falling around it like a gaussian that is as elongated as the box;
- ``width``, ``height``: logarithms of the box's sides in cells;
- ``right``, ``down``: from the cell's centre to the box's, in cells.

A net predicts one more: ``overlap``, how much of its box and the true one will be common to both (intersection over union), so
that of two objects that are as certain to be there the one with the better box is the one with the better score (Wu, Li and
Wang, "IoU-aware Single-stage Object Detector", arXiv:1912.05992). The geometric mean of both takes the place of ``heat``.

Sides and centre are learned not in the centre's cell alone but in all around it in which the gaussian is high, as Liu et
al. do ("Training-Time-Friendly Network", arXiv:1909.00700): a peak that comes out one cell aside still tells the right box.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MAPS = ("heat", "width", "height", "right", "down")
LOGITS = (*MAPS, "overlap")
"""What a net computes: the maps with the heat before its sigmoid, and the overlap before its own."""
SPREAD = 0.12
"""Standard deviation of the gaussian as a share of the box's side: wider than the 0.09 of arXiv:1909.00700, whose maps are
finer."""
LEAST_SPREAD = 0.6
"""The same in cells, at least: around small objects, too, there is a slope to the centre."""
CORE = 0.5
"""Cells in which an object's gaussian is at least this high learn its box."""
WIDEST = 8.0
"""Logarithm of the longest side in cells that an overlap is told for: what a net at its start tells must not overflow."""
ABSENT, OBJECT, IGNORED = 0, 1, 2
"""What a row of a batch's boxes is: none, an object, or a place of which nothing is known."""


def encode_boxes(
    boxes: Tensor, state: Tensor, size: tuple[int, int], stride: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Target maps of a batch of pictures.

    Args:
        boxes: ``[B, M, 4]`` (x0, y0, x1, y1) in pixels of the input, centres of objects inside of it.
        state: ``[B, M]``, one of ``ABSENT``, ``OBJECT``, ``IGNORED``.
        size: (height, width) of the maps in cells.
        stride: pixels per cell.

    Returns:
        ``heat [B, h, w]``; ``counted [B, h, w]``, 0 where a cell carries no loss, else 1; ``box [B, 4, h, w]`` the other
        four maps; ``core [B, h, w]``, 0 where a cell learns no box, else its weight, which sums to 1 over each object
        that has cells of its own.
    """
    height, width = size
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    cells = (centre - (stride - 1) / 2) / stride
    sides = ((boxes[..., 2:] - boxes[..., :2]) / stride).clamp(min=1e-3)
    x = torch.arange(width, device=boxes.device, dtype=boxes.dtype)
    y = torch.arange(height, device=boxes.device, dtype=boxes.dtype)
    there = (state == OBJECT)[..., None, None]
    last = torch.tensor([width - 1, height - 1], device=boxes.device, dtype=boxes.dtype)
    at = torch.minimum(cells.round().clamp(min=0), last)
    spread = (sides * SPREAD).clamp(min=LEAST_SPREAD)
    gx = torch.exp(-((x - at[..., :1]) ** 2) / (2 * spread[..., :1] ** 2))
    gy = torch.exp(-((y - at[..., 1:]) ** 2) / (2 * spread[..., 1:] ** 2))
    each = gy[..., :, None] * gx[..., None, :] * there
    if not boxes.shape[1]:
        nothing = boxes.new_zeros(len(boxes), height, width)
        return nothing, torch.ones_like(nothing), boxes.new_zeros(len(boxes), 4, height, width), nothing
    heat, owner = each.max(1)
    low, high = (boxes[..., :2] - (stride - 1) / 2) / stride, (boxes[..., 2:] - (stride - 1) / 2) / stride
    inside_x = (x >= low[..., :1]) & (x <= high[..., :1])
    inside_y = (y >= low[..., 1:]) & (y <= high[..., 1:])
    unknown = ((inside_y[..., :, None] & inside_x[..., None, :]) & (state == IGNORED)[..., None, None]).any(1)
    counted = torch.where(unknown & (heat < CORE), 0.0, 1.0).to(boxes.dtype)
    targets = torch.cat([sides.log(), cells], -1)
    told = targets.gather(1, owner.flatten(1)[..., None].expand(-1, -1, 4)).transpose(1, 2).unflatten(2, size)
    grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    box = torch.cat([told[:, :2], told[:, 2:] - grid], 1)
    core = torch.where(heat >= CORE, heat, torch.zeros_like(heat))
    total = boxes.new_zeros(boxes.shape[:2]).scatter_add_(1, owner.flatten(1), core.flatten(1))
    share = total.gather(1, owner.flatten(1)).unflatten(1, size)
    return heat, counted, box, core / share.clamp(min=1e-6)


def scored(logits: Tensor) -> Tensor:
    """What a net computes, ``[B, 6, h, w]`` in the order of ``LOGITS``, to ``[B, 5, h, w]`` in that of ``MAPS`` with the
    score for its heat."""
    score = (logits[:, :1].sigmoid() * logits[:, 5:].sigmoid()).sqrt()
    return torch.cat([score, logits[:, 1:5]], 1)


def overlap_of(found: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """How well the box of each cell agrees with the one it was to tell.

    Args:
        found, target: ``[B, 4, h, w]``, the box's part of ``MAPS``.

    Returns:
        Intersection over union ``[B, h, w]``, and the generalised one of Rezatofighi et al. (arXiv:1902.09630), which goes on
        falling to -1 as boxes that have nothing in common move apart.
    """
    half = [box[:, :2].clamp(-WIDEST, WIDEST).exp() / 2 for box in (found, target)]
    (low, high), (true_low, true_high) = (
        (box[:, 2:] - sides, box[:, 2:] + sides) for box, sides in zip((found, target), half)
    )
    common = (torch.minimum(high, true_high) - torch.maximum(low, true_low)).clamp(min=0).prod(1)
    both = (high - low).prod(1) + (true_high - true_low).prod(1) - common
    around = (torch.maximum(high, true_high) - torch.minimum(low, true_low)).prod(1)
    return common / both, common / both - (around - both) / around


def decode_boxes(maps: Tensor, stride: int, most: int) -> Tensor:
    """Maps to boxes.

    A cell stands for an object where it is the highest of the nine around it, which takes the place of the usual
    suppression of overlapping boxes. Its box is the mean of what those of the nine tell that are at least half as high, by
    their height: all of them were taught it.

    Args:
        maps: ``[B, 5, h, w]``; the heat map in 0..1.
        stride: pixels per cell.
        most: how many boxes, at most the number of cells.

    Returns:
        ``[B, most, 5]`` (x0, y0, x1, y1, score) in pixels of the input, best first; those that stand for nothing have a
        score of 0.
    """
    heat = maps[:, 0]
    top = F.max_pool2d(heat[:, None], 3, stride=1, padding=1)[:, 0]
    peaks = torch.where(heat >= top, heat, torch.zeros_like(heat))
    score, place = peaks.flatten(1).topk(most)
    width = heat.shape[-1]
    row, column = torch.div(place, width, rounding_mode="floor"), place % width
    steps = torch.arange(3, device=maps.device)
    down, right = steps.repeat_interleave(3)[:, None], steps.repeat(3)[:, None]
    bordered = F.pad(maps, (1, 1, 1, 1)).flatten(2)
    around = (row[:, None] + down) * (width + 2) + column[:, None] + right  # [B, 9, most]
    told = bordered.gather(2, around.flatten(1)[:, None].expand(-1, 5, -1)).unflatten(2, (9, most))
    weight = torch.where(told[:, 0] >= score[:, None] / 2, told[:, 0], torch.zeros_like(told[:, 0])).clamp(min=1e-9)
    each = torch.stack([told[:, 1], told[:, 2], told[:, 3] + right - 1, told[:, 4] + down - 1], 1)
    mean = (each * weight[:, None]).sum(2) / weight.sum(1)[:, None]
    sides = mean[:, :2].exp() * stride
    x = (column + mean[:, 2]) * stride + (stride - 1) / 2
    y = (row + mean[:, 3]) * stride + (stride - 1) / 2
    half_x, half_y = sides[:, 0] / 2, sides[:, 1] / 2
    return torch.stack([x - half_x, y - half_y, x + half_x, y + half_y, score], -1)
