"""``--net``: settings of the net beside its preset's, from the command line into the net that is trained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpers.discs import draw_discs
from helpers.runs import small_run
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.models.presets import Hourglass, build_net, preset
from posewright.training.config import TrainConfig
from posewright.training.fit import fit
from posewright.training.nets import net_settings, of_own_net

SMALL = small_run(model="cpm_hand", net=("stages=2", "width=0.125"), epochs=1, batch_size=6)


def test_settings_reach_the_net():
    found = net_settings(replace(SMALL, model="cpm_body", net=("stages=4", "background=false", "colour=grey")))
    assert (found.stages, found.background, found.colour, found.trunk) == (4, False, "grey", 256)


@pytest.mark.parametrize(
    ("model", "loss", "net", "activation"),
    [
        ("cpm_body_slim", "bce", (), "sigmoid"),
        ("cpm_body_slim", "mse", (), "relu"),
        ("cpm_body", "mse", (), "linear"),
        ("cpm_body", "mse", ("activation=relu",), "relu"),
        ("hourglass_s1", "mse", ("activation=sigmoid",), "sigmoid"),
    ],
)
def test_the_activation_is_the_presets_own_unless_loss_or_setting_ask_for_another(model, loss, net, activation):
    assert net_settings(replace(SMALL, model=model, loss=loss, net=net)).activation == activation


def test_an_activation_that_the_loss_cannot_train():
    with pytest.raises(PosewrightError, match="'bce' trains maps that pass through a sigmoid, and this net's are relu"):
        net_settings(replace(SMALL, net=("activation=relu",)))


def test_yaml_keeps_the_settings(tmp_path):
    SMALL.save(tmp_path / "c.yaml")
    assert TrainConfig.load(tmp_path / "c.yaml") == SMALL


def test_a_net_made_by_somebody_else_is_described_so_that_it_can_be_made_again():
    net = build_net(preset("hourglass_s2_nano", order="preact", activation="sigmoid", background=True), 3)
    config = of_own_net(SMALL, net, 3)
    assert net_settings(config) == net.config
    with pytest.raises(PosewrightError, match="the net has 3 keypoints, the labels have 4"):
        of_own_net(SMALL, net, 4)


def test_a_net_of_a_family_that_nothing_could_read_again():
    class Stranger(Hourglass):
        family = "stranger"

    net = build_net(preset("hourglass_s1_nano"), 3)
    net.config = Stranger(stacks=1, channels=64)
    with pytest.raises(PosewrightError, match="'stranger' is not registered"):
        of_own_net(SMALL, net, 3)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (("channels=many",), "'channels' is a whole number, not 'many'"),
        (("chanels=8",), "Did you mean 'channels'"),
        (("scale=inf",), "'scale' is a number, not 'inf'"),
        (("channels",), "'channels' is no setting of a net"),
        (("order=bn_conv",), "unknown order of layers"),
    ],
)
def test_bad_settings_on_the_command_line(texts, message, tmp_path, capsys, discs):
    from posewright.annotations import get_format

    get_format("coco").write(discs, tmp_path / "labels.json")
    run = tmp_path / "run"
    command = ["train", "--data", str(tmp_path / "labels.json"), "--images", str(discs.root), "-o", str(run)]
    assert main([*command, "--model", "hourglass_s1_nano", "--device", "cpu", "--net", *texts]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not run.exists()


@pytest.mark.parametrize(
    ("model", "net", "lr"),
    [("cpm_hand", ("stages=2", "width=0.125"), 4e-3), ("cpm_light", ("stages=2", "channels=32"), 6e-3)],
)
def test_pose_machines_learn_the_discs(model, net, lr, tmp_path):
    data = draw_discs(tmp_path, count=60, empty=6)
    run = fit(replace(SMALL, model=model, net=net, output=str(tmp_path / "run"), epochs=12, lr=lr), data)
    rows = run.checkpoint.training["history"]
    assert rows[-1]["train_loss"] < 0.75 * rows[0]["train_loss"]
    assert run.pck > 0.5
    assert run.checkpoint.preset == model
