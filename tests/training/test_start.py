"""Starting from other weights, freezing parts of a net, counting from a later epoch, and what a run chooses by itself."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.discs import DISCS
from helpers.runs import small_run
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from posewright.models.presets import FAMILIES, build_net, preset
from posewright.skeleton import Skeleton
from posewright.skeletons import BODY_14, COCO_17
from posewright.training.config import TrainConfig
from posewright.training.data import loaders
from posewright.training.fit import fit
from posewright.training.freezing import freeze, norms
from posewright.training.plan import batch_for, epochs_for, like_start, model_for, settle
from posewright.training.start import Start, find_start, free_start, keypoint_dimensions, take_over
from posewright.training.task import KeypointTask

SMALLEST = {
    "hourglass": ("hourglass_s2_nano", {"channels": 16}),
    "cpm": ("cpm_body", {"stages": 3, "width": 0.1}),
    "cpm_light": ("cpm_light", {"channels": 16}),
}
FAMILY = pytest.mark.parametrize("family", sorted(set(FAMILIES) & set(SMALLEST)))


def net_for(family: str, keypoints: int, seed: int = 0, **settings):
    torch.manual_seed(seed)
    name, small = SMALLEST[family]
    return build_net(preset(name, **(small | settings)), keypoints)


def start_of(net, skeleton: Skeleton, terms: str = "") -> Start:
    return Start("there", Checkpoint(net, skeleton, CropRule((64, 64)), "hourglass_s2_nano", terms=terms))


def state(net) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in net.state_dict().items()}


# -- weights -----------------------------------------------------------------------------------------------------------


@FAMILY
def test_the_same_skeleton_takes_everything(family):
    there, here = net_for(family, 14), net_for(family, 14, seed=1)
    taken = take_over(here, BODY_14, start_of(there, BODY_14))
    assert all(torch.equal(a, b) for a, b in zip(here.state_dict().values(), there.state_dict().values(), strict=True))
    assert not taken.new
    assert not taken.unused
    assert (taken.tensors, taken.parameters) == (taken.of_tensors, taken.of_parameters)
    assert taken.keypoints == BODY_14.keypoints


@FAMILY
def test_another_skeleton_keeps_the_trunk_and_carries_keypoints_over_by_name(family):
    there, here = net_for(family, 14), net_for(family, 17, seed=1)
    fresh = state(here)
    per_keypoint = keypoint_dimensions(here.config, 17)
    taken = take_over(here, COCO_17, start_of(there, BODY_14))
    a, b = there.state_dict(), here.state_dict()
    assert all(torch.equal(a[k], b[k]) for k in b if k not in per_keypoint)
    shared = set(BODY_14.keypoints) & set(COCO_17.keypoints)
    assert set(taken.keypoints) == shared
    predicting = [k for k in per_keypoint if k.endswith("bias") and fresh[k].shape[0] == here.head_channels]
    assert predicting
    for bias in predicting:
        weight = bias.removesuffix("bias") + "weight"
        for k, name in enumerate(COCO_17.keypoints):
            source = a[weight][BODY_14.index(name)] if name in shared else fresh[weight][k]
            assert torch.equal(b[weight][k], source), name
        if here.config.background:
            assert torch.equal(b[weight][17], a[weight][14])


def test_layers_that_see_maps_and_features_keep_the_features():
    """In a pose machine's later stages the first layer sees maps, features and the centre map, in this order."""
    there, here = net_for("cpm", 3), net_for("cpm", 2, seed=1)
    one, two = Skeleton("one", ("a", "b", "c")), Skeleton("two", ("c", "z"))
    fresh = state(here)["stages.1.conv1.weight"]
    take_over(here, two, start_of(there, one))
    got, given = here.state_dict()["stages.1.conv1.weight"], there.state_dict()["stages.1.conv1.weight"]
    assert torch.equal(got[:, 0], given[:, 2])  # c
    assert torch.equal(got[:, 1], fresh[:, 1])  # z is new
    assert torch.equal(got[:, 2:], given[:, 3:])  # background, features, centre


