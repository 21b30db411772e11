"""Reading a request for poses: a picture as it is, a form with pictures, or JSON with pictures in base64."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from posewright.errors import did_you_mean
from posewright.web.service.limits import Limits, Refusal
from posewright.web.service.schemas import Options, PosesRequest, Query

RAW = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/bmp",
    "image/tiff",
    "image/gif",
    "image/jp2",
    "image/x-portable-anymap",
    "application/octet-stream",
)
"""Media types of a body that is one picture; which format it really has is seen from its first bytes."""
_ALSO = (
    "image/jpg",
    "image/pjpeg",
    "image/x-ms-bmp",
    "image/x-portable-pixmap",
    "image/x-portable-graymap",
    "image/*",
    "",
)
FORM, JSON = "multipart/form-data", "application/json"
PICTURE, BOXES = "picture", "boxes"
"""Names of a form's fields."""

Boxes = list[list[float]]


@dataclass
class Sent:
    """One picture of a request.

    Attributes:
        data: the file.
        name: what the answer calls it.
        boxes: of its objects; None where it brings none.
        where: how messages call it.
    """

    data: bytes
    name: str = ""
    boxes: Boxes | None = None
    where: str = "the picture"


@dataclass
class Asked:
    """What a request wants: see :class:`posewright.web.service.schemas.Options`."""

    pictures: list[Sent]
    model: str | None = None
    flip: bool = False
    min_presence: float = 0.0
    locate: bool | None = None


def media_type(header: str | None) -> str:
    """The media type of a Content-Type header, without its parameters.

    Raises:
        Refusal: 415 where a body of that type is not read.
    """
    kind = (header or "").partition(";")[0].strip().lower()
    if kind in (*RAW, *_ALSO, FORM, JSON):
        return kind
    message = (
        f"a body of type '{kind[:100]}' is not read here; send a picture (image/jpeg, image/png, ...), {FORM} or {JSON}"
    )
    raise Refusal(415, "media_type", message)


def read_asked(kind: str, header: str, body: bytes, query: Query, limits: Limits) -> Asked:
    """Read a request.

    Args:
        kind: what :func:`media_type` said of it.
        header: the header Content-Type.
        body: as it came.
        query: what the address says, which goes before what the body says.
        limits: on pictures and boxes.

    Raises:
        Refusal: 400 where the body is not what it is said to be, 422 where it holds something else than it may.
    """
    if kind == JSON:
        pictures, said = _json(body)
    elif kind == FORM:
        pictures, said = _form(header, body, limits)
    else:
        pictures, said = [Sent(body)], {}
    said |= query.model_dump(exclude_unset=True, exclude={"box"})
    if len(pictures) > limits.pictures:
        raise Refusal(422, "pictures", f"{len(pictures)} pictures are more than the {limits.pictures} of one request")
    given = [[float(part) for part in box.split(",")] for box in query.box] or None
    count = 0
    for picture in pictures:
        picture.boxes = given if picture.boxes is None else picture.boxes
        count += len(picture.boxes or ())
    if count > limits.boxes:
        raise Refusal(422, "boxes", f"{count} boxes are more than the {limits.boxes} of one request")
    return Asked(pictures, **said)


def _json(body: bytes) -> tuple[list[Sent], dict[str, Any]]:
    try:
        read = PosesRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if first["type"] == "json_invalid":
            raise Refusal(400, "json", f"the body is not JSON: {first['msg'].partition(': ')[2][:200]}") from None
        raise Refusal(422, "request", problem(first)) from None
    pictures = []
    for number, sent in enumerate(read.pictures):
        where, text = f"pictures[{number}]", sent.data
        if text.startswith("data:"):
            text = text.partition(",")[2]
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise Refusal(422, "request", f"{where}.data is not base64") from None
        pictures.append(Sent(data, sent.name, sent.boxes, where))
    return pictures, read.model_dump(exclude_unset=True, exclude={"pictures"})


def problem(error: Mapping[str, Any]) -> str:
    """One of pydantic's errors as a line."""
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    what = {
        "extra_forbidden": "is not known here",
        "string_pattern_mismatch": "has to be left,top,right,bottom, such as 40,20,180,400",  # only boxes have a pattern
    }.get(error["type"], error["msg"])
    return f"{place[:200] or 'the body'}: {what}"


