"""What is read off maps around decoded points."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from posewright.models.heatmaps import decode, encode
from posewright.models.peaks import PeakCovariance, covariance, map_spread, peak_cells, read_maps
from posewright.models.presets import preset


def test_reading_is_bilinear_and_held_to_the_map():
    y, x = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
    plane = (10 * y + x).expand(1, 4, 5, 7)
    cells = torch.tensor([[[2.25, 1.5], [6.0, 4.0], [-3.0, 9.0], [5.999, 0.0]]])
    expected = torch.tensor([[17.25, 46.0, 40.0, 5.999]])
    assert torch.allclose(read_maps(plane, cells), expected, atol=1e-4)
    assert torch.allclose(read_maps(torch.full((1, 1, 1, 1), 3.0), torch.zeros(1, 1, 2)), torch.tensor([[3.0]]))


def test_the_spread_of_a_gaussian_is_half_its_variance():
    points = torch.tensor([[[63.0, 60.0], [70.5, 58.5]]])
    maps = encode(points, torch.ones(1, 2, dtype=torch.bool), (32, 32), 4, 1.5)
    cells = peak_cells(maps, points, preset("hourglass_s1"))
    assert torch.allclose(map_spread(maps, cells), torch.tensor([1.5**2 / 2, 0, 1.5**2 / 2]).expand(1, 2, 3), atol=1e-3)


def test_a_rival_peak_stretches_the_spread_towards_itself():
    drawn = torch.ones(1, 1, dtype=torch.bool)
    at, rival = torch.tensor([[[40.0, 40.0]]]), torch.tensor([[[80.0, 60.0]]])
    maps = encode(at, drawn, (32, 32), 4, 1.5) + 0.7 * encode(rival, drawn, (32, 32), 4, 1.5)
    xx, xy, yy = map_spread(maps, peak_cells(maps, at, preset("hourglass_s1")))[0, 0].tolist()
    direction = np.linalg.eigh([[xx, xy], [xy, yy]])[1][:, 1]
    assert abs(direction @ (2, 1)) / 5**0.5 > 0.99
    assert xx > 20


def test_peaks_of_shifted_and_of_whole_numbered_nets_are_found_on_their_maps():
    points = torch.tensor([[[61.0, 50.0]]])
    shifted = preset("hourglass_s1", label_shift=(0.5, 0.25))
    maps = encode(points, torch.ones(1, 1, dtype=torch.bool), (32, 32), 4, 1.5, shifted.label_shift)
    true = decode(maps, 1)[..., :2]
    found = decode(maps, 4, shifted.label_shift)[..., :2]
    assert torch.allclose(found, points, atol=0.05)
    assert torch.allclose(peak_cells(maps, found, shifted), true, atol=1e-4)
    blind = preset("hourglass_s1", decoding="argmax")
    assert torch.allclose(peak_cells(maps, decode(maps, 4, rule="argmax")[..., :2], blind), true, atol=1e-4)


def test_the_formula_is_positive_definite_and_in_pixels():
    spread = torch.rand(50, 3, 2, 2)
    spread = spread @ spread.transpose(-1, -2)
    three = torch.stack([spread[..., 0, 0], spread[..., 0, 1], spread[..., 1, 1]], -1)
    found = covariance(three, torch.rand(50, 3), 4, torch.tensor([-1.0, 0.0, 2.0]), -2.0, 1.5)
    xx, xy, yy = found.unbind(-1)
    assert (xx * yy - xy * xy > 0).all() and (xx > 0).all()
    plain = covariance(torch.zeros(1, 1, 3), torch.zeros(1, 1), 4, torch.zeros(1), 0.0, 0.0)
    assert plain.tolist() == [[[16.0, 0.0, 16.0]]]  # one cell, at stride 4


def test_the_numbers_come_back():
    numbers = PeakCovariance((-1.0, 0.5), -2.0, 3.0, 2.5)
    assert PeakCovariance.from_dict(numbers.to_dict()) == numbers
    for change in ({"tail": 0.0}, {"level": [float("nan")]}):
        with pytest.raises(ValueError):
            PeakCovariance.from_dict(numbers.to_dict() | change)
