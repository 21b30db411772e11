"""Fixtures that several files of this folder share."""

from __future__ import annotations

import pytest

from helpers.packs import LOSSLESS
from helpers.scenes import draw_scenes
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
