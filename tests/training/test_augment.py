"""Augmentation: what each change does to picture and points, and that it does nothing where it is off."""

from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.discs import COLOURS
from posewright.annotations import Annotations, get_format
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.geometry import CropRule, Similarity
from posewright.media.pictures import read_picture, write_picture
from posewright.skeletons import ANIMAL_20, BODY_14, BUILTIN, COCO_17, FACE_68, HAND_21, MPII_16
from posewright.training.augment_config import PLAIN, STEEPEST, AugmentConfig
from posewright.training.colour import TO_YIQ, colour_matrix, equalised, sharpened, strength_factor
from posewright.training.config import TrainConfig
from posewright.training.dataset import DRAWN, EMPTY, IGNORED, CropDataset
from posewright.training.half_body import LEAST, body_halves, part_box, random_part
from posewright.training.paste import object_opacity
from posewright.training.perspective import CropMap, Tilt
from posewright.training.preview import augmentation_sheet
from posewright.warp import warp

RULE = CropRule((96, 64))
STRONG = {
    "scale": 0.5, "rotation": 90, "shift": 0.2, "flip": 1, "flip_vertical": 1, "perspective": 40, "colour": 1,
    "hue": 90, "saturation": 1, "value": 1, "contrast": 1, "sharpness": 1, "grey": 1, "clahe": 1, "blur": 1, "cutout": 1,
    "half_body": 1, "negative": 1,
}  # fmt: skip
BESIDE = {"cutout": {"cutout_size": 0.5}, "rotation": {"rotation_share": 1}}


# -- every change ------------------------------------------------------------------------------------------------------


def test_every_setting_is_known_here_and_off_in_plain():
    beside = {"rotation_share", "cutout_size", "background", "background_share"}
    assert {f.name for f in fields(AugmentConfig)} == set(STRONG) | beside
    assert all(getattr(PLAIN, name) == 0 for name in STRONG)
    assert PLAIN.background is None


def test_plain_is_bit_identical_to_no_augmentation(discs):
    plain, bare = CropDataset(discs, RULE, PLAIN), CropDataset(discs, RULE)
    for item in range(len(bare)):
        a, b = plain[(7, item)], bare[item]
        assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("name", STRONG)
def test_each_change_does_something_and_repeats_itself(discs, name):
    config = replace(PLAIN, **{name: STRONG[name]}, **BESIDE.get(name, {}))
    labels = six_points(discs) if name == "half_body" else discs
    plain, varied = CropDataset(labels, RULE, PLAIN), CropDataset(labels, RULE, config)
    again, fresh = CropDataset(labels, RULE, config), []
    for item in range(6):
        sample = varied[(1, item)]
        assert not torch.equal(sample["image"], plain[(1, item)]["image"])
        repeated = again[(1, item)]
        assert all(torch.equal(sample[k], repeated[k]) for k in sample)
        fresh.append(not torch.equal(sample["image"], varied[(2, item)]["image"]))
    assert any(fresh) or name in ("flip", "flip_vertical", "grey", "clahe")  # those have nothing more to draw


@pytest.mark.parametrize("name", STRONG)
def test_strengths_and_shares_out_of_range_are_refused(name):
    share = name in ("flip", "flip_vertical", "grey", "clahe", "blur", "cutout", "half_body", "negative")
    for bad in (-0.1, float("nan"), 1.5 if share else float("inf")):
        with pytest.raises(PosewrightError, match=f"augment.{name} "):
            AugmentConfig(**{name: bad})


def test_no_tilt_up_to_the_horizon():
    with pytest.raises(PosewrightError, match=r"augment\.perspective is at most 50 degrees, not 60"):
        AugmentConfig(perspective=60)


def test_settings_survive_the_file_beside_a_run(tmp_path):
    config = TrainConfig(augment=AugmentConfig(hue=12, half_body=0.25, perspective=20, background="rooms"))
    config.save(tmp_path / "config.yaml")
    assert TrainConfig.load(tmp_path / "config.yaml").augment == config.augment


