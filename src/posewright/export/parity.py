"""What an exported file returns, held against the net it was made of, on the same crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.export.deploy import DeployedNet

Array = NDArray[np.float64]
Run = Callable[[NDArray[np.uint8], Sequence[str]], list[NDArray[np.float32]]]
"""Crops and names of outputs to arrays: ``run`` of an engine."""

SCORE = 0.1
"""Keypoints are compared whose score, as the height of their peak, is above this."""
LEAST_MAP = 1e-3
"""Maps with no larger value than this are compared as if they had it."""
SETTLED = 0.001
"""How far single precision alone may move a keypoint that is compared, in cells."""
FEW = 100
"""A share of fewer keypoints says little about a point of PCK."""
NEAR = 0.02
"""Without labels, a keypoint counts as kept within this share of the crop's longer side of where the net has it."""


@dataclass(frozen=True)
class Bounds:
    """How far a file may be from its net; what is None is not asked.

    Attributes:
        median, p99: distance of keypoints, in cells of the heat map.
        maps: largest difference of heat maps, as a share of their largest value.
        told: largest difference of covariances as a share of their size, of visibilities and scores as it is.
        presence: largest difference of presence.
        loss: what may be lost of PCK, as a share.
        grain: so many keypoints may be lost on balance whatever share that is: on a few pictures one of them is many points.
    """

    median: float
    p99: float | None = None
    maps: float | None = None
    told: float | None = None
    presence: float | None = None
    loss: float | None = None
    grain: int = 1


BOUNDS = {
    "fp32": Bounds(median=0.0025, p99=0.025, maps=0.01, told=0.05, presence=0.01),
    "fp16": Bounds(median=0.02, p99=0.5, presence=0.05, loss=0.005),
    "int8": Bounds(median=0.25, presence=0.25, loss=0.01),
    "int8-dynamic": Bounds(median=0.25, presence=0.25, loss=0.01),
}
"""By precision. At a stride of 4 those of fp32 are 0.01 px and 0.1 px."""


@dataclass(frozen=True)
class CheckSet:
    """Crops to compare on.

    Attributes:
        crops: ``uint8 [N, H, W, 3]`` RGB.
        words: what they are.
        truth: ``[N, K, 3]`` (x, y, v) in pixels of the crops, NaN where not labelled; None without labels.
        lengths: ``[N]``, the normaliser's length in pixels of the crop.
        rule: how right is measured, e.g. "PCK@0.2 (torso)".
        threshold: of it.
        real: pictures of what the model is for, rather than any pattern.
    """

    crops: NDArray[np.uint8]
    words: str
    truth: Array | None = None
    lengths: Array | None = None
    rule: str = ""
    threshold: float = 0.0
    real: bool = True

    @property
    def counted(self) -> NDArray[np.bool_] | None:
        """``[N, K]``: the keypoints whose distance to the truth is measured; None without labels."""
        if self.truth is None or self.lengths is None:
            return None
        labelled = np.isfinite(self.truth).all(-1) & (self.truth[..., 2] > 0)
        return np.asarray(labelled & (self.lengths[:, None] > 0))

    def share(self, count: int) -> float:
        """``count`` keypoints as a share of those that are measured; 0 without labels."""
        counted = self.counted
        return 0.0 if counted is None else count / max(int(counted.sum()), 1)


