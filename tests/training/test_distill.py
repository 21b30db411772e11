"""A student learns from its teacher: the shares of the loss, the samples, the cache, and whole runs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.discs import DISCS, draw_discs
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.media.sources import folder_pictures
from posewright.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from posewright.models.heatmaps import decode, encode
from posewright.models.presets import build_net, preset
from posewright.skeleton import Skeleton
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.config import TrainConfig
from posewright.training.dataset import DRAWN, EMPTY, IGNORED, CropDataset, collate
from posewright.training.distill import DistillTask
from posewright.training.distill_config import DistillConfig
from posewright.training.distill_data import found_boxes, whole_boxes, with_unlabelled
from posewright.training.fit import fit
from posewright.training.lesson import Lesson
from posewright.training.task import KeypointTask
from posewright.training.teachers import Seen, Teacher
from posewright.training.views import Grid

RULE = CropRule((64, 64))
SMALL = TrainConfig(
    model="hourglass_s1_nano",
    net=("channels=16",),
    init="none",
    input_size="64",
    epochs=2,
    batch_size=4,
    workers=0,
    threads=1,
    precision="fp32",
    device="cpu",
    ema=0.9,
    augment=AugmentConfig(rotation=10, negative=0.1),
)


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    """A teacher with random weights, of another size, stage count and width than the students."""
    torch.manual_seed(5)
    net = build_net(preset("hourglass_s2_nano", channels=24, activation="sigmoid"), 3)
    path = tmp_path_factory.mktemp("teacher") / "big.safetensors"
    return save_checkpoint(
        Checkpoint(net.eval(), DISCS, CropRule((96, 96)), "hourglass_s2_nano", terms="ask first"), path
    )


class Oracle(Teacher):
    """Knows where the discs are in the crop at hand: by their colours."""

    name, digest, stages, background = "oracle", "0", 1, False
    skeleton = DISCS

    def __init__(self, rule=RULE, points_only=False):
        self.rule = rule
        self.grid = None if points_only else Grid((rule.size[1] // 4, rule.size[0] // 4), 4)
        self.stages = 0 if points_only else 1

    def __call__(self, image):
        from helpers.discs import COLOURS

        points = torch.zeros(len(image), 3, 3)
        for b, crop in enumerate(image.numpy().astype(int)):
            for k, colour in enumerate(COLOURS):
                y, x = np.nonzero(np.abs(crop - colour).sum(2) < 90)
                if len(x) > 4:
                    points[b, k] = torch.tensor([x.mean(), y.mean(), 1.0])
        if self.grid is None:
            return Seen(None, points)
        maps = encode(points[..., :2], points[..., 2] > 0, self.grid.size, 4, 1.5)
        return Seen(maps[:, None], points)


def lesson_for(teacher, config=SMALL, net=None, skeleton=DISCS, rule=RULE, monkeypatch=None):
    if isinstance(teacher, Teacher):
        monkeypatch.setattr("posewright.training.lesson.load_teacher", lambda *a, **k: teacher)
        config = replace(config, teacher=teacher.name)
    net = (
        net
        if net is not None
        else build_net(preset("hourglass_s1_nano", channels=16, activation="sigmoid"), len(skeleton))
    )
    return Lesson.prepare(config, net, skeleton, rule), net


def task_for(lesson, net, discs, config=None):
    return DistillTask(lesson, net, config or lesson.config, discs, 10)


def batch_of(dataset, items):
    return collate([dataset[i] for i in items])


# -- samples -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("teacher", [CropRule((96, 96)), CropRule((64, 64)), CropRule((48, 64), 1.4)])
def test_teacher_and_student_see_the_same_crop(discs, monkeypatch, teacher):
    """What the teacher finds in its view, brought to the student's grid, is where the labels say it is."""
    config = replace(SMALL, augment=AugmentConfig(rotation=40, perspective=15, colour=0, grey=0, blur=0, cutout=0, negative=0, flip=0))  # fmt: skip  # noqa: E501
    lesson, _ = lesson_for(Oracle(teacher), config, monkeypatch=monkeypatch)
    data = lesson.dataset(discs, "cpu")
    batch = batch_of(data, [(e, i) for e in range(2) for i in range(len(data))])
    assert batch["image"].shape[1:] == (64, 64, 3)
    assert batch["teacher_image"].shape[1:] == (teacher.size[1], teacher.size[0], 3)
    maps, weight = lesson.targets(lesson.teacher(batch["teacher_image"]))
    well_inside = ((batch["points"] > 8) & (batch["points"] < 55)).all(-1) & (batch["state"] == DRAWN)
    apart = (decode(maps[:, 0], 4)[..., :2] - batch["points"]).norm(dim=-1)[well_inside]
    assert len(apart) > 60
    assert apart.median() < 0.5
    assert apart.quantile(0.9) < 1.0
    assert (weight == 1).all()


