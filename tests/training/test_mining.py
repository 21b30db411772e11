"""Ranking training pictures by loss, and weighing them by the list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.discs import DISCS, draw_discs
from helpers.runs import small_run
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.models.checkpoint import Checkpoint
from posewright.models.presets import build_net, preset
from posewright.training.config import TrainConfig
from posewright.training.data import loaders
from posewright.training.fit import fit
from posewright.training.hard_list import places, read_hard, write_hard
from posewright.training.mining import loss_settings, mine, rows_of, weights_of
from posewright.training.task import KeypointTask

RULE = CropRule((64, 64))


def untrained(activation: str = "sigmoid") -> Checkpoint:
    torch.manual_seed(0)
    config = preset("hourglass_s2_nano", channels=16, activation=activation)
    return Checkpoint(build_net(config, len(DISCS)), DISCS, RULE, "hourglass_s2_nano")


@pytest.fixture(scope="module")
def mined(discs):
    return mine(untrained(), discs, "cpu")


def test_an_objects_loss_is_what_the_task_would_train_on(mined, discs):
    checkpoint = untrained()
    task = KeypointTask(checkpoint.net.eval(), loss_settings(checkpoint), discs, 1)
    sample = mined.data[3]
    batch = {k: torch.stack([v, v]) for k, v in sample.items()}
    with torch.no_grad():
        assert float(task.losses(batch)["loss"]) == pytest.approx(mined.loss[3], rel=1e-4)


def test_error_is_the_distance_in_the_picture_over_the_normaliser(mined, discs):
    i = int(mined.index[5])
    inverse = mined.data[5]["inverse"].numpy()
    back = mined.points[5] @ inverse[:, :2].T + inverse[:, 2]
    box = discs.boxes[i]
    expected = np.linalg.norm(back - discs.keypoints[i, :, :2], axis=1).mean() / (box[2:] - box[:2]).max()
    assert mined.error[5] == pytest.approx(expected, rel=1e-5)


def test_a_wrong_label_comes_first(tmp_path):
    """What a half-trained net finds hardest is the picture whose label lies."""
    data = draw_discs(tmp_path, count=40, empty=2)
    run = fit(small_run(output=str(tmp_path / "run"), epochs=14, lr=6e-3), data)
    keypoints = data.keypoints.copy()
    keypoints[7, :, :2] = keypoints[7, [1, 2, 0], :2]
    lying = replace(data, keypoints=keypoints)
    found = mine(run.checkpoint, lying, "cpu")
    assert found.index[found.worst()[0]] == 7
    rows = rows_of(found, weights_of(found.loss, found.floor, 4.0))
    assert (rows[0]["image"], rows[0]["object"]) == ("007.png", 0)
    assert [r["loss"] for r in rows] == sorted((r["loss"] for r in rows), reverse=True)


def test_weights():
    loss, floor = np.array([11.0, 12.0, 13.0, 16.0, 110.0]), np.full(5, 10.0)
    assert weights_of(loss, floor, 4.0).tolist() == [1, 1, 1, 2, 4]
    assert weights_of(loss, floor, 5.0, threshold=13.0).tolist() == [1, 1, 1, 5, 5]
    assert weights_of(floor, floor, 4.0).tolist() == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(("loss", "activation"), [("bce", "sigmoid"), ("mse", "linear"), ("adaptive_wing", "sigmoid")])
def test_the_floor_is_the_loss_of_perfect_maps(discs, loss, activation):
    """No maps do better: neither the net's, nor perfect ones with something added."""
    checkpoint = untrained(activation=activation)
    checkpoint.training["config"] = {"loss": loss}
    found = mine(checkpoint, discs.subset([1, 2, 3]), "cpu")
    assert (found.floor < found.loss).all()
    assert found.floor.min() > 1 if loss == "bce" else found.floor.max() < 1e-3


