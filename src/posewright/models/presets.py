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
ACTIVATIONS = ("linear", "relu", "sigmoid")
COLOURS = ("rgb", "bgr", "grey")
DECODINGS = ("gaussian", "argmax", "argmax_resized")
"""See :func:`posewright.models.heatmaps.decode`."""


@dataclass(frozen=True)
class NetConfig:
    """What every family's settings share.

    Attributes:
        mean: red, green and blue that are subtracted from the picture / ``scale``, inside the net.
        scale: what the picture's 0..255 is divided by.
        colour: what the first layer sees of that, one of ``COLOURS``; grey is 0.299 R + 0.587 G + 0.114 B.
        activation: what the maps of each stage pass through, one of ``ACTIVATIONS``; "sigmoid" for nets trained on logits.
        background: whether a last channel learns where no keypoint is.
        visibility: whether K channels more, which are no heat maps, learn whether each keypoint can be seen.
        label_shift: (x, y) in cells: how far right and down of the truth the net was taught to put its peaks. Decoding
            takes it out, and targets for further training are drawn with it.
        decoding: how maps become points, one of ``DECODINGS``.
    """

    family: ClassVar[str]
    weights_depend_on: ClassVar[tuple[str, ...]] = ()
    """Settings that two nets must share for the weights of one to mean anything in the other."""
    lr_factor: ClassVar[float] = 1.0
    """On the learning rate that nets with batch norm bear."""

    mean: tuple[float, float, float] = (0.4404, 0.4440, 0.4327)
    scale: float = 255.0
    colour: str = "rgb"
    activation: str = "linear"
    background: bool = False
    visibility: bool = False
    label_shift: tuple[float, float] = (0.0, 0.0)
    decoding: str = "gaussian"

    def __post_init__(self) -> None:
        for what, value, known in (
            ("activation", self.activation, ACTIVATIONS),
            ("colour", self.colour, COLOURS),
            ("decoding", self.decoding, DECODINGS),
        ):
            if value not in known:
                raise PosewrightError(f"unknown {what} '{value}'", fix=did_you_mean(value, known))
        if len(self.label_shift) != 2:
            raise PosewrightError("a net's label_shift is two numbers, x and y")
        if len(self.mean) != 3 or not self.scale > 0:
            raise PosewrightError("a net needs a mean of three numbers and a scale above 0")

    @property
    def in_channels(self) -> int:
        """Channels that the first layer sees."""
        return 1 if self.colour == "grey" else 3

    @property
    def stride(self) -> int:
        """Pixels of the input per cell of the maps."""
        raise NotImplementedError

    @property
    def stages(self) -> int:
        """How many times the net predicts its maps, each time under a loss of its own."""
        raise NotImplementedError

    @property
    def multiple(self) -> int:
        """Height and width of the input are multiples of this."""
        return self.stride

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
    weights_depend_on: ClassVar[tuple[str, ...]] = ("order",)

    stacks: int = 2
    channels: int = 256
    order: str = "conv_bn_relu"
    poolings: int = 3
    mobile: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in ORDERS:
            raise PosewrightError(f"unknown order of layers '{self.order}'", fix=did_you_mean(self.order, ORDERS))
        if self.stacks < 1 or self.poolings < 1 or self.channels < 8 or self.channels % 4:
            raise PosewrightError("an hourglass needs at least 1 stack, 1 pooling and 8 channels, a multiple of 4")

    @property
    def stages(self) -> int:
        return self.stacks

    @property
    def stride(self) -> int:
        return 4

    @property
    def multiple(self) -> int:
        return self.stride * 2**self.poolings


@dataclass(frozen=True)
class Cpm(NetConfig):
    """Settings of a convolutional pose machine.

    Attributes:
        stages: how many times the maps are predicted, each time under a loss of its own; at least 2.
        trunk: width of the trunk's last four layers.
        stride: 8, or 4 for a trunk that pools once less.
        centre: whether stages 2 and on also see a gaussian around the middle of the picture: which of several people is
            meant.
        centre_sigma: its standard deviation in pixels of the input.
        width: factor on the width of every layer.
    """

    family: ClassVar[str] = "cpm"
    lr_factor: ClassVar[float] = 0.1

    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    scale: float = 256.0
    background: bool = True
    stages: int = 6
    trunk: int = 256
    stride: int = 8
    centre: bool = True
    centre_sigma: float = 21.0
    width: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stages < 2 or self.trunk < 8 or not self.width > 0 or not self.centre_sigma > 0:
            raise PosewrightError(
                "a pose machine needs at least 2 stages, a trunk of at least 8, and a width and centre_sigma above 0"
            )
        if self.stride not in (4, 8):
            raise PosewrightError(f"a pose machine's stride is 4 or 8, not {self.stride}")

    def wide(self, channels: int) -> int:
        """The number of channels of a layer that has ``channels`` at width 1: a multiple of 8."""
        return channels if self.width == 1 else max(8, round(channels * self.width / 8) * 8)


