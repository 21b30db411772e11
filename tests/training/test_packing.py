"""Packed sets: a crop of a packed part is the crop of the whole picture, and nothing that was labelled is lost."""

from __future__ import annotations

import itertools
import json
import tarfile
from dataclasses import replace

import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.discs import draw_discs
from helpers.packs import GEOMETRY, LOSSLESS, RULE, apart, crops, moved
from posewright.annotations import Annotations, Image, read_annotations
from posewright.annotations.masks import decode_rle
from posewright.geometry import CropRule, Similarity
from posewright.media.labelled import picture_of
from posewright.media.pictures import decode_picture, read_picture
from posewright.media.sinks import h264_video
from posewright.training.dataset import CropDataset
from posewright.training.packing import PackConfig, pack
from posewright.warp import warp

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
    for one, other in zip(crops(few, rule, augment, 4)[1], crops(part, rule, augment, 4)[1], strict=True):
        assert torch.equal(one["state"], other["state"])
        assert moved(one, other) < 0.05
        # Grey where the other has picture would differ by tens over whole corners.
        assert (apart(one, other) > 40).mean() < 0.01


def test_the_strongest_draws_of_every_kind_at_once(scenes, tmp_path):
    """Both ends of zoom, turn and shift, mirrored and not: what is packed reaches just as far as they do."""
    augment = replace(GEOMETRY, scale=0.4, rotation=60, rotation_share=1.0, shift=0.2)
    few = scenes.subset([1, 3, 4])
    pack(few, tmp_path / "shards", PackConfig(RULE, augment, lossless="png", detail=2))
    parts = read_annotations(tmp_path / "shards")
    own = np.flatnonzero(~parts.iscrowd)
    trained = np.flatnonzero(few.labelled.any(1) & ~few.iscrowd)
    for i, j in zip(trained, own, strict=True):
        pictures = picture_of(few, int(few.image[i])), picture_of(parts, int(parts.image[j]))
        labelled = few.labelled[i]
        for zoom, turn, x, y, flip in itertools.product(
            (1 / 1.4, 1.4), (-60, 35, 60), (-0.2, 0.2), (-0.2, 0.2), (False, True)
        ):
            places = [
                Similarity.crop(box, RULE.size, margin=RULE.margin, rotation=turn, scale=zoom, shift=(x, y), flip=flip)
                for box in (few.boxes[i], parts.boxes[j])
            ]
            one, other = places[0].apply(few.keypoints[i, :, :2]), places[1].apply(parts.keypoints[j, :, :2])
            assert np.abs(one - other)[labelled].max() < 0.05
            crop, of_part = (warp(picture, place, RULE) for picture, place in zip(pictures, places, strict=True))
            assert (np.abs(crop.astype(int) - of_part) > 40).mean() < 0.01


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


# -- other readers -----------------------------------------------------------------------------------------------------


def test_the_shards_are_plain_webdataset(scenes, tmp_path):
    """Members in order, each sample's side by side under one key, as tarfile and WebDataset read them."""
    pack(scenes, tmp_path / "a", replace(LOSSLESS, shard_mb=0.15))
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
