"""Broken copies of label files: bytes flipped, ends cut off, fields dropped, types changed, numbers and paths made hostile.

A structured file is mostly taken apart, broken in one place and put together again, so that the damage gets past the
parser to the reader behind it; ``helpers.mutate_arrays`` does so for HDF5, MATLAB and TFRecord files.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from helpers.mutate_arrays import mutated_hdf5, mutated_mat, mutated_tfrecord

Rng = np.random.Generator

WORDS = (
    *(b"null", b"true", b"NaN", b"nan", b"inf", b"-1", b"0", b"1e400", b"-1e308", b"99999999999999999999", b"7" * 5000),
    *(b'"x"', b"[]", b"{}", b"[", b'"', b"", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\x1b[2J", b"&x;", b"<", b"%s"),
    *(b"../../etc/passwd", b"/etc/passwd", b"C:\\x.png", b"a" * 5000 + b".png", b"[" * 20000),
)
"""What is written over a piece of a file, whatever it is."""

_VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "x", "3", "nan", [], {}, [[]], [None], {"x": {}}, "é\u2028", "\ud800", "a\0b", "\x1b[2J"),
    *(math.nan, math.inf, -math.inf, 1e308, -1e308, 1e-320, 0, -1, 0.5, 7, 2**31, 2**63, -(2**63), 10**30, 10**400),
    *("../x.png", "a/../../../x.png", "/etc/passwd", "C:\\x.png", "\\\\host\\x.png", "file:///etc/passwd", "."),
    *("n" * 5000 + ".png", "d/" * 600 + "x.png", ["x"] * 3, [1, 2], [[1, 2], [3]]),
)
"""What stands in the place of a value of JSON or YAML."""


def mutated(data: bytes, name: str, rng: Rng, outside: Path) -> bytes:
    """A broken copy of a file.

    Args:
        data: what the whole file holds.
        name: the file's name, whose ending says what it is.
        rng: decides what is broken and where.
        outside: a folder that no reader has any business in; hostile paths lead there.
    """
    by_ending: dict[str, Callable[[bytes, Rng, Path], bytes]] = {
        ".json": _json,
        ".jsonl": _packed_index,
        ".xml": _xml,
        ".yaml": _yaml,
        ".yml": _yaml,
        ".csv": _csv,
        ".h5": mutated_hdf5,
        ".slp": mutated_hdf5,
        ".mat": mutated_mat,
        ".tfrecords": mutated_tfrecord,
        ".txt": _text,
        ".pts": _text,
    }
    structured = by_ending.get(Path(name).suffix.lower())
    if structured is None or rng.random() < 0.35:
        return mutated_bytes(data, rng)
    broken = structured(data, rng, outside)
    return mutated_bytes(broken, rng) if rng.random() < 0.05 else broken


def mutated_bytes(data: bytes, rng: Rng) -> bytes:
    """Bytes flipped, an end cut off, a piece left out or doubled, a word in the place of another, all or nothing."""
    out, size = bytearray(data), len(data)
    a, b = sorted(int(i) for i in rng.integers(0, size + 1, 2))
    kind = int(rng.integers(7))
    if kind == 0:
        for i in rng.integers(0, size, int(rng.integers(1, 12))) if size else ():
            out[i] ^= int(rng.integers(1, 256))
    elif kind == 1:
        del out[a:]
    elif kind == 2:
        del out[a : min(b, a + int(rng.integers(1, 200)))]
    elif kind == 3:
        out[a:a] = out[a : min(b, a + int(rng.integers(1, 200)))]
    elif kind == 4:
        word = _pick(WORDS, rng)
        out[a : a + len(word)] = word
    elif kind == 5:
        places = [i for i in range(1, min(size, 1 << 16)) if data[i - 1] in b' :[,\n"' and data[i] not in b' :[],\n"{}']
        if places:
            start = places[int(rng.integers(len(places)))]
            end = next((i for i in range(start, size) if data[i] in b' ,]}\n"'), size)
            out[start:end] = _pick(WORDS, rng)
    else:
        return _pick((b"", b"\xef\xbb\xbf" + data, data.replace(b"\n", b"\r\n"), data + data, bytes(size)), rng)
    return bytes(out)


def _pick(options: Any, rng: Rng) -> Any:
    return options[int(rng.integers(len(options)))]


# -- trees of values: JSON, YAML ---------------------------------------------------------------------------------------


def _break_tree(tree: Any, rng: Rng, outside: Path) -> Any:
    """One value of nested lists and dictionaries dropped, doubled, moved, renamed or replaced, in place."""
    if not isinstance(tree, (list, dict)) or not tree or rng.random() < 0.02:
        return _value(rng, outside)
    holder = tree
    while True:  # down to a random depth, so that the few values at the top are met as often as the many below
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        key = _pick(keys, rng)
        below = holder[key]
        if not (isinstance(below, (list, dict)) and below) or rng.random() < 0.25:
            break
        holder = below
    kind = int(rng.integers(8))
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(int(key), below)
    elif kind == 1:
        holder[str(_value(rng, outside))[:99]] = holder.pop(key)
    elif kind == 2:
        holder[key] = [below] if rng.random() < 0.5 else {"x": below}
    elif kind == 3 and isinstance(below, (int, float)):
        holder[key] = _pick([below * 1e9, -below, str(below), below + 0.5, float("nan"), below * 10**25], rng)
    elif kind == 4:
        other = holder[_pick(keys, rng)]  # a neighbour's value: an id used twice, a name in the place of a number
        holder[key] = other
    elif kind == 5 and isinstance(below, (list, dict)):
        below.clear()
    else:
        holder[key] = _value(rng, outside)
    return tree


def _value(rng: Rng, outside: Path) -> Any:
    hostile = (str(outside / "secret.png"), f"../{outside.name}/secret.png", f"file://{outside}/secret.png")
    return _pick((*_VALUES, *hostile), rng)


def _json(data: bytes, rng: Rng, outside: Path) -> bytes:
    tree = _break_tree(json.loads(data), rng, outside)
    text = json.dumps(tree, ensure_ascii=bool(rng.random() < 0.9))
    if rng.random() < 0.05:
        text = re.sub(r"\d+(?=[,\]}])", "1" * 5000, text, count=1)  # an integer that Python itself refuses to read
    return text.encode("utf-8", "surrogatepass")


def _packed_index(data: bytes, rng: Rng, outside: Path) -> bytes:
    """One line of a packed set's index broken, and mostly with checksums that are right for what the others hold now."""
    lines = data.splitlines()
    at = min(int(rng.integers(len(lines) + 2)), len(lines) - 1)
    lines[at] = _json(lines[at], rng, outside)
    header = json.loads(lines[0]) if at else None
    if isinstance(header, dict) and rng.random() < 0.9:
        rest = b"".join(line + b"\n" for line in lines[2:])
        header["crc32"] = {"members": zlib.crc32(lines[1] + b"\n"), "labels": zlib.crc32(rest)}
        lines[0] = json.dumps(header).encode()
    return b"".join(line + b"\n" for line in lines)


