"""Packed sets: a crop of a packed part is the crop of the whole picture, and training goes on from it as from files."""

from __future__ import annotations

import csv
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.discs import draw_discs
from helpers.runs import small_run
from helpers.scenes import draw_scenes
from posewright.annotations import Annotations, Image, read_annotations
from posewright.annotations.masks import decode_rle
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.media import shard_writer
from posewright.media.pictures import decode_picture, read_picture
from posewright.media.sinks import h264_video
from posewright.training import packing
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.data import loaders
from posewright.training.dataset import IGNORED, CropDataset, EpochSampler
from posewright.training.fit import fit
from posewright.training.packing import PackConfig, pack
from posewright.training.task import KeypointTask

RULE = CropRule((64, 48))
GEOMETRY = replace(PLAIN, scale=0.25, rotation=40, shift=0.06, flip=0.5)
LOSSLESS = PackConfig(RULE, GEOMETRY, lossless="png", backgrounds=0.2)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return draw_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def packed(scenes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "shards"
    pack(scenes, folder, LOSSLESS)
    return read_annotations(folder)


def crops(a: Annotations, rule: CropRule, augment: AugmentConfig | None, epochs: int = 1, seed: int = 0):
    data = CropDataset(a, rule, augment, seed, negatives=0.0)
    return data, [data[epoch, i] for epoch in range(epochs) for i in range(len(data))]


def apart(one, other) -> np.ndarray:
    return np.abs(one["image"].numpy().astype(int) - other["image"].numpy().astype(int))


def moved(one, other) -> float:
    """The largest distance along an axis between labelled keypoints of two samples, in crop pixels."""
    return float((one["points"] - other["points"])[one["state"] != IGNORED].abs().max())


# -- geometry ----------------------------------------------------------------------------------------------------------


def test_the_same_draw_gives_the_same_crop_from_part_and_whole(scenes, packed):
    """Every keypoint within 0.05 px; the pictures equal to a rounding where nothing was reduced, alike where it was."""
    of_files, files = crops(scenes, RULE, GEOMETRY, epochs=4)
    of_parts, parts = crops(packed, RULE, GEOMETRY, epochs=4)
    assert len(of_files) == len(of_parts)
    factors = [packed.images[packed.image[i]].part.factor for i in of_parts.objects] * 4
    assert {1, 2} <= set(factors)
    for factor, one, other in zip(factors, files, parts, strict=True):
        assert torch.equal(one["state"], other["state"])
        assert moved(one, other) < 0.05
        difference = apart(one, other)
        if factor == 1:
            assert difference.max() <= 2
        else:
            assert difference.mean() < 2.5


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scale=st.floats(0, 0.6),
    rotation=st.floats(0, 180),
    shift=st.floats(0, 0.3),
    perspective=st.floats(0, 45),
    margin=st.floats(0.9, 1.8),
    size=st.tuples(st.sampled_from([32, 48, 80]), st.sampled_from([32, 64])),
    half_body=st.sampled_from([0.0, 1.0]),
)
def test_whatever_the_augmentation_reaches_is_packed(
    scenes, tmp_path_factory, scale, rotation, shift, perspective, margin, size, half_body
):
    """With the strongest draws there are, no crop of a part lacks what the whole picture shows."""
    few = scenes.subset([1, 3, 5])
    augment = replace(
        GEOMETRY, scale=scale, rotation=rotation, rotation_share=1.0, shift=shift, perspective=perspective,
        half_body=half_body,
    )  # fmt: skip
    rule = CropRule(size, margin)
    folder = tmp_path_factory.mktemp("any") / "shards"
    pack(few, folder, PackConfig(rule, augment, lossless="png", detail=2))
    part = read_annotations(folder)
    for one, other in zip(crops(few, rule, augment, 6)[1], crops(part, rule, augment, 6)[1], strict=True):
        assert torch.equal(one["state"], other["state"])
        assert moved(one, other) < 0.05
        # Grey where the other has picture would differ by tens over whole corners.
        assert (apart(one, other) > 40).mean() < 0.01


