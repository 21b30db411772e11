"""Training from pictures that lie on the device: each batch's crops are made there, in a few operations for all of them.

A graphics card trains a small net faster than processors can decode and warp pictures for it. Where the whole set fits, its
pictures are brought over once, as uint8, and what travels per step is only where each crop lies and how its pixels are varied
(:mod:`posewright.training.recipes`). The same seed gives the same crops as the loader's, to about a grey level.

Pictures are kept as one long list of pixels, so that none is padded; a picture that crops shrink by more than two is kept
averaged by whole factors too, from which such crops are sampled.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from posewright.console import progress_bar
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.machine import cores
from posewright.media.labelled import picture_of
from posewright.training.augment_config import PLAIN
from posewright.training.config import TrainConfig
from posewright.training.dataset import CropDataset, Sample
from posewright.training.reach import shrinkage
from posewright.training.recipes import Recipe, RecipeDataset, cannot
from posewright.warp import area_reduced, crop_matrix, from_reduced, reduction_factor

Array = NDArray[np.float64]

SMOOTH_SHARPEN = 13.0
"""Sum of the smoothing kernel of :func:`posewright.training.colour.sharpened`: ones around a 5."""


@dataclass(frozen=True)
class Level:
    """One picture, averaged over blocks of ``factor`` x ``factor`` pixels: where it begins among all pixels, and its sides."""

    start: int
    width: int
    height: int
    factor: int


class Store:
    """All pictures of a set on one device.

    Args:
        dataset: whose pictures; their sizes decide what is kept of each.
    """

    def __init__(self, dataset: RecipeDataset) -> None:
        self.dataset, self.rule = dataset, dataset.rule
        self.levels: list[tuple[Level, ...]] = []
        self.pixels: Tensor | None = None
        total = 0
        for (width, height), factors in zip(dataset.sizes, _factors(dataset), strict=True):
            own = []
            for factor in factors:
                w, h = -(-width // factor), -(-height // factor)
                own.append(Level(total, w, h, factor))
                total += w * h
            self.levels.append(tuple(own))
        self.total = total

    @property
    def bytes(self) -> int:
        """What it takes on the device."""
        return 3 * self.total

    def fill(self, device: torch.device | str) -> None:
        """Read all pictures and bring them over.

        Raises:
            PosewrightError: where a picture cannot be read, or is not as large as its labels say.
        """
        pixels = torch.empty((self.total, 3), dtype=torch.uint8, device=device)
        a = self.dataset.annotations
        used = [i for i, levels in enumerate(self.levels) if levels]
        bar = progress_bar(f"pictures to {pixels.device.type}", len(used))
        with bar as progress, ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(used), 64):  # no more than that many pictures wait in memory
                for i, parts in zip(used[start : start + 64], pool.map(self._reduced, used[start : start + 64])):
                    for level, part in zip(self.levels[i], parts, strict=True):
                        if part.shape[:2] != (level.height, level.width):
                            what = "is not {} x {} pixels large, as its labels say".format(*self.dataset.sizes[i])
                            raise PosewrightError(what, file=a.image_path(i), fix="Mend them, or use --device-data off")
                        end = level.start + level.width * level.height
                        pixels[level.start : end] = torch.from_numpy(part.reshape(-1, 3))
                    progress(1)
        self.pixels = pixels

    def _reduced(self, image: int) -> list[NDArray[np.uint8]]:
        picture = picture_of(self.dataset.annotations, image)
        whole = (0, 0, picture.shape[1], picture.shape[0])
        return [area_reduced(picture, whole, level.factor, self.rule.border) for level in self.levels[image]]

    def seen_by(self, recipe: Recipe) -> tuple[Level, Array]:
        """The level that a crop is sampled from, and the 3x3 map from it to the crop."""
        levels, similarity = self.levels[recipe.image], recipe.place.similarity
        wanted = reduction_factor(similarity, self.rule)
        level = max((lv for lv in levels if lv.factor <= wanted), key=lambda lv: lv.factor, default=levels[0])
        return level, from_reduced(crop_matrix(similarity, recipe.place.tilt_matrix), 0, 0, level.factor)

    def batch(self, recipes: Sequence[Recipe]) -> Sample:
        """The samples of recipes, on the store's device."""
        assert self.pixels is not None, "fill() comes first"
        device = self.pixels.device
        seen = [self.seen_by(recipe) for recipe in recipes]
        # Inverted in double precision here, applied in single precision there: the accelerator may know no other.
        back = _there(np.stack([np.linalg.inv(matrix) for _, matrix in seen]).astype(np.float32), device)
        sides = _there(np.array([[lv.start, lv.width, lv.height] for lv, _ in seen], np.int64), device)
        crops = sampled(self.pixels, sides, back, self.rule)
        crops = varied(crops, recipes)
        together = {
            name: _there(np.stack([getattr(recipe, name) for recipe in recipes]), device)
            for name in ("points", "state", "visible", "present", "inverse", "index")
        }
        return Sample(image=crops, **together)  # type: ignore[typeddict-item]