def test_as_many_keypoints_of_other_names_get_a_new_head():
    """The shapes would fit, but channel 0 was a knee and is a wing."""
    there, here = net_for("hourglass", 3), net_for("hourglass", 3, seed=1)
    fresh = state(here)
    taken = take_over(here, DISCS, start_of(there, Skeleton("other", ("x", "y", "z"))))
    assert torch.equal(here.state_dict()["heads.0.predict.weight"], fresh["heads.0.predict.weight"])
    assert taken.keypoints == ()
    assert {"heads.0.predict.weight", "heads.1.predict.bias", "heads.0.from_maps.weight"} == set(taken.new) - {
        "heads.0.predict.bias",
        "heads.1.predict.weight",
    }
    assert "new: heads.0.predict" in taken.describe("there", 3)


def test_maps_through_another_activation_get_a_new_head():
    there, here = net_for("hourglass", 3), net_for("hourglass", 3, seed=1, activation="sigmoid")
    fresh = state(here)
    taken = take_over(here, DISCS, start_of(there, DISCS))
    assert "maps are linear: a loss such as --loss mse would keep its head" in taken.describe("there", 3)
    assert torch.equal(here.state_dict()["heads.0.predict.bias"], fresh["heads.0.predict.bias"])
    assert torch.equal(here.state_dict()["stem.conv.weight"], there.state_dict()["stem.conv.weight"])


def test_of_another_preset_what_fits_is_taken_and_the_rest_told():
    there, here = net_for("hourglass", 3, stacks=2), net_for("hourglass", 3, seed=1, stacks=1)
    taken = take_over(here, DISCS, start_of(there, DISCS))
    assert not taken.new
    assert {n.split(".")[1] for n in taken.unused} >= {"1"}
    assert "Left behind" in taken.describe("there", 3)
    wider = net_for("hourglass", 3, channels=32)
    said = take_over(wider, DISCS, start_of(there, DISCS)).describe("there", 3)
    assert "new: " in said


@pytest.mark.parametrize(
    ("here", "there", "message"),
    [
        (("cpm", {}), ("hourglass", {}), "none of its weights fits cpm.*Leave --model"),
        (
            ("hourglass", {"order": "preact"}),
            ("hourglass", {}),
            r"order=conv_bn_relu, whose weights.*--net order=conv_bn",
        ),
    ],
)
def test_a_start_that_does_not_fit_is_one_clear_line(here, there, message):
    given = net_for(there[0], 3, **there[1])
    with pytest.raises(PosewrightError, match=message) as caught:
        take_over(net_for(here[0], 3, **here[1]), DISCS, start_of(given, DISCS))
    assert "\n" not in str(caught.value)


def test_a_start_that_is_no_checkpoint(tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"nothing")
    for spec, message in (
        (str(tmp_path / "weights.safetensors"), "not a safetensors file"),
        (str(tmp_path / "none.safetensors"), "does not exist"),
        ("hant", "Did you mean 'hand'"),
        (str(tmp_path), "holds no model.safetensors"),
    ):
        with pytest.raises(PosewrightError, match=message):
            find_start(spec)


# -- what a run chooses ------------------------------------------------------------------------------------------------


def test_rules():
    assert [batch_for(n) for n in (1, 3, 35, 90, 255, 256, 10_000)] == [1, 3, 4, 8, 16, 32, 32]
    # As many as the devices can share, and never more than there are.
    assert [batch_for(n, ranks) for n, ranks in ((35, 2), (35, 3), (3, 2), (5, 4), (256, 8))] == [4, 6, 2, 4, 32]
    assert [epochs_for(n) for n in (1, 39, 100, 1000, 9000, 100_000)] == [300, 300, 190, 60, 20, 20]
    assert model_for(50, "cpu") == model_for(50, "cuda") == model_for(10**5, "cpu") == "hourglass_s1_tiny"
    assert model_for(5000, "cuda") == "hourglass_s2_tiny"
    assert model_for(50_000, "cuda") == "hourglass_s2"


