"""Training from a packed set: as from its files, resumed exactly, by two processes, and refused where too little was packed."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.packs import GEOMETRY, RULE
from helpers.runs import small_run
from posewright.annotations import read_annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.training.augment_config import PLAIN, AugmentConfig
from posewright.training.data import loaders
from posewright.training.dataset import CropDataset, EpochSampler
from posewright.training.fit import fit
from posewright.training.packing import PackConfig, pack
from posewright.training.task import KeypointTask

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
    monkeypatch.setattr(
        "posewright.export.exporting.export_onnx", lambda *_: None
    )  # slow, and no business of this test
    monkeypatch.setattr("posewright.reports.curves.draw_curves", lambda *_: None)
    monkeypatch.setattr("posewright.training.fit.calibrate", lambda *_: [])
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
