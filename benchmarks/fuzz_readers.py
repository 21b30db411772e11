"""Broken copies of label files of every format, read one by one: each must give labels or one line of complaint.

    python benchmarks/fuzz_readers.py
    python benchmarks/fuzz_readers.py --copies 50 --format coco yolo-pose
    python benchmarks/fuzz_readers.py --format coco --copy 1234

Every registered format is broken: the sample that the tests make of it and, where the shared data is at hand, those that
tools wrote themselves. Each copy is read in a process that may take 10 seconds a copy and 2 GiB of memory, and is ended
where it crashes. What was read is written as COCO, read back, and inspected. Beside exceptions, a fault is: a complaint of
several lines, a warning, a file written anywhere else, a file opened outside the set, anything started or unpickled.
Copy number n is the same for the same seed, so that a fault can be looked at again with ``--copy``.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import tyro

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests"))  # what is broken, and how, is shared with the tests

from helpers.samples import Sample, made_samples, real_samples  # noqa: E402
from helpers.survival import LIMIT, Bench, Fault  # noqa: E402
from posewright.annotations import formats, get_format  # noqa: E402
from posewright.console import progress_bar  # noqa: E402
from posewright.reports.tables import print_table  # noqa: E402

MEMORY = 2 << 30
"""Bytes that reading may take beside what the process takes before."""
LARGEST_FILE = 256 << 20
"""Bytes that a file it writes may have."""


@dataclass(frozen=True)
class Args:
    """Read broken copies of label files of every format."""

    copies: int = 2000
    """Of each sample."""
    seed: int = 0
    """Of what is broken in which copy."""
    format: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME ...")] = ()
    """Only these formats."""
    copy: int | None = None
    """Only this copy of each sample, with the traceback where it fails."""
    data: Path = CHECKOUT.parent / "shared" / "data"
    """Real samples lie in its folder formats/; POSEWRIGHT_DATA where that is set."""
    faults: int = 20
    """Of each sample, how many faults are listed."""


@dataclass
class Tally:
    """What became of a sample's copies."""

    sample: Sample
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0


def main(args: Args) -> int:
    shared = Path(os.environ.get("POSEWRIGHT_DATA") or args.data)
    names = [get_format(name).name for name in args.format] or list(formats())
    samples = [s for name in names for s in (*made_samples(name), *real_samples(name, shared))]
    if args.copy is not None:
        return _one(samples, args.copy, args.seed)
    tallies = []
    with progress_bar("reading broken copies", len(samples) * args.copies) as advance:
        for place in range(len(samples)):
            tallies.append(_break(names, place, args, shared, advance))
    rows = [
        {
            "format": t.sample.format,
            "sample": t.sample.name,
            "copies": sum(t.counts.values()),
            "read": t.counts["read"],
            "refused": t.counts["refused"],
            "failed": t.counts["failed"],
            "ms a copy": round(1000 * t.seconds / max(1, sum(t.counts.values()))),
            "slowest, s": round(t.slowest, 2),
        }
        for t in tallies
    ]
    total: dict[str, Any] = {"format": "all", "sample": ""}
    total |= {name: sum(row[name] for row in rows) for name in ("copies", "read", "refused", "failed")}
    total |= {"ms a copy": "", "slowest, s": max(row["slowest, s"] for row in rows)}
    print_table([*rows, total], f"Broken copies, seed {args.seed}.", strong=[-1])
    for tally in tallies:
        for line in tally.faults[: args.faults]:
            print(line)
    return 1 if total["failed"] else 0


def _one(samples: list[Sample], number: int, seed: int) -> int:
    for sample in samples:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(sample, Path(folder) / "bench", seed)
            path, broken = bench.copy(number)
            print(f"{sample.format}, {sample.name}, {path.name}: {len(broken)} bytes, {broken[:300]!r}")
            print(bench.try_copy(number))
    return 0


# -- one process that reads, one that watches it -----------------------------------------------------------------------


def _break(names: list[str], place: int, args: Args, shared: Path, advance: Any) -> Tally:
    """All copies of one sample; a new process takes over wherever one was ended."""
    samples = [s for name in names for s in (*made_samples(name), *real_samples(name, shared))]
    tally = Tally(samples[place])
    context = multiprocessing.get_context("spawn")
    number = 0
    while number < args.copies:
        ours, theirs = context.Pipe()
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        job = (names, place, shared, args.seed, number, args.copies, folder)
        process = context.Process(target=_worker, args=(theirs, *job), daemon=True)
        process.start()
        theirs.close()
        number = _listen(process, ours, tally, number, args.copies, advance)
        process.join()
        shutil.rmtree(folder, ignore_errors=True)
    return tally


def _listen(process: Any, pipe: Connection, tally: Tally, number: int, copies: int, advance: Any) -> int:
    """Count what a process tells, until it has read all copies or must be ended; the number of the next copy."""
    # The alarm inside the process comes first; only what hangs outside of Python is ended from here.
    limit = 60 + LIMIT  # it has to start
    while number < copies:
        begun = time.monotonic()
        word = "crashed"
        try:
            if pipe.poll(limit):
                outcome, word, seconds = pipe.recv()
            else:
                process.kill()
                outcome, word, seconds = "ended", f"took more than {limit:g} s outside of Python", limit
        except (EOFError, OSError):
            process.join()
            outcome, seconds = "ended", time.monotonic() - begun
            word = f"the process crashed, exit code {process.exitcode}"
        limit = 1.5 * LIMIT
        if outcome == "started":
            continue
        failed = outcome in ("failed", "ended")
        tally.counts["failed" if failed else outcome] += 1
        tally.seconds += seconds
        tally.slowest = max(tally.slowest, seconds)
        if failed:
            tally.faults.append(f"{tally.sample.format}, {tally.sample.name}, copy {number}: {word}")
        advance(1)
        number += 1
        if outcome == "ended":
            break
    return number


def _worker(
    pipe: Connection, names: list[str], place: int, shared: Path, seed: int, first: int, copies: int, folder: Path
) -> None:
    samples = [s for name in names for s in (*made_samples(name), *real_samples(name, shared))]
    os.chdir(folder)
    bench = Bench(samples[place], folder / "bench", seed)
    bench.whole()
    _limit_memory()
    pipe.send(("started", "", 0.0))
    for number in range(first, copies):
        begun = time.monotonic()
        try:
            outcome, word = bench.try_copy(number), ""
        except Fault as fault:
            outcome, word = "failed", str(fault).split(f"copy {number}, ", 1)[-1][:300]
        pipe.send((outcome, word, time.monotonic() - begun))


def _limit_memory() -> None:
    try:
        import resource
    except ModuleNotFoundError:  # not on Windows
        return
    with Path("/proc/self/statm").open() as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Args)))