def test_loss_settings_come_from_the_run():
    checkpoint = untrained()
    checkpoint.training["config"] = {
        "loss": "weighted_mse",
        "sigma": 2.0,
        "stage_weights": [1, 2],
        "a setting of old": 3,
    }
    settings = loss_settings(checkpoint)
    assert (settings.loss, settings.sigma, settings.stage_weights) == ("weighted_mse", 2.0, (1, 2))
    checkpoint.training.clear()
    assert loss_settings(checkpoint).loss == TrainConfig().loss
    checkpoint.net.config = replace(checkpoint.net.config, activation="linear")
    assert loss_settings(checkpoint).loss == "mse"


def test_labels_of_other_keypoints_are_refused(discs):
    other = replace(discs, skeleton=replace(DISCS, keypoints=("a", "b", "c")))
    with pytest.raises(
        PosewrightError, match=r"the model has 3 keypoints \(left_disc, .*the labels have 3 \(a, b, c\)"
    ):
        mine(untrained(), other, "cpu")


# -- the list ----------------------------------------------------------------------------------------------------------


def rows(annotations, weight=lambda i: 1.0):
    return [{"image": im, "object": n, "weight": weight(i)} for i, (im, n) in enumerate(places(annotations))]


def test_a_list_weighs_the_objects_it_names(discs, tmp_path):
    path = write_hard(tmp_path / "hard.csv", rows(discs, lambda i: 1 + i)[:10])
    weights = read_hard(path, discs)
    assert weights[:10].tolist() == list(range(1, 11))
    assert (weights[10:] == 1).all()


def test_objects_of_one_picture_are_told_apart(discs, tmp_path):
    two = replace(discs, image=discs.image // 2)
    assert [n for _, n in places(two)[:4]] == [0, 1, 0, 1]
    path = write_hard(tmp_path / "hard.csv", [{"image": "001.png", "object": 1, "weight": 3}])
    assert np.flatnonzero(read_hard(path, two) == 3).tolist() == [3]


def test_a_pass_shows_each_object_as_often_as_its_weight(discs, tmp_path):
    path = write_hard(tmp_path / "hard.csv", rows(discs, lambda i: 3.0 if i == 5 else 0.0 if i == 6 else 1.0))
    config = TrainConfig(input_size="64", batch_size=1, workers=0, hard=str(path))
    train, _ = loaders(config, discs, RULE)
    seen = [int(s["index"][0]) for s in train]
    trained = [i for i in range(len(discs)) if discs.images[discs.image[i]].split == "train"]
    expected = sorted(n for n, i in enumerate(trained) for _ in range(3 if i == 5 else 0 if i == 6 else 1))
    assert sorted(seen) == expected


def test_pictures_taken_out_since_do_no_harm(discs, tmp_path):
    path = write_hard(tmp_path / "hard.csv", rows(discs))
    fewer = discs.subset(np.arange(len(discs.images)) > 4)
    assert (read_hard(path, fewer) == 1).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"hard\.csv: No such file.*posewright mine"),
        ("image,loss\na,1\n", "needs the columns image, object, weight"),
        ("", "needs the columns"),
        ("image,object,weight\n000.png,0,heavy\n", r"line 2: needs a whole number"),
        ("image,object,weight\n000.png,0,-1\n", r"line 2: .* at least 0"),
        ("image,object,weight\n000.png,0\n", r"line 2"),
        ("image,object,weight\nx.png,0,2\ny.png,0,2\n000.png,0,2\n", r"other data: 2 of its 3 rows .*'x\.png'"),
    ],
)
def test_a_bad_list_is_one_clear_line(discs, tmp_path, text, message):
    path = tmp_path / "hard.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PosewrightError, match=message) as caught:
        read_hard(path, discs)
    assert "\n" not in str(caught.value)


def test_a_list_that_leaves_no_batch(discs, tmp_path):
    path = write_hard(tmp_path / "hard.csv", rows(discs, lambda i: 0.0))
    with pytest.raises(PosewrightError, match=r"leave 0 objects a pass"):
        loaders(TrainConfig(input_size="64", batch_size=4, hard=str(path)), discs, RULE)
