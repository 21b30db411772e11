"""What a student sees beside its labels: unlabelled pictures, and what a cache keeps of its teacher's word."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.scenes import draw_scenes
from helpers.teaching import RULE, SMALL, Oracle, batch_of, lesson_for, task_for
from posewright.annotations import read_annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.media.sources import folder_pictures
from posewright.models.checkpoint import load_checkpoint, save_checkpoint
from posewright.models.heatmaps import decode
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.dataset import DRAWN, IGNORED, CropDataset, collate
from posewright.training.distill_config import DistillConfig
from posewright.training.distill_data import DistillDataset, found_boxes, whole_boxes, with_unlabelled
from posewright.training.packing import PackConfig, pack
from posewright.training.teacher_cache import data_digest

# -- unlabelled pictures -----------------------------------------------------------------------------------------------


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


def test_the_digest_of_a_packed_set_follows_its_pixels_and_not_its_place(tmp_path):
    """A part's picture lies in a shard, which is no file of its own; a copied set is the same set."""
    scenes = draw_scenes(tmp_path / "scenes", 3)
    for name, quality in (("one", 95), ("other", 60)):
        pack(scenes, tmp_path / name, PackConfig(CropRule((32, 32)), quality=quality))
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    one, other, copy = (data_digest(read_annotations(tmp_path / name)) for name in ("one", "other", "copy"))
    assert one == copy
    assert one != other


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
    whole = files[0].read_bytes()
    for damaged in (whole[:8], whole[:-9], bytes(len(whole))):
        files[0].write_bytes(damaged)
        with pytest.raises(PosewrightError, match=rf"{files[0].name}: is damaged. *Delete it"):
            [again[(0, i)] for i in range(5)]
    files[0].write_bytes(whole)
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


# -- a teacher that looks once ----------------------------------------------------------------------------------------

STILL = replace(SMALL.augment, flip=0.0, negative=0.0, cutout=0.0)


@pytest.mark.parametrize("change", [{}, {"perspective": 30.0}, {"half_body": 1.0}], ids=["turned", "tilted", "parts"])
@pytest.mark.parametrize("rule", [RULE, CropRule((96, 96))], ids=["same", "larger"])
def test_what_was_found_once_moves_along_with_every_view(discs, tmp_path, monkeypatch, change, rule):
    augment = replace(STILL, rotation=60.0, scale=0.4, shift=0.1, **change)
    kept = DistillConfig(once=True, cache_type="fp16")
    config = replace(SMALL, output=str(tmp_path), teacher="oracle", distill=kept, augment=augment)
    lesson, net = lesson_for(Oracle(rule), config, monkeypatch=monkeypatch)
    data = lesson.dataset(discs, "cpu")
    monkeypatch.setattr(Oracle, "__call__", lambda *_: pytest.fail("it looked again"))
    batch = collate([data[(epoch, i)] for epoch in range(4) for i in range(len(data))])
    assert "teacher_image" not in batch
    maps, _ = task_for(lesson, net, discs)._word(batch)
    found = decode(maps[:, 0, :3], lesson.grid.stride)
    well_inside = (batch["state"] == DRAWN) & ((batch["points"] - 31.5).abs() < 24).all(-1)
    off = (found[..., :2] - batch["points"]).norm(dim=-1)[well_inside]
    assert len(off) > 20
    # The oracle's own centres of drawn discs are off by a tenth of a pixel.
    assert off.median() < 0.05 * lesson.grid.stride
    assert off.max() < 0.25 * lesson.grid.stride
    assert found[..., 2][well_inside].min() > 0.8


def test_a_mirrored_view_has_the_mirrored_maps(discs, big, tmp_path):
    augment = replace(STILL, flip=1.0, rotation=0.0, scale=0.0, shift=0.0)
    kept = DistillConfig(once=True, cache_type="fp16")
    lesson, net = lesson_for(big, replace(SMALL, output=str(tmp_path), teacher=str(big), distill=kept, augment=augment))
    data, plain = (lesson.dataset(discs, "cpu") for _ in range(2))
    plain.augment = None
    task = task_for(lesson, net, discs)
    (maps, weight), (upright, of_upright) = (task._word(batch_of(d, range(4))) for d in (data, plain))
    order = discs.skeleton.flip_order()
    assert order != sorted(order)
    assert torch.allclose(maps[..., :3, :, :], upright.flip(-1)[:, :, order], atol=2e-3)
    assert torch.equal(weight, of_upright[:, order])
    # It looked at the mirror image, too.
    alone, _ = lesson._look(data_of(plain, lesson, 4))
    assert not torch.allclose(alone, upright, atol=1e-3)
    mirrored, _ = lesson._look(data_of(plain, lesson, 4).flip(2))
    assert torch.allclose((alone + mirrored.flip(-1)[:, :, order]) / 2, upright, atol=2e-3)


def data_of(plain, lesson, count):
    """The teacher's own crops of the first objects, not augmented."""
    live = DistillDataset(plain.annotations, lesson.views, None, 0)
    return batch_of(live, range(count))["teacher_image"]


def test_looking_once_is_found_again_by_other_seeds_and_augmentations(discs, big, tmp_path, capsys):
    kept = DistillConfig(once=True, cache=str(tmp_path / "kept"))
    for seed, rotation, made in ((0, 40.0, True), (1, 10.0, False)):
        config = replace(SMALL, teacher=str(big), distill=kept, seed=seed, augment=replace(STILL, rotation=rotation))
        lesson_for(big, config)[0].dataset(discs, "cpu")
        assert ("targets: 0 made" in capsys.readouterr().out) != made


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"once": True, "views": 4}, "distill.once sees no augmented views"),
        ({"once": True, "target": "features"}, "features are too large to be kept"),
    ],
)
def test_what_does_not_go_with_looking_once(settings, says):
    with pytest.raises(PosewrightError, match=says):
        DistillConfig(**settings)