def test_a_small_set_starts_from_free_weights_and_says_so(discs, capsys):
    config, start = settle(TrainConfig(), discs, "cpu")
    assert start is not None
    assert (config.model, config.init, config.input_size, config.epochs) == ("hourglass_s1_tiny", "hand", "256", 300)
    said = capsys.readouterr().out
    assert "for 16 objects: hourglass_s1_tiny" in said
    assert "starting from hand (--init none" in said
    net = build_net(start.checkpoint.net.config, 3)
    assert take_over(net, DISCS, start).parameters > 0.99 * sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("change", [{"init": "none"}, {"model": "cpm_hand"}, {"net": ("order=preact",)}])
def test_no_start_where_it_is_refused_or_does_not_fit(discs, change):
    config, start = settle(TrainConfig(**change), discs, "cpu")
    assert start is None
    assert config.init == "none"


def test_a_large_set_starts_from_nothing(discs):
    many = discs.objects(np.repeat(np.arange(len(discs)), 70))
    assert settle(TrainConfig(), many, "cpu")[1] is None


def test_only_weights_as_free_as_the_code_are_taken_unasked():
    found = free_start(preset("hourglass_s1_tiny"), 14)
    assert found is not None
    assert "Apache-2.0" in found.checkpoint.terms


def test_what_a_person_says_wins(discs, capsys):
    given = small_run()
    assert settle(given, discs, "cpu") == (given, None)
    assert capsys.readouterr().out == ""


def test_nobody_is_told_of_a_preset_where_the_net_is_given(discs, capsys):
    settle(TrainConfig(), discs, "cpu", own_net=True)
    said = capsys.readouterr().out
    assert "300 epochs" in said
    assert "hourglass" not in said


def test_a_batch_larger_than_the_data(discs):
    with pytest.raises(PosewrightError, match=r"batch_size is 64, and there are 16 objects.*at most 16"):
        settle(TrainConfig(batch_size=64), discs, "cpu")


def test_a_named_start_brings_its_net_and_input_size():
    given = preset(
        "hourglass_s2_nano", channels=16, poolings=2, scale=128.0, activation="sigmoid", label_shift=(0.5, 0.25)
    )
    start = start_of(build_net(given, 3), DISCS)
    alike = like_start(TrainConfig(), start)
    assert (alike.model, alike.input_size) == ("hourglass_s2_nano", "64x64")
    assert set(alike.net) == {"channels=16", "poolings=2", "scale=128.0", "label_shift=0.5,0.25"}
    other = like_start(TrainConfig(model="hourglass_s1_tiny", net=("poolings=3",), input_size="96"), start)
    assert other.input_size == "96"
    assert set(other.net) == {"scale=128.0", "label_shift=0.5,0.25"}  # the preset settles stacks, channels, mobile


# -- freezing ----------------------------------------------------------------------------------------------------------


@FAMILY
def test_every_family_has_a_trunk_and_stages_that_share_all_weights(family):
    net = net_for(family, 3)
    names = {part: {n for n, _ in net.named_parameters() if n.startswith(tuple(f"{m}." for m in net.parts[part]))}
             for part in ("trunk", "stages")}  # fmt: skip
    assert names["trunk"]
    assert names["stages"]
    assert not names["trunk"] & names["stages"]
    assert names["trunk"] | names["stages"] == {n for n, _ in net.named_parameters()}


def test_parts_modules_and_patterns():
    for wanted, expected in (
        (["trunk"], ("stem.",)),
        (["stacks.0", "heads.*.feature"], ("stacks.0.", "heads.0.feature.", "heads.1.feature.")),
    ):
        net = net_for("hourglass", 3)
        frozen = freeze(net, wanted)
        still = {n for n, p in net.named_parameters() if not p.requires_grad}
        assert still == {n for n, _ in net.named_parameters() if n.startswith(expected)}
        assert frozen.parameters == sum(p.numel() for p in net.parameters() if not p.requires_grad)
        assert norms(net, frozen.modules)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (["stack"], "hourglass has no part 'stack'. Did you mean 'stacks'"),
        (["qqq"], "no part 'qqq'. Its parts: trunk, stages"),
        (["trunk", "stages"], "leaves nothing to train"),
        (["*"], "leaves nothing to train"),
    ],
)
def test_what_cannot_be_frozen(wanted, message):
    with pytest.raises(PosewrightError, match=message):
        freeze(net_for("hourglass", 3), wanted)


