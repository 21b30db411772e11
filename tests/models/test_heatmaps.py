"""The round trip from a picture's point over crop and heat map back to the picture."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posewright.geometry import Similarity
from posewright.models.heatmaps import decode, encode, moved

INSIDE, BORDER = 0.05, 0.1
"""Largest round-trip error in cells: where the peak lies two cells inside the map, and anywhere on it."""

boxes = st.tuples(st.floats(-300, 900), st.floats(-300, 900), st.floats(5, 900), st.floats(5, 900))
sizes = st.sampled_from([(128, 128), (256, 256), (192, 256), (128, 64)])


def round_trip(point, size, stride, sigma, similarity):
    """(error in cells, score) of one point of the picture that goes to the crop, into a map, and back."""
    crop = similarity.apply(point)
    maps = encode(
        torch.tensor(crop)[None, None],
        torch.ones(1, 1, dtype=torch.bool),
        (size[1] // stride, size[0] // stride),
        stride,
        sigma,
    )
    x, y, score = decode(maps, stride)[0, 0].double().tolist()
    back = similarity.inverse().apply((x, y))
    return np.linalg.norm(back - point) * similarity.scale / stride, score


@settings(max_examples=300, deadline=None)
@given(boxes, sizes, st.sampled_from([4, 8]), st.floats(1, 2), st.floats(-180, 180), st.booleans(), st.data())
def test_round_trip(box, size, stride, sigma, rotation, flip, data):
    x, y, w, h = box
    similarity = Similarity.crop((x, y, x + w, y + h), size, margin=1.25, rotation=rotation, flip=flip)
    cells = np.array(size) / stride
    cell = np.array([data.draw(st.floats(-0.49, c - 0.51)) for c in cells])
    point = similarity.inverse().apply(cell * stride + (stride - 1) / 2)
    error, score = round_trip(point, size, stride, sigma, similarity)
    inside = ((cell >= 2) & (cell <= cells - 3)).all()
    assert error < (INSIDE if inside else BORDER)
    assert abs(score - 1) < 0.01


def test_points_are_moved_exactly_in_mixed_precision():
    generator = torch.Generator().manual_seed(0)
    points, matrix = 250 * torch.rand(4, 7, 2, generator=generator), 9 * torch.rand(4, 2, 3, generator=generator)
    expected = torch.einsum("bij,bkj->bki", matrix[:, :, :2], points) + matrix[:, None, :, 2]
    with torch.autocast("cpu", torch.bfloat16):
        found, by_one = moved(points, matrix), moved(points, matrix[0])
    assert torch.allclose(found, expected, rtol=1e-6)
    assert torch.equal(by_one[0], found[0])


def test_targets_are_full_gaussians_cut_only_by_the_edge():
    maps = encode(torch.tensor([[[1.5, 1.5], [17.3, 9.9]]]), torch.ones(1, 2, dtype=torch.bool), (16, 16), 4, 1.0)
    assert maps[0, 0, 0, 0] == 1  # cell (0, 0) is centred on pixel (1.5, 1.5)
    assert torch.isclose(maps[0, 0, 2, 1], torch.exp(torch.tensor(-2.5)))
    assert (maps[0, 0, :10, :8] > 0).all()  # far outside any 7 x 7 patch, until float32 ends
    cx, cy = (17.3 - 1.5) / 4, (9.9 - 1.5) / 4
    assert torch.isclose(maps[0, 1, 3, 5], torch.exp(torch.tensor(-((5 - cx) ** 2 + (3 - cy) ** 2) / 2)))


def test_what_is_not_drawn_is_empty():
    maps = encode(
        torch.tensor([[[8.0, 8.0], [float("nan"), 0.0]]]), torch.zeros(1, 2, dtype=torch.bool), (16, 16), 4, 1.0
    )
    assert (maps == 0).all()


def test_score_is_the_peaks_height_and_noise_moves_the_peak_little():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand((400, 1, 2), generator=generator) * 100 + 14
    maps = 0.6 * encode(points, torch.ones(400, 1, dtype=torch.bool), (32, 32), 4, 1.5)
    found = decode(maps, 4)
    assert torch.allclose(found[..., 2], torch.tensor(0.6), atol=1e-3)
    noisy = decode(maps + 0.02 * torch.randn(maps.shape, generator=generator), 4)
    assert (noisy[..., :2] - points).abs().mean() / 4 < 0.06


def test_empty_and_flat_maps_give_finite_points_and_no_score():
    for value in (0.0, -1.0):
        found = decode(torch.full((1, 2, 8, 8), value), 4)
        assert torch.isfinite(found).all()
        assert (found[..., 2] <= 1e-6).all()
    flat = decode(torch.full((1, 1, 8, 8), 0.5), 4)
    assert torch.isfinite(flat).all()
    assert 0.5 <= flat[0, 0, 2] <= 1


def test_every_keypoint_and_sample_is_decoded_on_its_own():
    points = torch.rand(3, 5, 2) * 60 + 30
    maps = encode(points, torch.ones(3, 5, dtype=torch.bool), (32, 32), 4, 1.0)
    whole = decode(maps, 4)
    assert torch.allclose(whole[1, 2], decode(maps[1:2, 2:3], 4)[0, 0])
    assert (whole[..., :2] - points).abs().max() < 0.01