# -- colour ------------------------------------------------------------------------------------------------------------

rgb = st.tuples(*[st.integers(0, 255)] * 3)


def drawn_matrices(count: int = 200, **strengths) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found = [colour_matrix(replace(PLAIN, **strengths), rng) for _ in range(count)]
    return [m for m in found if m is not None]


def through(matrix: np.ndarray, colour) -> np.ndarray:
    return matrix[:, :3] @ np.asarray(colour, float) + matrix[:, 3]


def chroma(colour) -> complex:
    _, i, q = TO_YIQ @ np.asarray(colour, float)
    return complex(i, q)


@settings(deadline=None, max_examples=25)
@given(rgb)
def test_hue_turns_colours_about_the_grey_axis(colour):
    angles = []
    for matrix in drawn_matrices(40, hue=30):
        turned = through(matrix, colour)
        assert (TO_YIQ @ turned)[0] == pytest.approx((TO_YIQ @ colour)[0], abs=1e-6)
        assert abs(chroma(turned)) == pytest.approx(abs(chroma(colour)), abs=1e-6)
        np.testing.assert_allclose(through(matrix, (90, 90, 90)), 90, atol=1e-6)
        if abs(chroma(colour)) > 1:
            angles.append(np.degrees(np.angle(chroma(turned) / chroma(colour))))
    assert all(abs(a) <= 30 + 1e-6 for a in angles)
    assert not angles or (min(angles) < -10 and max(angles) > 10)


@settings(deadline=None, max_examples=25)
@given(rgb)
def test_saturation_moves_colours_to_and_from_their_grey(colour):
    factors = []
    for matrix in drawn_matrices(40, saturation=1):
        moved = through(matrix, colour)
        assert (TO_YIQ @ moved)[0] == pytest.approx((TO_YIQ @ colour)[0], abs=1e-6)
        if abs(chroma(colour)) > 1:
            ratio = chroma(moved) / chroma(colour)
            assert ratio.imag == pytest.approx(0, abs=1e-6)
            factors.append(ratio.real)
    assert all(0.5 - 1e-9 <= f <= 2 + 1e-9 for f in factors)
    assert not factors or (min(factors) < 0.8 and max(factors) > 1.25)


@settings(deadline=None, max_examples=25)
@given(rgb)
def test_value_is_that_of_hsv(colour):
    """Hue and saturation as OpenCV computes them stay; V is multiplied."""

    def hsv(c):
        return cv2.cvtColor(np.array([[c]], np.float32) / 255, cv2.COLOR_RGB2HSV)[0, 0]

    for matrix in drawn_matrices(10, value=0.5):
        (h0, s0, v0), (h1, s1, v1) = hsv(colour), hsv(through(matrix, colour))
        assert v1 == pytest.approx(v0 * matrix[0, 0], rel=1e-4, abs=1e-5)
        if v0 > 0.02:
            assert s1 == pytest.approx(s0, abs=1e-3)
            assert min(abs(h1 - h0), 360 - abs(h1 - h0)) < 0.1 or s0 < 0.02


def test_contrast_leaves_the_middle_and_tint_is_a_factor_for_each_channel():
    for matrix in drawn_matrices(20, contrast=1):
        np.testing.assert_allclose(through(matrix, [127.5] * 3), 127.5)
        np.testing.assert_allclose(through(matrix, [227.5] * 3) - 127.5, 100 * matrix[0, 0])
    for matrix in drawn_matrices(20, colour=0.2):
        diagonal = np.diag(matrix)
        np.testing.assert_allclose(matrix, np.column_stack([np.diag(diagonal), np.zeros(3)]), atol=1e-12)
        assert ((diagonal >= 1 / 1.2) & (diagonal <= 1.2)).all() and len(set(diagonal.round(6))) == 3


def test_grey_has_no_colour_left_whatever_else_is_drawn():
    matrices = drawn_matrices(30, grey=1, hue=40, saturation=2, value=0.3)
    for matrix in matrices:
        a, b, c = through(matrix, (200, 30, 90))
        assert a == pytest.approx(b) and b == pytest.approx(c)
    assert drawn_matrices(30) == []


