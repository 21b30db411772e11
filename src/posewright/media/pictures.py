"""Picture files to arrays and back: any common file becomes ``uint8 [H, W, 3]`` RGB as a person sees it, or one error.

The data is checked before it is decoded: decoders fill what a cut-short file lacks with grey and say so, if at all, on
stderr.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.files import whole_file
from posewright.media.header import exif_orientation
from posewright.media.quiet import QuietDecoders

Picture = NDArray[np.uint8]

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2", ".ppm", ".pgm")
"""What a picture file's name ends with, in lower case, where a folder is searched for pictures."""

if "OPENCV_LOG_LEVEL" not in os.environ:
    # Our own error says it in one line. OpenCV 5 has the function elsewhere than 4.
    (cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel)(0)
_quiet = QuietDecoders()


def read_picture(path: str | Path) -> Picture:
    """Read a picture file.

    EXIF orientation is applied; grey, palette, 16-bit and CMYK pictures become 8-bit RGB; a transparent picture is laid
    over white; of an animation the first frame is taken.

    Args:
        path: a JPEG, PNG, WebP, BMP, TIFF, GIF, JPEG 2000 or PNM file, or one inside a shard (:func:`picture_bytes`).

    Returns:
        ``uint8 [H, W, 3]`` RGB.

    Raises:
        PosewrightError: where the file is missing, empty, cut short or no picture.
    """
    return decode_picture(picture_bytes(path), path)


def picture_bytes(path: str | Path) -> bytes:
    """The content of a picture file, or of one inside a shard of a packed set (``shards/000000.tar/00000012.jpg``).

    Raises:
        PosewrightError: where it is missing or cannot be read.
    """
    path = Path(path)
    if path.parent.suffix == ".tar" and not path.parent.is_dir():
        from posewright.media.shards import read_member

        return read_member(path)
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise PosewrightError("is a folder, not a picture", file=path) from None
    except (FileNotFoundError, NotADirectoryError):
        raise PosewrightError("does not exist", file=path) from None
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None


def decode_picture(data: bytes, name: str | Path = "picture") -> Picture:
    """Decode the bytes of a picture file, like :func:`read_picture`; ``name`` is for messages."""
    if not data:
        raise PosewrightError("is empty", file=name, fix=_AGAIN)
    kind = _kind(data)
    if kind in _FOREIGN:
        raise PosewrightError(f"is a {kind} picture, which is not read here", file=name, fix="Save it as JPEG or PNG")
    if kind is None:
        raise PosewrightError("is not a picture (JPEG, PNG, WebP, BMP, TIFF, GIF, JPEG 2000 or PNM)", file=name)
    if kind in _WHOLE and not _WHOLE[kind](data):
        raise PosewrightError(f"is cut short: its {kind} data has no end", file=name, fix=_AGAIN)
    # IMREAD_UNCHANGED keeps transparency and depth but leaves EXIF alone, which JPEG never needs.
    flag = cv2.IMREAD_COLOR_RGB if kind == "JPEG" else cv2.IMREAD_UNCHANGED
    try:
        with _quiet:
            picture: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    except cv2.error as error:
        raise PosewrightError(f"cannot be decoded: {error.err}", file=name) from None
    if picture is None:
        raise PosewrightError(f"is damaged or cut short: its {kind} data cannot be decoded", file=name, fix=_AGAIN)
    return picture if kind == "JPEG" else _turned(_as_rgb(picture, name, kind), _orientation(data, kind))