# -- forms -------------------------------------------------------------------------------------------------------------


@dataclass
class _Part:
    headers: dict[str, bytes] = field(default_factory=dict)
    name: bytes = b""
    value: bytes = b""
    data: bytearray = field(default_factory=bytearray)


def _form(header: str, body: bytes, limits: Limits) -> tuple[list[Sent], dict[str, Any]]:
    pictures: list[Sent] = []
    said: dict[str, Any] = {}
    known = [*Options.model_fields, BOXES, PICTURE]
    for part in _parts(header, body, limits.pictures + len(known)):
        name, file = _names(part)
        if name == PICTURE:
            pictures.append(Sent(bytes(part.data), file, None, f"picture {len(pictures)} ('{file}')"))
        elif name not in known:
            raise Refusal(422, "request", f"unknown field '{name[:100]}'. {did_you_mean(name[:100], known)}")
        elif name in said:
            raise Refusal(422, "request", f"the field '{name}' is there twice")
        else:
            said[name] = part.data.decode("utf-8", "replace")
    if not pictures:
        raise Refusal(422, "request", f"the form holds no picture; send the files in fields named '{PICTURE}'")
    boxes = said.pop(BOXES, None)
    if boxes is not None:
        for picture, its in zip(pictures, _form_boxes(boxes, len(pictures)), strict=True):
            picture.boxes = its
    try:
        return pictures, Options.model_validate(said).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise Refusal(422, "request", problem(error.errors(include_url=False, include_input=False)[0])) from None


def _form_boxes(text: str, count: int) -> list[Boxes | None]:
    """The field ``boxes``: JSON, one list of boxes a picture, or null."""
    what = f"{BOXES} has to be JSON: a list with one entry a picture, each a list of [left, top, right, bottom] or null"
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError):
        raise Refusal(422, "request", what) from None
    if not isinstance(entries, list) or len(entries) != count:
        raise Refusal(422, "request", f"{what}; there are {count} pictures")
    if not all(entry is None or (isinstance(entry, list) and all(map(_is_box, entry))) for entry in entries):
        raise Refusal(422, "request", what)
    return entries


def _is_box(box: object) -> bool:
    return (
        isinstance(box, list)
        and len(box) == 4
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < 1e300 for v in box)
    )


def _parts(header: str, body: bytes, most: int) -> list[_Part]:
    """The parts of a form.

    Raises:
        Refusal: 400 where it is no form, or has more parts than any that is answered.
    """
    parts: list[_Part] = []
    ended = False

    def begin() -> None:
        if len(parts) >= most:
            raise Refusal(422, "request", f"the form has more than {most} parts")
        parts.append(_Part())

    def header_field(data: bytes, start: int, end: int) -> None:
        parts[-1].name += data[start:end]

    def header_value(data: bytes, start: int, end: int) -> None:
        parts[-1].value += data[start:end]

    def header_end() -> None:
        part = parts[-1]
        part.headers[part.name.decode("latin-1").lower()] = part.value
        part.name = part.value = b""

    def content(data: bytes, start: int, end: int) -> None:
        parts[-1].data += data[start:end]

    def end() -> None:
        nonlocal ended
        ended = True

    try:
        boundary = parse_options_header(header)[1].get(b"boundary")
        if not boundary:
            raise Refusal(400, "form", f"the header Content-Type of {FORM} lacks its boundary")
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": begin,
                "on_header_field": header_field,
                "on_header_value": header_value,
                "on_header_end": header_end,
                "on_part_data": content,
                "on_end": end,
            },
        )
        parser.write(body)
        parser.finalize()
    except (FormParserError, UnicodeError) as error:
        raise Refusal(400, "form", f"the body is not {FORM}: {str(error)[:200]}") from None
    if not ended:
        raise Refusal(400, "form", f"the body is cut short: its {FORM} data have no end")
    return parts


def _names(part: _Part) -> tuple[str, str]:
    """A part's field name and file name."""
    _, options = parse_options_header(part.headers.get("content-disposition", b"").decode("latin-1"))
    name, file = (options.get(key, b"").decode("utf-8", "replace") for key in (b"name", b"filename"))
    return name, file[:1000]
