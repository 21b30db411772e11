"""Near-duplicates across splits: copies that were scaled, recompressed or brightened are found, others are not."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from posewright.annotations import Annotations, Image
from posewright.annotations.duplicates import (
    NEAR,
    across_splits,
    clusters,
    difference_hash,
    hamming,
    hash_images,
    without_duplicates_of,
)
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


def picture_set(folder, pictures: list[np.ndarray], splits: list[str | None]) -> Annotations:
    """One picture file each, without objects."""
    images = [Image(f"{i}.png", split=split) for i, split in enumerate(splits)]
    for im, picture in zip(images, pictures, strict=True):
        cv2.imwrite(str(folder / im.path), picture)
    return Annotations(Skeleton("dot", ("dot",)), images, [], np.zeros((0, 1, 3)), np.zeros((0, 4)), folder)


def test_a_set_is_hashed_in_order_and_broken_files_stop_nothing(tmp_path):
    a = picture_set(tmp_path, [scene(i) for i in range(6)], [None] * 6)
    (tmp_path / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (tmp_path / "4.png").unlink()
    done: list[int] = []
    found = hash_images(a, done.append)
    assert sum(done) == 6
    assert found.images.tolist() == [0, 1, 3, 5]
    assert sorted(found.unreadable) == [2, 4]
    assert "does not exist" in str(found.unreadable[4])
    assert found.sizes.tolist() == [[160, 120]] * 4
    for i, own in zip(found.images, found.hashes):
        np.testing.assert_array_equal(own, difference_hash(cv2.cvtColor(scene(i), cv2.COLOR_BGR2RGB)))


def test_pictures_are_told_from_twins_in_earlier_splits(tmp_path):
    pictures = [scene(0), scene(1), altered(scene(0)), altered(scene(1)), scene(2), altered(altered(scene(0)))]
    a = picture_set(tmp_path, pictures, ["train", "train", "val", "test", "val", None])
    found = across_splits(a, hash_images(a))
    assert {(t.image, t.other) for t in found} == {(2, 0), (3, 1)}
    assert [t.bits for t in found] == sorted(t.bits for t in found)
    assert across_splits(replace(a, images=[replace(im, split="val") for im in a.images]), hash_images(a)) == []


def test_clusters_are_chains_whatever_the_block(monkeypatch):
    rng = np.random.default_rng(0)
    chain = np.packbits(rng.integers(0, 2, (1, 256), dtype=np.uint8), axis=1)
    far = np.packbits(rng.integers(0, 2, (20, 256), dtype=np.uint8), axis=1)
    for step in range(8):  # each 32 bits from the last, the ends far apart
        bits = np.unpackbits(chain[-1:], axis=1)
        bits[:, step * 32 : (step + 1) * 32] ^= 1
        chain = np.concatenate([chain, np.packbits(bits, axis=1)])
    hashes = np.concatenate([far[:10], chain, far[10:]])
    order = rng.permutation(len(hashes))
    for block in (4, 1000):
        monkeypatch.setattr("posewright.annotations.duplicates._BLOCK", block)
        label = np.empty(len(hashes), int)
        label[order] = clusters(hashes[order])
        assert len(set(label[10:19].tolist())) == 1
        assert len(set(label.tolist())) == 21
    assert hamming(chain[:1], chain[-1:])[0, 0] > NEAR
    assert len(clusters(hashes[:0])) == 0