@dataclass(frozen=True)
class CpmLight(NetConfig):
    """Settings of the light pose machine.

    Attributes:
        stages: how many times the maps are predicted, each time under a loss of its own; at least 2.
        channels: width of the features that all stages share, and of each stage.
    """

    family: ClassVar[str] = "cpm_light"

    stages: int = 3
    channels: int = 96

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stages < 2 or self.channels < 8 or self.channels % 8:
            raise PosewrightError("a light pose machine needs at least 2 stages and 8 channels, a multiple of 8")

    @property
    def stride(self) -> int:
        return 4

    @property
    def multiple(self) -> int:
        return 16


@dataclass(frozen=True)
class Family:
    """One family of nets.

    Attributes:
        config: its settings.
        build: ``build(config, keypoints)`` makes the untrained net; or the name of a module that has it.
        pattern: what its preset names look like.
        parse: from a preset's name to its settings.
        shown: example name, or pattern with ``{N}`` for a number, and description of each preset.
    """

    config: type[NetConfig]
    build: str | Callable[[Any, int], Any]
    pattern: str
    parse: Callable[[re.Match[str]], dict[str, Any]]
    shown: tuple[tuple[str, str], ...]


_CPM: dict[str, dict[str, Any]] = {
    "body": {"stages": 6, "trunk": 256, "centre": True},
    "body_slim": {"stages": 6, "trunk": 256, "centre": True, "activation": "relu"},
    "hand": {"stages": 3, "trunk": 512, "centre": False},
    "hand_slim": {"stages": 6, "trunk": 512, "centre": False, "activation": "relu"},
    "hand_v2": {"stages": 3, "trunk": 512, "centre": False, "stride": 4},
}


def _stages(m: re.Match[str]) -> dict[str, int]:
    return {"stages": int(m["stages"])} if m["stages"] else {}


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
    "cpm": Family(
        Cpm,
        "posewright.models.cpm",
        rf"cpm_(?P<net>{'|'.join(_CPM)})(?:_s(?P<stages>[1-9]\d?))?",
        lambda m: _CPM[m["net"]] | _stages(m),
        (
            (
                "cpm_body",
                "convolutional pose machine for bodies, centre map, 6 stages (cpm_body_s{N} and so on: N)",
            ),
            ("cpm_body_slim", "the same, maps through a ReLU"),
            ("cpm_hand", "convolutional pose machine for hands, 3 stages"),
            ("cpm_hand_slim", "6 stages, maps through a ReLU"),
            ("cpm_hand_v2", "3 stages, maps at a quarter of the picture's size"),
        ),
    ),
    "cpm_light": Family(
        CpmLight,
        "posewright.models.cpm_light",
        r"cpm_light(?:_s(?P<stages>[1-9]\d?))?",
        _stages,
        (("cpm_light", "pose machine with batch norm, factorised kernels and a light trunk, 3 stages"),),
    ),
}


def register(config: type[NetConfig], build: Callable[[Any, int], Any], description: str = "a net of your own") -> None:
    """Let a family of your own be named, trained, saved and read like those of this package, while the process lives.

    Its one preset is the family's name, its settings are the defaults of ``config``.

    Args:
        config: a frozen dataclass with a ``family`` of its own.
        build: ``build(config, keypoints)`` makes the untrained net.
        description: for ``posewright models``.

    Raises:
        PosewrightError: where another family has the name.
    """
    name = config.family
    if name in FAMILIES and FAMILIES[name].config is not config:
        raise PosewrightError(f"there is a family of nets '{name}' already")
    FAMILIES[name] = Family(config, build, re.escape(name), lambda m: {}, ((name, description),))


def preset_table() -> list[dict[str, str]]:
    """Name pattern and description of every preset."""
    return [{"name": name, "description": what} for family in FAMILIES.values() for name, what in family.shown]


def family_of(name: str) -> tuple[Family, dict[str, Any]]:
    """The family that a preset's name belongs to, and the settings that the name stands for.

    A family's own name stands for the defaults of its settings.

    Raises:
        PosewrightError: where no family has such a preset.
    """
    for family in FAMILIES.values():
        match = re.fullmatch(family.pattern, name)
        if match:
            return family, family.parse(match)
    if name in FAMILIES:
        return FAMILIES[name], {}
    shown = [n.replace("{N}", "2") for f in FAMILIES.values() for n, _ in f.shown]
    raise PosewrightError(f"unknown preset '{name}'", fix=did_you_mean(name, shown))


def preset(name: str, **overrides: Any) -> NetConfig:
    """The settings behind a preset's name.

    Args:
        name: such as "hourglass_s2_mobile_tiny".
        overrides: settings to change; None leaves the preset's own.

    Raises:
        PosewrightError: where no family has such a preset or it has no such setting.
    """
    family, settings = family_of(name)
    changes = {k: v for k, v in overrides.items() if v is not None}
    known = {f.name for f in dataclasses.fields(family.config)}
    for key in changes:
        if key not in known:
            raise PosewrightError(f"preset '{name}' has no setting '{key}'", fix=did_you_mean(key, known))
    return family.config(**(settings | changes))


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
    build = FAMILIES[config.family].build
    if isinstance(build, str):
        build = importlib.import_module(build).build
    return build(config, keypoints)