def test_factors_are_even_about_one():
    factors = strength_factor(1.0, np.random.default_rng(0), 4000)
    assert factors.min() >= 0.5 and factors.max() <= 2
    assert np.log(factors).mean() == pytest.approx(0, abs=0.03)
    assert strength_factor(0.0, np.random.default_rng(0)) == 1


def test_sharpness_scales_what_a_smoothing_takes_away():
    picture = np.random.default_rng(0).integers(80, 176, (20, 24, 3), np.uint8)
    assert np.array_equal(sharpened(picture, 1.0), picture)
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    smooth = cv2.filter2D(picture.astype(float), -1, kernel)
    for factor in (0.0, 0.5, 1.5):
        wanted = np.clip(smooth + factor * (picture - smooth), 0, 255)
        assert np.abs(sharpened(picture, factor) - wanted).max() <= 1


def test_clahe_brings_out_what_is_faint_and_keeps_the_colour():
    y, x = np.mgrid[:64, :64]
    faint = 120 + 3 * ((x // 4 + y // 4) % 2)
    picture = np.stack([faint + 30, faint, faint - 20], -1).astype(np.uint8)
    after = equalised(picture)
    assert after[..., 1].std() > 1.5 * picture[..., 1].std()
    # The chroma stays: a difference of channels does not depend on the luma.
    assert np.abs(np.diff(after.astype(int), axis=-1).mean((0, 1)) - [-30, -20]).max() < 4


# -- perspective -------------------------------------------------------------------------------------------------------

sizes = st.sampled_from([(96, 64), (80, 96), (100, 100)])
degrees = st.floats(-180, 180)


@given(sizes, st.floats(0, STEEPEST), degrees)
def test_a_tilt_holds_the_centre_and_keeps_the_crop_in_front_of_the_camera(size, angle, axis):
    tilt = Tilt(size, angle, axis)
    width, height = size
    centre = (np.array(size) - 1) / 2
    np.testing.assert_allclose(tilt.apply(centre), centre, atol=1e-9)
    # The axis itself does not move; what lies across it is foreshortened, the nearer half less.
    along = np.array([np.cos(np.deg2rad(axis)), np.sin(np.deg2rad(axis))])
    np.testing.assert_allclose(tilt.apply(centre + 20 * along), centre + 20 * along, atol=1e-9)
    corners = np.array(
        [[-0.5, -0.5, 1], [width - 0.5, -0.5, 1], [-0.5, height - 0.5, 1], [width - 0.5, height - 0.5, 1]]
    )
    assert (corners @ tilt.matrix[2] > 0.6).all()
    assert ((np.linalg.inv(tilt.matrix) @ corners.T)[2] > 0.3).all()
    moved = corners @ tilt.matrix.T
    np.testing.assert_allclose(tilt.apply(corners[:, :2]), moved[:, :2] / moved[:, 2:], atol=1e-8)


@given(sizes, st.floats(5, STEEPEST), degrees, st.floats(0, 360), st.floats(5, 1e4))
def test_a_point_far_away_never_comes_back_into_the_crop(size, angle, axis, direction, distance):
    """Nor to the other side of it, where a plain homography puts what lies behind the camera."""
    side = max(size)
    centre = (np.array(size) - 1) / 2
    way = np.array([np.cos(np.deg2rad(direction)), np.sin(np.deg2rad(direction))])
    seen = Tilt(size, angle, axis).apply(centre + side * distance * way)
    assert np.isfinite(seen).all()
    assert (np.abs(seen - centre) > np.array(size) / 2).any()
    assert (seen - centre) @ way > 0


def test_no_tilt_is_the_similarity_alone():
    tilt = Tilt((96, 64), 0.0, 33.0)
    np.testing.assert_allclose(tilt.matrix, np.eye(3), atol=1e-12)
    similarity = Similarity.crop([3, 4, 60, 50], (96, 64), rotation=20)
    assert np.array_equal(CropMap(similarity).apply([[5, 6]]), similarity.apply([[5, 6]]))


@settings(deadline=None, max_examples=80)
@given(
    st.tuples(st.integers(150, 700), st.integers(150, 700)),
    st.tuples(st.floats(0.35, 0.65), st.floats(0.35, 0.65)),
    st.floats(0.18, 1.5),
    degrees,
    st.booleans(),
    st.booleans(),
    st.floats(0, STEEPEST),
    degrees,
)
def test_a_dot_lands_where_its_keypoint_goes(size, place, zoom, rotation, flip, flip_vertical, angle, axis):
    """For any box, turn, mirror and tilt, reduced first or not: the picture moves as the points do."""
    width, height = size
    at = np.array([place[0] * width, place[1] * height])
    rule = CropRule((80, 96), margin=1.0, border=0)
    side = min(rule.size) / zoom
    box = [*(at - side * 0.42), *(at + side * 0.58)]
    similarity = Similarity.crop(box, rule.size, rotation=rotation, flip=flip, flip_vertical=flip_vertical)
    to_crop = CropMap(similarity, Tilt(rule.size, angle, axis))
    sigma = max(2.5 / similarity.scale, 1.2)
    x, y = np.arange(width), np.arange(height)
    dot = np.outer(np.exp(-((y - at[1]) ** 2) / (2 * sigma**2)), np.exp(-((x - at[0]) ** 2) / (2 * sigma**2)))
    crop = warp(np.round(255 * dot).astype(np.uint8), similarity, rule, to_crop.tilt_matrix)
    light = np.where(crop > 0.1 * crop.max(), crop, 0).astype(float)
    gy, gx = np.mgrid[: rule.size[1], : rule.size[0]]
    centroid = np.array([(gx * light).sum(), (gy * light).sum()]) / light.sum()
    assert np.abs(centroid - to_crop.apply(at)).max() < 0.2 + 0.03 * max(1.0, similarity.scale)


# -- half body ---------------------------------------------------------------------------------------------------------


def six_points(discs) -> Annotations:
    """The discs with each keypoint named twice, the second time a little aside: enough of them for a half."""
    again = discs.keypoints + np.array([6.0, 2.0, 0.0])
    names = tuple(f"{name}_{part}" for part in ("a", "b") for name in discs.skeleton.keypoints)
    skeleton = replace(discs.skeleton, keypoints=names, links=(), link_colours=())
    return replace(discs, skeleton=skeleton, keypoints=np.concatenate([discs.keypoints, again], 1))


def test_bodies_have_an_upper_and_a_lower_half():
    for skeleton in (BODY_14, MPII_16, COCO_17):
        halves = body_halves(skeleton)
        assert halves is not None
        assert sorted(np.concatenate(halves)) == list(range(len(skeleton)))
        names = [{skeleton.keypoints[i] for i in half} for half in halves]
        assert {"left_wrist", "right_shoulder"} <= names[0] and {"left_ankle", "right_hip"} <= names[1]
    assert all(body_halves(s) is None for s in (HAND_21, FACE_68, ANIMAL_20))


@settings(deadline=None, max_examples=120)
@given(
    st.sampled_from(["body-14", "mpii-16", "coco-17", "hand-21", "face-68", "animal-20"]),
    st.integers(0, 2**32 - 1),
    st.one_of(st.floats(0, 1), st.just(1.0)),
)
def test_a_part_belongs_together(name, seed, share):
    skeleton = BUILTIN[name]
    rng = np.random.default_rng(seed)
    k = len(skeleton)
    keypoints = np.column_stack([rng.uniform(0, 100, (k, 2)), 2 * (rng.random(k) < share)])
    box = np.array([-10.0, -10.0, 110.0, 110.0])
    part, labelled = random_part(keypoints, skeleton, rng), np.flatnonzero(keypoints[:, 2] > 0)
    halves = body_halves(skeleton)
    if part is None:
        assert len(labelled) < 2 * LEAST or halves is not None
        return
    assert np.isin(part, labelled).all() and len(set(part)) == len(part)
    assert LEAST <= len(part) <= len(labelled) - LEAST
    if halves is not None:
        assert any(np.isin(part, half).all() for half in halves)
    if name == "hand-21" and len(labelled) == k:
        assert connected(part, skeleton.links)
    if name == "face-68" and len(labelled) == k:
        assert separable(keypoints[part, :2], keypoints[np.setdiff1d(labelled, part), :2])
    around = part_box(keypoints, box, skeleton, rng)
    assert around is not None
    assert (around[2:] - around[:2] >= 0.25 * 120 - 1e-9).all()


def connected(part: np.ndarray, links) -> bool:
    reached, left = {int(part[0])}, set(map(int, part[1:]))
    while left:
        near = {b for link in links for a, b in (link, link[::-1]) if a in reached and b in left}
        if not near:
            return False
        reached |= near
        left -= near
    return True


def separable(one: np.ndarray, other: np.ndarray) -> bool:
    angles = np.deg2rad(np.arange(0, 360, 0.25))
    ways = np.stack([np.cos(angles), np.sin(angles)])
    return bool(((one @ ways).max(0) <= (other @ ways).min(0)).any())


def test_half_body_crops_are_closer_and_know_what_lies_outside():
    """One body seen from afar: its upper or lower half fills the crop, the other half's keypoints ask for silence."""
    x, y = (
        np.array([10, 10, 12, 18, 20, 20, 4, 6, 11, 19, 24, 26, 15, 15]),
        np.array([90, 75, 58, 58, 75, 90, 48, 38, 30, 30, 38, 48, 26, 10]),
    )
    keypoints = np.column_stack([x + 30, y, np.full(14, 2)]).astype(float)
    keypoints[4] = 0  # a knee nobody labelled
    outcomes = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        box = part_box(keypoints, np.array([28.0, 2, 62, 98]), BODY_14, rng)
        assert box is not None
        lower = box[1] > 40
        outcomes.add(bool(lower))
        inside = ((keypoints[:, :2] > box[:2]) & (keypoints[:, :2] < box[2:])).all(1) & (keypoints[:, 2] > 0)
        assert inside[[0, 1, 2, 3, 5]].all() if lower else inside[6:].all()
        assert not inside[[6, 7, 12, 13]].any() if lower else not inside[[0, 5]].any()
    assert outcomes == {True, False}


def test_half_body_states_follow_the_crop_rule(discs):
    labels = six_points(discs)
    keypoints = labels.keypoints.copy()
    keypoints[:, 5] = 0
    keypoints[:, 4] += (0.5, 12, 0)
    labels = replace(labels, keypoints=keypoints)
    with_none = CropDataset(labels, CropRule((64, 64), 1.0), replace(PLAIN, half_body=1))
    assert torch.equal(
        with_none[0]["image"], CropDataset(labels, CropRule((64, 64), 1.0))[0]["image"]
    )  # five are too few
    data = CropDataset(six_points(discs), CropRule((64, 64), 1.0), replace(PLAIN, half_body=1))
    whole = CropDataset(six_points(discs), CropRule((64, 64), 1.0))
    states = []
    for item in range(len(data)):
        sample = data[(0, item)]
        assert np.linalg.det(sample["inverse"][:, :2]) < np.linalg.det(whole[item]["inverse"][:, :2])
        inside = ((sample["points"] >= -0.5) & (sample["points"] < 63.5)).all(1)
        assert torch.equal(sample["state"] == DRAWN, inside) and torch.equal(sample["state"] == EMPTY, ~inside)
        states += sample["state"].tolist()
    assert states.count(EMPTY) > 10 and IGNORED not in states


# -- backgrounds -------------------------------------------------------------------------------------------------------

MAGENTA, TEAL = (200, 0, 200), (0, 150, 150)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """A folder of backgrounds, each of one colour of its own."""
    folder = tmp_path_factory.mktemp("rooms")
    for name, colour in (("a.png", MAGENTA), ("b.png", TEAL)):
        write_picture(folder / name, np.full((150, 130, 3), colour, np.uint8))
    return folder


@pytest.fixture(scope="module")
def outlined(discs):
    """The discs, each object's outline being three circles around its discs."""
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = 8 * np.stack([np.cos(turn), np.sin(turn)], 1)
    return replace(discs, polygons=[[point[:2] + circle for point in points] for points in discs.keypoints])


ON_ROOMS = replace(
    PLAIN, rotation=60, rotation_share=0.8, scale=0.3, shift=0.1, flip=0.5, perspective=40, background_share=1
)


def distance(image: np.ndarray, colour) -> np.ndarray:
    return np.abs(image.astype(int) - colour).max(-1)


def test_objects_stand_on_another_background_and_nothing_else_is_left(outlined, rooms):
    pasted = CropDataset(outlined, RULE, replace(ON_ROOMS, background=str(rooms)))
    plain = CropDataset(outlined, RULE, ON_ROOMS)
    used = set()
    for item in range(len(pasted)):
        a, b = pasted[(2, item)], plain[(2, item)]
        assert all(torch.equal(a[k], b[k]) for k in ("points", "state", "inverse", "index", "present"))
        image, before = a["image"].numpy(), b["image"].numpy()
        room = MAGENTA if (distance(image, MAGENTA) == 0).sum() > (distance(image, TEAL) == 0).sum() else TEAL
        used.add(room)
        # Each pixel is the object's own, the background's, or at a soft edge between the two.
        own, other = np.abs(image.astype(int) - before).max(-1) <= 1, distance(image, room) <= 1
        assert (own | other).mean() > 0.85 and other.mean() > 0.3
        mixed = (image >= np.minimum(before, room) - 1) & (image <= np.maximum(before, room) + 1)
        assert mixed.all()
        for colour, point, state in zip(mirrored(a), a["points"].numpy(), a["state"], strict=True):
            if state == DRAWN:
                x, y = point.round().astype(int).clip(0, (95, 63))
                assert own[y, x] and distance(image[y, x], colour) < 90
    assert used == {MAGENTA, TEAL}


def mirrored(sample) -> tuple:
    flipped = np.linalg.det(sample["inverse"][:, :2].numpy()) < 0
    return (COLOURS[1], COLOURS[0], COLOURS[2]) if flipped else COLOURS


def test_masks_cut_like_polygons(outlined):
    height = width = 96
    place = CropMap(Similarity.crop(outlined.boxes[0], RULE.size, rotation=30, margin=1.25), Tilt(RULE.size, 30, 70))
    mask = np.zeros((height, width), np.uint8)
    for polygon in outlined.polygons[0]:
        cv2.fillPoly(mask, [np.round(polygon * 16).astype(np.int32)], 1, cv2.LINE_8, 4)
    flat = mask.T.reshape(-1)
    ends = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *ends, flat.size]).tolist()
    rle = {"size": [height, width], "counts": runs if flat[0] == 0 else [0, *runs]}
    by_mask = object_opacity(rle, (height, width), place, RULE).astype(int)
    by_polygon = object_opacity(outlined.polygons[0], (height, width), place, RULE).astype(int)
    assert by_mask.max() == by_polygon.max() == 255 and by_mask.min() == by_polygon.min() == 0
    assert np.abs(by_mask - by_polygon).mean() < 4
    assert (np.abs(by_mask - by_polygon) > 128).mean() < 0.01