def _yaml(data: bytes, rng: Rng, outside: Path) -> bytes:
    import yaml

    if rng.random() < 0.3:
        bomb = "\n".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9))
        return (
            data
            + _pick(
                (
                    f"\na0: &a0 [x]\n{bomb}\n",
                    "\nnames: &n {0: *n}\nskeleton: &s [*s]\n",
                    f'\nx: !!python/object/apply:os.mkdir ["{outside}/made"]\n',
                    "\nkpt_shape: 2001-99-99\n",
                    "\n<<: [1, 2]\n",
                    "\n? [1, 2]\n: 3\n? {a: 1}\n: 4\n",
                ),
                rng,
            ).encode()
        )
    tree = _break_tree(yaml.safe_load(data), rng, outside)
    return yaml.dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")


# -- XML ---------------------------------------------------------------------------------------------------------------


def _xml(data: bytes, rng: Rng, outside: Path) -> bytes:
    if rng.random() < 0.25:
        return _entities(data, rng, outside)
    root = ElementTree.fromstring(data)
    parents = [(parent, child) for parent in root.iter() for child in parent]
    kind = int(rng.integers(6))
    word = str(_value(rng, outside)).replace("\0", "").replace("\ud800", "")
    element = _pick([root, *(child for _, child in parents)], rng)
    if kind == 0 and parents:
        parent, child = _pick(parents, rng)
        parent.remove(child)
    elif kind == 1 and parents:
        parent, child = _pick(parents, rng)
        parent.append(child)
    elif kind == 2 and element.attrib:
        del element.attrib[_pick(list(element.attrib), rng)]
    elif kind == 3 and any(e.attrib for e in root.iter()):
        element = _pick([e for e in root.iter() if e.attrib], rng)
        element.set(_pick(list(element.attrib), rng), word)
    elif kind == 4:
        element.tag = _pick(("x", root.tag, "points", "keypoint"), rng)
    else:
        element.text = word
    return ElementTree.tostring(root)


