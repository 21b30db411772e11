"""What a net is made of: its layers, parameters, multiplications, the memory it needs and how far each stage sees.

Nothing is computed: shapes and memory are followed on torch's "meta" device, which holds no numbers, and the receptive
field on a shadow of the net with one channel.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from posewright.models.base import HeatmapNet


@dataclass(frozen=True)
class Layer:
    """One layer that has work to do, at one crop.

    Attributes:
        name: of its module, such as "stem.conv".
        kind: such as "Conv2d 3x3 /2".
        shape: (channels, height, width) of what it returns.
        parameters: numbers that it learns.
        macs: multiplications with addition.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int

    @property
    def part(self) -> str:
        """The part of the net it belongs to: the first word of its name, with the number behind it."""
        words = self.name.split(".")
        return ".".join(words[:2]) if len(words) > 1 and words[1].isdigit() else words[0]


@dataclass(frozen=True)
class NetDescription:
    """A whole net at one input size.

    Attributes:
        layers: in the order in which they run.
        parameters: all numbers that it learns.
        weight_bytes: size of its weights and running statistics as they are stored, 4 bytes a number.
        activation_bytes: the most that is alive at once while one crop passes through in float32, its input included.
        stages: of each stage's maps, (height, width) in pixels of the crop that one cell can see; a side the net sees
            wholly, at any size up to ``FIELD_LIMIT``, is that limit.
    """

    layers: tuple[Layer, ...]
    parameters: int
    weight_bytes: int
    activation_bytes: int
    stages: tuple[tuple[int, int], ...]

    @property
    def macs(self) -> int:
        """Multiplications with addition for one crop: those of convolutions and linear layers."""
        return sum(layer.macs for layer in self.layers)


FIELD_LIMIT = 2048
"""Receptive fields are measured on crops of this side, at most."""


def describe_net(net: HeatmapNet, size: tuple[int, int]) -> NetDescription:
    """Describe a net at an input of ``size`` = (height, width) pixels; the net is left as it was.

    Raises:
        PosewrightError: where the net does not take that size.
    """
    height, width = size
    net.check_size(height, width)
    ghost = copy.deepcopy(net).to("meta").eval()
    rows: list[Layer] = []
    hooks = [
        module.register_forward_hook(_note(name, rows)) for name, module in ghost.named_modules() if _is_layer(module)
    ]
    image = torch.zeros(1, height, width, 3, dtype=torch.uint8, device="meta")
    with torch.no_grad(), _Alive() as alive:
        ghost(image)
    for hook in hooks:
        hook.remove()
    stored = [*net.parameters(), *(b for n, b in net.named_buffers() if n in net.state_dict())]
    return NetDescription(
        tuple(rows),
        sum(p.numel() for p in net.parameters()),
        sum(t.numel() * t.element_size() for t in stored),
        alive.peak + image.numel(),
        tuple(receptive_fields(ghost)),
    )


def _is_layer(module: nn.Module) -> bool:
    return not any(True for _ in module.children()) and not isinstance(module, nn.Identity)


def _note(name: str, rows: list[Layer]) -> Any:
    def hook(module: nn.Module, _inputs: Any, output: Tensor) -> None:
        own = sum(p.numel() for p in module.parameters(recurse=False))
        # A layer that runs several times multiplies each time and learns its numbers once.
        again = any(row.name == name for row in rows)
        rows.append(Layer(name, _kind(module), tuple(output.shape[1:]), 0 if again else own, _macs(module, output)))

    return hook


def _kind(module: nn.Module) -> str:
    if not isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        return type(module).__name__
    (high, wide), (step, _) = module.kernel_size, module.stride
    words = [type(module).__name__.replace("SamePadConv", "Conv2d"), f"{high}x{wide}"]
    if step > 1:
        words.append(f"/{step}")
    if module.groups > 1:
        words.append("depthwise" if module.groups == module.in_channels else f"in {module.groups} groups")
    return " ".join(words)


