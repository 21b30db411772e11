"""Small label files and pictures for the tests of the annotation formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from posewright.annotations import Annotations, Image
from posewright.skeleton import Skeleton

NAMES = ["nose", "left_ear", "right_ear", "tail"]
CATEGORY = {"id": 7, "name": "mouse", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3], [1, 4]]}


def picture(path: Path, width: int = 100, height: int = 80) -> Path:
    """A small grey picture file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), 127, np.uint8))
    return path


def coco_dict() -> dict[str, Any]:
    """Three images (the last without an object) and three annotations of them."""
    return {
        "images": [
            {"id": 11, "file_name": "a.jpg", "width": 100, "height": 80},
            {"id": 12, "file_name": "sub/b.png", "width": 64, "height": 64},
            {"id": 13, "file_name": "c.jpg", "width": 100, "height": 80},
        ],
        "annotations": [
            {
                "id": 1,
                "image_id": 11,
                "category_id": 7,
                "keypoints": [10, 20, 2, 30.5, 20.25, 1, 0, 0, 0, 40, 60, 2],
                "bbox": [5, 10, 50, 60],
                "area": 1234.5,
                "iscrowd": 0,
                "segmentation": [[5, 10, 55, 10, 55, 70]],
            },
            {
                "id": 2,
                "image_id": 12,
                "category_id": 7,
                "keypoints": [1, 2, 2, 3, 4, 2, 5, 6, 2, 7, 8, 2],
                "bbox": [0, 1, 20, 21],
            },
            {"id": 3, "image_id": 12, "category_id": 7, "keypoints": [0] * 12, "bbox": [30, 30, 8, 8], "iscrowd": 1},
        ],
        "categories": [dict(CATEGORY), {"id": 8, "name": "cheese"}],
    }


def save_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def coco_folder(root: Path, content: Any = None) -> Path:
    """``root/labels.json`` with its pictures in ``root/images``; returns the file."""
    for im in coco_dict()["images"]:
        picture(root / "images" / im["file_name"], im["width"], im["height"])
    return save_json(root / "labels.json", coco_dict() if content is None else content)


def random_annotations(
    seed: int, skeleton: Skeleton, *, every_image_used: bool = False, polygons: bool = True
) -> Annotations:
    """Annotations with something in every column; coordinates have at most four decimals."""
    rng = np.random.default_rng(seed)
    k, m = len(skeleton), int(rng.integers(1, 6))
    n = int(rng.integers(m if every_image_used else 0, 9 + m))
    image = np.concatenate([np.arange(m), rng.integers(0, m, n - m)]) if every_image_used else rng.integers(0, m, n)
    keypoints = np.concatenate([rng.uniform(-20, 200, (n, k, 2)).round(4), rng.integers(0, 3, (n, k, 1))], 2)
    corner, size = rng.uniform(-30, 150, (n, 2)).round(4), rng.uniform(0.5, 90, (n, 2)).round(4)

    def maybe(value: Any) -> Any:
        return value if rng.random() < 0.5 else None

    images = [
        Image(
            f"{'a b/' * (i % 2)}ü{i}.jpg",
            int(rng.integers(200, 400)),
            int(rng.integers(200, 400)),
            maybe(int(rng.integers(0, 50))),
            [None, "train", "val", "test"][rng.integers(4)],
            maybe(f"g{rng.integers(3)}"),
            100 + i,
        )
        for i in range(m)
    ]
    outlines = [[rng.uniform(0, 99, (3 + j, 2)).round(4) for j in range(rng.integers(3))] for _ in range(n)]
    return Annotations(
        skeleton,
        images,
        image,
        keypoints,
        np.concatenate([corner, corner + size], 1),
        iscrowd=rng.random(n) < 0.2,
        area=rng.uniform(1, 9999, n).round(4),
        weight=rng.choice([1.0, 0.25, 2.5], n),
        track=rng.integers(-1, 5, n),
        head_size=np.where(rng.random(n) < 0.5, rng.uniform(1, 50, n).round(4), np.nan),
        polygons=outlines if polygons else None,
    )


def assert_same(a: Annotations, b: Annotations, atol: float = 1e-9, head: float | None = None) -> None:
    """Both sets say the same; ``head`` is a tolerance of its own for head sizes."""
    assert a.images == b.images
    assert (a.image == b.image).all()
    assert a.skeleton == b.skeleton
    for name in ("keypoints", "boxes", "area", "weight", "track", "iscrowd"):
        np.testing.assert_allclose(getattr(b, name), getattr(a, name), rtol=0, atol=atol, err_msg=name)
    np.testing.assert_allclose(b.head_size, a.head_size, rtol=0, atol=atol if head is None else head)
    assert len(a.polygons) == len(b.polygons)
    for p, q in zip(a.polygons, b.polygons):
        assert len(p) == len(q)
        for r, s in zip(p, q):
            np.testing.assert_allclose(s, r, rtol=0, atol=atol)