def test_places_lead_back_to_the_whole_picture(scenes, packed):
    for row in np.flatnonzero(~packed.iscrowd):
        im = packed.images[packed.image[row]]
        source = next(i for i, other in enumerate(scenes.images) if other.path == im.part.path)
        back = im.part.to_whole(packed.keypoints[row, :, :2])
        labelled = packed.labelled[row]
        own = [i for i in np.flatnonzero(scenes.image == source) if scenes.track[i] == packed.track[row]]
        assert len(own) == 1
        assert np.allclose(back[labelled], scenes.keypoints[own[0], labelled, :2], atol=1e-9)
        assert np.allclose(im.part.to_whole(packed.boxes[row].reshape(2, 2)).ravel(), scenes.boxes[own[0]])
        assert im.part.id == scenes.images[source].id
        assert (im.width, im.height) == read_picture(packed.image_path(packed.image[row])).shape[1::-1]


# -- what is kept ------------------------------------------------------------------------------------------------------


def test_every_column_is_kept(scenes, packed):
    own = packed.objects(~packed.iscrowd)
    trained = scenes.objects(scenes.labelled.any(1) & ~scenes.iscrowd)
    assert len(own) == len(trained)
    factor = np.array([own.images[i].part.factor for i in own.image])
    for name in ("weight", "track"):
        assert np.array_equal(getattr(own, name), getattr(trained, name))
    assert np.allclose(own.head_size * factor, trained.head_size, equal_nan=True)
    assert np.allclose(own.area * factor**2, trained.area)
    assert np.array_equal(own.keypoints[..., 2], trained.keypoints[..., 2])
    for i in range(len(own)):
        here, there = own.images[own.image[i]], trained.images[trained.image[i]]
        assert (here.split, here.group) == (there.split, there.path)
    assert packed.skeleton == scenes.skeleton


def test_outlines_follow_their_objects(packed):
    seen = set()
    for i in np.flatnonzero(~packed.iscrowd):
        outline, im = packed.polygons[i], packed.images[packed.image[i]]
        box = np.clip(packed.boxes[i], 0, [im.width - 1, im.height - 1] * 2)
        if isinstance(outline, dict):
            mask = decode_rle(outline)
            assert mask.shape == (im.height, im.width)
            y, x = np.nonzero(mask)
            assert np.abs(np.array([x.min(), y.min(), x.max(), y.max()]) - box).max() <= 1.5
            seen.add("mask")
        elif len(outline):
            assert np.abs(outline[0].min(0) - box[:2]).max() <= 1
            seen.add("polygon")
    assert seen == {"mask", "polygon"}


def test_other_objects_are_neither_trained_on_nor_background(scenes, packed):
    others = packed.objects(packed.iscrowd)
    assert len(others) > 3
    assert not others.labelled.any()
    crowded = packed.subset(sorted(set(others.image.tolist())))
    data = CropDataset(crowded, RULE, replace(GEOMETRY, negative=1.0))
    assert len(data) == len(crowded.images)
    found = 0
    for key in ((epoch, item) for epoch in range(8) for item in range(len(data))):
        sample = data[key]
        if not sample["present"]:
            inverse = sample["inverse"].numpy()
            corners = np.array([[-0.5, -0.5], [63.5, 47.5]]) @ inverse[:, :2].T + inverse[:, 2]
            low, high = corners.min(0), corners.max(0)
            # The box is lengthened to the crop's aspect; its middle square is what keeps clear of the objects.
            middle, half = (low + high) / 2, (high - low).min() / 2 - 1e-3
            boxes = crowded.boxes[crowded.image == crowded.image[int(sample["index"])]]
            apart_from = (boxes[:, 2:] <= middle - half).any(1) | (boxes[:, :2] >= middle + half).any(1)
            assert apart_from.all()
            found += 1
    assert found > 20


