"""The restricted reader of pickles: plain arrays however Python wrote them, and nothing else at all."""

from __future__ import annotations

import builtins
import os
import pickle
import pickletools
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.pickles import python2_pickle
from posewright.errors import PosewrightError
from posewright.legacy.cpm_pickle import read_pickle

ARRAYS = {
    "conv1_1": np.arange(24, dtype=np.float32).reshape(2, 3, 4, 1),
    "conv1_1_b": np.array([0.5, -1, 255], np.float32),
    "empty": np.zeros((0, 3), np.float32),
    "scalar": np.array(2.5),
}


def written(data: bytes, folder: Path) -> Path:
    path = folder / "a.pkl"
    path.write_bytes(data)
    return path


def same(found, arrays) -> bool:
    return list(found) == list(arrays) and all(
        np.array_equal(found[k], a) and found[k].dtype == a.dtype for k, a in arrays.items()
    )


# -- what is read -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("core", ["numpy._core", "numpy.core"])
def test_arrays_of_python_3_in_every_protocol(protocol, core, tmp_path):
    data = pickle.dumps(ARRAYS, protocol)
    if core == "numpy.core":  # numpy 1 wrote the shorter name
        assert b"numpy._core" in data
        if protocol < 4:
            data = data.replace(b"numpy._core", b"numpy.core")
        else:
            data = pickle_with_short_names(data)
    assert same(read_pickle(written(data, tmp_path)), ARRAYS)


def pickle_with_short_names(data: bytes) -> bytes:
    """The same pickle of protocol 4 or 5 with numpy 1's names; the lengths of its frames are counted anew."""
    for name in ("multiarray", "numeric"):
        new, old = f"numpy._core.{name}".encode(), f"numpy.core.{name}".encode()
        data = data.replace(b"\x8c" + bytes([len(new)]) + new, b"\x8c" + bytes([len(old)]) + old)
    return pickletools.optimize(data)


@pytest.mark.parametrize("kind", ["<f4", "<f8", "<f2", "<i4", "|u1", "|b1"])
def test_arrays_of_python_2(kind, tmp_path):
    arrays = {"conv1_1": (np.arange(600) % 200).reshape(300, 2).astype(kind), "b": np.arange(3).astype(kind)}
    data = python2_pickle(arrays)
    assert pickle.loads(data, encoding="latin1").keys() == arrays.keys()  # so that the helper is right
    assert same(read_pickle(written(data, tmp_path)), arrays)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_orders_of_bytes_and_of_axes(protocol, tmp_path):
    arrays = {
        "big": np.arange(6, dtype=">f4").reshape(2, 3),
        "fortran": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4)),
        "strided": np.arange(20, dtype=np.float32)[::2],
        "twice": np.ones(3, np.float32),
    }
    arrays["again"] = arrays["twice"]
    assert same(read_pickle(written(pickle.dumps(arrays, protocol), tmp_path)), arrays)


# -- what is refused, and runs nothing --------------------------------------------------------------------------------


class Call:
    """Pickles as the call of any function."""

    def __init__(self, *how):
        self.how = how

    def __reduce__(self):
        return self.how


def text(t: str) -> bytes:
    return b"\x8c" + bytes([len(t)]) + t.encode()


NDARRAY = b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
FLOAT = b"cnumpy\ndtype\n" + b"\x8c\x02f4\x89\x88\x87R(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def array(shape: bytes, data: bytes, kind: bytes = FLOAT) -> bytes:
    """A pickle of {"a": array}, its parts as given."""
    return b"\x80\x04}" + text("a") + NDARRAY + b"(K\x01" + shape + kind + b"\x89" + data + b"tbs."