def _factors(dataset: RecipeDataset) -> Iterator[tuple[int, ...]]:
    """Of each picture the factors by which it is kept reduced, ascending: the first is the largest that no crop is too
    close for, each other one twice the one before. None of a picture that no crop is made of."""
    a, objects, rule = dataset.annotations, dataset.objects, dataset.rule
    least, most = np.full(len(a.images), np.inf), np.zeros(len(a.images))
    span = shrinkage(a.boxes[objects], rule, dataset.augment or PLAIN)
    if dataset.negatives:  # a crop without the object is of a quarter of its side at least
        span[:, 0] = np.minimum(span[:, 0], shrinkage(a.boxes[objects], rule, PLAIN)[:, 0] / 4)
    np.minimum.at(least, a.image[objects], span[:, 0])
    np.maximum.at(most, a.image[objects], span[:, 1])
    if dataset.negatives and len(objects):
        for i in dataset.empty_images.tolist():
            least[i] = min(span[:, 0].min(), min(dataset.sizes[i]) / max(rule.size))
            most[i] = span[:, 1].max()
    for low, high in zip(least.tolist(), most.tolist(), strict=True):
        factors = [max(1, math.floor(low + 1e-9))] if math.isfinite(low) else []
        while factors and factors[-1] * 2 <= high:
            factors.append(2 * factors[-1])
        yield tuple(factors)


def _there(array: NDArray[Any], device: torch.device) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


# -- pixels ------------------------------------------------------------------------------------------------------------


def sampled(pixels: Tensor, sides: Tensor, back: Tensor, rule: CropRule) -> Tensor:
    """Crops, each resampled bilinearly from its picture.

    Args:
        pixels: ``uint8 [P, 3]``, all pictures' pixels one after another, row by row.
        sides: ``int64 [B, 3]``: where each crop's picture begins among them, its width and its height.
        back: ``float32 [B, 3, 3]``: maps from crop pixels to the picture's.
        rule: gives the crops' size and what lies outside pictures.

    Returns:
        ``uint8 [B, H, W, 3]``.
    """
    width, height = rule.size
    columns = torch.arange(width, dtype=torch.float32, device=pixels.device)
    rows = torch.arange(height, dtype=torch.float32, device=pixels.device)
    # Written out rather than as a matrix product, which some devices compute in less than single precision.
    m = back[:, :, :, None, None]
    x, y, z = (m[:, i, 0] * columns + m[:, i, 1] * rows[:, None] + m[:, i, 2] for i in range(3))
    x, y = x / z, y / z
    start, wide, high = (sides[:, i, None, None] for i in range(3))
    left, top = x.floor(), y.floor()
    dx, dy = (x - left)[..., None], (y - top)[..., None]
    # Far outside, a float may be too large for a whole number.
    left = left.clamp(-2, 1 << 24).long()
    top = top.clamp(-2, 1 << 24).long()

    def at(u: Tensor, v: Tensor) -> Tensor:
        inside = (u >= 0) & (u < wide) & (v >= 0) & (v < high)
        place = torch.where(inside, start + v * wide + u, 0)
        return torch.where(inside[..., None], pixels[place].float(), float(rule.border))

    upper = torch.lerp(at(left, top), at(left + 1, top), dx)
    lower = torch.lerp(at(left, top + 1), at(left + 1, top + 1), dx)
    return torch.lerp(upper, lower, dy).round_().clamp_(0, 255).to(torch.uint8)


def varied(crops: Tensor, recipes: Sequence[Recipe]) -> Tensor:
    """Colour, sharpness, blur and patches as the recipes have them, on ``uint8 [B, H, W, 3]``; may change it in place."""
    device, changes = crops.device, [recipe.change for recipe in recipes]
    if any(change.equalise for change in changes):
        raise ValueError("local contrast is not equalised on a device")
    if any(change.colour is not None for change in changes):
        still = np.eye(3, 4)
        matrix = np.stack([still if c.colour is None else c.colour for c in changes]).astype(np.float32)
        m = _there(matrix, device)[:, None, None]
        mixed = sum((crops[..., i, None].float() * m[..., i] for i in range(3)), m[..., 3])
        crops = _rounded(mixed)
    which = [i for i, c in enumerate(changes) if c.sharpness is not None]
    if which:
        factor = _there(np.array([changes[i].sharpness for i in which], np.float32), device)
        crops = _with(crops, which, _sharpened(crops[which], factor))
    which = [i for i, c in enumerate(changes) if c.blur]
    if which:
        crops = _with(crops, which, _blurred(crops[which], [changes[i].blur for i in which]))
    for i, change in enumerate(changes):
        if change.patch is not None:
            top, left, bottom, right = change.patch
            crops[i, top:bottom, left:right] = _there(np.asarray(change.fill), device)
    return crops