@dataclass(frozen=True)
class Parity:
    """How a model file compares with its net on the same crops.

    Attributes:
        worst_px, median_px, p99_px: distances between keypoints whose score is above ``SCORE``, in crop pixels.
        worst_map: largest difference between heat maps, as a share of the net's largest value on the crop.
        crops: how many crops were compared.
        worst_told: largest difference between what else is told of those keypoints: of covariances as a share of their
            size, of visibilities and scores as it is.
        points: how many keypoints were compared.
        kept: (the net's, the file's) share of right keypoints; without labels what the net itself finds counts as right.
        of: how many keypoints that is a share of.
        rule: how right was measured.
        words: what the crops are.
        notes: what there is to say about how the file was written, one sentence each.
        worst_presence: largest difference of presence.
    """

    worst_px: float
    worst_map: float
    crops: int
    worst_told: float = 0.0
    median_px: float = 0.0
    p99_px: float = 0.0
    points: int = 0
    kept: tuple[float, float] | None = None
    of: int = 0
    rule: str = ""
    words: str = ""
    notes: tuple[str, ...] = ()
    worst_presence: float = 0.0

    @property
    def loss(self) -> float:
        """The share of right keypoints that was lost; below 0 where the file is better."""
        return 0.0 if self.kept is None else self.kept[0] - self.kept[1]

    def sentence(self) -> str:
        """The figures in words."""
        where = f"{self.crops} {self.words}" if self.words else f"{self.crops} crops"
        if not self.points:
            return f"On {where}: no keypoint to compare; maps within {100 * self.worst_map:.2f} % of the net's."
        text = (
            f"On {where}: keypoints {self.median_px:.4f} px from the net's (median), {self.p99_px:.3f} px at the 99th "
        )
        text += "percentile"
        if self.kept is not None:
            text += f"; {self.rule}: {100 * self.kept[1]:.2f} %, the net's {100 * self.kept[0]:.2f} %"
            text += f" ({self.of} keypoints, too few to tell)" if self.of < FEW else ""
        return f"{text}."

    def require(self, bounds: Bounds, stride: int) -> None:
        """Raise where it is beyond the bounds.

        Raises:
            PosewrightError: saying by what.
        """
        loss = None if bounds.loss is None else max(bounds.loss, bounds.grain / max(self.of, 1))
        asked: list[tuple[float, float | None, str]] = [
            (
                self.median_px,
                bounds.median * stride,
                "its keypoints are off by {:.3f} px (median), more than {:.3f} px",
            ),
            (
                self.p99_px,
                None if bounds.p99 is None else bounds.p99 * stride,
                "its keypoints are off by {:.3f} px (99th percentile), more than {:.3f} px",
            ),
            (self.worst_map, bounds.maps, "its heat maps are off by {:.3f} of their largest value, more than {:.3f}"),
            (
                self.worst_told,
                bounds.told,
                "its score, covariance or visibility is off by {:.3f}, more than {:.3f}",
            ),
            (self.worst_presence, bounds.presence, "its presence is off by {:.3f}, more than {:.3f}"),
            (self.loss, loss, "it loses {:.4f} of " + (self.rule or "PCK") + ", more than {:.4f}"),
        ]
        for value, bound, words in asked:
            # Asked this way round, figures that are no numbers do not pass.
            if bound is not None and not value <= bound:
                raise PosewrightError(f"the exported file is not kept: {words.format(value, bound)}")


def smooth_crops(height: int, width: int, count: int = 4) -> NDArray[np.uint8]:
    """Smooth random pictures ``uint8 [count, height, width, 3]``, the same every time."""
    import cv2

    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return np.stack([cv2.resize(c, (width, height), interpolation=cv2.INTER_CUBIC) for c in coarse])


def patterns(size: tuple[int, int]) -> CheckSet:
    """Crops of ``size`` = (width, height) for where there are no pictures."""
    return CheckSet(smooth_crops(size[1], size[0]), "smooth random crops", real=False)