def test_pictures_without_objects_and_background_stay_available(scenes, packed):
    empty = sorted(set(range(len(packed.images))) - set(packed.image.tolist()))
    wholes = [packed.images[i].part.path for i in empty]
    blank = {im.path for i, im in enumerate(scenes.images) if i not in set(scenes.image.tolist())}
    assert blank <= set(wholes)
    beside = [i for i in empty if packed.images[i].part.path not in blank]
    assert beside
    for i in beside:
        part = packed.images[i].part
        extent = part.to_whole([[-0.5, -0.5], [packed.images[i].width - 0.5, packed.images[i].height - 0.5]]).ravel()
        source = next(j for j, im in enumerate(scenes.images) if im.path == part.path)
        for box in scenes.boxes[scenes.image == source]:
            assert (box[2:] <= extent[:2]).any() or (box[:2] >= extent[2:]).any()


def test_an_objects_own_file_is_kept_where_the_part_is_the_whole(discs, tmp_path):
    done = pack(discs, tmp_path / "a", PackConfig(RULE))
    assert done.copied == done.objects + done.backgrounds == 24
    part = read_annotations(tmp_path / "a")
    assert all((part.root / im.part.path).name == im.part.path for im in part.images)
    for i, im in enumerate(part.images):
        assert np.array_equal(read_picture(part.image_path(i)), read_picture(discs.root / im.part.path))


def test_jpeg_stays_near_the_picture_and_quality_counts(scenes, tmp_path):
    few, sizes = scenes.subset([1, 3]), []
    for quality in (95, 30):
        done = pack(few, tmp_path / str(quality), PackConfig(RULE, GEOMETRY, quality=quality))
        sizes.append(done.bytes)
    assert sizes[1] < 0.6 * sizes[0]
    part = read_annotations(tmp_path / "95")
    differences = [
        apart(a, b).mean() for a, b in zip(crops(few, RULE, None)[1], crops(part, RULE, None)[1], strict=True)
    ]
    assert max(differences) < 3


def test_a_frame_of_a_video_is_packed_as_a_picture_is(tmp_path):
    rng = np.random.default_rng(0)
    frames = [np.full((64, 96, 3), level, np.uint8) for level in (40, 90, 140, 190)]
    with h264_video(tmp_path / "clip.mp4", 10) as write:
        for frame in frames:
            write(frame, None)
    k = np.column_stack([rng.uniform(20, 50, (2, 3, 2)).reshape(6, 2), np.full(6, 2)]).reshape(2, 3, 3)
    images = [Image("clip.mp4", 96, 64, frame=n) for n in (1, 3)]
    boxes = np.array([[10.0, 10, 60, 60]] * 2)
    a = Annotations(draw_discs(tmp_path, 1, empty=0).skeleton, images, np.arange(2), k, boxes, tmp_path, source="clip")
    pack(a, tmp_path / "shards", PackConfig(RULE))
    part = read_annotations(tmp_path / "shards")
    assert [(im.part.path, im.part.frame, im.group) for im in part.images] == [
        ("clip.mp4", n, "clip.mp4") for n in (1, 3)
    ]
    for i, level in enumerate((90, 190)):
        assert abs(float(read_picture(part.image_path(i)).mean()) - level) < 4


# -- a run that asks for more than was packed --------------------------------------------------------------------------


def test_more_augmentation_than_was_packed_is_said_with_figures(packed, capsys):
    config = small_run(augment=replace(GEOMETRY, rotation=180, rotation_share=1.0, scale=0.8), input_size="48x64")
    loaders(config, packed, RULE)
    said = capsys.readouterr().out
    assert "reaches beyond what was packed" in said
    assert "% of their side" in said
    loaders(replace(config, augment=GEOMETRY), packed, RULE)
    assert capsys.readouterr().out == ""


def test_a_larger_margin_than_was_packed_is_an_error(packed):
    with pytest.raises(PosewrightError, match=r"packed too tightly for a margin of 4 at 48x64.*--margin"):
        loaders(small_run(augment=PLAIN), packed, CropRule((64, 48), 4.0))


def test_a_larger_input_than_was_packed_is_said(packed, capsys):
    loaders(small_run(augment=GEOMETRY), packed, CropRule((192, 144)))
    assert "enlarge them up to" in capsys.readouterr().out


# -- training ----------------------------------------------------------------------------------------------------------