def _entities(data: bytes, rng: Rng, outside: Path) -> bytes:
    """The classics: entities of entities, a file's content as an entity, a document type fetched from elsewhere."""
    name = re.search(rb"<([A-Za-z_][\w.-]*)", data)
    root = name.group(1).decode() if name else "x"
    laughs = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))
    kind, entity = _pick(
        (
            (f'[<!ENTITY e0 "ha">{laughs}]', "&e9;"),
            (f'[<!ENTITY f SYSTEM "file://{outside}/secret.txt">]', "&f;"),
            (f'SYSTEM "file://{outside}/secret.txt"', "x"),
            (f'[<!ENTITY % p SYSTEM "file://{outside}/secret.txt"> %p;]', "x"),
            (f'[<!ENTITY q "{"a" * 20000}">]', "&q;" * 2000),
            ("[]", "&unknown;"),
        ),
        rng,
    )
    body = re.sub(rb"^\s*<\?xml[^>]*\?>", b"", data)
    body = re.sub(rb"<!DOCTYPE[^>\[]*(\[[^\]]*\])?\s*>", b"", body)
    texts = [m.start() + 1 for m in re.finditer(rb">[^<>]*\w[^<>]*<", body)] or [body.find(b">") + 1]
    place = _pick(texts, rng)
    head = f'<?xml version="1.0"?><!DOCTYPE {root} {kind}>'.encode()
    return head + body[:place] + entity.encode() + body[place:]


# -- tables and lines of text ------------------------------------------------------------------------------------------


def _csv(data: bytes, rng: Rng, outside: Path) -> bytes:
    rows = list(csv.reader(io.StringIO(data.decode())))
    row = _pick(rows, rng)
    column = int(rng.integers(max(map(len, rows))))
    kind = int(rng.integers(7))
    if kind == 0:
        rows.remove(row)
    elif kind == 1:
        rows.insert(int(rng.integers(len(rows))), row)
    elif kind == 2:
        rows = [[cell for i, cell in enumerate(line) if i != column] for line in rows]
    elif kind == 3:
        rows = [[*line, line[column] if column < len(line) else ""] for line in rows]
    elif kind == 4 and row:
        del row[int(rng.integers(len(row)))]
    elif row:
        row[int(rng.integers(len(row)))] = str(_value(rng, outside))
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", delimiter=_pick(",,,,;\t", rng)).writerows(rows)
    return out.getvalue().encode("utf-8", "surrogatepass")


def _text(data: bytes, rng: Rng, outside: Path) -> bytes:
    lines = data.decode().split("\n")
    at = int(rng.integers(len(lines)))
    tokens = lines[at].split(" ")
    word = int(rng.integers(len(tokens)))
    kind = int(rng.integers(6))
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[at])
    elif kind == 2:
        del tokens[word]
        lines[at] = " ".join(tokens)
    elif kind == 3:
        tokens.insert(word, tokens[word])
        lines[at] = " ".join(tokens)
    else:
        tokens[word] = str(_value(rng, outside))
        lines[at] = " ".join(tokens)
    return "\n".join(lines).encode("utf-8", "surrogatepass")