def test_overlapping_polygons_are_one_object():
    square = np.array([[10.0, 10], [50, 10], [50, 50], [10, 50]])
    place, rule = CropMap(Similarity.identity()), CropRule((80, 60))
    opacity = object_opacity([square, square + 10], (60, 80), place, rule)
    assert opacity[35, 35] == 255 and opacity[5, 70] == 0


def test_edges_are_soft_and_in_their_place():
    square = np.array([[60.0, 60], [180, 60], [180, 180], [60, 180]])
    row = object_opacity([square], (256, 256), CropMap(Similarity.identity()), CropRule((256, 256)))[120].astype(int)
    assert (np.diff(row[:120]) >= 0).all() and (np.diff(row[120:]) <= 0).all()
    assert ((row[:120] > 5) & (row[:120] < 250)).sum() in (3, 4, 5)
    assert row.sum() / 255 == pytest.approx(121, abs=1.5)


def test_objects_without_an_outline_are_left_as_they_are(outlined, rooms):
    polygons = [p if i % 2 else [] for i, p in enumerate(outlined.polygons)]
    polygons[1] = [np.array([[-900.0, -900], [-880, -900], [-880, -880]])]  # shows nothing of its object
    config = replace(ON_ROOMS, background=str(rooms))
    some, plain = CropDataset(replace(outlined, polygons=polygons), RULE, config), CropDataset(outlined, RULE, ON_ROOMS)
    same = [torch.equal(some[(0, i)]["image"], plain[(0, i)]["image"]) for i in range(8)]
    assert same == [True, True, True, False, True, False, True, False]