def test_new_parts_are_not_frozen():
    net = net_for("hourglass", 3, seed=1)
    taken = take_over(net, DISCS, start_of(net_for("hourglass", 2), Skeleton("two", ("x", "y"))))
    with pytest.raises(PosewrightError, match=r"--freeze heads: its heads\.0\.predict\.\w+ is new"):
        freeze(net, ["heads"], taken)


# -- whole runs --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_model_file(monkeypatch):
    """These runs are looked at, not run: leave out the export, which takes longer than they do."""
    monkeypatch.setattr("posewright.export.onnx.export_onnx", lambda checkpoint, path: None)
    monkeypatch.setattr("posewright.reports.curves.draw_curves", lambda folders, path: None)


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A checkpoint to start from: two discs only, other terms, batch norms that have seen something."""
    torch.manual_seed(3)
    net = build_net(preset("hourglass_s1_nano", channels=16, activation="sigmoid"), 2)
    with torch.no_grad():
        net.train()
        net.logits(torch.randint(0, 255, (4, 64, 64, 3), dtype=torch.uint8))
    path = tmp_path_factory.mktemp("start") / "model.safetensors"
    two = Skeleton("two", DISCS.keypoints[:2])
    training = {"data": "two discs"}
    save_checkpoint(
        Checkpoint(net.eval(), two, CropRule((64, 64)), "hourglass_s1_nano", training=training, terms="For research."),
        path,
    )
    return path


def fine_tune(path: Path, folder: Path, discs, **changes):
    config = small_run(init=str(path), model="auto", net=(), input_size="auto", output=str(folder), **changes)
    return fit(config, discs, terms="Own pictures.")


@pytest.mark.parametrize("ema", [0.9, 0.0])
def test_frozen_parts_come_out_bit_for_bit_as_they_went_in(discs, started, tmp_path, capsys, ema):
    run = fine_tune(started, tmp_path / "run", discs, freeze=("trunk", "stacks"), ema=ema)
    before, after = (
        load_checkpoint(started).net.state_dict(),
        load_checkpoint(run.folder / "model.safetensors").net.state_dict(),
    )
    still = [k for k in after if k.startswith(("stem", "stacks"))]
    assert any(k.endswith("running_mean") for k in still)
    assert all(torch.equal(before[k], after[k]) for k in still)
    assert not torch.equal(before["heads.0.feature.conv.weight"], after["heads.0.feature.conv.weight"])
    said = capsys.readouterr().out
    assert f"starting from {started}" in said
    assert "channels of 2 of 3 keypoints" in said
    assert "frozen: stem, stacks" in said


def test_terms_data_and_settings_of_the_start_are_kept(discs, started, tmp_path):
    run = fine_tune(started, tmp_path / "run", discs, epochs=1)
    found = load_checkpoint(run.folder / "model.safetensors")
    assert found.terms == f"Own pictures. Start weights ({started}): For research."
    assert found.training["start"] == {"name": str(started), "data": ["two discs"], "terms": "For research."}
    saved = TrainConfig.load(run.folder / "config.yaml")
    assert (saved.model, saved.net, saved.input_size) == ("hourglass_s1_nano", ("channels=16",), "64x64")
    again = fine_tune(run.folder / "model.safetensors", tmp_path / "again", discs, epochs=1)
    assert again.checkpoint.training["start"]["data"][1:] == ["two discs"]
    assert again.checkpoint.terms.count("For research.") == 1


def test_a_start_without_weights_to_freeze(discs, tmp_path):
    with pytest.raises(PosewrightError, match=r"would keep random weights.*--init"):
        fit(small_run(freeze=("trunk",), output=str(tmp_path / "run")), discs)
    assert not (tmp_path / "run").exists()


def rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open() as file:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]


def test_counting_from_a_later_epoch(discs, tmp_path):
    """Epochs 3 and 4 of five: the numbers, the learning rates and the samples of a whole run's last two."""
    whole = rows(fit(small_run(output=str(tmp_path / "whole"), epochs=5), discs).folder)
    late = rows(fit(small_run(output=str(tmp_path / "late"), epochs=5, init_epoch=3), discs).folder)
    for name in ("epoch", "step", "lr"):
        assert [r[name] for r in late] == [r[name] for r in whole[3:]], name
    with pytest.raises(PosewrightError, match="init_epoch 5 leaves nothing of 5 epochs"):
        small_run(epochs=5, init_epoch=5)


