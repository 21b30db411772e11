"""The last features of a net, whatever its family: what goes into the convolution that makes its last maps."""

from __future__ import annotations

from torch import Tensor, nn

from posewright.models.base import HeatmapNet


class Features:
    """Keeps what a net's last features were at its last run.

    Attributes:
        channels: how many channels they have; their grid is that of the maps.
    """

    def __init__(self, net: HeatmapNet) -> None:
        layer = net.predictors()[-1]
        self.channels = layer.in_channels
        self._last: Tensor | None = None
        layer.register_forward_pre_hook(self._keep)

    def _keep(self, _layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._last = inputs[0]

    def take(self) -> Tensor:
        """The features ``[B, F, h, w]`` of the net's last run, which are then let go."""
        assert self._last is not None, "the net has not been run"
        features, self._last = self._last, None
        return features
