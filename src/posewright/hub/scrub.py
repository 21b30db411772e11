"""Copies of a model file and a checkpoint for others to have, without the paths of the machine that they were made on.

Both tell what they were trained on, and a run notes that as the path of its labels.
"""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import Any

from posewright.errors import PosewrightError
from posewright.files import whole_file
from posewright.protobuf import encode_varint, fields, length_delimited
from posewright.runtime.entries import ENTRY

_PART = r"[^\s\\/:*?\"<>|][^\\/:*?\"<>|\n]*"
_PATH = re.compile(rf"(?<![\w.:/\\])(?:~|[A-Za-z]:)?[\\/]+(?:{_PART}[\\/]+)*({_PART})[\\/]*")
_METADATA = 14
"""Number of ModelProto's field of metadata entries."""


def scrubbed(value: Any) -> Any:
    """A JSON value in whose texts absolute paths are shortened to their last parts."""
    if isinstance(value, str):
        return _PATH.sub(lambda m: m[1], value)
    if isinstance(value, list):
        return [scrubbed(v) for v in value]
    if isinstance(value, dict):
        # Names of keypoints are nobody's paths.
        return {k: v if k == "skeleton" else scrubbed(v) for k, v in value.items()}
    return value


def copy_model(source: Path, target: Path) -> None:
    """Copy an ONNX model file with its description scrubbed; nothing else in it changes.

    Raises:
        PosewrightError: where the source is no whole ONNX file or the target cannot be written.
    """
    out = []
    try:
        for number, value in fields(memoryview(source.read_bytes())):
            if isinstance(value, int):
                out.append(encode_varint(number << 3) + encode_varint(value))
                continue
            pair = dict(fields(value)) if number == _METADATA else {}
            key = pair.get(1)
            if isinstance(key, memoryview) and bytes(key) == ENTRY.encode():
                text = pair[2]
                assert isinstance(text, memoryview)
                clean = json.dumps(scrubbed(json.loads(bytes(text))), allow_nan=False)
                out.append(length_delimited(_METADATA, bytes(_string(1, ENTRY) + _string(2, clean))))
            else:
                out.append(length_delimited(number, bytes(value)))
    except (ValueError, IndexError, KeyError, AssertionError):
        raise PosewrightError("is not a model file, or was cut short", file=source) from None
    with whole_file(target) as temporary:
        temporary.write_bytes(b"".join(out))


def _string(number: int, text: str) -> bytes:
    return length_delimited(number, text.encode())


def copy_checkpoint(source: Path, target: Path) -> None:
    """Copy a checkpoint with its header scrubbed; the weights do not change.

    Raises:
        PosewrightError: where the source is no whole checkpoint or the target cannot be written.
    """
    data = source.read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        own = json.loads(header["__metadata__"][ENTRY])
    except (struct.error, ValueError, KeyError, TypeError):
        raise PosewrightError("is no posewright checkpoint, or was cut short", file=source) from None
    header["__metadata__"][ENTRY] = json.dumps(scrubbed(own))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # as safetensors aligns its tensors
    with whole_file(target) as temporary:
        temporary.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
