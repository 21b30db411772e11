"""Near-duplicates across splits: copies that were scaled, recompressed or brightened are found, others are not."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from posewright.annotations import Annotations, Image
from posewright.annotations.duplicates import NEAR, difference_hash, hamming, without_duplicates_of
from posewright.skeleton import Skeleton


def scene(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)


def altered(picture: np.ndarray) -> np.ndarray:
    smaller = cv2.resize(picture, (91, 68), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", cv2.convertScaleAbs(smaller, alpha=0.9, beta=12), [cv2.IMWRITE_JPEG_QUALITY, 40])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def test_hash_survives_what_copies_go_through():
    hashes = np.array([difference_hash(scene(i)) for i in range(30)])
    copies = np.array([difference_hash(altered(scene(i))) for i in range(30)])
    apart = hamming(hashes, copies)
    assert (np.diag(apart) <= NEAR).all()
    assert (apart + 1000 * np.eye(30, dtype=int)).min() > NEAR
    assert hamming(hashes[:1], ~hashes[:1])[0, 0] == 256


def test_training_pictures_like_held_out_ones_are_dropped(tmp_path):
    images = []
    for i in range(10):
        cv2.imwrite(str(tmp_path / f"{i}.png"), altered(scene(0)) if i == 4 else scene(i))
        images.append(Image(f"{i}.png", split="val" if i < 2 else "train"))
    skeleton = Skeleton("dot", ("dot",))
    labels = Annotations(
        skeleton, images, np.arange(10), np.full((10, 1, 3), 2.0), np.tile([0, 0, 9, 9.0], (10, 1)), tmp_path
    )
    kept, dropped = without_duplicates_of(labels)
    assert dropped == ["4.png"]
    assert [im.path for im in kept.images] == [f"{i}.png" for i in range(10) if i != 4]
    same, none = without_duplicates_of(replace(labels, images=[replace(im, split="train") for im in images]))
    assert (len(same.images), none) == (10, [])
