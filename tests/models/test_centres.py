"""The round trip from boxes over maps back to boxes, and what carries no loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posewright.geometry import overlaps
from posewright.models.centres import ABSENT, IGNORED, OBJECT, decode_boxes, encode_boxes, overlap_of, scored

CENTRE, SIDE = 0.05, 0.01
"""Largest round-trip error of a centre in cells, and of a side as a share of it."""


def round_trip(boxes, size, stride, most=None):
    t = torch.tensor(np.asarray(boxes, np.float32)).reshape(1, -1, 4)
    state = torch.full(t.shape[:2], OBJECT, dtype=torch.uint8)
    heat, counted, box, core = encode_boxes(t, state, size, stride)
    assert bool((counted == 1).all())
    maps = torch.cat([heat[:, None], box], 1)
    return decode_boxes(maps, stride, most or t.shape[1])[0].double().numpy(), core


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([4, 8]), st.sampled_from([(24, 32), (32, 32), (48, 20)]), st.data())
def test_round_trip_of_one_box(stride, size, data):
    high = np.array(size[::-1]) * stride - 0.5
    centre = np.array([data.draw(st.floats(-0.49, float(h) - 0.01)) for h in high])
    sides = np.array([data.draw(st.floats(3, 400)) for _ in range(2)])
    box = np.concatenate([centre - sides / 2, centre + sides / 2])
    (found,), core = round_trip([box], size, stride)
    assert np.abs((found[:2] + found[2:4]) / 2 - centre).max() < CENTRE * stride
    assert np.abs((found[2:4] - found[:2]) / sides - 1).max() < SIDE
    assert found[4] == pytest.approx(1.0)
    assert float(core.sum()) == pytest.approx(1.0, abs=1e-4)


def test_every_cell_of_the_core_tells_the_same_box():
    """A peak that comes out one cell aside must not move the box."""
    box = torch.tensor([[[20.0, 30.0, 140.0, 170.0]]])
    _, _, maps, core = encode_boxes(box, torch.tensor([[OBJECT]]), (24, 32), 8)
    assert int((core > 0).sum()) > 1
    for row, column in (core[0] > 0).nonzero().tolist():
        heat = torch.zeros(1, 1, 24, 32)
        heat[0, 0, row, column] = 1.0
        found = decode_boxes(torch.cat([heat, maps], 1), 8, 1)[0, 0, :4]
        assert torch.allclose(found, box[0, 0], atol=1e-3)


def test_several_boxes_of_all_sizes():
    boxes = [(10, 10, 30, 40), (100, 20, 220, 180), (40, 120, 60, 150), (60, 90, 90, 96)]
    found, core = round_trip(boxes, (24, 32), 8)
    order = [int(np.abs(found[:, :4] - box).sum(1).argmin()) for box in np.array(boxes)]
    assert sorted(order) == [0, 1, 2, 3]
    assert np.abs(found[order][:, :4] - boxes).max() < 0.4
    assert float(core.sum()) == pytest.approx(4.0, abs=1e-4)


def test_a_peak_suppresses_the_cells_around_it():
    maps = torch.zeros(1, 5, 8, 8)
    maps[0, 0, 3, 3], maps[0, 0, 3, 4], maps[0, 0, 3, 6] = 0.9, 0.8, 0.7
    scores = decode_boxes(maps, 8, 4)[0, :, 4].tolist()
    assert scores == pytest.approx([0.9, 0.7, 0.0, 0.0])


def test_unknown_places_and_fillers_carry_no_loss():
    boxes = torch.tensor([[[8.0, 8.0, 72.0, 72.0], [100.0, 100.0, 180.0, 180.0], [30.0, 30.0, 50.0, 50.0]]])
    state = torch.tensor([[OBJECT, IGNORED, ABSENT]])
    heat, counted, _, core = encode_boxes(boxes, state, (24, 32), 8)
    assert int((heat == 1).sum()) == 1 and float(heat[0, 5, 5]) == pytest.approx(1.0)
    assert float(counted[0, 13:22, 13:22].sum()) == 0 and float(counted[0, :12].min()) == 1
    assert float(core[0, 12:].sum()) == 0


def test_an_object_within_an_unknown_place_is_still_learned():
    boxes = torch.tensor([[[60.0, 60.0, 90.0, 90.0], [0.0, 0.0, 200.0, 180.0]]])
    heat, counted, _, _ = encode_boxes(boxes, torch.tensor([[OBJECT, IGNORED]]), (24, 32), 8)
    assert bool((counted[heat == 1] == 1).all()) and float(counted[0, 2, 2]) == 0


def test_a_batch_without_any_object():
    heat, counted, box, core = encode_boxes(torch.zeros(2, 0, 4), torch.zeros(2, 0), (4, 6), 8)
    assert heat.shape == (2, 4, 6) and box.shape == (2, 4, 4, 6)
    assert float(heat.sum()) == float(core.sum()) == 0 and bool((counted == 1).all())


def test_high_neighbours_have_their_say():
    """Peak and neighbour put the centre 0.2 cells apart, and the lower one counts by its height; a low one is not asked."""
    maps = torch.zeros(1, 5, 8, 8)
    maps[0, :, 3, 3] = torch.tensor([0.8, 1.0, 0.0, 0.1, 0.0])
    maps[0, :, 3, 4] = torch.tensor([0.4, 2.0, 0.0, -0.7, 0.0])
    maps[0, :, 2, 3] = torch.tensor([0.39, 9.0, 9.0, 9.0, 9.0])
    x0, _, x1, _, score = decode_boxes(maps, 8, 1)[0, 0].tolist()
    assert score == pytest.approx(0.8)
    assert (x0 + x1) / 2 == pytest.approx(8 * (3 + (0.8 * 0.1 + 0.4 * 0.3) / 1.2) + 3.5, abs=1e-4)
    assert x1 - x0 == pytest.approx(8 * np.exp((0.8 * 1 + 0.4 * 2) / 1.2), rel=1e-5)
    corner = torch.zeros(1, 5, 8, 8)
    corner[0, :, 0, 7] = torch.tensor([0.9, 1.0, 1.0, 0.0, 0.0])
    assert decode_boxes(corner, 8, 1)[0, 0, :2].tolist() == pytest.approx([59.5 - 4 * np.e, 3.5 - 4 * np.e], abs=1e-3)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-3, 3), min_size=8, max_size=8))
def test_overlap_is_that_of_the_boxes(values):
    found, true = torch.tensor(values).view(2, 1, 4, 1, 1)
    corners = [
        np.array([b[2] - np.exp(b[0]) / 2, b[3] - np.exp(b[1]) / 2, b[2] + np.exp(b[0]) / 2, b[3] + np.exp(b[1]) / 2])
        for b in (np.array(values[:4]), np.array(values[4:]))
    ]
    overlap, generalised = overlap_of(found, true)
    assert float(overlap) == pytest.approx(float(overlaps(*(c[None] for c in corners))[0, 0]), abs=1e-5)
    assert -1 <= float(generalised) <= float(overlap) + 1e-6
    same, as_good = overlap_of(found, found)
    assert float(same) == pytest.approx(1) and float(as_good) == pytest.approx(1)


def test_what_lies_further_away_is_worse_and_nothing_overflows():
    boxes = torch.tensor([[0.0, 0.0, shift, 0.0] for shift in (0.0, 0.5, 2.0, 9.0)]).view(4, 4, 1, 1)
    overlap, generalised = (v.flatten().tolist() for v in overlap_of(boxes, boxes[:1].expand(4, -1, -1, -1)))
    assert overlap == pytest.approx([1, 1 / 3, 0, 0]) and generalised == sorted(generalised, reverse=True)
    wild = torch.tensor([500.0, -500.0, 0.0, 0.0]).view(1, 4, 1, 1).requires_grad_()
    for value in overlap_of(wild, boxes[:1]):
        assert torch.isfinite(value).all()
        (gradient,) = torch.autograd.grad(value.sum(), wild, retain_graph=True)
        assert torch.isfinite(gradient).all()


def test_of_two_peaks_alike_the_one_with_the_better_box_comes_first():
    logits = torch.zeros(1, 6, 8, 8) - 9
    logits[0, 0, 2, 2] = logits[0, 0, 5, 5] = 2.0
    logits[0, 5, 2, 2], logits[0, 5, 5, 5] = -1.0, 1.0
    found = decode_boxes(scored(logits), 8, 2)[0]
    assert (found[0, :2] + found[0, 2:4]).tolist() == pytest.approx([2 * (8 * (5 - 9) + 3.5)] * 2, abs=0.01)
    sigmoid = [1 / (1 + np.exp(-v)) for v in (2.0, 1.0)]
    assert float(found[0, 4]) == pytest.approx(np.sqrt(np.prod(sigmoid)), rel=1e-5)
