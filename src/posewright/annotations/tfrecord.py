"""TFRecord files of ``tf.train.Example`` without TensorFlow: the framing with its checksums, and the one message.

A record is its length (8 bytes), the masked CRC-32C of these, the content, and the masked CRC-32C of the content, all
little-endian (TensorFlow's ``record_writer.cc``).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.protobuf import fields, length_delimited

Words = NDArray[np.uint32]
Values = bytes | NDArray[np.float32]

HEADER = 12
LARGEST = 1 << 30
"""Bytes of a record that are read at most: no picture with its maps is larger, and a damaged length may be."""
_BYTES_LIST, _FLOAT_LIST = 1, 2


# -- CRC-32C (Castagnoli) ---------------------------------------------------------------------------------------------


def _byte_table() -> Words:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    return table


_TABLE = _byte_table()
_PLAIN = _TABLE.tolist()
_LANES = 1024


@lru_cache(maxsize=8)
def _past_zeros(count: int) -> list[list[int]]:
    """Four tables, one a byte of the register, that take it past ``count`` zero bytes."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    for _ in range(count):
        bits = (bits >> np.uint32(8)) ^ _TABLE[bits & np.uint32(0xFF)]
    tables = []
    for byte in range(4):
        chosen = (np.arange(256)[:, None] >> np.arange(8)) & 1
        parts = np.where(chosen, bits[8 * byte : 8 * byte + 8], np.uint32(0))
        tables.append(np.bitwise_xor.reduce(parts, axis=1).tolist())
    return tables


def crc32c(data: bytes | memoryview) -> int:
    """The CRC-32C of ``data``.

    A long input is taken as 1,024 pieces side by side, which numpy works through together; their registers are joined
    afterwards, since a register's way past zeros is linear.
    """
    steps = len(data) // _LANES
    register, done = 0xFFFFFFFF, 0
    if steps >= 16:
        done = steps * _LANES
        lanes = np.frombuffer(data[:done], np.uint8).reshape(_LANES, steps)
        lane = np.zeros(_LANES, np.uint32)
        for step in range(steps):
            lane = (lane >> np.uint32(8)) ^ _TABLE[(lane ^ lanes[:, step]) & np.uint32(0xFF)]
        a, b, c, d = _past_zeros(steps)
        for own in lane.tolist():
            register = a[register & 0xFF] ^ b[register >> 8 & 0xFF] ^ c[register >> 16 & 0xFF] ^ d[register >> 24] ^ own
    for byte in bytes(data[done:]):
        register = register >> 8 ^ _PLAIN[(register ^ byte) & 0xFF]
    return register ^ 0xFFFFFFFF


def masked_crc(data: bytes | memoryview) -> int:
    """The checksum as the files hold it: turned by 15 bits and shifted, so that a CRC of a CRC is none by accident."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# -- records ----------------------------------------------------------------------------------------------------------


def is_tfrecord(path: Path) -> bool:
    """Whether a file begins with a record's length and its checksum."""
    try:
        with path.open("rb") as file:
            start = file.read(HEADER)
    except OSError:
        return False
    return len(start) == HEADER and masked_crc(start[:8]) == struct.unpack("<I", start[8:])[0]


def read_records(path: Path) -> Iterator[tuple[int, memoryview | PosewrightError]]:
    """The records of a file with their numbers, from 0; an error in place of one whose content is damaged.

    Raises:
        PosewrightError: where the file cannot be read, is cut short, or a length is damaged, so that nothing after it
            can be found.
    """
    try:
        with path.open("rb") as file:
            number = 0
            while start := file.read(HEADER):
                record = f"record {number}"
                if len(start) < HEADER:
                    raise PosewrightError("is cut short", file=path, record=record)
                length, check = struct.unpack("<QI", start)
                if masked_crc(start[:8]) != check or length > LARGEST:
                    raise PosewrightError("is no TFRecord file, or its length is damaged", file=path, record=record)
                body = file.read(length + 4)
                if len(body) < length + 4:
                    raise PosewrightError("is cut short", file=path, record=record)
                content = memoryview(body)[:length]
                sound = masked_crc(content) == struct.unpack_from("<I", body, length)[0]
                yield number, content if sound else PosewrightError("is damaged", file=path, record=record)
                number += 1
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None


def frame(content: bytes) -> bytes:
    """One record as it stands in a file."""
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", masked_crc(length)) + content + struct.pack("<I", masked_crc(content))


# -- tf.train.Example -------------------------------------------------------------------------------------------------


def read_example(content: memoryview) -> dict[str, Values]:
    """The features of an Example that are one string of bytes, or floats; others are left aside.

    Raises:
        ValueError, IndexError: where the content is no such message.
    """
    features: dict[str, Values] = {}
    for entry in (e for f in _parts(content, 1) for e in _parts(f, 1)):
        for key in _parts(entry, 1):
            for feature in _parts(entry, 2):
                value = _value(feature)
                if value is not None:
                    features[bytes(key).decode()] = value
    return features


def write_example(features: dict[str, Values]) -> bytes:
    """The message of some features, in the order of their names."""
    entries = b""
    for name in sorted(features):
        value = features[name]
        if isinstance(value, bytes):
            kind, values = _BYTES_LIST, length_delimited(1, value)
        else:
            kind, values = _FLOAT_LIST, length_delimited(1, np.ascontiguousarray(value, "<f4").tobytes())
        feature = length_delimited(kind, values)
        entries += length_delimited(1, length_delimited(1, name.encode()) + length_delimited(2, feature))
    return length_delimited(1, entries)


def _parts(message: memoryview, number: int) -> Iterator[memoryview]:
    """The fields of one number that are messages, text or packed numbers."""
    for found, value in fields(message):
        if found == number and isinstance(value, memoryview):
            yield value


def _value(feature: memoryview) -> Values | None:
    for values in _parts(feature, _BYTES_LIST):
        strings = [bytes(value) for value in _parts(values, 1)]
        return strings[0] if len(strings) == 1 else None
    for values in _parts(feature, _FLOAT_LIST):
        # One packed field from TensorFlow itself; single floats are as valid.
        return np.frombuffer(b"".join(bytes(value) for value in _parts(values, 1)), "<f4")
    return None
