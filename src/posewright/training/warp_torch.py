"""The accelerator's executor of the one warp: a batch of pictures, each resampled once, on any torch device.

Factor, part and matrix come from :mod:`posewright.warp`; tests hold the crops of both executors equal to about a grey level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from posewright.geometry import CropRule, Similarity
from posewright.warp import crop_matrix, from_reduced, reduction_factor, seen_part


def warp_batch(
    pictures: Sequence[Tensor | NDArray[np.uint8]],
    similarities: Sequence[Similarity],
    rule: CropRule,
    tilts: Sequence[NDArray[np.float64] | None] | None = None,
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.uint8,
) -> Tensor:
    """Resample pictures into crops, as :func:`posewright.warp.warp` does one by one.

    Args:
        pictures: B of ``uint8 [H, W, C]``, each of any size, all of the same C.
        similarities: B maps from picture pixels to crop pixels.
        rule: gives the crops' size, their border value and when to reduce first.
        tilts: B 3x3 maps of crop pixels that follow the similarities, or None where a crop is not tilted.
        device: where to compute; the first picture's own where None. Only the part of a picture that its crop sees is
            brought there.
        dtype: of the result: ``torch.uint8``, rounded, or a floating type with the unrounded values, 0 to 255.

    Returns:
        ``[B, H, W, C]`` of the rule's size on ``device``.

    Raises:
        ValueError: where the sequences differ in length, or there is nothing in them.
    """
    tilts = [None] * len(pictures) if tilts is None else tilts
    if not len(pictures) == len(similarities) == len(tilts) > 0:
        raise ValueError(f"{len(pictures)} pictures, {len(similarities)} similarities and {len(tilts)} tilts: no batch")
    tensors = [torch.as_tensor(p) for p in pictures]
    device = torch.device(device) if device is not None else tensors[0].device
    made = [_source(*each, rule, device) for each in zip(tensors, similarities, tilts, strict=True)]
    sources = [source for source, _ in made]
    height, width = (max(s.shape[d] for s in sources) for d in (1, 2))
    # Beyond a picture grid_sample sees 0, in the canvas and outside it alike: so 0 stands for the border value.
    canvas = torch.zeros((len(sources), sources[0].shape[0], height, width), device=device)
    for one, source in zip(canvas, sources, strict=True):
        one[:, : source.shape[1], : source.shape[2]] = source - rule.border
    grid = _grid([matrix for _, matrix in made], rule, (width, height), device)
    crops = F.grid_sample(canvas, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + rule.border
    crops = crops.permute(0, 2, 3, 1)
    return crops.to(dtype) if dtype.is_floating_point else crops.round_().clamp_(0, 255).to(dtype)


def _source(
    picture: Tensor, similarity: Similarity, tilt: NDArray[np.float64] | None, rule: CropRule, device: torch.device
) -> tuple[Tensor, NDArray[np.float64]]:
    """What a crop is sampled from, float ``[C, h, w]``, reduced where the rule says so; and the 3x3 map from it."""
    factor = reduction_factor(similarity, rule)
    matrix = crop_matrix(similarity, tilt)
    x0, y0, x1, y1 = seen_part(picture.shape[1], picture.shape[0], matrix, rule, factor)
    part = picture[y0:y1, x0:x1].to(device).permute(2, 0, 1).float()
    if factor > 1:
        rest = (0, x1 - x0 - part.shape[2], 0, y1 - y0 - part.shape[1])
        part = F.pad(part, rest, value=float(rule.border)) if any(rest) else part
        # Rounded, since the other executor keeps what it has reduced in 8 bits.
        part = F.avg_pool2d(part, factor).round_()
    return part, from_reduced(matrix, x0, y0, factor)


def _grid(
    matrices: Sequence[NDArray[np.float64]], rule: CropRule, size: tuple[int, int], device: torch.device
) -> Tensor:
    """Where each pixel of each crop is sampled, ``[B, H, W, 2]``, in grid_sample's units for a canvas of ``size``.

    grid_sample (``align_corners=False``) puts -1 and 1 at the canvas's outer edges, where pixel coordinates have -0.5 and
    w - 0.5: g = (2 x + 1) / w - 1.
    """
    width, height = size
    to_unit = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])
    # Inverted in double precision here, applied in single precision there: the accelerator may know no other.
    back = torch.from_numpy(np.stack([to_unit @ np.linalg.inv(m) for m in matrices]).astype(np.float32)).to(device)
    crop_w, crop_h = rule.size
    columns: Any = torch.arange(crop_w, dtype=torch.float32, device=device)
    rows: Any = torch.arange(crop_h, dtype=torch.float32, device=device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    pixels = torch.stack([x, y, torch.ones_like(x)], -1)
    # Written out rather than as a matrix product, which some devices compute in less than single precision.
    at = (pixels[None, :, :, None, :] * back[:, None, None]).sum(-1)
    return at[..., :2] / at[..., 2:]