def write_picture(path: str | Path, rgb: Picture, quality: int = 92) -> Path:
    """Write a picture whole or not at all; the format is chosen by the ending.

    Args:
        path: ends with one of :data:`ENDINGS`.
        rgb: ``uint8 [H, W, 3]`` RGB or ``[H, W]``.
        quality: 1..100, for JPEG and WebP.

    Raises:
        PosewrightError: where the ending is no picture format's or the file cannot be written.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise PosewrightError(f"'{path.suffix}' is no picture format", file=path, fix="End the name with .jpg or .png")
    encoded = encode_picture(rgb, ending, quality)
    if encoded is None:
        raise PosewrightError(f"a picture of shape {rgb.shape} cannot be written as {ending}", file=path)
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded)
    return path


def encode_picture(rgb: Picture, ending: str = ".jpg", quality: int = 88) -> bytes | None:
    """What a file of that ending would hold, see :func:`write_picture`; None where such a picture cannot be in one."""
    bgr = rgb if rgb.ndim == 2 else cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    options = {".webp": cv2.IMWRITE_WEBP_QUALITY, ".jpg": cv2.IMWRITE_JPEG_QUALITY, ".jpeg": cv2.IMWRITE_JPEG_QUALITY}
    done, encoded = cv2.imencode(ending, bgr, [options[ending], quality] if ending in options else [])
    return encoded.tobytes() if done else None


# -- what a file is, and whether it is whole ---------------------------------------------------------------------------

_AGAIN = "Fetch or export the file again"
_FOREIGN = ("HEIC", "AVIF", "JPEG XL", "PDF", "SVG")


def _kind(data: bytes) -> str | None:
    """The format by the first bytes."""
    head = data[:32]
    for magic, kind in (
        (b"\xff\xd8\xff", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"BM", "BMP"),
        (b"II*\0", "TIFF"),
        (b"MM\0*", "TIFF"),
        (b"II+\0", "TIFF"),
        (b"MM\0+", "TIFF"),
        (b"GIF8", "GIF"),
        (b"\0\0\0\x0cjP  ", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL ", "JPEG XL"),
        (b"%PDF", "PDF"),
        (b"<svg", "SVG"),
    ):
        if head.startswith(magic):
            return kind
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        return {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIC"}.get(head[8:12])
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "PNM"
    return None


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether an end-of-image marker follows the scan data (the one of an embedded thumbnail does not count)."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:
            return data.rfind(b"\xff\xd9", at) > 0
        if marker == 0xFF:  # a fill byte
            at += 1
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    # Something else than a marker lies between the segments: leave the verdict to the decoder.
    return at + 4 <= len(data)


_WHOLE: dict[str, Callable[[bytes], bool]] = {
    "JPEG": _jpeg_is_whole,
    "PNG": lambda data: b"\0\0\0\0IEND\xaeB`\x82" in data,
    "WebP": lambda data: len(data) >= 8 + int.from_bytes(data[4:8], "little"),
    "BMP": lambda data: len(data) > int.from_bytes(data[10:14], "little"),
}


# -- to 8-bit RGB, the right way up ------------------------------------------------------------------------------------


def _as_rgb(picture: Any, name: str | Path, kind: str) -> Picture:
    """What IMREAD_UNCHANGED gave (grey, BGR or BGRA, 8 or 16 bit) as 8-bit RGB."""
    # libtiff's own conversion to 8 bits multiplies the colours with their opacity.
    multiplied = kind == "TIFF" and picture.dtype == np.uint8
    if picture.dtype == np.uint16:
        picture = cv2.convertScaleAbs(picture, alpha=1 / 257)
    if picture.dtype != np.uint8:
        fix = "Save it with 8 or 16 bits a channel"
        raise PosewrightError(f"holds {picture.dtype} values, whose range is not known", file=name, fix=fix)
    channels = 1 if picture.ndim == 2 else picture.shape[2]
    if channels == 1:
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    if channels == 2:  # grey and alpha
        picture = cv2.merge([picture[..., 0]] * 3 + [picture[..., 1]])
    if channels in (2, 4):
        return _over_white(cv2.cvtColor(picture, cv2.COLOR_BGRA2RGBA), multiplied)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _over_white(rgba: Picture, multiplied: bool) -> Picture:
    alpha = rgba[..., 3:]
    if (alpha == 255).all():
        return np.ascontiguousarray(rgba[..., :3])
    blended = np.empty((*rgba.shape[:2], 3), np.uint8)
    rows = max(1, _BLOCK // max(rgba.shape[1], 1))  # a few at a time: the blend takes ten times a picture's memory
    for start in range(0, len(rgba), rows):
        part, opacity = rgba[start : start + rows, :, :3], alpha[start : start + rows].astype(np.uint32)
        opaque = part.astype(np.uint32) * (255 if multiplied else opacity)
        blend = opaque + 255 * (255 - opacity)
        blended[start : start + rows] = np.minimum((blend + 127) // 255, 255)
    return blended


_BLOCK = 1 << 18
"""Pixels that are laid over white at a time."""


def _orientation(data: bytes, kind: str) -> int:
    """The EXIF orientation 1..8 of a PNG or WebP file; OpenCV has already obeyed that of the other formats."""
    if kind == "PNG":
        at = data.find(b"eXIf", 8)
        return exif_orientation(data[at + 4 :]) if at > 0 else 1
    if kind == "WebP" and data[12:16] == b"VP8X":
        at = data.find(b"EXIF", 16)
        return exif_orientation(data[at + 8 :].removeprefix(b"Exif\0\0")) if at > 0 else 1
    return 1


def _turned(picture: Picture, orientation: int) -> Picture:
    """A stored picture as it is meant to be seen, by its EXIF orientation."""
    if orientation >= 5:
        picture = picture.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)
