"""The one warp: it puts things where the map says, does not alias where it shrinks, and knows the border; on any device."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posewright.geometry import CropRule, Similarity
from posewright.warp import reduction_factor, warp


def texture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Soft shapes, and noise in every single pixel."""
    rng = np.random.default_rng(0)
    picture = np.zeros((height, width, channels), np.float32)
    for cells in (8, 64):
        coarse = rng.normal(0, 40, (min(cells, height), min(cells, width), channels)).astype(np.float32)
        picture += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(picture.shape)
    picture += 40 * rng.standard_normal(picture.shape, np.float32)
    return np.clip(picture + 128, 0, 255).astype(np.uint8)


def centroid(crop: np.ndarray, border: int) -> np.ndarray:
    light = crop.astype(float) - border
    light[light < 0.1 * light.max()] = 0
    y, x = np.mgrid[: crop.shape[0], : crop.shape[1]]
    return np.array([(x * light).sum(), (y * light).sum()]) / light.sum()


def test_identity_and_shifts_by_whole_pixels_copy():
    picture = texture(40, 50)
    rule = CropRule((50, 40))
    assert np.array_equal(warp(picture, Similarity.identity(), rule), picture)
    moved = warp(picture, Similarity(np.array([[1, 0, 3], [0, 1, -2.0]])), rule)
    assert np.array_equal(moved[:38, 3:], picture[2:, :47])
    assert (moved[:, :3] == rule.border).all() and (moved[38:] == rule.border).all()


def test_a_mirror_is_exact():
    picture = texture(64, 64)
    rule = CropRule((64, 64), margin=1.0)
    flip = Similarity.crop([-0.5, -0.5, 63.5, 63.5], (64, 64), flip=True)
    assert np.array_equal(warp(picture, flip, rule), picture[:, ::-1])


def test_a_large_photo_is_averaged_not_sampled():
    """4,000 px to 256: area averaging over the exact cells is the reference; plain bilinear sampling is far from it."""
    side, small = 4000, 256
    picture = texture(side, side, 1)[..., 0]
    rule = CropRule((small, small), margin=1.0)
    similarity = rule.letterbox(side, side)
    got = warp(picture, similarity, rule).astype(float)
    exact = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA).astype(float)
    sampled = cv2.warpAffine(picture, similarity.matrix, (small, small), flags=cv2.INTER_LINEAR).astype(float)
    error, naive = np.abs(got - exact).mean(), np.abs(sampled - exact).mean()
    assert error < 2.5
    assert naive > 8 * error
    # No more contrast than the average has: nothing was aliased into the crop.
    assert got.std() == pytest.approx(exact.std(), rel=0.02)
    assert sampled.std() > 1.1 * exact.std()


@pytest.mark.parametrize("period", [2, 3, 5])
def test_fine_stripes_become_grey(period):
    stripes = np.tile((np.arange(3000) % period == 0)[:, None, None] * np.uint8(255), (1, 400, 3))
    rule = CropRule((64, 64), margin=1.0)
    crop = warp(stripes, rule.similarity([0, 0, 400, 3000]), rule)
    inner = crop[4:-4, 30:34].astype(float)
    assert np.abs(inner - 255 / period).max() < 15