def _macs(module: nn.Module, output: Tensor) -> int:
    cells = output[0].numel()
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        assert isinstance(module.weight, Tensor)
        if isinstance(module, nn.Conv2d):
            return cells * module.weight[0].numel()
        return cells * module.weight.numel() // module.out_channels
    return cells * module.in_features if isinstance(module, nn.Linear) else 0


class _Alive(TorchDispatchMode):
    """Adds up the bytes of the tensors that exist, each storage once; ``peak`` is the most there were."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._holders: dict[int, int] = {}
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {t.untyped_storage()._cdata for t in _tensors((args, kwargs))}
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            storage = tensor.untyped_storage()
            key, size = storage._cdata, storage.nbytes()
            # A view, or a result written in place, of something that was there before all this belongs to the net.
            if key not in self._holders and key in given:
                continue
            if key not in self._holders:
                self._holders[key] = 0
                self.now += size
                self.peak = max(self.peak, self.now)
            if not any(tensor is known for known in self._known):
                self._known.add(tensor)
                self._holders[key] += 1
                weakref.finalize(tensor, self._leave, key, size)
        return result

    def _leave(self, key: int, size: int) -> None:
        self._holders[key] -= 1
        if not self._holders[key]:
            del self._holders[key]
            self.now -= size


def _tensors(value: Any) -> Iterable[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


# -- how far a cell sees -----------------------------------------------------------------------------------------------


class _Shadow(TorchFunctionMode):
    """Runs a net's layers on one channel that carries only where information comes from.

    A convolution becomes the mean of its channels and of its window, a maximum the mean of its window, a norm nothing:
    the gradient of one cell is then above zero at exactly the pixels that it depends on, whatever the weights are.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.conv2d, F.conv2d):
            given = dict(zip(("input", "weight", "bias", "stride", "padding", "dilation"), args)) | kwargs
            high, wide = given["weight"].shape[-2:]
            x = given["input"].mean(1, keepdim=True)
            kernel = torch.full((1, 1, high, wide), 1 / (high * wide), dtype=x.dtype)
            how = {name: given[name] for name in ("stride", "padding", "dilation") if name in given}
            return func(x, kernel, **how)
        if func in (torch.max_pool2d, F.max_pool2d):
            given = dict(zip(("input", "kernel_size", "stride", "padding"), args)) | kwargs
            more = {name: given[name] for name in ("stride", "padding", "ceil_mode") if given.get(name)}
            return F.avg_pool2d(given["input"], given["kernel_size"], **more)
        if func in (F.batch_norm, torch.batch_norm, F.relu, torch.relu, torch.relu_):
            return args[0]
        return func(*args, **kwargs)


def receptive_fields(net: HeatmapNet) -> list[tuple[int, int]]:
    """Of each stage's maps, the (height, width) in pixels that the middle cell depends on; see ``FIELD_LIMIT``."""
    multiple, shadow = net.config.multiple, copy.copy(net)
    side = max(multiple, 256 // multiple * multiple)
    while True:
        found = _fields(shadow, side)
        # A field whose cell has less room than this on some side may have been cut off there.
        if max(max(pair) for pair in found) <= side - 2 * net.config.stride or 2 * side > FIELD_LIMIT:
            return [tuple(min(v if v < side else FIELD_LIMIT, FIELD_LIMIT) for v in pair) for pair in found]  # type: ignore[misc]
        side *= 2


def _fields(net: HeatmapNet, side: int) -> list[tuple[int, int]]:
    x = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    with _Shadow():
        stages = net.stage_maps(x)
    found = []
    for maps in stages:
        middle = maps.mean(1)[0, maps.shape[-2] // 2, maps.shape[-1] // 2]
        (gradient,) = torch.autograd.grad(middle, x, retain_graph=True)
        seen = gradient[0, 0] > 0
        found.append((int(seen.any(1).sum()), int(seen.any(0).sum())))
    return found
