"""A locator's checkpoint: the same kind of file as a keypoint model's, with what a locator needs in its header."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.checkpoint import FORMAT_VERSION, fill_net, read_weights, write_weights
from posewright.models.locator import CentreNet
from posewright.models.locator_presets import locator_config
from posewright.skeleton import Skeleton


@dataclass
class LocatorCheckpoint:
    """A locator that can be trained further or exported.

    Attributes:
        net: the net, in eval mode when read from a file.
        skeleton: of the objects it was trained to find; it says what they are.
        rule: how a picture becomes its input.
        preset: the name it was asked for by.
        most: boxes that its model file tells of a picture.
        threshold: the score from which a box is taken for an object.
        training: settings of the run that made it, its data and history, as plain JSON values.
        metrics: measured figures by name, each with its "value" and the conventions it was measured by.
        terms: terms of the training data, in words.
    """

    net: CentreNet
    skeleton: Skeleton
    rule: CropRule
    preset: str
    most: int = 50
    threshold: float = 0.5
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    terms: str = ""


def save_locator(checkpoint: LocatorCheckpoint, path: str | Path, *, half: bool = False) -> Path:
    """Write a locator's checkpoint whole or not at all; ``half`` as for
    :func:`posewright.models.checkpoint.save_checkpoint`."""
    header = {
        "format_version": FORMAT_VERSION,
        "kind": "locator",
        "net": checkpoint.net.config.to_dict(),
        "skeleton": checkpoint.skeleton.to_dict(),
        "crop": checkpoint.rule.to_dict(),
        "preset": checkpoint.preset,
        "most": checkpoint.most,
        "threshold": checkpoint.threshold,
        "training": checkpoint.training,
        "metrics": checkpoint.metrics,
        "terms": checkpoint.terms,
    }
    return write_weights(header, checkpoint.net.state_dict(), path, half=half)


def load_locator_checkpoint(path: str | Path) -> LocatorCheckpoint:
    """Read a locator's checkpoint.

    Raises:
        PosewrightError: where the file is missing, cut short, no locator's checkpoint, or of another version.
    """
    path = Path(path)
    header, weights = read_weights(path, "locator")
    try:
        net = CentreNet(locator_config(header["net"]))
        skeleton = Skeleton.from_dict(header["skeleton"])
        rule = CropRule.from_dict(header["crop"])
        most, threshold = int(header["most"]), float(header["threshold"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, PosewrightError):
            raise PosewrightError(error.what, file=path, fix=error.fix) from None
        raise PosewrightError(f"has a header that cannot be used: {type(error).__name__}", file=path) from None
    fill_net(net, weights, path)
    return LocatorCheckpoint(
        net.eval(),
        skeleton,
        rule,
        str(header.get("preset", "")),
        most,
        threshold,
        header.get("training") or {},
        header.get("metrics") or {},
        str(header.get("terms") or ""),
    )
