"""The net that a run's settings ask for."""

from __future__ import annotations

from dataclasses import replace

from posewright.errors import PosewrightError
from posewright.models.base import HeatmapNet
from posewright.models.overrides import as_overrides, net_overrides
from posewright.models.presets import FAMILIES, NetConfig, family_of, preset
from posewright.training.config import TrainConfig
from posewright.training.losses import ON_LOGITS


def net_settings(config: TrainConfig) -> NetConfig:
    """The preset of a run with the settings of ``--net``, and with the activation that its loss trains.

    Raises:
        PosewrightError: where preset or settings do not exist, or the activation does not go with the loss.
    """
    family, _ = family_of(config.model)
    chosen = net_overrides(family.config, config.net)
    if config.loss in ON_LOGITS:
        chosen.setdefault("activation", "sigmoid")
    if config.visibility:
        chosen["visibility"] = True
    settings = preset(config.model, **chosen)
    check_activation(config, settings)
    return settings


def of_own_net(config: TrainConfig, net: HeatmapNet, keypoints: int) -> TrainConfig:
    """A run's settings with model and net such that they describe a net which somebody made without them.

    Raises:
        PosewrightError: where the net is of no registered family, has another number of keypoints than the labels, or an
            activation that does not go with the loss.
    """
    family = FAMILIES.get(net.config.family)
    if family is None or not isinstance(net.config, family.config):
        raise PosewrightError(
            f"the net's family '{net.config.family}' is not registered, so that nothing could read its checkpoint",
            fix="Call posewright.models.presets.register first",
        )
    if net.keypoints != keypoints:
        raise PosewrightError(f"the net has {net.keypoints} keypoints, the labels have {keypoints}")
    check_activation(config, net.config)
    return replace(config, model=net.config.family, net=as_overrides(net.config), visibility=net.config.visibility)


def check_activation(config: TrainConfig, net: NetConfig) -> None:
    """Raise a PosewrightError where the run's loss cannot train a net whose maps pass through this activation."""
    if config.loss in ON_LOGITS and net.activation != "sigmoid":
        raise PosewrightError(
            f"the loss '{config.loss}' trains maps that pass through a sigmoid, and this net's are {net.activation}",
            fix="Take another --loss, such as mse, or activation=sigmoid",
        )