def history(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


class Stop(Exception):
    pass


def test_training_is_the_same_as_from_files_and_is_resumed_exactly(discs, tmp_path, monkeypatch):
    """The parts are the files here, so every figure must be equal; and a broken-off run must reach the same weights."""
    monkeypatch.setattr("posewright.export.onnx.export_onnx", lambda *_: None)  # slow, and no business of this test
    monkeypatch.setattr("posewright.reports.curves.draw_curves", lambda *_: None)
    pack(discs, tmp_path / "shards", PackConfig(CropRule((64, 64)), terms="for tests only"))
    part = read_annotations(tmp_path / "shards")
    plain = small_run(augment=AugmentConfig(rotation=10, negative=0.0), checkpoint_minutes=1e-6, epochs=2)
    fit(replace(plain, output=str(tmp_path / "files")), discs)
    whole = fit(replace(plain, output=str(tmp_path / "packed")), part)
    assert history(tmp_path / "files") == history(tmp_path / "packed")
    assert whole.checkpoint.terms == "Training data: for tests only"

    original, steps = KeypointTask.training_step, []

    def breaks_off(self, *args, **kwargs):
        steps.append(1)
        if len(steps) == 6:  # in the second of two epochs
            raise Stop
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr(KeypointTask, "training_step", breaks_off)
        fit(replace(plain, output=str(tmp_path / "broken")), part)
    again = fit(replace(plain, output=str(tmp_path / "broken")), read_annotations(tmp_path / "shards"), resume=True)
    assert history(tmp_path / "broken") == history(tmp_path / "packed")
    one, other = whole.checkpoint.net.state_dict(), again.checkpoint.net.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_two_processes_share_a_pass(packed):
    data = CropDataset(packed, RULE, GEOMETRY)
    alone = list(EpochSampler(len(data), seed=1, batch_size=4))
    parts = [list(EpochSampler(len(data), seed=1, batch_size=4, rank=rank, ranks=2)) for rank in (0, 1)]
    assert not set(parts[0]) & set(parts[1])
    together = [key for a, b in zip(*(np.array(p).reshape(-1, 2, 2).tolist() for p in parts)) for key in (*a, *b)]
    assert [tuple(key) for key in together] == alone
    for key in parts[1][:3]:
        assert torch.equal(CropDataset(packed, RULE, GEOMETRY)[key]["image"], data[key]["image"])


# -- stopped and gone on with ------------------------------------------------------------------------------------------

SMALL_SHARDS = replace(LOSSLESS, shard_mb=0.15)


def content(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.parametrize("at", [1, 5, 9])
def test_a_stopped_run_goes_on_to_the_same_bytes(scenes, tmp_path, monkeypatch, at):
    whole = pack(scenes, tmp_path / "whole", SMALL_SHARDS)
    assert whole.shards > 3
    original = packing._Cutter.__call__
    calls: list[int] = []

    def stops(self, cuts):
        calls.append(cuts[0].image)
        if cuts[0].image == at:
            raise KeyboardInterrupt
        return original(self, cuts)

    monkeypatch.setattr(packing._Cutter, "__call__", stops)
    with pytest.raises(KeyboardInterrupt):
        pack(scenes, tmp_path / "b", SMALL_SHARDS)
    monkeypatch.undo()
    left = content(tmp_path / "b") if (tmp_path / "b").exists() else {}
    assert "index.jsonl" not in left
    if left:
        (tmp_path / "b" / ".000009-killed.tmp.tar").write_bytes(b"half")  # as a kill leaves it
    done = pack(scenes, tmp_path / "b", SMALL_SHARDS)
    assert done.taken_up == sum(name.endswith(".tar") for name in left)
    assert content(tmp_path / "b") == content(tmp_path / "whole")
    assert replace(done, index=whole.index, taken_up=0) == whole


def test_other_settings_start_again(scenes, tmp_path, monkeypatch):
    def stops(self, header):
        raise KeyboardInterrupt

    monkeypatch.setattr(shard_writer.ShardWriter, "finish", stops)
    with pytest.raises(KeyboardInterrupt):
        pack(scenes, tmp_path / "a", SMALL_SHARDS)
    monkeypatch.undo()
    (tmp_path / "a" / "000001.tar").write_bytes(b"damaged since")
    (tmp_path / "a" / "notes.txt").write_text("mine")
    once = pack(scenes, tmp_path / "a", replace(SMALL_SHARDS, seed=4))
    assert once.taken_up == 0
    assert (tmp_path / "a" / "notes.txt").read_text() == "mine"
    other = pack(scenes, tmp_path / "b", replace(SMALL_SHARDS, seed=4))
    assert once.bytes == other.bytes


def test_a_damaged_shard_is_made_again(scenes, tmp_path, monkeypatch):
    monkeypatch.setattr(shard_writer.ShardWriter, "finish", lambda self, header: (_ for _ in ()).throw(Stop))
    with pytest.raises(Stop):
        pack(scenes, tmp_path / "a", SMALL_SHARDS)
    monkeypatch.undo()
    shard = tmp_path / "a" / "000001.tar"
    shard.write_bytes(shard.read_bytes()[:-600] + b"x" * 600)
    assert pack(scenes, tmp_path / "a", SMALL_SHARDS).taken_up == 1
    read_annotations(tmp_path / "a")


def test_nothing_is_overwritten_and_nothing_left_behind(scenes, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.txt").write_text("years")
    with pytest.raises(PosewrightError, match="holds other things"):
        pack(scenes, tmp_path / "thesis", LOSSLESS)
    pack(scenes.subset([1]), tmp_path / "done", LOSSLESS)
    with pytest.raises(PosewrightError, match="holds a packed set already"):
        pack(scenes, tmp_path / "done", LOSSLESS)
    missing = replace(scenes, root=tmp_path)
    with pytest.raises(PosewrightError, match="does not exist"):
        pack(missing, tmp_path / "new", LOSSLESS)
    assert not (tmp_path / "new").exists()
    with pytest.raises(PosewrightError, match="packed already"):
        pack(read_annotations(tmp_path / "done"), tmp_path / "twice", LOSSLESS)
    nothing = replace(scenes.subset([0]))
    with pytest.raises(PosewrightError, match="not one labelled object"):
        pack(nothing, tmp_path / "new", LOSSLESS)


def test_broken_pictures_are_left_out_on_request(tmp_path):
    scenes = draw_scenes(tmp_path / "scenes", 6)
    (tmp_path / "scenes" / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(PosewrightError, match=r"001\.png"):
        pack(scenes, tmp_path / "a", LOSSLESS)
    found: list[PosewrightError] = []
    pack(scenes, tmp_path / "a", LOSSLESS, bad=found.append)
    assert len(found) == 1
    part = read_annotations(tmp_path / "a")
    assert "001.png" not in {im.part.path for im in part.images}
    wrong = replace(scenes, images=[replace(im, width=im.width + 1) for im in scenes.images])
    with pytest.raises(PosewrightError, match="the labels are for"):
        pack(wrong, tmp_path / "b", LOSSLESS)


# -- other readers -----------------------------------------------------------------------------------------------------


def test_the_shards_are_plain_webdataset(scenes, tmp_path):
    """Members in order, each sample's side by side under one key, as tarfile and WebDataset read them."""
    pack(scenes, tmp_path / "a", SMALL_SHARDS)
    part = read_annotations(tmp_path / "a")
    names, rows = [], {im.path.rpartition("/")[2]: i for i, im in enumerate(part.images)}
    for path in sorted((tmp_path / "a").glob("*.tar")):
        with tarfile.open(path) as tar:
            members = [(m.name, tar.extractfile(m).read()) for m in tar]
        for (name, data), (beside, text) in zip(members[::2], members[1::2], strict=True):
            assert name.partition(".")[0] + ".json" == beside
            labels = json.loads(text)
            row = rows[name]
            im = part.images[row]
            assert labels["size"] == [im.width, im.height]
            assert np.array_equal(decode_picture(data), read_picture(part.image_path(row)))
            own = np.flatnonzero((part.image == row) & ~part.iscrowd)
            if "object" in labels:
                assert np.allclose(labels["keypoints"], part.keypoints[own[0]])
            else:
                assert not len(own)
            names.append(name)
    assert names == [im.path.rpartition("/")[2] for im in part.images]
