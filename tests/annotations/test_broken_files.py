"""Every registered format, broken in many ways: its reader returns labels or complains in one line, and touches nothing.

``benchmarks/fuzz_readers.py`` tries thousands of copies in the same way.
"""

from __future__ import annotations

import os
import pickle
import time
from collections import Counter
from pathlib import Path

import pytest

from helpers.samples import Sample, made_samples, real_samples
from helpers.survival import READ, REFUSED, Bench, Fault, limited, watched
from posewright.annotations import Annotations, formats, read_annotations
from posewright.annotations.pictures import relative_path
from posewright.errors import LONGEST, PosewrightError

COPIES = 50


def outcomes(bench: Bench) -> Counter[str]:
    """What became of the copies; all that follows on reading is tried with every fifth of them."""
    return Counter(bench.try_copy(number, further=number % 5 == 0) for number in range(COPIES))


def need(name: str) -> None:
    """Skip where what reads the format is not installed."""
    pytest.importorskip("h5py")
    if name == "sleap":
        pytest.importorskip("sleap_io", reason="needs sleap-io: pip install 'posewright[sleap]'")


@pytest.mark.parametrize("name", formats())
def test_broken_copies_of_what_is_made(name, tmp_path):
    need(name)
    for i, sample in enumerate(made_samples(name)):
        bench = Bench(sample, tmp_path / str(i))
        assert bench.whole().labelled.sum() >= 5
        found = outcomes(bench)
        assert found[READ] + found[REFUSED] == COPIES
        assert found[REFUSED] >= 3
        assert bench.whole().labelled.any()  # it was mended each time


@pytest.mark.parametrize("name", formats())
def test_broken_copies_of_real_samples(name, shared_data, tmp_path):
    need(name)
    samples = real_samples(name, shared_data)
    if not samples:
        pytest.skip(f"no real sample of {name}")
    for i, sample in enumerate(samples):
        found = outcomes(Bench(sample, tmp_path / str(i)))
        assert found[REFUSED] >= 3


def test_copies_depend_on_seed_and_number_only(tmp_path):
    (sample,) = made_samples("coco")
    a, b, c = (Bench(sample, tmp_path / str(i), seed) for i, seed in enumerate((1, 1, 2)))
    text = [
        [bench.copy(number)[1].replace(str(bench.outside).encode(), b"") for number in range(20)] for bench in (a, b, c)
    ]
    assert text[0] == text[1] != text[2]
    assert len(set(text[0])) > 15


# -- the watch itself --------------------------------------------------------------------------------------------------


def reader(what) -> Sample:  # type: ignore[no-untyped-def]
    """The plain JSON sample; ``what`` runs in the place of its options."""

    class Odd(Sample):
        def read_options(self, extract: Path, *, skip_bad: bool = False):  # type: ignore[no-untyped-def]
            what(extract.parent.parent)
            return super().read_options(extract, skip_bad=skip_bad)

    (sample,) = made_samples("json")
    return Odd(sample.format, sample.name, sample.make)


FAULTS = {
    "a traceback": (lambda place: {}["x"], "KeyError"),
    "a warning": (lambda place: __import__("warnings").warn("odd", stacklevel=1), "UserWarning: odd"),
    "a file beside": (lambda place: (place / "made.txt").write_text("x"), "opened for writing: .*made.txt"),
    "a file opened": (lambda place: (place / "outside/secret.txt").read_text(), "opened: .*secret.txt"),
    "a label file": (lambda place: os.utime(place / "set/labels.json", (1, 1)), "changed files"),
    "a folder": (lambda place: (place / "set/new").mkdir(), "os.mkdir: .*new"),
    "something unpickled": (lambda place: pickle.loads(pickle.dumps(Annotations)), "pickle.find_class"),
    "a process": (lambda place: os.system("true"), "os.system"),
    "several lines": (lambda place: _raise_lines(), "complained in other than one line"),
}


def _raise_lines() -> None:
    error = PosewrightError("x")
    error.args = ("one\ntwo",)
    raise error


@pytest.mark.parametrize("case", FAULTS)
def test_the_watch_sees(case, tmp_path):
    what, says = FAULTS[case]
    with pytest.raises(Fault, match=says):
        Bench(reader(what), tmp_path / "bench").try_copy(1)


def test_the_watch_ends_what_takes_too_long():
    with pytest.raises(Fault, match=r"took"), limited(0.05):
        time.sleep(0.2)


def test_what_may_be_written_is_let_through(tmp_path):
    (tmp_path / "out").mkdir()
    with watched(tmp_path / "out", tmp_path / "outside") as seen:
        (tmp_path / "out/a.txt").write_text("x")
        (tmp_path / "out/a.txt").unlink()
    assert seen == []


# -- what the copies brought to light ----------------------------------------------------------------------------------


def test_an_integer_of_thousands_of_digits(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text('[{"path": "a.png", "keypoints": {"nose": [' + "1" * 5000 + ", 2]}}]")
    with pytest.raises(PosewrightError, match=r"labels.json: is not JSON"):
        read_annotations(path, "json")


@pytest.mark.parametrize("name", ["n" * 300 + ".png", "d/" * 1500 + "a.png", "\ud800.png"])
def test_paths_that_no_file_system_holds(name):
    with pytest.raises(PosewrightError, match=r"is no path"):
        relative_path(name, file=Path("x"), record="r")


def test_a_message_is_short_and_printable():
    error = PosewrightError("name '" + "n" * 5000 + "' is unknown", file="a.json", record="keypoint '\x1b[2J\ud800'")
    assert len(str(error)) < LONGEST + 100
    assert str(error).isprintable()
    assert str(error).startswith("a.json: keypoint '\\x1b[2J\\ud800': name 'nnn")
    assert str(error).endswith("n' is unknown")


def test_hdf5_that_leads_elsewhere_or_is_all_gaps(tmp_path):
    h5py = pytest.importorskip("h5py")
    from posewright.annotations import hdf5

    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = [1.0, 2]
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink("other.h5", "/x")
        file.create_dataset("outside", (2,), "f8", external=[(str(tmp_path / "raw.bin"), 0, 16)])
        file.create_virtual_dataset("virtual", h5py.VirtualLayout((2,), "f8"))
        file.create_dataset("gaps", (1 << 29,), "u1", chunks=(1,))
        file.create_dataset("zeros", (1 << 24, 2), "u1", compression="gzip", data=b"\0" if False else None)
        file["sound"] = [1.0, 2]
    with hdf5.open_hdf5(path) as file:
        assert hdf5.array(file, "sound", path).tolist() == [1, 2]
        for name in ("link", "outside", "virtual"):
            with pytest.raises(PosewrightError, match=r"is kept in another file"):
                hdf5.array(file, name, path)
        for name in ("gaps", "zeros"):
            with pytest.raises(PosewrightError, match=r"claims the shape .*, and is empty"):
                hdf5.array(file, name, path)
