"""Distillation: the sample that teacher and student share, and the loss between them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from helpers.discs import DISCS
from helpers.teaching import RULE, SMALL, Oracle, batch_of, lesson_for, save_teacher, task_for
from posewright.geometry import CropRule
from posewright.models.heatmaps import decode, encode
from posewright.models.presets import build_net, preset
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.dataset import DRAWN, EMPTY, IGNORED, CropDataset
from posewright.training.distill_config import DistillConfig
from posewright.training.task import KeypointTask
from posewright.training.teachers import Seen


@pytest.fixture(scope="module")
def big(tmp_path_factory):
    return save_teacher(tmp_path_factory.mktemp("teacher") / "big.safetensors")


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
    points[0, 0, 0] = torch.nan
    assert lesson.targets(Seen(None, points))[1][0].tolist() == pytest.approx([0, 0.3, 0.5])


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
