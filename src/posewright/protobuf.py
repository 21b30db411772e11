"""Just enough of protocol buffers to take a message apart: its fields in order, without a schema."""

from __future__ import annotations

from collections.abc import Iterator


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of a message's fields; ValueError or IndexError where it is none."""
    at = 0
    while at < len(message):
        tag, at = varint(message, at)
        if tag >> 32:  # other readers cut it, and would see another field than we do
            raise ValueError("no such field")
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = varint(message, at)
            yield number, value
            continue
        if wire == 2:
            length, at = varint(message, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise ValueError("no such wire type")
        if number == 0 or at + length > len(message):
            raise ValueError("a field reaches past the end")
        yield number, message[at : at + length]
        at += length


def packed(message: memoryview) -> Iterator[int]:
    """The whole numbers of a packed field; ValueError or IndexError where it is none."""
    at = 0
    while at < len(message):
        value, at = varint(message, at)
        yield value


def varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number at ``at`` and where the next thing begins; ValueError or IndexError where there is none."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def length_delimited(number: int, content: bytes) -> bytes:
    """One field of a message: text, bytes, a message or packed numbers."""
    return encode_varint(number << 3 | 2) + encode_varint(len(content)) + content


def encode_varint(value: int) -> bytes:
    """A whole number of at least 0 as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
