"""Requests to the service that are broken in every way we could think of; the same ones whenever the seed is."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from helpers.mutate import WORDS

Rng = np.random.Generator
KINDS = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/tiff",
    "image/svg+xml",
    "application/octet-stream",
    "text/plain",
)
BOUNDARY = "limit"
FORM = f"multipart/form-data; boundary={BOUNDARY}"

_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1e308, -1e308, 10**400, float("nan"), float("inf"), "", "x", "é\u2028", "\0", [], {}, [[]]),
    *([[0, 0, 0, 0]], [[5, 5, 1, 1]], [[0, 0, 1e9, 1e9]], [[0, 0, 1e-300, 1]], [[1e300, 0, 1.1e300, 5]], [["a"] * 4]),
    *(
        [[1, 2, 3]],
        [[0, 0, 5, 5]] * 500,
        "data:image/png;base64,",
        "=",
        "A",
        "a" * 5000,
        {"$ref": "#"},
        "../../etc/passwd",
    ),
)


@dataclass(frozen=True)
class Malformed:
    """One broken request."""

    what: str
    query: str
    headers: dict[str, str]
    body: bytes


def malformed(number: int, pictures: list[bytes], seed: int = 0) -> Malformed:
    """Broken request number n, made of whole pictures."""
    rng = np.random.default_rng((seed, number))
    makers: tuple[Callable[[Rng, bytes], Malformed], ...] = (_damaged, _claims, _json, _json_bytes, _form, _address)
    return makers[number % len(makers)](rng, pictures[int(rng.integers(len(pictures)))])


def _pick(rng: Rng, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _broken(rng: Rng, data: bytes) -> bytes:
    """Bytes with an end cut off, pieces overwritten, left out or put in."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at, count = int(rng.integers(max(len(out), 1))), int(rng.integers(1, 40))
        how = int(rng.integers(5))
        if how == 0:
            del out[at:]
        elif how == 1:
            out[at : at + count] = rng.bytes(count)
        elif how == 2:
            del out[at : at + count]
        elif how == 3:
            out[at:at] = _pick(rng, WORDS)
        else:
            at = int(rng.integers(min(len(out), 64) or 1))  # the header
            out[at : at + 4] = rng.bytes(4)
    return bytes(out)


def _damaged(rng: Rng, picture: bytes) -> Malformed:
    return Malformed("damaged picture", "", {"Content-Type": _pick(rng, KINDS)}, _broken(rng, picture))


def _claims(rng: Rng, picture: bytes) -> Malformed:
    """Headers that claim to be large, with nothing behind them."""
    w, h = (int(v) for v in rng.integers(0, 2**32, 2, dtype=np.uint64))
    w2, h2 = w & 0xFFFF, h & 0xFFFF
    bodies = (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + w.to_bytes(4, "big") + h.to_bytes(4, "big") + b"\x08\x02\0\0\0" + b"\0" * 99,
        b"\xff\xd8\xff\xc0\0\x11\x08"
        + h2.to_bytes(2, "big")
        + w2.to_bytes(2, "big")
        + b"\x03"
        + rng.bytes(60)
        + b"\xff\xd9",
        b"GIF89a" + w2.to_bytes(2, "little") + h2.to_bytes(2, "little") + rng.bytes(60),
        b"BM"
        + b"\0" * 12
        + b"\x28\0\0\0"
        + w.to_bytes(4, "little")
        + h.to_bytes(4, "little")
        + b"\x01\0\x18\0"
        + b"\0" * 40,
        f"P6\n{w} {h}\n255\n".encode() + rng.bytes(60),
        b"II*\0\x08\0\0\0\x02\0\0\x01\x04\0\x01\0\0\0"
        + w.to_bytes(4, "little")
        + b"\x01\x01\x04\0\x01\0\0\0"
        + rng.bytes(30),
        b"RIFF\xff\xff\0\0WEBPVP8X\x0a\0\0\0" + rng.bytes(30),
        b"\xff\x4f\xff\x51\0\x2f\0\0" + w.to_bytes(4, "big") + h.to_bytes(4, "big") + b"\0" * 40,
        b"P5\n" + b"#" * 5000 + b"\n9 9\n255\n",
    )
    return Malformed("header that lies", "", {"Content-Type": _pick(rng, KINDS[:4])}, _pick(rng, bodies))


