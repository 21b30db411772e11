"""Training for int8: the rounding is that of the file, and a run with it writes one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import posewright
from helpers.runs import small_run
from helpers.untrained import fresh
from posewright.errors import PosewrightError
from posewright.export.job import make_job
from posewright.export.onnx import running
from posewright.export.parity import CheckSet, smooth_crops
from posewright.export.quantize import quantised
from posewright.models.presets import build_net, preset
from posewright.training.config import TrainConfig
from posewright.training.fit import INT8, MODEL, fit
from posewright.training.plan import settle
from posewright.training.rounding import INWARD, Rounding, round_input, round_weight

NETS = [
    ("hourglass_s1_nano", {}),
    ("hourglass_s1_nano", {"order": "preact"}),
    ("hourglass_s1_mobile_nano", {}),
    ("cpm_light", {"stages": 2, "channels": 16}),
]


@pytest.mark.parametrize(("name", "settings"), NETS)
def test_it_rounds_as_much_as_the_file_does(name, settings):
    """Which way a value is rounded is chance once those before it differ; how far maps move, on the mean, is not."""
    checkpoint = fresh(name, **settings)
    crops = smooth_crops(64, 96, 32)
    job = make_job(checkpoint, "int8", seen=CheckSet(crops, "crops"))
    true = running(job.graph)(crops, ["heatmaps"])[0]
    file = running(quantised(job.graph, crops, lambda graph: 0.0, 1.0).file)(crops, ["heatmaps"])[0]
    net, image = checkpoint.net.eval(), torch.from_numpy(crops)
    rounding = Rounding(net, (64, 96))
    with torch.no_grad():
        with rounding.active():
            net.outputs(image)
        rounding.eval()
        with rounding.active():
            found = net.activate(net.outputs(image)[0]).numpy()
        plain = net.activate(net.outputs(image)[0]).numpy()
    assert np.allclose(plain, true, atol=1e-4)
    off, of_file = (np.abs(maps - true).mean() for maps in (found, file))
    assert of_file > 1e-4
    assert 0.75 < off / of_file < 1.33


def test_batch_norms_may_be_folded_before_or_after():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(4, 6, 3, bias=False), nn.BatchNorm2d(6).eval()
    for values in (norm.weight, norm.bias, norm.running_mean):
        nn.init.normal_(values)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    folded = fuse_conv_bn_eval(conv.eval(), norm)
    before = copy.deepcopy(conv)
    before.weight.data = round_weight(conv.weight, 0).detach()
    assert torch.allclose(
        fuse_conv_bn_eval(before.eval(), norm).weight, round_weight(folded.weight, 0), atol=1e-6, rtol=1e-5
    )


def test_weights_and_inputs_by_hand():
    weight = torch.tensor([[[[0.64, -0.123]]], [[[0.0, 64.0]]]])
    assert torch.allclose(round_weight(weight, 0), torch.tensor([[[[0.64, -0.12]]], [[[0.0, 64.0]]]]))
    # Of a transposed convolution the second axis is that of the channels made.
    assert torch.allclose(round_weight(weight.transpose(0, 1), 1), round_weight(weight, 0).transpose(0, 1))
    x = torch.tensor([-2.0, -0.4, 0.3, 254.6, 300.0])
    assert round_input(x, torch.tensor(-1.0), torch.tensor(254.0)).tolist() == [-1.0, 0.0, 0.0, 254.0, 254.0]
    nothing = torch.zeros(())
    assert round_input(torch.zeros(3), nothing, nothing).tolist() == [0.0, 0.0, 0.0]


def test_gradients_pass_within_the_range():
    x = torch.tensor([-2.0, 0.3, 1.2], requires_grad=True)
    round_input(x, torch.tensor(-1.0), torch.tensor(1.0)).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]
    weight = torch.randn(2, 3, 1, 1, requires_grad=True)
    round_weight(weight, 0).sum().backward()
    assert weight.grad.eq(1).all()


def test_ranges_widen_at_once_and_narrow_slowly():
    net = build_net(preset("hourglass_s1_nano", channels=16), 3).eval()
    rounding = Rounding(net, (64, 64))
    bright, dark = (torch.full((1, 64, 64, 3), v, dtype=torch.uint8) for v in (255, 120))
    with torch.no_grad():
        for image in (dark, bright):
            with rounding.active():
                net.outputs(image)
        wide = float(rounding.high[0])
        assert wide == pytest.approx(float(net.pixels(bright).max()))
        with rounding.active():
            net.outputs(dark)
    assert float(rounding.high[0]) == pytest.approx(wide + INWARD * (float(net.pixels(dark).max()) - wide))
    rounding.eval()
    kept = rounding.high.clone()
    with torch.no_grad(), rounding.active():
        net.outputs(bright)
    assert torch.equal(rounding.high, kept)


def test_a_net_that_is_not_made_of_modules():
    """Layers are found as they run, by whatever name, and nothing is rounded outside the block."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 3, 3, 3))
            self.draw = nn.Conv2d(4, 2, 1)

        def merge(self):
            pass

        def predictors(self):
            return [self.draw]

        def outputs(self, image):
            x = F.conv2d(image.permute(0, 3, 1, 2).float(), weight=self.weight, padding=1)
            return self.draw(x + x), None

    net = Net()
    rounding = Rounding(net, (8, 8))
    assert len(rounding.low) == 4  # the layer's input, both of the sum, the drawing layer's input
    image = torch.randint(0, 256, (2, 8, 8, 3), dtype=torch.uint8)
    plain = net.outputs(image)[0]
    with rounding.active():
        rounded = net.outputs(image)[0]
    assert not torch.equal(rounded, plain) and torch.equal(net.outputs(image)[0], plain)
    rounded.square().mean().backward()
    assert net.weight.grad.abs().sum() > 0 and net.draw.weight.grad.abs().sum() > 0


def test_a_run_goes_on_with_a_net_and_writes_its_int8_file(discs, tmp_path, capsys):
    first = fit(small_run(output=str(tmp_path / "first")), discs)
    capsys.readouterr()
    settings = {"init": str(first.folder), "output": str(tmp_path / "run"), "qat": True, "lr": 0.0, "epochs": 0}
    run = fit(small_run(**settings), discs)
    said = capsys.readouterr().out
    assert "--lr 0.0002" in said and "30 epochs" in said and "int8: all" in said
    config = TrainConfig.load(run.folder / "config.yaml")
    assert (config.lr, config.epochs, config.precision) == (2e-4, 30, "fp32")
    model = posewright.load(run.folder / INT8)
    assert model.info.precision == "int8"
    assert posewright.load(run.folder / MODEL).info.precision == "fp32"
    assert (run.folder / INT8).stat().st_size < (run.folder / MODEL).stat().st_size
    assert model(discs.image_path(0)).xy.shape == (1, 3, 2)


@pytest.mark.parametrize("init", ["auto", "none"])
def test_it_wants_a_trained_net(init, discs):
    with pytest.raises(PosewrightError, match=r"qat goes on with a trained net.*--init"):
        settle(TrainConfig(init=init, qat=True), discs, "cpu")
