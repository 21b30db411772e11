"""Broken copies of files of arrays: HDF5, MATLAB and TFRecord files that open, and hold what no reader expects."""

from __future__ import annotations

import io
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator

_TEXTS = ("", "x", "nan", "../x.png", "/etc/passwd", "a\0b", "é", "n" * 5000, "{", "[]", "null", "(dp0\n.")


def _pick(options: Any, rng: Rng) -> Any:
    return options[int(rng.integers(len(options)))]


def broken_array(array: np.ndarray, rng: Rng) -> Any:
    """The array with NaN, infinite or huge numbers, another type, or another shape."""
    if array.dtype.kind in "OSUV" and rng.random() < 0.5:
        word = _pick(_TEXTS, rng)
        if array.dtype.kind in "SU" and array.size:
            out = array.astype(f"{array.dtype.kind}{max(len(word.encode()), array.dtype.itemsize, 1)}")
            out.flat[int(rng.integers(array.size))] = word.encode() if array.dtype.kind == "S" else word
            return out
    if array.dtype.kind in "iufb" and array.size and rng.random() < 0.6:
        extreme = (np.nan, np.inf, -np.inf, 1e308, -1e30, -1.0, 7.0, 0.5, 1e12)
        out = array.astype(float) if rng.random() < 0.4 else array.copy()
        some = rng.integers(0, out.size, int(rng.integers(1, 4))) if rng.random() < 0.8 else slice(None)
        with np.errstate(all="ignore"):
            if out.dtype.kind == "f":
                out.flat[some] = _pick(extreme, rng)
            elif out.dtype.kind == "b":
                out.flat[some] = ~out.flat[some]
            else:
                limits = np.iinfo(out.dtype)
                out.flat[some] = _pick((limits.min, limits.max, 0, limits.max // 2), rng)
        return out
    kind = int(rng.integers(8))
    if kind == 0:
        return array[: len(array) // 2] if array.ndim else array
    if kind == 1:
        return array[None]
    if kind == 2:
        return array[0] if array.ndim and len(array) else np.zeros((0, 0))
    if kind == 3:
        return array.T
    if kind == 4:
        return array.ravel()
    if kind == 5:
        return np.concatenate([array, array[:1]]) if array.ndim and len(array) else np.zeros(3)
    if kind == 6:
        return np.zeros((0, *array.shape[1:]))
    if array.dtype.kind in "iufb":
        with np.errstate(all="ignore"):
            return array.astype(_pick(("S6", np.int8, np.uint64, np.float16, complex, bool), rng))
    return np.arange(array.size, dtype=float).reshape(array.shape)


# -- HDF5 --------------------------------------------------------------------------------------------------------------


def mutated_hdf5(data: bytes, rng: Rng, outside: Path) -> bytes:
    """One dataset, group, link or attribute of the file changed by h5py itself."""
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.h5"
        path.write_bytes(data)
        with h5py.File(path, "r+") as file:
            names: list[str] = []
            file.visit(names.append)
            if names:
                name = _pick(names, rng)
                holders = [n for n in ("/", *names) if len(file[n].attrs)]
                if holders and rng.random() < 0.25:
                    _break_attribute(file[_pick(holders, rng)].attrs, rng)
                else:
                    _break_dataset(file, name, rng, outside)
        return path.read_bytes()


def _break_dataset(file: Any, name: str, rng: Rng, outside: Path) -> None:
    import h5py

    item = file[name]
    kind = int(rng.integers(10)) if isinstance(item, h5py.Dataset) else int(rng.integers(6))
    if kind == 0:
        del file[name]
    elif kind == 1:
        file.move(name, f"{name}x")
    elif kind == 2:  # links that lead nowhere, to themselves, or out of the file
        del file[name]
        file[name] = _pick(
            (h5py.SoftLink("/nowhere"), h5py.SoftLink(f"/{name}"), h5py.ExternalLink(str(outside / "secret.h5"), "/x")),
            rng,
        )
    elif kind == 3:
        attrs = dict(item.attrs)
        del file[name]
        file[name] = h5py.Empty("f8")
        file[name].attrs.update(attrs)
    elif kind == 4:
        del file[name]
        file.create_group(name)
    elif kind == 5:  # a table that is said to be endless, of which nothing is stored
        del file[name]
        shape = _pick(((1 << 40,), (1 << 20, 1 << 20, 2), (1 << 29,)), rng)
        file.create_dataset(name, shape, _pick(("u1", "f8", h5py.string_dtype()), rng), chunks=(1,) * len(shape))
    else:
        attrs, content = dict(item.attrs), item[()]
        del file[name]
        if isinstance(content, bytes):
            file[name] = _damaged_text(content, rng)
        else:
            broken = broken_array(np.asarray(content), rng)
            if getattr(broken, "dtype", np.dtype(float)).kind in "OU":
                broken = np.asarray([str(v) for v in np.ravel(broken)], object).reshape(np.shape(broken))
                file.create_dataset(name, data=broken, dtype=h5py.string_dtype())
            else:
                file[name] = broken
        for key, value in attrs.items():
            file[name].attrs[key] = value


def _break_attribute(attributes: Any, rng: Rng) -> None:
    import h5py

    name = _pick(list(attributes), rng)
    value = attributes[name]
    kind = int(rng.integers(4))
    if kind == 0:
        del attributes[name]
    elif kind == 1:
        attributes[name] = h5py.Empty("S4")
    elif kind == 2 and isinstance(value, (bytes, np.bytes_, str)) and len(value):
        text = value.encode() if isinstance(value, str) else bytes(value)
        attributes[name] = np.bytes_(_damaged_text(text, rng)[:60000] or b"x")
    else:
        attributes[name] = _pick((-1, 7.5, np.nan, np.zeros((2, 2)), np.bytes_(b"x"), "é", 2**62), rng)


def _damaged_text(text: bytes, rng: Rng) -> bytes:
    from helpers.mutate import mutated_bytes

    return mutated_bytes(text, rng).replace(b"\0", b"")


# -- MATLAB ------------------------------------------------------------------------------------------------------------


def mutated_mat(data: bytes, rng: Rng, outside: Path) -> bytes:
    """One array of the file, on any level of its structs, changed; written with and without compression."""
    from scipy.io import loadmat, savemat

    content = {name: value for name, value in loadmat(io.BytesIO(data)).items() if not name.startswith("__")}
    name = _pick(list(content), rng)
    kind = int(rng.integers(8))
    if kind == 0:
        content[f"{name}x"] = content.pop(name)
    elif kind > 1:
        content[name] = _break_structs(content[name], rng)
    out = io.BytesIO()
    savemat(out, content, do_compression=bool(rng.random() < 0.5))
    if kind == 1:
        return out.getvalue()[: int(rng.integers(len(out.getvalue())))]
    return out.getvalue()


def _break_structs(value: Any, rng: Rng) -> Any:
    """Go down into structs and cells for a while, then break the array that is met there."""
    if not isinstance(value, np.ndarray) or not value.size or rng.random() < 0.1:
        array = np.asarray(value)
        if array.dtype.names or array.dtype.kind == "O":
            return _pick((np.zeros((0, 0)), np.array([[1.0]]), np.array(["x"]), array.reshape(-1)[:0]), rng)
        return _savable(broken_array(array, rng))
    if value.dtype.names:
        name = _pick(value.dtype.names, rng)
        if rng.random() < 0.15 and len(value.dtype.names) > 1:
            left = [n for n in value.dtype.names if n != name]
            out = np.empty(value.shape, [(n, object) for n in left])
            for n in left:
                out[n] = value[n]
            return out
        place = int(rng.integers(value.size))
        value.reshape(-1)[place][name] = _break_structs(value.reshape(-1)[place][name], rng)
        return value
    if value.dtype.kind == "O":
        place = int(rng.integers(value.size))
        value.reshape(-1)[place] = _break_structs(value.reshape(-1)[place], rng)
        return value
    return _savable(broken_array(value, rng))


def _savable(array: Any) -> Any:
    """The array as MATLAB knows it: no bytes, no half-precision numbers."""
    array = np.asarray(array)
    if array.dtype.kind == "S":
        return array.astype(str)
    return array.astype(float) if array.dtype == np.float16 else array


# -- TFRecord ----------------------------------------------------------------------------------------------------------


def mutated_tfrecord(data: bytes, rng: Rng, outside: Path) -> bytes:
    """Records dropped, doubled or changed inside, with checksums that are right for what they hold now."""
    from posewright.annotations.tfrecord import frame, read_example, write_example

    payloads, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        payloads.append(data[at + 12 : at + 12 + size])
        at += 16 + size
    place = int(rng.integers(len(payloads)))
    kind = int(rng.integers(5))
    if kind == 0:
        del payloads[place]
    elif kind == 1:
        payloads.insert(place, payloads[place])
    elif kind == 2:
        from helpers.mutate import mutated_bytes

        payloads[place] = mutated_bytes(payloads[place], rng)
    else:
        features: dict[str, Any] = dict(read_example(memoryview(payloads[place])))
        name = _pick(list(features), rng)
        value = features.pop(name)
        change = int(rng.integers(4))
        if change == 1:
            features[f"{name}x"] = value
        elif change == 2:
            features[name] = (
                value[: len(value) // 2] if rng.random() < 0.5 else b"" if rng.random() < 0.5 else value * 2
            )
        elif change == 3:
            array = np.asarray(value, np.float32) if not isinstance(value, (bytes, memoryview)) else np.zeros(3)
            with np.errstate(all="ignore"):
                features[name] = np.ravel(broken_array(array, rng)).astype(np.float32) if array.size else b"x"
        payloads[place] = write_example(
            {
                k: bytes(v) if isinstance(v, (bytes, memoryview)) else np.asarray(v, np.float32)
                for k, v in features.items()
            }
        )
    return b"".join(frame(payload) for payload in payloads)