def test_a_share_of_the_objects_is_pasted(outlined, rooms):
    for share, least, most in ((0.0, 0, 0), (0.4, 10, 34), (1.0, 66, 66)):
        config = replace(PLAIN, background=str(rooms), background_share=share)
        data, plain = CropDataset(outlined, RULE, config), CropDataset(outlined, RULE)
        changed = [not torch.equal(data[(e, i)]["image"], plain[i]["image"]) for e in range(3) for i in range(22)]
        assert least <= sum(changed) <= most


@pytest.mark.parametrize(
    ("content", "message"), [(None, "does not exist"), ("text", "holds no pictures"), ("file", "is no folder")]
)
def test_a_folder_without_pictures_is_one_clear_line(outlined, tmp_path, capsys, content, message):
    folder = tmp_path / "rooms"
    if content == "text":
        folder.mkdir()
        (folder / "notes.txt").write_text("none")
    elif content == "file":
        folder.write_text("none")
    write = get_format("coco").write
    assert write is not None
    write(outlined, outlined.root / "outlined.json")
    data = str(outlined.root / "outlined.json")
    status = main(
        ["augment-preview", "--data", data, "--augment.background", str(folder), "-o", str(tmp_path / "a.png")]
    )
    error = capsys.readouterr().err
    assert status == 2 and error.count("\n") == 1 and message in error and "rooms" in error
    assert not (tmp_path / "a.png").exists()