def _whole(picture: bytes) -> dict[str, Any]:
    return {"pictures": [{"data": base64.b64encode(picture).decode(), "boxes": [[5, 5, 60, 60]]}], "flip": False}


def _json(rng: Rng, picture: bytes) -> Malformed:
    """JSON with something else in one place than belongs there."""
    document: Any = _whole(picture)
    place = _pick(rng, (["pictures"], ["pictures", 0], ["pictures", 0, "data"], ["pictures", 0, "boxes"], ["flip"], ["model"],
                        ["min_presence"], ["more"], ["pictures", 0, "boxes", 0], ["pictures", 0, "boxes", 0, 2], []))  # fmt: skip
    value, inside = _pick(rng, _VALUES), document
    for key in place[:-1]:
        inside = inside[key]
    if place:
        inside[place[-1]] = value
    else:
        document = value
    return Malformed(f"JSON with {place}", "", {"Content-Type": "application/json"}, json.dumps(document).encode())


def _json_bytes(rng: Rng, picture: bytes) -> Malformed:
    body = _pick(rng, (b"[" * 100_000, b'{"a":' * 50_000, b"", b"null", b"\xff\xfe{\0}\0", b'"\\ud800"', b'{"pictures": [NaN]}',
                       _broken(rng, json.dumps(_whole(picture)).encode())))  # fmt: skip
    return Malformed("broken JSON", "", {"Content-Type": "application/json"}, body)


def _form(rng: Rng, picture: bytes) -> Malformed:
    """Forms with broken parts, boundaries and boxes."""
    boxes = json.dumps(_pick(rng, _VALUES))
    head = b'--limit\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\n'
    field = b'\r\n--limit\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s'
    end = b"\r\n--limit--\r\n"
    bodies = (
        _broken(rng, head + picture + end),
        head + picture + field % (b"boxes", boxes.encode()) + end,
        head + picture + field % (_pick(rng, (b"flip", b"model", b"x", b"min_presence", b"")), _pick(rng, WORDS)) + end,
        head + picture,
        field[2:] % (b"boxes", b"[]") + end,
        head * 500 + end,
        b"--limit\r\n" + b"A: b\r\n" * 500 + b"\r\n\r\n" + end,
        b"--limit\r\nContent-Disposition: form-data; name=\r\n\r\nx" + end,
        b"",
    )
    kind = _pick(rng, (FORM, FORM, FORM, "multipart/form-data", "multipart/form-data; boundary=", FORM + "x" * 500))
    return Malformed("form", "", {"Content-Type": kind}, _pick(rng, bodies))


def _address(rng: Rng, picture: bytes) -> Malformed:
    """A whole picture, and nonsense in the address or the headers."""
    query = _pick(rng, ("box=1,2,3", "box=a,b,c,d", "box=5,5,1,1", "box=0,0,99999999,9", "box=" + "9" * 300 + ",0,1,1",
                        "flip=maybe", "model=nothing", "model=%00", "min_presence=nan", "min_presence=2", "x=1", "%ff=%fe",
                        "&".join(["box=0,0,9,9"] * 500), "box=-1e5,0,5,5", "locate=true", "model=a&model=b"))  # fmt: skip
    more = _pick(rng, ({}, {}, {"Content-Encoding": "gzip"}, {"Content-Type": "x" * 5000}, {"Content-Type": "image/"}))
    return Malformed(f"address {query[:40]}", query, {"Content-Type": "image/png", **more}, picture)
