"""Sigmas of generated repeats, whose true spread is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from posewright.annotations import Annotations, Image
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.metrics.sigmas import LEAST, estimate_sigmas, parse_sigmas
from posewright.skeleton import Skeleton
from posewright.skeletons import load_skeleton

SKELETON = Skeleton("lamp", ("red", "green", "blue"), swaps=((0, 2),))
TRUE = np.array([0.02, 0.05, 0.1])


def repeats(files=2, pictures=400, seed=0, people=1, noise=1.0, root="a"):
    """Label files of the same pictures; each label is normally spread, sigma (both axes together) as in TRUE."""
    rng = np.random.default_rng(seed)
    n = pictures * people
    size = rng.uniform(40, 120, n)
    corner = np.column_stack([np.arange(n) % people * 300.0, np.zeros(n)])
    truth = corner[:, None] + rng.uniform(0.2, 0.8, (n, 3, 2)) * size[:, None, None]
    boxes = np.concatenate([corner, corner + size[:, None]], 1)
    images = [Image(f"{root}/{i}.png", 2000, 400) for i in range(pictures)]
    found = []
    for _ in range(files):
        spread = noise * rng.normal(0, 1, (n, 3, 2)) * TRUE[None, :, None] / np.sqrt(2) * size[:, None, None]
        points = np.concatenate([truth + spread, np.full((n, 3, 1), 2.0)], 2)
        found.append(Annotations(SKELETON, images, np.arange(n) // people, points, boxes))
    return found


@pytest.mark.parametrize("files", [2, 3])
def test_the_known_spread_is_found_within_its_sampling_error(files):
    found = estimate_sigmas(repeats(files))
    error = 1 / (2 * np.sqrt(400 * (files - 1)))  # of the root of a mean of exponential variables
    assert np.abs(found.sigma / TRUE - 1).max() < 4 * error
    assert (found.low < found.sigma).all() and (found.sigma < found.high).all()
    np.testing.assert_allclose((found.high - found.low) / found.sigma, 2 * 1.96 * error, rtol=0.25)
    assert found.objects == 400 and found.unmatched == (0,) * files and found.copied == 0


def test_the_interval_holds_the_truth_as_often_as_it_says():
    found = [estimate_sigmas(repeats(2, 60, seed)) for seed in range(60)]
    held = np.mean([(f.low < TRUE) & (f.high > TRUE) for f in found])
    assert 0.88 <= held <= 0.98


def test_by_hand():
    """Two labels 3 and 4 px apart on a box of 10 x 20: d^2 is 25 / 2, the area 200."""
    first, second = repeats(2, 30, noise=0)
    boxes = np.tile([0.0, 0, 10, 20], (30, 1))
    points = np.tile([[5.0, 5, 2], [5, 6, 2], [5, 7, 2]], (30, 1, 1))
    first, second = (replace(s, boxes=boxes, area=None, keypoints=points.copy()) for s in (first, second))
    second.keypoints[:, 1, :2] += (3, 4)
    second.keypoints[::2, 2, 0] += 2  # half of the time, else at the very same place
    found = estimate_sigmas([first, second])
    assert found.plain[1] == pytest.approx(np.sqrt(25 / 2 / 200))
    assert found.plain[2] == pytest.approx(np.sqrt(2**2 / 2 / 200 / 2))
    assert np.isnan(found.sigma[0])  # never apart: no spread that could be believed
    assert found.copied == pytest.approx(0.5)


def test_gross_errors_do_not_widen_it():
    first, second = repeats(2, 400, seed=1)
    honest = estimate_sigmas([first, second])
    mixed = np.arange(0, 400, 16)
    second.keypoints[mixed] = second.keypoints[mixed][:, [2, 1, 0]]
    found = estimate_sigmas([first, second])
    assert found.plain[0] > 2 * honest.sigma[0]
    np.testing.assert_allclose(found.sigma[0], honest.sigma[0], rtol=0.1)
    assert 15 <= found.gross[0] <= 27 and found.gross[1] <= 3
    assert found.n[0] + found.gross[0] == 400


def test_people_are_matched_whatever_their_order_and_keypoints_by_name():
    first, second = repeats(2, 60, people=3)
    expected = estimate_sigmas([first, second])
    shuffled = second.objects(np.random.default_rng(0).permutation(len(second)))
    turned = Skeleton("lamp", SKELETON.keypoints[::-1])
    other = replace(shuffled, skeleton=turned, keypoints=shuffled.keypoints[:, ::-1])
    np.testing.assert_allclose(estimate_sigmas([first, other]).sigma, expected.sigma)
    fewer = estimate_sigmas([first, second.objects(np.arange(10, 180))])
    assert fewer.objects == 170 and fewer.unmatched == (10, 0)


def test_unlabelled_keypoints_do_not_count_and_few_repeats_take_the_usual_sigma():
    first, second = repeats(2, 60)
    second.keypoints[LEAST - 1 :, 2] = 0
    found = estimate_sigmas([first, second])
    assert found.n.tolist()[2] == LEAST - 1 and np.isnan(found.sigma[2])
    assert found.filled[2] == pytest.approx(np.median(found.sigma[:2]), abs=1e-5)
    assert any("Fewer than 10 repeats of blue" in line for line in found.statements())


def test_pictures_in_other_folders_go_by_their_names():
    first, second = repeats(2, 30)
    moved = replace(second, images=[replace(im, path=im.path.replace("a/", "elsewhere/")) for im in second.images])
    assert estimate_sigmas([first, moved]).objects == 30
    strange = replace(second, images=[replace(im, path=f"x{i}.png") for i, im in enumerate(second.images)])
    with pytest.raises(PosewrightError, match="no keypoint was labelled twice"):
        estimate_sigmas([first, strange])


def test_copies_are_no_repeats():
    (first, second) = repeats(2, 40)
    with pytest.raises(PosewrightError, match="that differ are needed"):
        estimate_sigmas([first, first])
    second.keypoints[:25] = first.keypoints[:25]
    assert any(
        "Warning: 62%" in line or "Warning: 63%" in line for line in estimate_sigmas([first, second]).statements()
    )


def test_other_keypoints_and_one_file_are_refused():
    (first, second) = repeats(2, 20)
    with pytest.raises(PosewrightError, match="has other keypoints than the first file"):
        estimate_sigmas([first, replace(second, skeleton=Skeleton("x", ("red", "green", "yellow")))])
    with pytest.raises(PosewrightError, match="two or more"):
        estimate_sigmas([first])


def test_the_command_and_its_file(tmp_path, monkeypatch, capsys):
    from posewright.annotations import get_format

    monkeypatch.chdir(tmp_path)
    for name, labels in zip(("anna.json", "ben.json"), repeats(2, 40), strict=True):
        get_format("coco").write(labels, tmp_path / name)
    assert main(["sigmas", "anna.json", "ben.json", "-o", "s.json"]) == 0
    said = capsys.readouterr().out
    assert "OKS sigmas of 'lamp'" in said and "Next: posewright evaluate MODEL anna.json --sigmas s.json" in said
    record = json.loads((tmp_path / "s.json").read_text())
    skeleton = load_skeleton("s.json")
    assert skeleton.sigmas == tuple(record["sigmas"].values()) and skeleton.keypoints == SKELETON.keypoints
    assert parse_sigmas("s.json", Skeleton("x", ("blue", "red"))) == (record["sigmas"]["blue"], record["sigmas"]["red"])
    with pytest.raises(PosewrightError, match="has no sigma of 'nose'"):
        parse_sigmas("s.json", Skeleton("x", ("nose",)))
    with pytest.raises(PosewrightError, match="holds no sigmas by keypoint"):
        parse_sigmas("anna.json", SKELETON)
    with pytest.raises(PosewrightError, match="but no skeleton's"):
        load_skeleton("anna.json")
    for arguments, complaint in (
        (["anna.json"], "two or more label files"),
        (["anna.json", "none.json"], "none.json: does not exist"),
        (["anna.json", "ben.json", "-o", "s.txt"], "End it with .json"),
        (["anna.json", "ben.json", "-o", "ben.json"], "is one of the label files"),
    ):
        assert main(["sigmas", *arguments]) == 2
        assert complaint in capsys.readouterr().err