def test_backgrounds_for_data_without_outlines_are_refused(discs, rooms):
    with pytest.raises(PosewrightError, match="no object has an outline"):
        CropDataset(discs, RULE, replace(PLAIN, background=str(rooms)))


def test_a_mask_that_is_not_the_pictures_names_its_object(outlined, rooms):
    polygons = [{"size": [40, 40], "counts": [1600]}, {"size": [96, 96], "counts": [5]}, *outlined.polygons[2:]]
    config = replace(PLAIN, background=str(rooms), background_share=1)
    data = CropDataset(replace(outlined, polygons=polygons), RULE, config)
    with pytest.raises(PosewrightError, match=r"object 0 on image '000.png': the mask is 40 x 40, its picture 96 x 96"):
        data[0]
    with pytest.raises(PosewrightError, match=r"object 1 on image '001.png': the mask has runs of 5 pixels"):
        data[1]


def test_the_sheet_shows_objects_that_can_be_pasted_first(outlined, rooms, tmp_path):
    polygons = [p if i == 9 else [] for i, p in enumerate(outlined.polygons)]
    config = TrainConfig(input_size="64", augment=replace(PLAIN, background=str(rooms), background_share=1))
    path = augmentation_sheet(
        replace(outlined, polygons=polygons), config, tmp_path / "sheet.png", objects=1, variants=5
    )
    sheet = read_picture(path)
    assert (np.minimum(distance(sheet, MAGENTA), distance(sheet, TEAL)) == 0).mean() > 0.3
