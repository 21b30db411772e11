"""Pictures of three lights with labels, and a model file that finds them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from helpers.spots import STRIDE, picture_with_spots, spot_model
from posewright.geometry import CropRule
from posewright.runtime.modelfile import ModelInfo
from posewright.skeleton import Normaliser, Skeleton

SKELETON = Skeleton(
    "lamp", ("red", "green", "blue"), links=((0, 1), (1, 2)), normaliser=Normaliser("segment", ("red", "blue"))
)
SIZE = (160, 120)


def lamp_model(path, skeleton=SKELETON):
    """A model file that finds the centre of the red, the green and the blue light."""
    rule, outputs = CropRule((96, 96)), ("keypoints", "presence", "heatmaps")
    return spot_model(path, size=rule.size, outputs=outputs, info=ModelInfo(skeleton, rule, STRIDE, "spots", outputs))


def lamp_set(folder, count=6, seed=0):
    """Pictures with a red, a green and a blue light, and COCO labels; the last picture is empty."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for i in range(count + 1):
        points = rng.uniform((20, 20), (SIZE[0] - 20, SIZE[1] - 20), (3, 2)).round(2)
        points[2] = points[0] + [30, 40] if points[0, 0] < 80 else points[0] - [30, -40]
        points = np.clip(points, 2, np.array(SIZE) - 3)
        there = points if i < count else np.full((3, 2), np.nan)
        picture = picture_with_spots(*SIZE, there.tolist(), sigma=4.0)
        if i < count:
            low, high = points.min(0) - 6, points.max(0) + 6
            annotations.append(
                {
                    "id": i + 1,
                    "image_id": i + 100,
                    "num_keypoints": 3,
                    "category_id": 1,
                    "keypoints": np.column_stack([points, [2, 2, 1 if i == 0 else 2]]).ravel().tolist(),
                    "bbox": [*low, *(high - low)],
                    "area": float((high - low).prod()),
                    "iscrowd": 0,
                }
            )
        name = f"lamp_{i}.png"
        cv2.imwrite(str(folder / "images" / name), picture[..., ::-1])
        images.append({"id": i + 100, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
    category = SKELETON.to_coco()
    labels = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder / "labels.json"


def figures(path="figures.json"):
    return json.loads(Path(path).read_text())


def as_results(labels, shift=(0.0, 0.0)):
    rows = []
    for a in json.loads(Path(labels).read_text())["annotations"]:
        points = np.array(a["keypoints"], float).reshape(-1, 3)
        points[:, :2] += np.array(shift) * (points[:, 2:] > 0)
        points[:, 2] = points[:, 2] > 0
        row = {"image_id": a["image_id"], "category_id": 1, "keypoints": points.ravel().tolist(), "score": 1.0}
        rows.append(row)
    return rows
