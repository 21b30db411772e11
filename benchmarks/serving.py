"""How much `posewright serve` answers, how fast, and what happens when that is not enough.

    python benchmarks/serving.py [--minutes 10] [--clients 1 4 16 64 192] [--malformed 500]

The service is a process of its own; this one sends requests over the loopback interface from so many clients at a time, each
of which sends its next picture when it has the answer to the one before. Every answer is held against what `posewright.load`
gives for the same picture: 0.05 px and 0.01 of score. Client counts above --queue are above capacity: what is refused with 429
is sent again after a quarter of a second (the service's Retry-After says at least a second). "lost" are requests without any
answer, "wrong" those with another one. Recovery is the time from the end of a load until a request is answered as fast as
without load. Exits with 1 where anything is lost or wrong, or a malformed request gets a 5xx.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import tyro

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT / "tests"))  # what is malformed, and how, is shared with the tests

import posewright  # noqa: E402
from helpers.malformed import malformed  # noqa: E402
from posewright.console import progress_bar  # noqa: E402
from posewright.media.pictures import decode_picture  # noqa: E402
from posewright.reports.tables import print_table  # noqa: E402

HOST = "127.0.0.1"
AGAIN = 0.25
PATIENCE = 60.0


@dataclass(frozen=True)
class Args:
    """Measure the HTTP service."""

    minutes: float = 10.0
    """Of load, shared out among the client counts."""
    clients: tuple[int, ...] = (1, 4, 16, 64, 192)
    """Clients at a time."""
    malformed: int = 0
    """Send so many broken requests instead of load."""
    models: tuple[str, ...] = ("hand",)
    """What is served; clients take turns with them."""
    pictures: int = 12
    """Different ones, 640 x 480 as JPEG."""
    threads: int = 1
    """Of each net."""
    queue: int = 64
    """Places of the service."""
    max_batch: int = 8
    """Crops in one run of the net."""


@dataclass
class Load:
    """What came of one client count."""

    seconds: float = 0.0
    answered: list[float] = field(default_factory=list)
    refused: int = 0
    wrong: int = 0
    lost: int = 0


class Line:
    """One client's connection: a little HTTP, so that the client takes none of the service's time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and content of the answer.

        Raises:
            OSError, EOFError, TimeoutError: where none comes.
        """
        try:
            return await asyncio.wait_for(self._ask(request), PATIENCE)
        except BaseException:
            self.close()
            raise

    async def _ask(self, request: bytes) -> tuple[int, bytes]:
        fresh = self._streams is None
        if self._streams is None:
            self._streams = await asyncio.open_connection(HOST, self._port)
        reader, writer = self._streams
        try:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
        except (OSError, EOFError):
            self.close()
            if fresh:
                raise
            return await self._ask(request)  # it had been closed for being idle
        length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
        body = await reader.readexactly(length)
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1]), body

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def post(path: str, body: bytes, **headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


@contextmanager
def service(args: Args) -> Iterator[int]:
    """The service in a process of its own; its port."""
    options = ["--port", "0", "--threads", args.threads, "--queue", args.queue, "--max-batch", args.max_batch]
    command = [sys.executable, "-m", "posewright", "serve", *args.models, *map(str, options)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        first = process.stdout.readline()  # type: ignore[union-attr]
        port = int(re.search(r"http://\S+:(\d+)", first)[1])  # type: ignore[index]
        while asyncio.run(Line(port).ask(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"))[0] != 200:
            time.sleep(0.05)
        yield port
        process.terminate()
        if process.wait(60) != 0:
            raise SystemExit(f"the service ended with {process.returncode}")
    finally:
        if process.poll() is None:
            process.kill()


def made_pictures(count: int, ending: str = ".jpg") -> list[bytes]:
    rng = np.random.default_rng(0)
    small = (rng.integers(0, 255, (48, 64, 3), np.uint8) for _ in range(count))
    return [
        cv2.imencode(ending, cv2.resize(one, (640, 480), interpolation=cv2.INTER_CUBIC))[1].tobytes() for one in small
    ]


@dataclass(frozen=True)
class Question:
    """A request, and the keypoints that answer it."""

    request: bytes
    keypoints: np.ndarray

    def right(self, body: bytes) -> bool:
        """Whether this is the answer."""
        found = np.array(json.loads(body)["pictures"][0]["poses"][0]["keypoints"])
        return found.shape == self.keypoints.shape and bool((abs(found - self.keypoints) < [0.05, 0.05, 0.01]).all())


def questions(args: Args) -> list[Question]:
    found = []
    for name in args.models:
        model = posewright.load(name, threads=args.threads)
        for data in made_pictures(args.pictures):
            poses = model(decode_picture(data))
            keypoints = np.column_stack([poses.xy[0], poses.score[0]])
            found.append(Question(post(f"/v1/poses?model={name}", data, Content_Type="image/jpeg"), keypoints))
    return found


async def client(port: int, asked: list[Question], first: int, until: float, load: Load) -> None:
    """One client: its next question when the one before is answered."""
    line, number = Line(port), first
    while time.monotonic() < until:
        question = asked[number % len(asked)]
        begun = time.monotonic()
        try:
            status, body = await line.ask(question.request)
        except (OSError, EOFError, asyncio.TimeoutError):
            load.lost += 1
            continue
        if status == 429:
            load.refused += 1
            await asyncio.sleep(AGAIN)
            continue
        load.answered.append(time.monotonic() - begun)
        load.wrong += status != 200 or not question.right(body)
        number += 1
    line.close()


async def loaded(port: int, asked: list[Question], clients: int, seconds: float) -> Load:
    load, begun = Load(), time.monotonic()
    await asyncio.gather(*(client(port, asked, i, begun + seconds, load) for i in range(clients)))
    load.seconds = time.monotonic() - begun
    return load


async def counts(port: int) -> dict[str, float]:
    """The service's own metrics, summed over what they are labelled with."""
    _, body = await Line(port).ask(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    found: Counter[str] = Counter()
    for line in body.decode().splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            found[name.partition("{")[0]] += float(value)
    return dict(found)


async def recovery(port: int, question: Question, usual: float) -> float:
    """Seconds until a request is answered within twice the time that is usual without load."""
    begun, line = time.monotonic(), Line(port)
    while time.monotonic() - begun < PATIENCE:
        asked = time.monotonic()
        status, body = await line.ask(question.request)
        if status == 200 and question.right(body) and time.monotonic() - asked < 2 * usual:
            break
    line.close()
    return time.monotonic() - begun


async def measured(port: int, args: Args) -> bool:
    asked = questions(args)
    await loaded(port, asked, 1, 1.0)
    warm = await loaded(port, asked, 1, 2.0)
    usual = float(np.median(warm.answered))
    start = (await counts(port))["process_resident_memory_bytes"]
    rows, good, seconds = [], True, 60 * args.minutes / len(args.clients)
    with progress_bar("load", len(args.clients)) as advance:
        for clients in args.clients:
            before = await counts(port)
            load = await loaded(port, asked, clients, seconds)
            back = await recovery(port, asked[0], usual)
            after = await counts(port)
            gone = {name: after[name] - before.get(name, 0) for name in after}
            batches, crops = gone["posewright_batch_crops_count"], gone["posewright_batch_crops_sum"]
            p50, p99 = 1000 * np.percentile(load.answered, [50, 99])
            rows.append(
                {
                    "clients": clients,
                    "answered": len(load.answered),
                    "a second": f"{len(load.answered) / load.seconds:.1f}",
                    "p50 ms": f"{p50:.0f}",
                    "p99 ms": f"{p99:.0f}",
                    "CPU ms each": f"{1000 * gone['process_cpu_seconds_total'] / max(len(load.answered), 1):.0f}",
                    "crops a run": f"{crops / max(batches, 1):.1f}",
                    "429": load.refused,
                    "lost": load.lost,
                    "wrong": load.wrong,
                    "recovery s": f"{back:.2f}",
                    "MB": f"{after['process_resident_memory_bytes'] / 1e6:.0f}",
                }
            )
            good &= load.lost == load.wrong == 0
            advance(1)
    what = f"{', '.join(args.models)}, 640 x 480 JPEG, {args.threads} threads a net, queue {args.queue}, {seconds:.0f} s a row"
    print_table(rows, f"{what}.")
    end = (await counts(port))["process_resident_memory_bytes"]
    print(f"Memory of the service: {start / 1e6:.0f} MB before the load, {end / 1e6:.0f} MB after it.")
    return good


async def broken(port: int, args: Args) -> bool:
    pictures = [
        data for ending in (".png", ".jpg", ".webp", ".bmp", ".tif", ".gif") for data in made_pictures(1, ending)
    ]
    found: Counter[str] = Counter()
    with progress_bar("malformed", args.malformed) as advance:
        for number in range(args.malformed):
            bad, line = malformed(number, pictures), Line(port)
            headers = {name.replace("-", "_"): value for name, value in bad.headers.items()}
            try:
                status, body = await line.ask(post(f"/v1/poses?{bad.query}", bad.body, **headers))
            except (OSError, EOFError, asyncio.TimeoutError):
                found["no answer"] += 1
                print(f"no answer to malformed request {number}: {bad.what}")
                continue
            finally:
                line.close()
                advance(1)
            found[str(status)] += 1
            if status >= 500:
                print(f"{status} to malformed request {number}: {bad.what}: {body[:200]!r}")
    after = questions(args)[0]
    status, body = await Line(port).ask(after.request)
    print_table([dict(sorted(found.items()))], f"Answers to {args.malformed} malformed requests.")
    print(f"A request after them is answered with {status}, {'right' if after.right(body) else 'wrong'}.")
    return not any(status == "no answer" or status[0] == "5" for status in found) and after.right(body)


def main() -> int:
    args = tyro.cli(Args, description=__doc__)
    with service(args) as port:
        good = asyncio.run(broken(port, args) if args.malformed else measured(port, args))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
