"""Fixtures that several files of this folder share."""

from __future__ import annotations

import pytest

from helpers.discs import draw_discs
from helpers.packs import LOSSLESS
from helpers.scenes import draw_scenes
from helpers.teaching import save_teacher
from posewright.annotations import Annotations, read_annotations
from posewright.training.packing import pack


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Annotations:
    """Pictures that are larger than their objects; not to be changed."""
    return draw_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="session")
def packed(scenes, tmp_path_factory) -> Annotations:
    """The same packed without loss; not to be changed."""
    folder = tmp_path_factory.mktemp("packed") / "shards"
    pack(scenes, folder, LOSSLESS)
    return read_annotations(folder)


@pytest.fixture(scope="session")
def big(tmp_path_factory):
    """A teacher's checkpoint."""
    return save_teacher(tmp_path_factory.mktemp("teacher") / "big.safetensors")


@pytest.fixture(scope="session")
def wild(tmp_path_factory):
    """Pictures of discs, without their labels."""
    folder = tmp_path_factory.mktemp("wild")
    return folder, draw_discs(folder, count=8, seed=3, empty=2)
