"""TFRecords without TensorFlow: checksums, framing, the Example message, decoding of the maps, pictures taken out."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from posewright.annotations import Annotations, Image, ReadOptions, find_format, get_format, read_annotations
from posewright.annotations.cpm_joints import stored_order
from posewright.annotations.cpm_tfrecord import SIZE, decode_maps, draw_maps
from posewright.annotations.tfrecord import crc32c, frame, masked_crc, read_example, read_records, write_example
from posewright.errors import PosewrightError
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

HAND = BUILTIN["hand-21"]
PAIR = Skeleton("pair", ("left", "right"))


def plain_crc32c(data: bytes) -> int:
    """The definition, bit by bit."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_checksum():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of the CRC catalogue
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    rng = np.random.default_rng(0)
    for size in (0, 1, 16 * 1024 - 1, 16 * 1024, 17 * 1024 + 5):
        data = rng.bytes(size)
        assert crc32c(data) == plain_crc32c(data)


def test_the_first_bytes_of_a_record_as_tensorflow_writes_them():
    """The empty record: length 0, its masked checksum, nothing, and the checksum of nothing."""
    assert frame(b"") == bytes(8) + struct.pack("<I", masked_crc(bytes(8))) + struct.pack("<I", 0xA282EAD8)


def test_example_message():
    """An Example spelled out byte by byte: features { feature { key: "a" value { bytes_list { value: "xy" } } } }."""
    by_hand = bytes.fromhex("0a0d0a0b0a0161 1206 0a04 0a02 7879".replace(" ", ""))
    assert write_example({"a": b"xy"}) == by_hand
    assert read_example(memoryview(by_hand)) == {"a": b"xy"}
    floats = np.array([1.5, -2, 0], np.float32)
    back = read_example(memoryview(write_example({"a": b"", "heat": floats})))
    assert back["a"] == b""
    np.testing.assert_array_equal(back["heat"], floats)
    # floats one by one, as protocol buffers allow: value { float_list { value: 1.5 } }
    single = bytes.fromhex("0a0e0a0c0a016112071205" + "0d0000c03f")
    np.testing.assert_array_equal(read_example(memoryview(single))["a"], [1.5])


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_decoding_returns_the_place_of_the_gaussian(sigma):
    rng = np.random.default_rng(1)
    points = rng.uniform(2, SIZE - 3, (40, 2))
    edge = np.array([[0.3, 20], [-0.4, 30.2], [63.2, 0], [-0.45, 63.4], [1, 31.7]])
    found = decode_maps(draw_maps(np.concatenate([points, edge]), np.ones(45, bool), SIZE, sigma)[..., :-1])
    assert (found[:, 2] == 2).all()
    np.testing.assert_allclose(found[:40, :2], points, atol=1e-3)
    np.testing.assert_allclose(found[40:, :2], edge, atol=1e-3)


def test_a_silent_map_is_not_labelled():
    maps = draw_maps(np.array([[10.0, 10], [-9.0, 20], [30, 30]]), np.array([True, True, False]), SIZE, 2.0)
    assert decode_maps(maps[..., :-1])[:, 2].tolist() == [2, 0, 0]
    np.testing.assert_allclose(maps[..., 3], 1 - maps[..., :3].max(2), atol=1e-7)
    assert decode_maps(np.full((8, 8, 1), 0.5, np.float32))[0, 2] == 2  # a flat map has a highest cell all the same


def record(points: np.ndarray, bgr: np.ndarray | None = None, sigma: float = 1.0, **change: object) -> bytes:
    """As the system's script writes it: joints in its own order, HWC maps at the picture's size, blue first."""
    pixels = np.full((SIZE, SIZE, 3), (200, 20, 10), np.uint8) if bgr is None else bgr
    maps = draw_maps(points, np.ones(len(points), bool), SIZE, sigma)
    return write_example({"image": pixels.tobytes(), "heatmaps": maps.ravel(), **change})


def save(folder: Path, *contents: bytes) -> Path:
    path = folder / "cpm_sample_dataset.tfrecords"
    path.write_bytes(b"".join(map(frame, contents)))
    return path


def test_reading_takes_the_pictures_out(tmp_path):
    points = np.random.default_rng(2).uniform(3, 60, (2, 21, 2))
    path = save(tmp_path, *map(record, points))
    assert find_format(path).name == "cpm-tfrecord"
    a = read_annotations(path, options=ReadOptions(extract=tmp_path / "images"))
    assert a.skeleton == HAND
    assert [(im.path, im.width, im.height) for im in a.images] == [(f"00000{i}.png", SIZE, SIZE) for i in range(2)]
    assert a.boxes.tolist() == [[-0.5, -0.5, 63.5, 63.5]] * 2
    np.testing.assert_allclose(a.keypoints[:, stored_order(HAND), :2], points, atol=1e-3)
    assert cv2.imread(str(a.image_path(0)))[0, 0].tolist() == [200, 20, 10]
    with pytest.raises(PosewrightError, match=r"images: is there already"):
        read_annotations(path, options=ReadOptions(extract=tmp_path / "images"))
    again = read_annotations(path, options=ReadOptions(images=tmp_path / "images"))
    assert again.missing_pictures() == []
    np.testing.assert_array_equal(again.keypoints, a.keypoints)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PosewrightError, match=r"picture '000000.png', named first in .* is not there"):
        read_annotations(path, options=ReadOptions(images=tmp_path / "empty"))
    with pytest.raises(
        PosewrightError, match=r"holds its pictures inside itself. Take them out with: posewright convert"
    ):
        read_annotations(path)


