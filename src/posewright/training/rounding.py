"""Training a net as its int8 file will compute it.

In the forward pass the weights of convolutions are rounded as :mod:`posewright.export.quantize` rounds them, to signed 7 bits
with one scale a channel, and so are the tensors that convolutions and sums of feature maps read, to unsigned 8 bits with one
scale a tensor. Gradients pass as if nothing had been rounded, where a value lies within its range (Bengio et al.,
arXiv:1308.3432; Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
CVPR 2018, arXiv:1712.05877). The weights of the layers that draw the maps are left alone, as they are in the file.

Folding a batch norm into the convolution before it multiplies each channel of the weights by a number, and its scale with it:
rounded before or after, the weights are the same. So batch norms stay as they are while the net is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from posewright.models.base import HeatmapNet
from posewright.training.ranks import largest_over_ranks

BITS_7, BITS_8 = 64, 255
"""Weights are rounded to -64..64, inputs to 0..255 steps."""
INWARD = 0.01
"""How much of the way an input's range moves with each batch that does not fill it; outward it goes at once."""
CHANNELS = {torch.conv2d: 0, torch.conv_transpose2d: 1}
"""Which axis of a layer's weights is that of the channels it makes."""
SUMS = (torch.add, torch.Tensor.add, torch.Tensor.__add__, torch.Tensor.__radd__, torch.Tensor.__iadd__)
"""Sums; of feature maps, which have four axes, they are rounded."""


class Rounding(nn.Module):
    """The rounding of what a net computes, tensor by tensor in the order in which they are read.

    Args:
        net: the net; what runs as several layers and is stored as one in the model file is run as one from now on.
        size: (height, width) of its crops.

    Attributes:
        low, high: ``[T]``, the range of each tensor, 0 included.
        seen: whether any batch has shown them.
    """

    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(self, net: HeatmapNet, size: tuple[int, int]) -> None:
        super().__init__()
        net.merge()
        # No modules of this one: they belong to the net.
        self._drawing = tuple(layer.weight for layer in net.predictors())
        count, training = [0], net.training

        def counted(x: Tensor) -> Tensor:
            count[0] += 1
            return x

        with torch.no_grad(), _Reading(counted, self._drawing):
            net.eval().outputs(torch.zeros((1, *size, 3), dtype=torch.uint8))
        net.train(training)
        for name in ("low", "high"):
            self.register_buffer(name, torch.zeros(count[0]))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))

    @contextmanager
    def active(self) -> Iterator[None]:
        """Round within the block, which runs the net once; while training, learn the ranges, too."""
        place, ranges = [0], []

        def rounded(x: Tensor) -> Tensor:
            at, place[0] = place[0], place[0] + 1
            low, high = self.low[at], self.high[at]
            if self.training:
                low, high = self._range(x, low, high)
                ranges.append(torch.stack([-low, high]))
            return round_input(x, low, high)

        with _Reading(rounded, self._drawing):
            yield
        if ranges:
            low, high = largest_over_ranks(torch.stack(ranges, 1))
            self.low.copy_(-low)
            self.high.copy_(high)
            self.seen.fill_(True)

    def _range(self, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The range with a batch that it holds."""
        least, most = x.detach().float().aminmax()
        least, most = least.clamp(max=0), most.clamp(min=0)
        share = torch.where(self.seen, INWARD, 1.0)
        return torch.minimum(least, low.lerp(least, share)), torch.maximum(most, high.lerp(most, share))


def round_weight(weight: Tensor, axis: int) -> Tensor:
    """Weights rounded to -64..64 steps of the largest of each channel."""
    others = [i for i in range(weight.ndim) if i != axis]
    scale = (weight.detach().abs().amax(others).float() / BITS_7).clamp(min=1e-12)
    zero = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight.float(), scale, zero, axis, -BITS_7, BITS_7)


def round_input(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """A tensor rounded to 256 steps from ``low`` to ``high``, which hold 0 between them, and cut off there."""
    scale = ((high - low) / BITS_8).clamp(min=1e-12)
    zero = (-low / scale).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x.float(), scale, zero, 0, BITS_8)


class _Reading(TorchFunctionMode):
    """Changes what is read by every convolution and every sum of feature maps within the block, and rounds the weights, but
    certain ones.

    Layers are met as they run, and not as modules: a net may compute a layer's weights, and call it by its function.
    """

    def __init__(self, change: Callable[[Tensor], Tensor], but: Sequence[Tensor]) -> None:
        super().__init__()
        self._change, self._but = change, but

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in CHANNELS:
            given = dict(zip(("input", "weight"), args, strict=False)) | kwargs
            x, weight = self._change(given.pop("input")), given.pop("weight")
            if not any(weight is drawing for drawing in self._but):
                weight = round_weight(weight, CHANNELS[func])
            return func(x, weight, *args[2:], **given)
        if func in SUMS and len(args) == 2 and all(isinstance(a, Tensor) and a.ndim == 4 for a in args):
            args = (self._change(args[0]), self._change(args[1]))
        return func(*args, **kwargs)