def hostile(witness: str) -> dict[str, tuple[bytes, str]]:
    """Pickles that would leave ``witness`` behind, or fill the memory, and what the refusal names."""
    shell = f"touch {witness}"
    line = f"open({witness!r}, 'w')"
    cases = {}
    for p in range(6):
        cases[f"system{p}"] = (pickle.dumps({"a": Call(os.system, (shell,))}, p), r"(posix|nt)\.system")
    cases |= {
        "eval": (pickle.dumps(Call(builtins.eval, (line,)), 2), r"(__builtin__|builtins)\.eval"),
        "exec": (pickle.dumps([Call(builtins.exec, (line,))], 4), r"builtins\.exec"),
        "popen": (pickle.dumps({"a": Call(subprocess.Popen, (["touch", witness],))}, 4), r"subprocess\.Popen"),
        "getattr": (
            pickle.dumps(Call(getattr, (Call(__import__, ("os",)), "system")), 4),
            r"builtins\.(getattr|__import__)",
        ),
        "nested": (nested(shell), r"builtins\.getattr"),
        "state": (b"\x80\x02cos\nsystem\n" + b"}" + b"b.", r"os\.system"),
        "dotted": (
            b"\x80\x04" + text("numpy") + text("os.system") + b"\x93" + text(shell) + b"\x85R.",
            r"numpy\.os\.system",
        ),
        "memo": (
            b"\x80\x04" + text("os") + b"\x940" + text("system") + b"\x940h\x00h\x01\x93" + text(shell) + b"\x85R.",
            r"os\.system",
        ),
        "newobj": (
            b"\x80\x04" + text("subprocess") + text("Popen") + b"\x93" + text(shell) + b"\x85\x81.",
            r"subprocess\.Popen",
        ),
        "inst": (b"(S'" + shell.encode() + b"'\nios\nsystem\n.", r"os\.system"),
        "object": (b"(cos\nsystem\nS'" + shell.encode() + b"'\no.", r"os\.system"),
        "scalar": (pickle.dumps({"a": np.float64(3)}, 2), r"numpy\._core\.multiarray\.scalar"),
        "scalar with code": (
            pickle.dumps(Call(np.float64(1).__reduce__()[0], (np.dtype("O"), b"")), 2),
            r"multiarray\.scalar",
        ),
        "numpy code": (b"\x80\x02cnumpy.testing._private.utils\nrunstring\n" + text(line) + b"}\x86R.", "runstring"),
        "load": (b"\x80\x02cnumpy\nload\n" + text("/etc/passwd") + b"\x85R.", r"numpy\.load"),
        "objects": (pickle.dumps({"a": np.array([Call(os.system, (shell,))], object)}, 2), r"(posix|nt)\.system"),
        "plain objects": (pickle.dumps({"a": np.array([1, "x"], object)}, 2), "array of type 'O8', not of numbers"),
        "records": (pickle.dumps({"a": np.zeros(2, [("x", "f4")])}, 2), "array of type 'V4', not of numbers"),
        "texts": (pickle.dumps({"a": np.array(["x", "y"])}, 2), "array of type 'U1', not of numbers"),
        "subclass": (pickle.dumps({"a": np.ma.masked_array([1.0])}, 2), r"numpy\.ma"),
        "extension": (b"\x80\x02\x82\x01.", "operation EXT1"),
        "persistent": (b"\x80\x02" + text("x") + b"Q.", "operation BINPERSID"),
        "codec": (b"\x80\x04c_codecs\nencode\n" + text("x") + text("zlib_codec") + b"\x86R.", "encoding 'zlib_codec'"),
        "state of a name": (
            b"\x80\x04cnumpy\nndarray\nN}" + text("__call__") + text("x") + b"s\x86b.",
            "sets the state",
        ),
        "buffers": (b"\x80\x05\x97.", "operation NEXT_BUFFER"),
        "references": (b"\x80\x02}r\xff\xff\xff\x7f.", "claims 2147483647 references"),
        "bytes": (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.", "damaged or cut short"),
        "shape": (
            array(b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86", b"C\x04abcd"),
            "claims 18446744056529682436 bytes and has 4",
        ),
        "negative": (array(b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86", b"C\x04abcd"), "'a' is no array of numbers"),
        "wide": (array(b"(" + b"K\x01" * 40 + b"t", b"C\x04abcd"), "'a' is no array of numbers"),
        "list": (array(b"K\x01\x85", b"]"), "'a' is no array of numbers"),
        "bare": (b"\x80\x04}" + text("a") + NDARRAY + b"s.", "'a' is no array of numbers"),
        "no type": (array(b"K\x01\x85", b"C\x04abcd", b"N"), "'a' is no array of numbers"),
        "called": (b"\x80\x02cnumpy\nndarray\nK\x09\x85R.", "made in a way that numpy does not write"),
    }
    return cases


def nested(shell: str) -> bytes:
    """The result of one call called: getattr(os, "system")(shell)."""
    return (
        b"\x80\x04" + text("builtins") + text("getattr") + b"\x93" + text("os") + text("system") + b"\x86R"
        + text(shell) + b"\x85R."
    )  # fmt: skip


@pytest.mark.parametrize("case", hostile("x"))
def test_a_hostile_pickle_is_refused_by_name_and_runs_nothing(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, says = hostile(str(tmp_path / "witness"))[case]
    path = written(data, tmp_path)
    for name in ("system", "popen"):
        monkeypatch.setattr(os, name, lambda *a: pytest.fail("ran"))
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: pytest.fail("ran"))
    modules = set(sys.modules)
    with pytest.raises(PosewrightError, match=says) as caught:
        read_pickle(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pkl"]
    assert not {m for m in set(sys.modules) - modules if not m.startswith("numpy")}


def endless(times: int = 90) -> bytes:
    """A tuple that holds one tuple twice, which holds one tuple twice, and so on: 2 to the 90th empty ones in all."""
    return b")" + b"2\x86" * times


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x80\x04}" + endless() + b"Ns.", "holds a dict with a tuple for a name"),
        (b"\x80\x04}(" + endless() + b"Nu.", "holds a dict with a tuple for a name"),
        (b"(" + endless() + b"Nd.", "holds a dict with a tuple for a name"),
        (b"\x80\x04cnumpy\ndtype\n" + endless() + b"\x85R.", "an array of type tuple, not of numbers"),
        (b"\x80\x04c_codecs\nencode\n" + text("a") + endless() + b"\x86R.", "asks for the encoding tuple"),
    ],
)
def test_what_would_take_for_ever_to_hash_or_to_print_is_refused_at_once(data, says, tmp_path):
    with pytest.raises(PosewrightError, match=says):
        read_pickle(written(data, tmp_path))


def test_a_text_that_many_arrays_share_is_kept_once(tmp_path):
    """Python 2's bytes are text to Python 3: a small file can say a thousand times "the same megabytes again"."""
    arrays = {"a": np.zeros(1_000_000, np.uint8)}
    arrays |= {f"a{i}": arrays["a"] for i in range(500)}
    found = read_pickle(written(pickle.dumps(arrays, 2), tmp_path))
    assert len({a.__array_interface__["data"][0] for a in found.values()}) == 1


def test_the_witness_works(tmp_path):
    """The attacks are real: Python's own unpickler falls for them."""
    witness = tmp_path / "witness"
    for case in ("system2", "memo", "inst", "objects"):
        pickle.loads(hostile(str(witness))[case][0])
        assert witness.exists(), case
        witness.unlink()


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.ones(3), "holds a single array, not a dict"),
        ([np.ones(3)], "holds a list, not a dict"),
        ({"a": {"b": np.ones(3)}}, "'a' is a dict, not an array"),
        ({"a": 3.5}, "'a' is a float, not an array"),
        ({3: np.ones(2)}, "holds a dict with a int for a name"),
    ],
)
def test_pickles_of_other_things(value, says, tmp_path):
    with pytest.raises(PosewrightError, match=says):
        read_pickle(written(pickle.dumps(value, 2), tmp_path))


@pytest.mark.parametrize("data", [b"", b"\x80", b"hello", b"\x80\x02}q\x00", bytes(range(256)) * 9])
def test_files_that_are_no_pickle(data, tmp_path):
    with pytest.raises(PosewrightError, match=r"was damaged or cut short|nothing of it was run"):
        read_pickle(written(data, tmp_path))
    with pytest.raises(PosewrightError, match="does not exist"):
        read_pickle(tmp_path / "none.pkl")


@settings(max_examples=100, deadline=None)
@given(st.sampled_from([0, 2, 4, 5, "python 2"]), st.data())
def test_damage_ends_in_a_refusal_or_in_arrays(tmp_path_factory, protocol, data):
    whole = python2_pickle(ARRAYS) if protocol == "python 2" else pickle.dumps(ARRAYS, protocol)
    damaged = bytearray(whole)
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        damaged[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.pkl"
    path.write_bytes(bytes(damaged[: data.draw(st.integers(len(whole) // 2, len(whole)))]))
    try:
        found = read_pickle(path)
    except PosewrightError:
        return
    assert all(isinstance(a, np.ndarray) and a.dtype.kind in "fiub" for a in found.values())