def photos(root: Path, count: int = 3) -> Annotations:
    """Smooth pictures with a box of 96 pixels and two joints each, one joint missing."""
    rng = np.random.default_rng(3)
    root.mkdir()
    for i in range(count):
        ramp = np.add.outer(np.arange(120), np.arange(160)) // 3 + 20 * i
        assert cv2.imwrite(str(root / f"{i}.png"), np.stack([ramp, ramp // 2, 255 - ramp], 2).astype(np.uint8))
    corner = rng.uniform(0, 20, (count, 2))
    keypoints = np.concatenate([corner[:, None] + rng.uniform(10, 86, (count, 2, 2)), np.full((count, 2, 1), 2)], 2)
    keypoints[1, 0] = 0
    boxes = np.concatenate([corner, corner + 96], 1)
    images = [Image(f"{i}.png", 160, 120) for i in range(count)]
    return Annotations(PAIR, images, np.arange(count), keypoints, boxes, root)


def test_round_trip(tmp_path):
    a = photos(tmp_path / "photos")
    written = get_format("cpm-tfrecord").write(a, tmp_path / "set.tfrecords")
    assert written[0] == tmp_path / "set.tfrecords"
    b = read_annotations(written[0], options=ReadOptions(extract=tmp_path / "out"))
    assert b.skeleton.keypoints == PAIR.keypoints
    np.testing.assert_array_equal(b.labelled, a.labelled)
    # A crop's pixel x is the picture's pixel (x + 0.5) * 96 / 64 - 0.5 + the box's corner.
    back = (b.keypoints[..., :2] + 0.5) * 1.5 + a.boxes[:, None, :2]
    np.testing.assert_allclose(back[a.labelled], a.keypoints[..., :2][a.labelled], atol=2e-3)
    pixel = cv2.imread(str(b.image_path(0)))[32, 32].astype(float)
    x, y = a.boxes[0, :2] + 32.5 * 1.5
    np.testing.assert_allclose(pixel, [(x + y) / 3, (x + y) / 6, 255 - (x + y) / 3], atol=2)
    again = get_format("cpm-tfrecord").write(b, tmp_path / "again.tfrecords")[0]
    c = read_annotations(again, options=ReadOptions(extract=tmp_path / "out2"))
    np.testing.assert_allclose(c.keypoints, b.keypoints, atol=1e-3)
    np.testing.assert_array_equal(cv2.imread(str(c.image_path(0))), cv2.imread(str(b.image_path(0))))
    lost = " ".join(get_format("cpm-tfrecord").losses(a))
    assert "cut to 64 x 64" in lost


def test_convert_takes_the_pictures_out(tmp_path, capsys):
    from posewright.cli import main

    path = save(tmp_path, record(np.full((21, 2), 30.0)))
    assert main(["convert", str(path), "-o", str(tmp_path / "hand")]) == 0
    a = read_annotations(tmp_path / "hand")
    assert a.missing_pictures() == []
    assert main(["convert", str(path), "-o", str(tmp_path / "one.json")]) == 0
    assert (tmp_path / "one_images/000000.png").is_file()
    capsys.readouterr()
    assert main(["convert", str(path), "-o", str(tmp_path / "hand")]) == 2
    assert "images: is there already" in capsys.readouterr().err


GOOD = record(np.full((21, 2), 30.0))
BAD = {
    "no example": (b"\x07abc", "record 1: is no tf.train.Example"),
    "no maps": (write_example({"image": bytes(64 * 64 * 3)}), "record 1: has no image of bytes and heatmaps of floats"),
    "image": (record(np.ones((21, 2)), image=bytes(100)), "record 1: its image has 100 bytes"),
    "maps": (record(np.ones((21, 2)), heatmaps=np.zeros(5, np.float32)), "record 1: has 5 numbers of heatmaps"),
    "NaN": (record(np.full((21, 2), np.nan)), "record 1: its heatmaps are not finite"),
    "joints": (record(np.ones((14, 2))), "record 1: has 15 maps, not 21 and the background"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_record(tmp_path, case):
    content, says = BAD[case]
    path = save(tmp_path, GOOD, content, GOOD)
    with pytest.raises(PosewrightError, match=says) as raised:
        read_annotations(path, options=ReadOptions(extract=tmp_path / "out"))
    assert str(path) in str(raised.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]  # nothing half written
    options = ReadOptions(extract=tmp_path / "out", skip_bad=True)
    a = read_annotations(path, options=options)
    assert [im.id for im in a.images] == [0, 2]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["000000.png", "000002.png"]


def test_damage(tmp_path):
    path = save(tmp_path, GOOD, GOOD)
    whole = path.read_bytes()
    one = len(whole) // 2
    flipped = bytearray(whole)
    flipped[one + 5000] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(PosewrightError, match=r"record 1: is damaged"):
        read_annotations(path, options=ReadOptions(extract=tmp_path / "a"))
    assert len(read_annotations(path, options=ReadOptions(extract=tmp_path / "a", skip_bad=True))) == 1
    for cut, says in ((whole[: one + 5], "record 1: is cut short"), (whole[:-9], "record 1: is cut short")):
        path.write_bytes(cut)
        with pytest.raises(PosewrightError, match=says):
            list(read_records(path))
    path.write_bytes(whole[:one] + b"\xff" + whole[one + 1 :])
    with pytest.raises(PosewrightError, match=r"record 1: is no TFRecord file, or its length is damaged"):
        list(read_records(path))


def test_joints_that_nothing_is_said_of(tmp_path):
    path = save(tmp_path, record(np.ones((14, 2))))
    options = ReadOptions(extract=tmp_path / "out", skip_bad=True)
    with pytest.raises(PosewrightError, match=r"has 14 joints an object, and does not say which. Give --skeleton"):
        read_annotations(path, options=options)
    options.skeleton = BUILTIN["body-14"]
    assert len(read_annotations(path, options=options)) == 1