def test_the_students_sample_is_what_it_would_be_without_a_teacher(discs, monkeypatch):
    lesson, _ = lesson_for(Oracle(CropRule((48, 48))), monkeypatch=monkeypatch)
    data, plain = lesson.dataset(discs, "cpu"), CropDataset(discs, RULE, SMALL.augment, SMALL.seed)
    assert len(data) == len(plain)
    for item in range(len(plain)):
        a, b = data[(1, item)], plain[(1, item)]
        assert all(torch.equal(a[k], b[k]) for k in b)


def test_views_come_in_turn(discs, monkeypatch):
    config = replace(SMALL, distill=DistillConfig(views=2), teacher="x")
    data = lesson_for(Oracle(), config, monkeypatch=monkeypatch)[0].dataset(discs, "cpu")
    assert torch.equal(data[(5, 3)]["image"], data[(1, 3)]["image"])
    assert not torch.equal(data[(4, 3)]["image"], data[(1, 3)]["image"])
    assert torch.equal(data[(4, 3, 1)]["image"], data[(1, 3)]["image"])  # shown twice in an epoch: the next view


def test_points_become_maps_that_count_by_their_score(monkeypatch):
    rule = CropRule((96, 96))
    lesson, _ = lesson_for(Oracle(rule, points_only=True), monkeypatch=monkeypatch)
    points = torch.tensor([[[30.0, 40, 0.9], [60, 50, 0.3], [-40, 3, 0.5]]])
    maps, weight = lesson.targets(Seen(None, points))
    assert weight[0].tolist() == pytest.approx([0.9, 0.3, 0.5])
    back = torch.from_numpy(lesson.views.to_teacher.inverse().apply(points[..., :2].numpy()))
    expected = encode(back, torch.tensor([[True, True, False]]), (16, 16), 4, SMALL.sigma)
    assert torch.allclose(maps[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("points_only", [False, True])
def test_targets_are_as_exact_in_mixed_precision(monkeypatch, points_only):
    lesson, _ = lesson_for(Oracle(CropRule((96, 96)), points_only), monkeypatch=monkeypatch)
    points = torch.tensor([[[30.3, 40.7, 0.9], [61.2, 50.1, 0.3], [81.4, 13.9, 0.5]]])
    maps = encode(points[..., :2], torch.ones(1, 3, dtype=torch.bool), (24, 24), 4, 1.5)
    seen = Seen(None if points_only else maps[:, None], points)
    plain, _ = lesson.targets(seen)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = lesson.targets(seen)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, plain)


def test_the_background_is_made_where_the_teacher_has_none(monkeypatch):
    net = build_net(preset("hourglass_s1_nano", channels=16, activation="sigmoid", background=True), 3)
    lesson, _ = lesson_for(Oracle(), net=net, monkeypatch=monkeypatch)
    maps, weight = lesson.targets(Seen(torch.rand(2, 1, 3, 16, 16), torch.zeros(2, 3, 3)))
    assert maps.shape[2] == weight.shape[1] == 4
    assert torch.allclose(maps[:, :, 3], 1 - maps[:, :, :3].amax(2))


# -- the loss ----------------------------------------------------------------------------------------------------------


def student(discs, monkeypatch, items=range(4), teacher=None, labels=None, **distill):
    config = replace(SMALL, distill=DistillConfig(**distill), teacher="oracle", augment=PLAIN)
    torch.manual_seed(0)
    lesson, net = lesson_for(teacher or Oracle(), config, monkeypatch=monkeypatch)
    task = task_for(lesson, net.eval(), discs)
    return task, batch_of(lesson.dataset(labels or discs, "cpu"), list(items))


def test_alpha_goes_from_the_labels_to_the_teacher(discs, monkeypatch):
    found = {}
    for alpha in (0.0, 0.25, 1.0):
        task, batch = student(discs, monkeypatch, alpha=alpha)
        found[alpha] = task.losses(batch)
    plain = KeypointTask.losses(task, {k: v for k, v in batch.items() if k != "teacher_image"})
    assert found[0.0]["loss"].item() == pytest.approx(plain["loss"].item(), rel=1e-5)
    assert found[0.0]["labels"].item() == pytest.approx(plain["loss"].item(), rel=1e-5)
    assert found[1.0]["loss"].item() == pytest.approx(found[0.0]["teacher"].item(), rel=1e-5)
    mixed = 0.75 * found[0.0]["loss"] + 0.25 * found[1.0]["loss"]
    assert found[0.25]["loss"].item() == pytest.approx(mixed.item(), rel=1e-5)


def test_what_only_one_of_both_knows_is_learned_from_it_alone(discs, monkeypatch):
    task, batch = student(discs, monkeypatch, alpha=0.5)
    only_teacher = {**batch, "state": torch.full_like(batch["state"], IGNORED)}
    parts = task.losses(only_teacher)
    assert parts["loss"].item() == pytest.approx(parts["teacher"].item())
    assert parts["labels"].item() == 0
    # A teacher that knows one keypoint less: there the label counts in full.
    lesser = Oracle()
    lesser.skeleton = replace(DISCS, name="two", keypoints=("left_disc", "right_disc", "crown"))
    task, batch = student(discs, monkeypatch, teacher=lesser, alpha=1.0)
    assert task.lesson.keypoints.missing == ("top",)
    task.losses(batch)["loss"].backward()
    gradient = task.net.predictors()[-1].weight.grad.clone()
    task, batch = student(discs, monkeypatch, alpha=0.0)
    task.losses(batch)["loss"].backward()
    assert torch.allclose(gradient[2], task.net.predictors()[-1].weight.grad[2], rtol=1e-3)


def test_a_teachers_maps_are_heard_within_0_and_1(discs, monkeypatch):
    """Below 0, as those of linear nets may be, a weighted loss would pay for being far from them."""
    wild = Seen(3 * torch.rand(4, 1, 3, 16, 16) - 1, torch.zeros(4, 3, 3))
    task, batch = student(discs, monkeypatch, alpha=1.0)
    monkeypatch.setattr(Oracle, "__call__", lambda self, image: wild)
    maps, _ = task._word(batch)
    assert (maps.min(), maps.max()) == (0, 1)


def test_labels_that_call_for_silence_have_the_last_word(discs, monkeypatch):
    task, batch = student(discs, monkeypatch, alpha=1.0)
    batch["state"] = torch.where(torch.arange(3) == 1, EMPTY, batch["state"])
    before = task.losses(batch)["loss"]
    loud = lambda image: Seen(torch.ones(len(image), 1, 3, 16, 16), torch.zeros(len(image), 3, 3))  # noqa: E731
    _, weight = task._word(batch)
    assert (weight[:, 1] == 0).all()
    assert (weight[:, [0, 2]] == 1).all()
    batch["present"] = torch.zeros_like(batch["present"])
    monkeypatch.setattr(Oracle, "__call__", lambda self, image: loud(image))
    parts = task.losses(batch)
    assert parts["teacher"].item() == 0
    assert parts["loss"].item() == pytest.approx(parts["labels"].item())
    assert not torch.isclose(before, parts["loss"])


@pytest.mark.parametrize("points_only", [False, True])
@pytest.mark.parametrize("loss", ["bce", "mse"])
@pytest.mark.parametrize("target", ["heatmaps", "response"])
def test_a_student_without_labels_learns_what_its_teacher_shows(discs, monkeypatch, target, loss, points_only):
    config = replace(SMALL, loss=loss, distill=DistillConfig(alpha=1.0, target=target), teacher="oracle", augment=PLAIN)
    torch.manual_seed(0)
    net = build_net(preset("hourglass_s1_nano", channels=16, activation="sigmoid" if loss == "bce" else "linear"), 3)
    lesson, net = lesson_for(Oracle(points_only=points_only), config, net, monkeypatch=monkeypatch)
    task = task_for(lesson, net, discs)
    batch = batch_of(lesson.dataset(discs, "cpu"), range(4))
    batch["state"] = torch.full_like(batch["state"], IGNORED)
    optimiser = torch.optim.Adam(task.parameters(), 3e-3)
    course = []
    for _ in range(25):
        parts = task.losses(batch)
        optimiser.zero_grad()
        parts["loss"].backward()
        optimiser.step()
        course.append(parts["loss"].item())
    assert course[-1] < 0.8 * course[0]
    if target == "response":
        assert 0 <= course[-1] <= 4


def test_features_are_learned_through_an_adapter(discs, big):
    config = replace(SMALL, distill=DistillConfig(target="features", alpha=1.0), teacher=str(big), augment=PLAIN)
    torch.manual_seed(0)
    lesson, net = lesson_for(big, config)
    task = task_for(lesson, net, discs)
    assert (task.adapter.in_channels, task.adapter.out_channels) == (16, 24)
    batch = batch_of(lesson.dataset(discs, "cpu"), range(4))
    optimiser = task.configure_optimizers()["optimizer"]
    trained = {id(p) for g in optimiser.param_groups for p in g["params"]}
    assert {id(p) for p in task.adapter.parameters()} <= trained
    first = task.losses(batch)["loss"]
    for _ in range(25):
        loss = task.losses(batch)["loss"]
        optimiser.zero_grad()
        loss.backward()
        torch.optim.SGD(task.parameters(), 0.1).step()
    assert loss < 0.8 * first


def test_stages_are_taken_from_the_pairs(big):
    net = build_net(preset("hourglass_s1_nano", channels=16, activation="sigmoid"), 3)
    chosen = replace(SMALL, teacher=str(big), distill=DistillConfig(stages=(1,)))
    maps = torch.rand(1, 2, 3, 24, 24)
    for config, stage in ((replace(SMALL, teacher=str(big)), 1), (chosen, 0)):
        lesson, _ = lesson_for(big, config, net)
        found, _ = lesson.targets(Seen(maps, torch.zeros(1, 3, 3)))
        alone, _ = lesson.targets(Seen(maps[:, stage : stage + 1].expand_as(maps), torch.zeros(1, 3, 3)))
        assert torch.equal(found, alone)


# -- unlabelled pictures -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """Pictures of discs, without their labels."""
    folder = tmp_path_factory.mktemp("wild")
    return folder, draw_discs(folder, count=8, seed=3, empty=2)


def test_unlabelled_pictures_come_behind_the_labelled(discs, wild, monkeypatch):
    folder, _ = wild
    negatives = replace(SMALL.augment, negative=1.0)  # never beside an object of a picture that nobody has labelled
    config = replace(
        SMALL, unlabelled=str(folder), teacher="oracle", distill=DistillConfig(boxes="whole"), augment=negatives
    )
    lesson, net = lesson_for(Oracle(), config, monkeypatch=monkeypatch)
    data = lesson.dataset(discs, "cpu")
    plain = CropDataset(discs, RULE, SMALL.augment, SMALL.seed)
    assert len(data) == len(plain) + 8
    last = [data[(0, len(plain) + i)] for i in range(8)]
    assert all((s["state"] == IGNORED).all() and s["present"] for s in last)
    batch = collate([data[(0, 0)], *last[:3]])
    parts = task_for(lesson, net, discs).losses(batch)
    assert torch.isfinite(parts["loss"])
    assert parts["teacher"] > 0
    assert data.annotations.images[-1].path.endswith("007.png")


def test_the_teacher_finds_where_the_object_is(wild):
    folder, truth = wild
    pictures = folder_pictures(folder, "--unlabelled")
    boxes = found_boxes(pictures, Oracle(CropRule((96, 96))), RULE, "cpu", batch=3)
    whole = whole_boxes(pictures, RULE)
    assert np.allclose(whole, [-0.5 + 96 * 0.1, -0.5 + 96 * 0.1, 95.5 - 96 * 0.1, 95.5 - 96 * 0.1])
    assert np.array_equal(boxes[6:], whole[6:])  # nothing is there
    for i in range(6):
        xy = truth.keypoints[i, :, :2]
        assert (boxes[i, :2] < xy.min(0)).all()
        assert (boxes[i, 2:] > xy.max(0)).all()
        assert (boxes[i, 2:] - boxes[i, :2] < 45).all()


def test_folders_that_cannot_be_used(tmp_path, discs):
    with pytest.raises(PosewrightError, match=r"does not exist.*--unlabelled"):
        folder_pictures(tmp_path / "none", "--unlabelled")
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(PosewrightError, match="holds no pictures"):
        folder_pictures(tmp_path, "--unlabelled")
    with pytest.raises(PosewrightError, match="among the labelled pictures"):
        with_unlabelled(discs, [discs.image_path(0)], np.array([[0.0, 0, 9, 9]]))


# -- the cache ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["uint8", "fp16"])
def test_the_cache_gives_what_the_teacher_said(discs, big, tmp_path, code):
    cached = DistillConfig(cache=str(tmp_path / "kept"), views=2, cache_type=code)
    config = replace(SMALL, teacher=str(big), distill=cached)
    lesson, net = lesson_for(big, config)
    live = lesson_for(big, replace(config, distill=DistillConfig(views=2)), net)[0].dataset(discs, "cpu")
    data = lesson.dataset(discs, "cpu")
    task = task_for(lesson, net.eval(), discs)
    keys = [(3, i) for i in range(6)]
    one, other = (batch_of(d, keys) for d in (data, live))
    assert "teacher_image" not in one
    assert torch.equal(one["image"], other["image"])
    (maps, weight), (wanted, full) = task._word(one), task._word(other)
    assert torch.allclose(maps, wanted, atol=0.0021)
    assert torch.equal(weight, full)
    assert task.losses(one)["loss"].item() == pytest.approx(task.losses(other)["loss"].item(), rel=0.01)


def test_a_cache_goes_on_where_it_was_and_tells_teachers_apart(discs, big, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("posewright.training.teacher_cache.CHUNK", 5)
    config = replace(SMALL, teacher=str(big), distill=DistillConfig(cache=str(tmp_path), views=2))
    lesson, net = lesson_for(big, config)
    data = lesson.dataset(discs, "cpu")
    n = len(data)
    assert f"{2 * n} made, 0 found" in capsys.readouterr().out
    files = sorted(data.cache.folder.glob("*.bin"))
    assert len(files) == 2 * -(-n // 5)
    before = {f.name: f.read_bytes() for f in files}
    files[1].unlink()
    again = lesson.dataset(discs, "cpu")
    assert f"5 made, {2 * n - 5} found" in capsys.readouterr().out
    assert {f.name: f.read_bytes() for f in sorted(again.cache.folder.glob("*.bin"))} == before
    assert not [f for f in tmp_path.rglob("*") if ".tmp" in f.name]
    # Broken off: what is there is whole.
    calls = []

    def failing(image):
        calls.append(len(image))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return lesson.targets(lesson.teacher(image))

    shutil.rmtree(again.cache.folder)
    data.cache = None
    with pytest.raises(KeyboardInterrupt):
        again.cache.fill(data, failing, "cpu")
    assert {f.name: f.read_bytes() for f in again.cache.folder.glob("*.bin")}.items() <= before.items()
    # Another teacher, seed, set or augmentation is another cache.
    other = tmp_path / "other.safetensors"
    net_of = load_checkpoint(big)
    torch.nn.init.normal_(net_of.net.predictors()[-1].weight)
    save_checkpoint(net_of, other)
    changes = [{"teacher": str(other)}, {"seed": 1}, {"augment": AugmentConfig()}]
    folders = {lesson.dataset(discs, "cpu").cache.folder}
    folders |= {lesson_for(big, replace(config, **c), net)[0].dataset(discs, "cpu").cache.folder for c in changes}
    folders.add(lesson.dataset(discs.subset(np.arange(9)), "cpu").cache.folder)
    assert len(folders) == 5
    about = json.loads((lesson.dataset(discs, "cpu").cache.folder / "about.json").read_text())
    assert about["teacher"] == lesson.teacher.digest


def test_a_cache_that_would_never_be_used_again(discs, big, tmp_path):
    config = replace(SMALL, teacher=str(big), distill=DistillConfig(cache=str(tmp_path / "c")))
    with pytest.raises(PosewrightError, match=r"every epoch augments anew.*--distill.views"):
        lesson_for(big, config)[0].dataset(discs, "cpu")
    assert not (tmp_path / "c").exists()
    plain = replace(config, augment=PLAIN)
    assert lesson_for(big, plain)[0].dataset(discs, "cpu").turns == 1


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def unexported(monkeypatch):
    """Runs here end with their checkpoint; exporting takes longer than all the rest and is tested elsewhere."""
    monkeypatch.setattr("posewright.export.onnx.export_onnx", lambda *_: None)
    monkeypatch.setattr("posewright.reports.curves.draw_curves", lambda *_: None)
    monkeypatch.setattr("posewright.training.fit.calibrate", lambda *_: [])


def test_a_run_with_a_teacher(discs, big, wild, tmp_path):
    config = replace(SMALL, output=str(tmp_path / "run"), teacher=str(big), unlabelled=str(wild[0]))
    run = fit(config, discs, terms="free")
    checkpoint = load_checkpoint(run.folder / "model.safetensors")
    assert checkpoint.training["config"]["teacher"] == str(big)
    assert checkpoint.terms == f"free Teacher ({big}): ask first"
    for name in ("last", "best"):
        state = torch.load(run.folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
        weights = state["state_dict"]
        assert all(k.startswith("net.") for k in weights), [k for k in weights if not k.startswith("net.")]
        count = sum(v.numel() for k, v in weights.items())
        assert count == sum(v.numel() for v in checkpoint.net.state_dict().values())
        averaged = [k for k in state if "averag" in k and isinstance(state[k], dict)]
        assert all("teacher" not in k for a in averaged for k in state[a])
    assert TrainConfig.load(run.folder / "config.yaml").teacher == str(big)


def test_a_resumed_run_goes_on_exactly(discs, big, wild, tmp_path, monkeypatch):
    config = replace(
        SMALL, output=str(tmp_path / "whole"), teacher=str(big), unlabelled=str(wild[0]), checkpoint_minutes=1e-9,
        distill=DistillConfig(target="features"),
    )  # fmt: skip
    fit(config, discs)
    real, steps = DistillTask.losses, []

    def stops(self, batch):
        steps.append(1)
        if self.training and self.steps_taken == 3:
            raise RuntimeError("power cut")
        return real(self, batch)

    monkeypatch.setattr(DistillTask, "losses", stops)
    broken = replace(config, output=str(tmp_path / "broken"))
    with pytest.raises(RuntimeError, match="power cut"):
        fit(broken, discs)
    monkeypatch.setattr(DistillTask, "losses", real)
    fit(TrainConfig(output=str(tmp_path / "broken"), device="cpu"), discs, resume=True)
    one, other = (load_checkpoint(tmp_path / n / "model.safetensors").net.state_dict() for n in ("whole", "broken"))
    assert all(torch.allclose(one[k], other[k], atol=1e-6) for k in one)


def test_resuming_with_another_teacher_is_refused(discs, big, tmp_path):
    mine = shutil.copyfile(big, tmp_path / "mine.safetensors")
    config = replace(SMALL, epochs=1, output=str(tmp_path / "run"), teacher=str(mine))
    fit(config, discs)
    checkpoint = load_checkpoint(mine)
    torch.nn.init.normal_(checkpoint.net.predictors()[-1].weight)
    save_checkpoint(checkpoint, mine)
    with pytest.raises(PosewrightError, match="not the one this run began with"):
        fit(TrainConfig(output=str(tmp_path / "run"), device="cpu"), discs, resume=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"teacher": "nowhere/t.safetensors"}, "does not exist"),
        ({"distill": DistillConfig(stages=(1, 2))}, "--distill.stages names 2 stages, the student has 1"),
        ({"distill": DistillConfig(stages=(3,))}, "names stage 3, the teacher has 2"),
        ({"distill": DistillConfig(map=("top,crown",))}, "has no keypoint 'crown'"),
        ({"unlabelled": "nowhere"}, "nowhere: does not exist"),
    ],
)
def test_bad_input_leaves_no_run_behind(discs, big, tmp_path, change, message):
    config = replace(SMALL, output=str(tmp_path / "run"), **{"teacher": str(big), **change})
    with pytest.raises(PosewrightError, match=message) as caught:
        fit(config, discs)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_teacher_of_something_else(discs, tmp_path):
    hand = Skeleton("hand", ("wrist", "thumb"))
    net = build_net(preset("hourglass_s1_nano", channels=16), 2).eval()
    path = save_checkpoint(Checkpoint(net, hand, RULE, "hourglass_s1_nano"), tmp_path / "hand.safetensors")
    config = replace(SMALL, output=str(tmp_path / "run"), teacher=str(path))
    with pytest.raises(PosewrightError, match=r"'hand' shares no keypoint name with 'discs'.*--distill\.map"):
        fit(config, discs)


def test_settings_that_need_a_teacher():
    with pytest.raises(PosewrightError, match="unlabelled says nothing without a teacher"):
        replace(SMALL, unlabelled="folder")
    with pytest.raises(PosewrightError, match="distill says nothing without a teacher"):
        replace(SMALL, distill=DistillConfig(alpha=0.9))


def test_settings_survive_their_file(tmp_path):
    config = replace(SMALL, teacher="t", distill=DistillConfig(stages=(2, 4), map=("a,b",), sigma=2.0))
    config.save(tmp_path / "c.yaml")
    assert TrainConfig.load(Path(tmp_path / "c.yaml")) == config
