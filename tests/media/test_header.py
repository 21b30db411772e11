"""Picture sizes from headers: the same as decoding gives, for every format and orientation, and errors for the rest."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from posewright.errors import PosewrightError
from posewright.media.header import exif_orientation, picture_size
from posewright.media.pictures import read_picture


def exif(orientation: int, order: str = "<") -> bytes:
    """A TIFF block with two entries, the orientation second."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(f"{order}HHIHH", 0x010F, 3, 1, 7, 0) + struct.pack(
        f"{order}HHIHH", 0x0112, 3, 1, orientation, 0
    )
    return head + struct.pack(f"{order}IH", 8, 2) + entries + struct.pack(f"{order}I", 0)


def encoded(ending: str, width: int = 37, height: int = 23) -> bytes:
    picture = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    return cv2.imencode(ending, picture)[1].tobytes()


def jpeg_with(block: bytes) -> bytes:
    data, body = encoded(".jpg"), b"Exif\0\0" + block
    comment = b"\xff\xfe" + (2 + 700).to_bytes(2, "big") + b"\xff" * 700
    return data[:2] + comment + b"\xff\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def png_with(block: bytes) -> bytes:
    data = encoded(".png")
    chunk = b"eXIf" + block
    return data[:33] + struct.pack(">I", len(block)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]


def size_both_ways(path: Path, data: bytes) -> tuple[int, int]:
    path.write_bytes(data)
    height, width = read_picture(path).shape[:2]
    assert picture_size(path) == (width, height)
    return width, height


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".webp", ".tif"])
def test_formats(tmp_path, ending):
    assert size_both_ways(tmp_path / f"a{ending}", encoded(ending)) == (37, 23)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wrap", [jpeg_with, png_with])
def test_orientation(tmp_path, orientation, order, wrap):
    wanted = (23, 37) if orientation >= 5 else (37, 23)
    assert size_both_ways(tmp_path / "a", wrap(exif(orientation, order))) == wanted


@pytest.mark.parametrize("block", [b"", b"II", b"II*\0\xff\xff\xff\xff", exif(0), exif(9), exif(6)[:20], b"x" * 40])
def test_exif_without_sense(block):
    assert exif_orientation(block) == 1


def test_progressive_jpeg(tmp_path):
    picture = np.zeros((23, 37, 3), np.uint8)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert b"\xff\xc2" in data
    assert size_both_ways(tmp_path / "a.jpg", data) == (37, 23)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is empty"),
        (b"hello", "is not a picture"),
        (encoded(".jpg")[:100], "cut short"),
        (encoded(".jpg")[:3], "cut short"),
        (encoded(".png")[:20], "cut short"),
        (b"\x89PNG\r\n\x1a\n", "cut short"),
        (b"\xff\xd8\xff\xd9", "cut short"),
        (b"\xff\xd8\xff\xe0\x00\x00", "cut short"),
    ],
)
def test_no_size(tmp_path, data, says):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(PosewrightError, match=says) as raised:
        picture_size(path)
    assert str(path) in str(raised.value)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(PosewrightError, match=r"none\.jpg: does not exist"):
        picture_size(tmp_path / "none.jpg")
    with pytest.raises(PosewrightError):
        picture_size(tmp_path)
