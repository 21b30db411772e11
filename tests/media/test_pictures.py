"""Every common kind of picture file becomes the same RGB; everything else becomes one line."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from posewright.errors import PosewrightError
from posewright.media import pictures
from posewright.media.pictures import decode_picture, read_picture, write_picture


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Smooth, lopsided and coloured, 45 x 60."""
    y, x = np.mgrid[:45, :60]
    return np.stack([x * 4, y * 5, 255 - x * 2 - y * 2], -1).astype(np.uint8)


def encoded(picture, format, mode=None, **options) -> bytes:
    image = Image.fromarray(picture)
    stream = io.BytesIO()
    (image.convert(mode) if mode else image).save(stream, format, **options)
    return stream.getvalue()


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


LOSSLESS = [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {"compression": "tiff_lzw"}), ("BMP", {}), ("PPM", {})]
FORMATS = [*LOSSLESS, ("JPEG2000", {}), ("JPEG", {"quality": 98, "subsampling": 0})]


@pytest.mark.parametrize(("format", "options"), FORMATS)
def test_formats(picture, format, options):
    got = decode_picture(encoded(picture, format, **options))
    assert got.dtype == np.uint8 and got.flags.c_contiguous
    assert np.abs(got.astype(int) - picture).max() <= (0 if (format, options) in LOSSLESS else 6)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_obeyed(picture, format, orientation):
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(format, {})
    data = encoded(picture, format, exif=exif(orientation), **options)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))
    got = decode_picture(data)
    assert got.shape == wanted.shape
    assert np.abs(got.astype(int) - wanted).max() <= 4
    if orientation > 1:
        assert got.shape != picture.shape or np.abs(got.astype(int) - picture).max() > 50


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_exif_orientation_with_transparency(picture, format):
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    clear = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
    clear[:10, :20, 3] = 0
    upright = picture.copy()
    upright[:10, :20] = 255
    got = decode_picture(encoded(clear, format, exif=exif(6), **options))
    assert np.array_equal(got, np.rot90(upright, -1))


def test_transparent_pictures_lie_on_white():
    clear = np.zeros((8, 8, 4), np.uint8)
    clear[..., 0], clear[:4, :, 3], clear[4:, :, 3] = 200, 0, 128
    for format, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        got = decode_picture(encoded(clear, format, **options))
        assert (got[:4] == 255).all()
        np.testing.assert_allclose(got[6, 3], (200 * 128 / 255 + 127, 127, 127), atol=1)
    palette = encoded(np.zeros((8, 8, 3), np.uint8), "PNG", "P", transparency=0)
    assert (decode_picture(palette) == 255).all()


GREY = [("L", ("PNG", "JPEG", "TIFF", "WEBP")), ("1", ("PNG", "TIFF")), ("LA", ("PNG",))]


@pytest.mark.parametrize(("mode", "formats"), GREY)
def test_grey(picture, mode, formats):
    for format in formats:
        data = encoded(picture, format, mode, **({"lossless": True} if format == "WEBP" else {}))
        wanted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert np.abs(decode_picture(data).astype(int) - wanted).max() <= 4


def test_palette(picture):
    for format in ("PNG", "GIF", "BMP"):
        data = encoded(picture, format, "P")
        assert np.array_equal(decode_picture(data), np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def test_sixteen_bits(picture):
    deep = picture[..., 0].astype(np.uint16) * 257
    for format in ("PNG", "TIFF"):
        got = decode_picture(encoded(deep, format))
        assert np.array_equal(got, np.repeat(picture[..., :1], 3, 2))


def test_sixteen_bit_colour(picture, tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "deep.png"), picture[..., ::-1].astype(np.uint16) * 257)
    assert np.array_equal(read_picture(tmp_path / "deep.png"), picture)


def test_cmyk(picture):
    for format, options in (("JPEG", {"quality": 98}), ("TIFF", {})):
        data = encoded(picture, format, "CMYK", **options)
        wanted = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert np.abs(decode_picture(data).astype(int) - wanted).mean() < 2