@pytest.mark.parametrize("shrink", [8, 16])
def test_a_whole_factor_equals_area_averaging(shrink):
    picture = texture(32 * shrink, 48 * shrink)
    rule = CropRule((48, 32), margin=1.0)
    got = warp(picture, rule.letterbox(48 * shrink, 32 * shrink), rule)
    exact = cv2.resize(picture, (48, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(got.astype(int) - exact).max() <= 1


@settings(deadline=None, max_examples=80)
@given(
    st.integers(60, 900),
    st.integers(60, 900),
    st.tuples(st.floats(0.35, 0.65), st.floats(0.35, 0.65)),
    st.floats(0.05, 1.5),
    st.floats(-180, 180),
    st.booleans(),
)
def test_a_dot_lands_where_the_map_says(width, height, place, zoom, rotation, flip):
    """Reduced first or not: the picture moves with the matrix that moves the keypoints."""
    at = np.array([place[0] * width, place[1] * height])
    rule = CropRule((80, 96), margin=1.0, border=0)
    side = min(80, 96) / zoom
    box = [*(at - side * 0.45), *(at + side * 0.55)]
    similarity = Similarity.crop(box, rule.size, rotation=rotation, flip=flip)
    sigma = max(4 / similarity.scale, 1.5)
    x, y = np.arange(width), np.arange(height)
    dot = np.outer(np.exp(-((y - at[1]) ** 2) / (2 * sigma**2)), np.exp(-((x - at[0]) ** 2) / (2 * sigma**2)))
    crop = warp(np.round(255 * dot).astype(np.uint8), similarity, rule)
    reach = 3 * sigma
    if (at - reach).min() > 0 and (at + reach < (width, height)).all():
        tolerance = 0.1 + 0.02 * max(1.0, similarity.scale)
        assert np.abs(centroid(crop, 0) - similarity.apply(at)).max() < tolerance


def test_the_rule_decides_when_to_reduce():
    rule = CropRule((100, 100), margin=1.0)

    def factor(side: float, **changes) -> int:
        return reduction_factor(Similarity.crop([0, 0, side, side], (100, 100)), CropRule((100, 100), **changes))

    assert [factor(side) for side in (50, 100, 199, 200, 201, 299, 301, 4000)] == [1, 1, 1, 1, 2, 2, 3, 40]
    assert factor(390, reduce_above=4.0) == 1
    assert rule.reduce_above == 2.0


def test_outside_is_border_even_where_reduced():
    picture = np.full((1000, 1500, 3), 250, np.uint8)
    rule = CropRule((64, 64), margin=1.0, border=17)
    crop = warp(picture, rule.letterbox(1500, 1000), rule)
    top = round((64 - 64 / 1.5) / 2)
    assert (crop[: top - 1] == 17).all() and (crop[-top + 1 :] == 17).all()
    # The last row and column lie beside blocks of pixels that reach over the picture's edge.
    assert (crop[top + 1 : -top - 2, :-1] == 250).all()
    far = warp(picture, rule.similarity([5000, 5000, 9000, 9000]), rule)
    assert (far == 17).all()
    before = warp(picture, rule.similarity([-9000, -9000, -5000, -5000]), rule)
    assert (before == 17).all()


@pytest.mark.parametrize("side", [997, 1003, 1024])
def test_sides_that_the_factor_does_not_divide(side):
    """The rest beyond the last whole block is averaged with the border and not stretched."""
    picture = texture(side, side)
    rule = CropRule((100, 100), margin=1.0)
    similarity = Similarity.crop([0, 0, 1000, 1000], (100, 100))
    got = warp(picture, similarity, rule).astype(float)
    wide = cv2.copyMakeBorder(picture, 0, 1100 - side, 0, 1100 - side, cv2.BORDER_CONSTANT, value=(rule.border,) * 3)
    exact = warp(wide, similarity, rule).astype(float)
    np.testing.assert_allclose(got, exact, atol=1)


def test_a_small_box_of_a_large_photo_touches_only_its_part():
    picture = texture(3000, 3000)
    rule = CropRule((64, 64), margin=1.0)
    box = [1400.3, 900.7, 1800.3, 1300.7]
    whole = warp(picture, rule.similarity(box), rule)
    lonely = np.full_like(picture, 0)
    lonely[850:1350, 1350:1850] = picture[850:1350, 1350:1850]
    assert np.array_equal(warp(lonely, rule.similarity(box), rule), whole)


def test_grey_stays_grey():
    grey = texture(300, 300)[..., 0]
    rule = CropRule((64, 48))
    crop = warp(grey, rule.letterbox(300, 300), rule)
    assert crop.shape == (48, 64) and crop.dtype == np.uint8
    colour = warp(np.repeat(grey[..., None], 3, 2), rule.letterbox(300, 300), rule)
    assert np.array_equal(colour[..., 1], crop)


# -- the other executor ------------------------------------------------------------------------------------------------


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Soft shapes alone: where OpenCV rounds positions to a 1/32 of a pixel, as it did before version 5, little changes."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (max(3, height // 20), max(3, width // 20), 3))
    return np.clip(
        cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC), 0, 255
    ).astype(np.uint8)


TILTED = np.array([[0.95, 0.1, 1.0], [-0.05, 0.9, 2.0], [0.002, -0.001, 0.98]])


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(20, 420), st.integers(20, 420)),
    st.sampled_from([(96, 64), (48, 80), (64, 64), (33, 50)]),
    st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)),
    st.floats(0.3, 5.9),
    st.floats(-180, 180),
    st.booleans(),
    st.integers(0, 255),
    st.booleans(),
)
def test_torch_makes_the_same_crop(size, crop_size, place, shrink, rotation, flip, border, tilted):
    """Turned, mirrored, tilted, reduced by 1 to 5 and over any edge of the picture: on soft pictures no pixel differs by
    more than 3 grey levels, and all by less than a quarter on average."""
    torch = pytest.importorskip("torch")
    from posewright.training.warp_torch import warp_batch

    (width, height), rule = size, CropRule(crop_size, margin=1.0, border=border)
    picture = smooth(height, width)
    at, half = np.array(place) * size, np.array(crop_size) * shrink / 2
    similarity = Similarity.crop([*(at - half), *(at + half)], crop_size, rotation=rotation, flip=flip)
    tilt = TILTED if tilted else None
    wanted = warp(picture, similarity, rule, tilt).astype(int)
    got = warp_batch([torch.from_numpy(picture)], [similarity], rule, [tilt])
    assert got.dtype == torch.uint8 and got.shape == (1, crop_size[1], crop_size[0], 3)
    difference = np.abs(got[0].numpy() - wanted)
    assert difference.max() <= 3
    assert difference.mean() < 0.25


