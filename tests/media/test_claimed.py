"""The size that a header claims is the one that decoding gives, in every format, and no lie gets past it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from posewright.errors import PosewrightError
from posewright.media import pictures
from posewright.media.claimed import claimed_size
from posewright.media.pictures import decode_picture

WIDTH, HEIGHT = 53, 37
ENDINGS = (".jpg", ".png", ".webp", ".bmp", ".tif", ".gif", ".jp2", ".ppm", ".pgm", ".pbm")


def encoded(ending: str, *options: int) -> bytes:
    image = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
    done, data = cv2.imencode(ending, image if ending not in (".pgm", ".pbm") else image[..., 0], options)
    assert done
    return data.tobytes()


@pytest.mark.parametrize("ending", ENDINGS)
def test_it_is_the_size_that_decoding_gives(ending):
    data = encoded(ending)
    assert decode_picture(data).shape == (HEIGHT, WIDTH, 3)
    assert claimed_size(data) == (WIDTH, HEIGHT)
    for end in range(1, 40):  # cut short: refused, or of no known format, or known already
        try:
            assert claimed_size(data[:end]) in (None, (WIDTH, HEIGHT))
        except PosewrightError as error:
            assert "its header tells no size" in str(error)


def test_webp_of_every_kind(tmp_path):
    image = Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    for number, options in enumerate(
        ({"lossless": True}, {"quality": 50}, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"})
    ):
        path = tmp_path / f"{number}.webp"
        image.save(path, **options)
        assert claimed_size(path.read_bytes()) == (WIDTH, HEIGHT), options


def test_a_jpeg_that_is_shown_turned_tells_what_is_stored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    assert claimed_size((tmp_path / "a.jpg").read_bytes()) == (WIDTH, HEIGHT)


def test_every_format_that_is_decoded_is_known():
    known = {".jpg": "JPEG", ".png": "PNG", ".webp": "WebP", ".bmp": "BMP", ".tif": "TIFF", ".gif": "GIF"}
    for ending in ENDINGS:
        assert pictures._kind(encoded(ending)) == known.get(ending, "JPEG 2000" if ending == ".jp2" else "PNM")
    for head in (
        b"",
        b"hello",
        b"%PDF",
        b"\xff\x0a",
        b"\0\0\0\x18ftypheic",
        b"RIFF1234WAVE",
        b"P7\n",
        b"PF\n",
        b"<svg",
    ):
        assert claimed_size(head + b"\0" * 50) is None
        with pytest.raises(PosewrightError):
            decode_picture(head + b"\0" * 50)


def large(data: bytes) -> bool:
    """Refused, or said to be large."""
    try:
        width, height = claimed_size(data)  # type: ignore[misc]
    except PosewrightError:
        return True
    return width * height > 10**8


def test_lies_that_other_readers_would_believe():
    def jp2(width: int) -> bytes:
        sides = width.to_bytes(4, "big") * 2
        return b"\xff\x4f\xff\x51\0\x2f\0\0" + sides + b"\0" * 40

    head = b"\0\0\0\x0cjP  \r\n\x87\n"
    hidden = (8 + len(jp2(9))).to_bytes(4, "big") + b"uuid" + jp2(9)  # a small one where no decoder looks
    assert large(head + hidden + b"\0\0\0\0jp2c" + jp2(50_000))
    assert large(b"P6\n#\r50000 50000\n9 9\n255\n")  # a comment ends with either kind of line's end
    assert large(b"P6\n9 9".replace(b"9 9", b"#" * 5000 + b"\n50000 50000"))
    assert large(b"P6\n" + b"#" * 4085 + b"\n50000 50000\n255\n")  # where the look ends in the middle of a number
    entry = b"\x03\x00\x01\0\0\0"
    tags = b"".join(tag.to_bytes(2, "little") + entry + b"\x09\0\0\0" for tag in (256, 257))
    tiles = b"".join(
        tag.to_bytes(2, "little") + b"\x04\0\x01\0\0\0" + (30_000).to_bytes(4, "little") for tag in (322, 323)
    )
    assert claimed_size(b"II*\0\x08\0\0\0\x02\0" + tags) == (9, 9)
    assert large(b"II*\0\x08\0\0\0\x04\0" + tags + tiles)
    twice = b"".join(
        tag.to_bytes(2, "little") + b"\x04\0\x01\0\0\0" + (30_000).to_bytes(4, "little") for tag in (256, 257)
    )
    assert large(b"II*\0\x08\0\0\0\x04\0" + tags + twice) and large(b"II*\0\x08\0\0\0\x04\0" + twice + tags)
    assert claimed_size(b"BM" + b"\0" * 12 + b"\x28\0\0\0\x09\0\0\0\xf7\xff\xff\xff" + b"\0" * 9) == (9, 9)  # top down
