"""The presets a person can name, and the numbers behind each. Free of torch, so that they can be listed anywhere.

A family registers a frozen dataclass of settings, a pattern that its preset names follow and the module that builds its
net; nothing else in posewright knows which families there are.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from posewright.errors import PosewrightError, did_you_mean

ORDERS = ("conv_bn_relu", "preact", "conv_relu_bn")


@dataclass(frozen=True)
class NetConfig:
    """What every family's settings share.

    Attributes:
        mean: subtracted from RGB / 255 inside the net.
        activation: what the last layer of each stage passes through: "linear", or "sigmoid" for nets trained on logits.
        background: whether a last channel learns where no keypoint is.
    """

    family: ClassVar[str]
    stride: ClassVar[int] = 4

    mean: tuple[float, float, float] = (0.4404, 0.4440, 0.4327)
    activation: str = "linear"
    background: bool = False

    @property
    def multiple(self) -> int:
        """Height and width of the input are multiples of this."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        return {"family": self.family, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Hourglass(NetConfig):
    """Settings of a stacked hourglass.

    Attributes:
        stacks: how many hourglasses follow one another, each with its own loss.
        channels: width of the features.
        order: order of the layers, one of ``ORDERS``.
        poolings: how often each hourglass halves its maps on the way down.
        mobile: depthwise-separable convolutions.
    """

    family: ClassVar[str] = "hourglass"

    stacks: int = 2
    channels: int = 256
    order: str = "conv_bn_relu"
    poolings: int = 3
    mobile: bool = False

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise PosewrightError(f"unknown order of layers '{self.order}'", fix=did_you_mean(self.order, ORDERS))
        if self.activation not in ("linear", "sigmoid"):
            raise PosewrightError(f"unknown activation '{self.activation}'", fix="Use linear or sigmoid")
        if self.stacks < 1 or self.poolings < 1 or self.channels < 8 or self.channels % 4:
            raise PosewrightError("an hourglass needs at least 1 stack, 1 pooling and 8 channels, a multiple of 4")

    @property
    def multiple(self) -> int:
        return 4 * 2**self.poolings


@dataclass(frozen=True)
class Family:
    """One family of nets: its settings, its preset names and the module with ``build(config, keypoints)``."""

    config: type[NetConfig]
    module: str
    pattern: str
    parse: Callable[[re.Match[str]], dict[str, Any]]
    shown: tuple[tuple[str, str], ...]


FAMILIES: dict[str, Family] = {
    "hourglass": Family(
        Hourglass,
        "posewright.models.hourglass",
        r"hourglass_s(?P<stacks>[1-9]\d?)(?P<mobile>_mobile)?(?P<size>_tiny|_nano)?",
        lambda m: {
            "stacks": int(m["stacks"]),
            "mobile": bool(m["mobile"]),
            "channels": {None: 256, "_tiny": 128, "_nano": 64}[m["size"]],
        },
        (
            ("hourglass_s{N}", "N stacks of 256 channels (N = 1, 2, 4, 8 are usual)"),
            ("hourglass_s{N}_tiny", "128 channels"),
            ("hourglass_s{N}_nano", "64 channels"),
            ("hourglass_s{N}_mobile", "256 channels, depthwise-separable convolutions"),
            ("hourglass_s{N}_mobile_tiny", "128 channels, depthwise-separable convolutions"),
            ("hourglass_s{N}_mobile_nano", "64 channels, depthwise-separable convolutions"),
        ),
    ),
}


def preset_table() -> list[dict[str, str]]:
    """Name pattern and description of every preset."""
    return [{"name": name, "description": what} for family in FAMILIES.values() for name, what in family.shown]


def preset(name: str, **overrides: Any) -> NetConfig:
    """The settings behind a preset's name.

    Args:
        name: such as "hourglass_s2_mobile_tiny".
        overrides: settings to change; None leaves the preset's own.

    Raises:
        PosewrightError: where no family has such a preset or it has no such setting.
    """
    for family in FAMILIES.values():
        match = re.fullmatch(family.pattern, name)
        if match:
            changes = {k: v for k, v in overrides.items() if v is not None}
            known = {f.name for f in dataclasses.fields(family.config)}
            for key in changes:
                if key not in known:
                    raise PosewrightError(f"preset '{name}' has no setting '{key}'", fix=did_you_mean(key, known))
            return family.config(**(family.parse(match) | changes))
    shown = [n.replace("{N}", "2") for f in FAMILIES.values() for n, _ in f.shown]
    raise PosewrightError(f"unknown preset '{name}'", fix=did_you_mean(name, shown))


def net_config(d: dict[str, Any]) -> NetConfig:
    """The settings that :meth:`NetConfig.to_dict` wrote.

    Raises:
        PosewrightError: where family or settings are unknown to this version.
    """
    values = dict(d)
    family = FAMILIES.get(str(values.pop("family", None)))
    if family is None:
        raise PosewrightError(
            f"unknown family of nets '{d.get('family')}'", fix=did_you_mean(str(d.get("family")), FAMILIES)
        )
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    try:
        return family.config(**settings)
    except TypeError as error:
        raise PosewrightError(f"settings of another version: {error}") from None


def build_net(config: NetConfig, keypoints: int) -> Any:
    """The untrained net (needs torch)."""
    return importlib.import_module(FAMILIES[config.family].module).build(config, keypoints)