def test_a_later_epoch_shows_its_own_samples(discs, tmp_path, monkeypatch):
    seen: dict[int, list[list[int]]] = {}
    real = KeypointTask.training_step

    def watched(self, batch, batch_idx):
        seen.setdefault(self.current_epoch, []).append(batch["image"].long().sum((1, 2, 3)).tolist())
        return real(self, batch, batch_idx)

    monkeypatch.setattr(KeypointTask, "training_step", watched)
    fit(small_run(output=str(tmp_path / "whole"), epochs=3), discs)
    whole = {k: list(v) for k, v in seen.items()}
    seen.clear()
    fit(small_run(output=str(tmp_path / "late"), epochs=3, init_epoch=2), discs)
    assert seen == {2: whole[2]}


class PowerCut(Exception):
    pass


@pytest.mark.parametrize("kind", ["frozen", "late", "hard"])
def test_a_stopped_run_goes_on_exactly(discs, started, tmp_path, kind, monkeypatch):
    """Stopped within an epoch and resumed, with each of these, it ends where an uninterrupted run ends."""
    changes = {
        "frozen": {"freeze": ("trunk",)}, "late": {"init_epoch": 1}, "hard": {"hard": str(tmp_path / "hard.csv")}
    }[kind]  # fmt: skip
    (tmp_path / "hard.csv").write_text("image,object,weight\n001.png,0,3\n002.png,0,2.5\n")
    whole = fine_tune(started, tmp_path / "whole", discs, **changes)
    steps = len(loaders(whole_config(whole), discs, CropRule((64, 64)))[0])
    stop, real = int(steps * (1.5 if kind != "late" else 2.5)), KeypointTask.training_step

    def cut(self, batch, batch_idx):
        if self.steps_taken == stop:
            raise PowerCut
        return real(self, batch, batch_idx)

    with monkeypatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(KeypointTask, "training_step", cut)
        fine_tune(started, tmp_path / "cut", discs, checkpoint_minutes=1e-6, **changes)
    at = torch.load(tmp_path / "cut" / "checkpoints" / "last.ckpt", weights_only=True)["posewright"]["steps_taken"]
    assert at % steps, "it was to be stopped within an epoch"
    moved = started.rename(tmp_path / "gone.safetensors")  # a resumed run needs its start no longer
    try:
        resumed = fit(small_run(output=str(tmp_path / "cut")), discs, resume=True, terms="Own pictures.")
    finally:
        moved.rename(started)
    a, b = rows(whole.folder), rows(resumed.folder)
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        for name in ("epoch", "step", "train_loss", "val_loss", "val_pck", "lr"):
            assert y[name] == pytest.approx(x[name], rel=1e-6, abs=1e-6), (name, x["epoch"])
    one, other = whole.checkpoint.net.state_dict(), resumed.checkpoint.net.state_dict()
    assert all(torch.allclose(one[k], other[k], atol=1e-6) for k in one)
    assert resumed.checkpoint.terms == whole.checkpoint.terms


def whole_config(run) -> TrainConfig:
    return replace(TrainConfig.load(run.folder / "config.yaml"), output="")