@pytest.mark.parametrize("shrink", [1, 2.5, 3, 4, 5.7])
def test_torch_averages_the_same_blocks(shrink):
    """Noise in every pixel: other blocks, or sampling without averaging, would be far off."""
    pytest.importorskip("torch")
    from posewright.training.warp_torch import warp_batch

    picture, rule = texture(397, 501), CropRule((64, 48), margin=1.0, border=9)
    box = np.array([120.3, 90.8, 120.3 + 64 * shrink, 90.8 + 48 * shrink])
    boxes = [box, box - 150.4, box + 330]
    similarities = [Similarity.crop(b, rule.size, rotation=20 * i) for i, b in enumerate(boxes)]
    assert reduction_factor(similarities[0], rule) == (1 if shrink == 1 else int(shrink))
    crops = warp_batch([picture] * 3, similarities, rule).numpy().astype(int)
    for crop, similarity in zip(crops, similarities):
        wanted = warp(picture, similarity, rule)
        # Noise that is only sampled differs by up to 8 levels where OpenCV rounds positions to a 1/32 of a pixel.
        assert np.abs(crop - wanted).max() <= (2 if int(cv2.__version__.split(".")[0]) >= 5 else 8)
        assert np.abs(crop - wanted).mean() < 0.5


def test_torch_takes_pictures_of_different_sizes_and_gives_each_its_own_crop():
    torch = pytest.importorskip("torch")
    from posewright.training.warp_torch import warp_batch

    rule = CropRule((72, 56), border=77)
    pictures = [smooth(50, 40, 1), smooth(900, 300, 2), smooth(31, 700, 3), smooth(8, 8, 4)]
    similarities = [rule.letterbox(p.shape[1], p.shape[0]) for p in pictures]
    batch = warp_batch(pictures, similarities, rule)
    for i, (picture, similarity) in enumerate(zip(pictures, similarities)):
        assert np.abs(batch[i].numpy().astype(int) - warp(picture, similarity, rule)).max() <= 3
        alone = warp_batch([picture], [similarity], rule)[0]
        assert (batch[i].int() - alone.int()).abs().max() <= 1  # a value halfway may be rounded either way
    exact = warp_batch(pictures, similarities, rule, dtype=torch.float32)
    assert exact.dtype == torch.float32
    assert torch.equal(exact.round().to(torch.uint8), batch)
    grey = warp_batch([p[..., :1] for p in pictures], similarities, rule)
    assert grey.shape == (4, 56, 72, 1) and torch.equal(grey[..., 0], batch[..., 0])


def test_torch_refuses_what_is_no_batch():
    pytest.importorskip("torch")
    from posewright.training.warp_torch import warp_batch

    rule, picture = CropRule((8, 8)), np.zeros((9, 9, 3), np.uint8)
    for pictures, maps in (([], []), ([picture], []), ([picture] * 2, [rule.letterbox(9, 9)])):
        with pytest.raises(ValueError, match="no batch"):
            warp_batch(pictures, maps, rule)


def test_torch_on_an_accelerator_gives_the_same_crop():
    torch = pytest.importorskip("torch")
    from posewright.training.warp_torch import warp_batch

    if not torch.cuda.is_available() and not torch.backends.mps.is_available():
        pytest.skip("no accelerator on this machine")
    device = "cuda" if torch.cuda.is_available() else "mps"
    rule, pictures = CropRule((96, 64)), [smooth(500, 400), smooth(90, 70)]
    similarities = [Similarity.crop([20, 30, 300, 200], rule.size, rotation=33), rule.letterbox(70, 90)]
    there = warp_batch(pictures, similarities, rule, [None, TILTED], device=device)
    assert there.device.type == device
    here = warp_batch(pictures, similarities, rule, [None, TILTED])
    assert (there.cpu().int() - here.int()).abs().max() <= 1