def test_first_frame_of_an_animation(picture):
    frames = [Image.fromarray(picture), Image.fromarray(255 - picture)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    assert np.abs(decode_picture(stream.getvalue()).astype(int) - picture).mean() < 12


# -- what is no picture ------------------------------------------------------------------------------------------------


def complaint(data: bytes) -> str:
    with pytest.raises(PosewrightError) as caught:
        decode_picture(data, "a.jpg")
    assert str(caught.value).startswith("a.jpg: ") and "\n" not in str(caught.value)
    return str(caught.value)


CUT = [
    *(("JPEG", o) for o in ({}, {"progressive": True}, {"exif": exif(6)})),
    *((f, {}) for f in ("PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM", "JPEG2000")),
]


@pytest.mark.parametrize(("format", "options"), CUT)
def test_cut_short(picture, format, options, capfd):
    whole = encoded(picture, format, **options)
    decode_picture(whole)
    for length in (len(whole) - 1, len(whole) - 12, len(whole) * 3 // 4, len(whole) // 2, 60):
        said = complaint(whole[:length])
        assert "cut short" in said
    assert capfd.readouterr().err == ""


def test_a_jpeg_whose_thumbnail_alone_is_whole(picture):
    """The end-of-image marker of the thumbnail inside the EXIF block is not the picture's."""
    thumbnail = encoded(picture[::4, ::4], "JPEG")
    block = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + thumbnail
    whole = encoded(picture, "JPEG")
    whole = whole[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + whole[2:]
    assert decode_picture(whole).shape == picture.shape
    assert "cut short" in complaint(whole[: -len(whole) // 8])


def test_a_jpeg_with_more_behind_its_end(picture):
    whole = encoded(picture, "JPEG")
    for tail in (b"\0" * 100, b"some camera's notes" * 50):
        assert np.array_equal(decode_picture(whole + tail), decode_picture(whole))


def test_other_files(tmp_path):
    assert "is empty" in complaint(b"")
    for data in (b"hello", b"<html>not found</html>", bytes(1000), b"P6 is no picture", b"PK\x03\x04" + bytes(50)):
        assert "is not a picture" in complaint(data) or "cannot be decoded" in complaint(data)
    assert "is a HEIC picture" in complaint(b"\0\0\0\x18ftypheic" + bytes(40))
    assert "is a AVIF picture" in complaint(b"\0\0\0\x18ftypavif" + bytes(40))
    assert "is a PDF" in complaint(b"%PDF-1.7" + bytes(40))
    with pytest.raises(PosewrightError, match=r"none\.png: does not exist"):
        read_picture(tmp_path / "none.png")
    with pytest.raises(PosewrightError, match="is a folder"):
        read_picture(tmp_path)


def test_values_without_a_known_range():
    data = encoded(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8), "TIFF")
    assert "holds float32 values" in complaint(data)


def test_damage_is_never_a_traceback_nor_noise(picture, capfd):
    rng = np.random.default_rng(0)
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "JPEG2000"):
        data = encoded(picture, format)
        for _ in range(25):
            broken = bytearray(data)
            for at in rng.integers(2, len(data), 4):
                broken[at] = rng.integers(256)
            try:
                decode_picture(bytes(broken))
            except PosewrightError as error:
                assert "\n" not in str(error)
    assert capfd.readouterr().err == ""


def test_others_may_write_to_stderr_meanwhile(picture, tmp_path):
    """What another thread says while a decoder is kept quiet arrives."""
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(picture, "JPEG"))
    code = f"""
import os, threading, time
from posewright.media import pictures
from posewright.media.pictures import read_picture
def talk():
    for i in range(300):
        os.write(2, b"line %d\\n" % i)
        time.sleep(1e-4)
talker = threading.Thread(target=talk)
readers = [threading.Thread(target=lambda: [read_picture({str(path)!r}) for _ in range(150)]) for _ in range(2)]
for t in (*readers, talker): t.start()
for t in (*readers, talker): t.join()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert sorted(done.stderr.splitlines()) == sorted(f"line {i}" for i in range(300))


def test_threads_read_the_same(picture, tmp_path):
    path = write_picture(tmp_path / "a.png", picture)
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(read_picture(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8 and all(np.array_equal(f, picture) for f in found)


# -- writing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".ppm"])
def test_written_pictures_come_back(picture, tmp_path, ending):
    path = write_picture(tmp_path / "deep" / f"a{ending}", picture)
    assert np.array_equal(read_picture(path), picture)
    assert [p.name for p in path.parent.iterdir()] == [f"a{ending}"]


def test_quality_and_grey(picture, tmp_path):
    fine = write_picture(tmp_path / "fine.JPG", picture, quality=98)
    poor = write_picture(tmp_path / "poor.jpg", picture, quality=10)
    assert poor.stat().st_size < fine.stat().st_size
    assert np.abs(read_picture(fine).astype(int) - picture).mean() < 4
    grey = write_picture(tmp_path / "grey.png", picture[..., 0])
    assert np.array_equal(read_picture(grey)[..., 1], picture[..., 0])


def test_unknown_ending(picture, tmp_path):
    with pytest.raises(PosewrightError, match=r"'\.xyz' is no picture format"):
        write_picture(tmp_path / "a.xyz", picture)


def test_full_disk_leaves_what_was_there(picture, tmp_path, monkeypatch):
    path = write_picture(tmp_path / "a.png", picture)
    before = path.read_bytes()

    def full(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(PosewrightError, match="no space left"):
        write_picture(path, picture // 2)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_large_transparent_pictures_are_laid_over_white_in_parts(monkeypatch):
    rgba = np.random.default_rng(0).integers(0, 256, (61, 47, 4), np.uint8)
    whole = {multiplied: pictures._over_white(rgba, multiplied) for multiplied in (False, True)}
    opacity = rgba[..., 3:] / 255
    np.testing.assert_allclose(whole[False], rgba[..., :3] * opacity + 255 * (1 - opacity), atol=0.51)
    for block in (1, 47 * 7, 47 * 61):
        monkeypatch.setattr(pictures, "_BLOCK", block)
        for multiplied, wanted in whole.items():
            np.testing.assert_array_equal(pictures._over_white(rgba, multiplied), wanted)