def compare(net: DeployedNet, run: Run, check: CheckSet) -> Parity:
    """Run net and model file on the same crops, one at a time, and report how far they are apart.

    Keypoints count whose peak is higher than ``SCORE`` and whose place the net's own maps settle: not those on a peak so flat
    that rounding alone moves it by ``SETTLED``. Of files without keypoints, what their maps decode to is compared.
    """
    worst_map = worst_told = worst_presence = 0.0
    true_xy, got_xy, sures = [], [], []
    for crop in check.crops:
        with torch.no_grad():
            true = {name: t.numpy() for name, t in net.found(torch.from_numpy(crop[None])).items()}
        got = dict(zip(net.outputs, run(crop[None], list(net.outputs)), strict=True))
        points = _decoded(net, true["heatmaps"])
        exact = _decoded(net, true["heatmaps"].astype(np.float64))
        rounded = np.linalg.norm(exact[..., :2] - points[..., :2], axis=-1)
        sure = (exact[..., 2] > SCORE) & (rounded < SETTLED * net.net.config.stride)
        seen = got["keypoints"] if "keypoints" in got else _decoded(net, got["heatmaps"])
        true_xy.append(true["keypoints"][0, :, :2] if "keypoints" in true else points[0, :, :2])
        got_xy.append(seen[0, :, :2])
        sures.append(sure[0])
        if "heatmaps" in got:
            maps = true["heatmaps"]
            apart = np.abs(got["heatmaps"] - maps).max() / max(np.abs(maps).max(), LEAST_MAP)
            worst_map = float(np.maximum(worst_map, apart))
        worst_told = float(np.maximum(worst_told, _told(net, true, got, sure)))
        if "presence" in got:
            worst_presence = float(np.maximum(worst_presence, np.abs(got["presence"] - true["presence"]).max()))
    ours, theirs, counts = np.array(true_xy, float), np.array(got_xy, float), np.array(sures)
    off = np.linalg.norm(theirs - ours, axis=-1)[counts]
    median, p99 = np.percentile(off, (50, 99)) if len(off) else (0.0, 0.0)
    worst = float(off.max(initial=0))
    kept, of, rule = _kept(check, ours, theirs, counts)
    figures = (worst_told, float(median), float(p99), len(off))
    return Parity(
        worst, worst_map, len(check.crops), *figures, kept, of, rule, check.words, worst_presence=worst_presence
    )


def loss_on(net: DeployedNet, check: CheckSet) -> Callable[[Run], float]:
    """What tells for a file's ``run`` the share of right keypoints that it loses against the net, which is run here, once."""
    names = ["keypoints"] if "keypoints" in net.outputs else ["heatmaps"]

    def points(run: Run) -> Array:
        found = np.concatenate([run(check.crops[i : i + 1], names)[0] for i in range(len(check.crops))])
        return np.asarray(found if names == ["keypoints"] else _decoded(net, found), float)

    def of_net(crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]:
        with torch.no_grad():
            found = net.found(torch.from_numpy(crops))
        return [found[name].numpy() for name in outputs]

    true = points(of_net)

    def loss(run: Run) -> float:
        kept, _, _ = _kept(check, true[..., :2], points(run)[..., :2], true[..., 2] > SCORE)
        return 0.0 if kept is None else kept[0] - kept[1]

    return loss


def _decoded(net: DeployedNet, maps: NDArray[np.floating]) -> Array:
    """Keypoints ``[B, K, 3]`` of the last of maps ``[B, S, C, h, w]``, by the net's own rule."""
    points: Array = net.net.points(torch.from_numpy(maps[:, -1, : net.net.keypoints])).numpy()
    return points


def _told(
    net: DeployedNet, true: dict[str, Array], got: dict[str, NDArray[np.float32]], sure: NDArray[np.bool_]
) -> float:
    """The largest difference of what is told of the keypoints that count, besides their place."""
    worst = 0.0
    if "keypoints" in got:
        worst = float(np.abs(got["keypoints"] - true["keypoints"])[..., 2][sure].max(initial=0))
    for name in ("covariance", "visibility"):
        if name in got:
            size = true[name].max(-1, keepdims=True) if name == "covariance" else 1.0
            apart = (np.abs(got[name] - true[name]) / size)[sure].max(initial=0)
            worst = float(np.maximum(worst, apart))
    return worst


def _kept(
    check: CheckSet, ours: Array, theirs: Array, counts: NDArray[np.bool_]
) -> tuple[tuple[float, float] | None, int, str]:
    """The share of right keypoints of net and file, of how many, and what right means; None on crops that show nothing."""
    labelled = check.counted
    if labelled is not None:
        assert check.truth is not None and check.lengths is not None
        if not labelled.any():
            return None, 0, ""
        shares = []
        for found in (ours, theirs):
            away = np.linalg.norm(found - check.truth[..., :2], axis=-1) / check.lengths[:, None]
            shares.append(float((away[labelled] <= check.threshold).mean()))
        return (shares[0], shares[1]), int(labelled.sum()), check.rule
    if not check.real or not counts.any():
        return None, 0, ""
    near = np.linalg.norm(theirs - ours, axis=-1)[counts] <= NEAR * max(check.crops.shape[1:3])
    return (1.0, float(near.mean())), len(near), f"found where the net finds them, within {100 * NEAR:g} % of the crop"
