"""Looking into a net: what its layers make of a picture, their kernels, and the pictures that excite them most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from posewright.errors import PosewrightError, did_you_mean
from posewright.models.base import HeatmapNet

ASCENT_STEPS, ASCENT_RATE = 60, 6.0
"""Steps of gradient ascent, and how far each moves a pixel at most, in grey values of 255."""
SMOOTH = 0.8
"""Standard deviation, in pixels, of the blur between steps, without which ascent ends in noise."""
BATCH = 8


class _Reached(Exception):
    """No error: the layer has run, and what follows it need not."""


def find_layer(net: HeatmapNet, name: str) -> nn.Module:
    """A module of a net by name, such as "stem.conv" or "stacks.0".

    Raises:
        PosewrightError: where there is none.
    """
    modules = {n: m for n, m in net.named_modules() if n and not isinstance(m, (nn.ModuleList, nn.Identity))}
    if name not in modules:
        close = did_you_mean(name, modules)
        fix = close if close.startswith("Did") else "posewright describe MODEL --layers lists them"
        raise PosewrightError(f"the net has no layer '{name}'", fix=fix)
    return modules[name]


def part_names(net: HeatmapNet) -> list[str]:
    """The parts that a net consists of, in order: its children, and the members of those that are lists."""
    names = []
    for name, child in net.named_children():
        members = [f"{name}.{i}" for i in range(len(child))] if isinstance(child, nn.ModuleList) else [name]
        names += members
    return names


@contextmanager
def _watched(layer: nn.Module, stop: bool) -> Iterator[list[Tensor]]:
    """The outputs of a layer, as it runs; of one that returns several, the first."""
    seen: list[Tensor] = []

    def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
        seen.append(output if isinstance(output, Tensor) else output[0])
        if stop:
            raise _Reached

    hook = layer.register_forward_hook(note)
    try:
        yield seen
    finally:
        hook.remove()


def feature_maps(net: HeatmapNet, image: NDArray[np.uint8], names: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """What layers make of one crop.

    Args:
        net: the net.
        image: ``uint8 [H, W, 3]`` RGB crop.
        names: of the layers.

    Returns:
        By name ``[C, h, w]``; layers that a run does not pass through are left out.
    """
    found = {}
    batch = torch.from_numpy(image[None])
    for name in names:
        with _watched(find_layer(net, name), stop=True) as seen, torch.inference_mode(), suppress(_Reached):
            net.eval()(batch)
        if seen and seen[0].ndim == 4:
            found[name] = seen[0][0].float().numpy()
    return found


def first_kernels(net: HeatmapNet) -> tuple[str, NDArray[np.float32]]:
    """Name and weights ``[C, 3 or 1, kh, kw]`` of the convolution that sees the picture."""
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == net.config.in_channels and module.groups == 1:
            return name, module.weight.detach().float().cpu().numpy()
    raise PosewrightError("no convolution of this net sees the picture")


def maximise(
    net: HeatmapNet, name: str, channels: Sequence[int], size: tuple[int, int], seed: int = 0
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The crops that excite single channels of a layer most, by gradient ascent from grey noise.

    Args:
        net: the net; left as it was.
        name: of the layer.
        channels: which of its channels.
        size: (height, width) of the crop.
        seed: of the noise.

    Yields:
        (channel, ``uint8 [H, W, 3]`` RGB), in the order asked for.

    Raises:
        PosewrightError: where there is no such layer or channel, or the net never runs it.
    """
    layer = find_layer(net.eval(), name)
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, len(channels), BATCH):
        part = list(channels[start : start + BATCH])
        image = 128 + 20 * torch.rand((len(part), *size, 3), generator=generator) - 10
        for _ in range(ASCENT_STEPS):
            image.requires_grad_(True)
            value = _excitement(net, layer, name, image, part)
            (gradient,) = torch.autograd.grad(value, image)
            with torch.no_grad():
                largest = gradient.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-12)
                image = _blurred(image + ASCENT_RATE * gradient / largest).clamp(0, 255)
        yield from zip(part, image.detach().round().byte().numpy(), strict=True)


def channel_count(net: HeatmapNet, name: str, size: tuple[int, int]) -> int:
    """How many channels a layer has, at crops of ``size`` = (height, width).

    Raises:
        PosewrightError: where there is no such layer, or no map comes out of it.
    """
    maps = feature_maps(net, np.zeros((*size, 3), np.uint8), [name])
    if name not in maps:
        raise PosewrightError(f"layer '{name}' has no maps")
    return len(maps[name])


def _excitement(net: HeatmapNet, layer: nn.Module, name: str, image: Tensor, channels: list[int]) -> Tensor:
    """The sum of each sample's own channel's mean over the map."""
    with _watched(layer, stop=True) as seen, suppress(_Reached):
        net(image)
    if not seen or seen[0].ndim != 4:
        raise PosewrightError(f"layer '{name}' has no maps to excite")
    maps = seen[0]
    if max(channels) >= maps.shape[1]:
        raise PosewrightError(f"layer '{name}' has {maps.shape[1]} channels, numbered from 0")
    return torch.stack([maps[i, c].mean() for i, c in enumerate(channels)]).sum()


def _blurred(image: Tensor) -> Tensor:
    """Pictures ``[B, H, W, 3]`` blurred a little, along both axes in turn."""
    steps = torch.arange(-2, 3, dtype=image.dtype)
    weight = torch.exp(-(steps**2) / (2 * SMOOTH**2))
    weight = (weight / weight.sum()).expand(3, 1, 1, 5)
    x = image.permute(0, 3, 1, 2)
    x = F.conv2d(F.pad(x, (2, 2, 0, 0), mode="replicate"), weight, groups=3)
    x = F.conv2d(F.pad(x, (0, 0, 2, 2), mode="replicate"), weight.transpose(2, 3), groups=3)
    return x.permute(0, 2, 3, 1)