def _rounded(crops: Tensor) -> Tensor:
    return crops.round_().clamp_(0, 255).to(torch.uint8)


def _with(crops: Tensor, which: list[int], new: Tensor) -> Tensor:
    crops[which] = new
    return crops


def _sharpened(crops: Tensor, factor: Tensor) -> Tensor:
    x = F.pad(crops.permute(0, 3, 1, 2).float(), (1, 1, 1, 1), mode="reflect")
    kernel = torch.ones(3, 1, 3, 3, device=crops.device)
    kernel[..., 1, 1] = 5
    smooth = F.conv2d(x, kernel / SMOOTH_SHARPEN, groups=3)
    sharp = torch.lerp(smooth, x[..., 1:-1, 1:-1], factor[:, None, None, None])
    return _rounded(sharp.permute(0, 2, 3, 1))


def _blurred(crops: Tensor, sigmas: Sequence[float]) -> Tensor:
    """A gaussian over as many pixels as OpenCV takes for 8-bit pictures, which it reflects at their edges."""
    halves = [(round(sigma * 6 + 1) | 1) // 2 for sigma in sigmas]
    most = min(max(halves), min(crops.shape[1:3]) - 1)
    at = np.arange(-most, most + 1)
    kernels = np.stack([np.exp(-(at**2) / (2 * s**2)) * (abs(at) <= h) for s, h in zip(sigmas, halves)])
    k = _there((kernels / kernels.sum(1, keepdims=True)).astype(np.float32), crops.device).repeat_interleave(3, 0)
    count, height, width, _ = crops.shape
    x = crops.permute(0, 3, 1, 2).float().reshape(1, count * 3, height, width)
    x = F.conv2d(F.pad(x, (most, most, 0, 0), mode="reflect"), k[:, None, None], groups=count * 3)
    x = F.conv2d(F.pad(x, (0, 0, most, most), mode="reflect"), k[:, None, :, None], groups=count * 3)
    return _rounded(x.reshape(count, 3, height, width).permute(0, 2, 3, 1))


# -- batches -----------------------------------------------------------------------------------------------------------


class DeviceBatches:
    """A loader's batches, made on the device from recipes.

    Attributes:
        loader: of recipes.
        store: the pictures, filled.
        sampler, batch_sampler, dataset: the loader's, where Lightning and the run look for them.
    """

    def __init__(self, loader: Any, store: Store) -> None:
        self.loader, self.store = loader, store
        self.sampler, self.batch_sampler = loader.sampler, loader.batch_sampler
        self.dataset: Dataset[Any] = loader.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Sample]:
        recipes = iter(self.loader)  # now, since the sampler may be moved on before the first batch is asked for
        return (self.store.batch(batch) for batch in recipes)


def store_for(config: TrainConfig, train: CropDataset, device: str) -> Store | None:
    """The store of a run's training pictures, not yet filled; None where batches come from the loader.

    Args:
        config: the settings; ``device_data`` asks for it ("on"), forbids it, or takes it on a graphics card with room.
        train: the training samples.
        device: "cpu", "mps", or a graphics card such as "cuda:0".

    Raises:
        PosewrightError: where it is asked for and cannot be had.
    """
    if config.device_data == "off" or (config.device_data == "auto" and torch.device(device).type != "cuda"):
        return None
    asked, reason = config.device_data == "on", cannot(train)
    if reason is not None:
        if asked:
            raise PosewrightError(f"--device-data on cannot make {reason}", fix="Leave one of the two out")
        return None
    store = Store(RecipeDataset(train.annotations, train.rule, train.augment, train.seed))
    there = room(device)
    if store.bytes > there:
        what = (
            f"the training pictures take {store.bytes / 1e9:.1f} GB, and {there / 1e9:.1f} GB of {device} are for them"
        )
        if asked:
            raise PosewrightError(what, fix="Use --device-data off, or `posewright pack` them first")
        print(f"{what}: they are loaded batch by batch")
        return None
    return store


def room(device: str) -> int:
    """Bytes that pictures may take: half of what is free on a graphics card, a quarter of a machine's memory."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0] // 2
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (AttributeError, ValueError, OSError):
        return 1 << 30
