"""The presets of locators, and the numbers behind each. Free of torch, so that they can be listed anywhere."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from posewright.errors import PosewrightError, did_you_mean
from posewright.models.presets import NetConfig, net_config, preset


@dataclass(frozen=True)
class CentreConfig:
    """Settings of a net that finds objects by their centres.

    Attributes:
        channels: width of the features at the maps' resolution; the others follow from it.
        stride: pixels of the input per cell of the maps, 4 or 8.
        depth: residual blocks at each resolution; behind a trunk, blocks between it and the maps.
        trunk: the keypoint net whose last features are read in place of those of a pyramid of its own: a preset's name, or
            its settings as :func:`trunk_text` spells them; empty for none.
        keypoints: how many that net has.
        mean: red, green and blue that are subtracted from the picture / ``scale``, inside the net; a trunk has its own.
        scale: what the picture's 0..255 is divided by.
    """

    family: ClassVar[str] = "locator"

    channels: int = 64
    stride: int = 8
    depth: int = 2
    trunk: str = ""
    keypoints: int = 0
    mean: tuple[float, float, float] = (0.4404, 0.4440, 0.4327)
    scale: float = 255.0

    def __post_init__(self) -> None:
        if self.stride not in (4, 8):
            raise PosewrightError(f"a locator's stride is 4 or 8, not {self.stride}")
        if self.channels < 8 or self.channels % 4 or self.depth < 1:
            raise PosewrightError("a locator needs at least 8 channels, a multiple of 4, and a depth of 1")
        if len(self.mean) != 3 or not self.scale > 0:
            raise PosewrightError("a net needs a mean of three numbers and a scale above 0")
        trunk = self.trunk_config
        if trunk is not None and (self.stride % trunk.stride or self.stride // trunk.stride > 2):
            what = f"a locator with maps of stride {self.stride} cannot read a keypoint net of stride {trunk.stride}"
            raise PosewrightError(what, fix="Use --model locator" if trunk.stride == 8 else None)
        if trunk is not None and self.keypoints < 1:
            raise PosewrightError("a locator with a trunk needs the number of its keypoints")

    @property
    def trunk_config(self) -> NetConfig | None:
        """The settings of the keypoint net that is read; None without one.

        Raises:
            PosewrightError: where they are no settings of a net of this version.
        """
        if not self.trunk:
            return None
        if not self.trunk.startswith("{"):
            return preset(self.trunk)
        try:
            settings = json.loads(self.trunk)
        except ValueError:
            raise PosewrightError("a locator's trunk is no JSON") from None
        return net_config(settings)

    @property
    def multiple(self) -> int:
        """Sides of the input are multiples of this."""
        trunk = self.trunk_config
        return 32 if trunk is None else trunk.multiple

    def to_dict(self) -> dict[str, Any]:
        return {"family": self.family, **dataclasses.asdict(self)}


def trunk_text(config: NetConfig) -> str:
    """What :class:`CentreConfig` is given as ``trunk`` for a keypoint net with these settings."""
    return json.dumps(config.to_dict())


PRESETS: dict[str, tuple[str, dict[str, Any]]] = {
    "locator": ("centres and sizes at an eighth of the input's resolution", {}),
    "locator_small": ("the same with half the width and one block at each resolution", {"channels": 32, "depth": 1}),
    "locator_fine": ("the same at a quarter, for small objects", {"stride": 4, "channels": 48}),
}
"""By name: what it is, and its settings where they are not the defaults."""


def locator_table() -> list[dict[str, str]]:
    """Name and description of every preset."""
    return [{"name": name, "description": what} for name, (what, _) in PRESETS.items()]


def locator_preset(name: str, overrides: Mapping[str, Any] | None = None) -> CentreConfig:
    """The settings behind a preset's name, with some changed.

    Raises:
        PosewrightError: where there is no such preset.
    """
    if name not in PRESETS:
        raise PosewrightError(f"unknown locator preset '{name}'", fix=did_you_mean(name, PRESETS))
    return CentreConfig(**(PRESETS[name][1] | dict(overrides or {})))


def locator_config(d: Mapping[str, Any]) -> CentreConfig:
    """The settings that :meth:`CentreConfig.to_dict` wrote.

    Raises:
        PosewrightError: where they are of another kind of net or another version.
    """
    values = dict(d)
    if values.pop("family", None) != CentreConfig.family:
        raise PosewrightError(f"a net of the family '{d.get('family')}' is no locator")
    if "trunk" not in values:
        raise PosewrightError("is a locator of an earlier version, whose net was another", fix="Train it again")
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    try:
        return CentreConfig(**settings)
    except TypeError as error:
        raise PosewrightError(f"settings of another version: {error}") from None
