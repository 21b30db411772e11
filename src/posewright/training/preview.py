"""A sheet of what the augmentation makes of a person's own pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.media.drawing import contact_sheet, draw_keypoints
from posewright.media.pictures import write_picture
from posewright.training.config import TrainConfig
from posewright.training.dataset import DRAWN, CropDataset, Sample


def augmentation_sheet(
    annotations: Annotations, config: TrainConfig, path: Path, objects: int = 6, variants: int = 7
) -> Path:
    """Draw ``objects`` rows of one plain crop and ``variants`` augmented ones, with the keypoints as training sees them.

    Raises:
        PosewrightError: where no object has a labelled keypoint, or the sheet cannot be written.
    """
    height, width = config.size
    rule = CropRule((width, height), config.margin)
    train = annotations.of_split("train") if "train" in annotations.splits else annotations
    plain, varied = CropDataset(train, rule), CropDataset(train, rule, config.augment, config.seed)
    if len(plain) == 0:
        raise PosewrightError("has no object with a labelled keypoint", file=config.data)
    chosen = np.random.default_rng(config.seed).permutation(len(plain))
    if config.augment.background:  # those that can be pasted first
        bare = [len(train.polygons[plain.objects[i]]) == 0 for i in chosen]
        chosen = chosen[np.argsort(bare, kind="stable")]
    tiles, captions = [], []
    for item in (int(i) for i in chosen[:objects]):
        tiles.append(_draw(plain[item], annotations))
        captions.append("plain")
        for epoch in range(variants):
            sample = varied[(epoch, item)]
            tiles.append(_draw(sample, annotations))
            captions.append("" if bool(sample["present"]) else "no object")
    return write_picture(path, contact_sheet(tiles, captions, columns=variants + 1))


def _draw(sample: Sample, annotations: Annotations) -> np.ndarray:
    drawn = (sample["state"] == DRAWN).numpy()
    return draw_keypoints(sample["image"].numpy().copy(), sample["points"].numpy(), drawn, annotations.skeleton)
