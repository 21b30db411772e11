"""What the speed benchmarks share: ways that take turns, the machine's line, its matrix-product rate, a helper process.

Timed one after the other, ways of doing the same thing get whatever else the machine was doing meanwhile. Here each round runs
every way once, the order moves on by one each time, and what is compared is the median over all rounds.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

Times = dict[str, list[float]]


def in_turn(ways: Mapping[str, Callable[[], list[float]]], rounds: int) -> Times:
    """Call every way once a round, after one round that does not count.

    Args:
        ways: each returns the seconds of the things it did.
        rounds: how many count.

    Returns:
        All seconds of each way.
    """
    names, times = list(ways), {name: [] for name in ways}
    for turn in range(rounds + 1):
        start = time.perf_counter()
        for place in range(len(names)):
            name = names[(turn + place) % len(names)]
            found = ways[name]()
            if turn:
                times[name] += found
        print(f"round {turn} of {rounds}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    return times


def clocked(call: Callable[[], object], count: int) -> list[float]:
    """Seconds of each of ``count`` calls."""
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def answer_times(files: Mapping[str, Path], threads: int, *, rounds: int, calls: int) -> dict[str, list[float]]:
    """Seconds of each answer of onnxruntime to one crop, by the name of the model file."""
    import onnxruntime

    from posewright.export.parity import smooth_crops
    from posewright.runtime.modelfile import INPUT

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads

    def way(file: Path) -> Callable[[], list[float]]:
        session = onnxruntime.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
        _, height, width, _ = session.get_inputs()[0].shape
        feed = {INPUT: smooth_crops(height, width, 1)}
        return lambda: clocked(lambda: session.run(["keypoints"], feed), calls)

    return in_turn({name: way(file) for name, file in files.items()}, rounds)


def machine() -> str:
    """Processor, how many of its threads there are, and what else was going on when the run began."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    return f"{name}, {os.cpu_count()} threads{load}, {time.strftime('%Y-%m-%d')}"


def median_ms(seconds: Sequence[float], share: float = 1.0) -> float:
    """The median in ms, of one thing where each entry is of ``share`` things."""
    return statistics.median(seconds) * 1e3 / share


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |", flush=True)


def matrix_rate(
    kind: str, device: str = "cpu", sides: Sequence[int] = (512, 768, 1024, 1536), seconds: float = 1.0
) -> float:
    """Multiplications with addition a second of the fastest product of two square matrices, in "fp32" or "bf16"."""
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[kind]
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    best = 0.0
    for side in sides:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        end = time.perf_counter() + seconds / len(sides)
        turns = 0
        while turns < 3 or time.perf_counter() < end:
            wait()
            start = time.perf_counter()
            a @ b
            wait()
            taken = time.perf_counter() - start
            best = max(best, side**3 / taken if turns else 0.0)
            turns += 1
    return best


class Helper:
    """A script in an interpreter of its own, asked in JSON lines.

    The script reads one request a line and answers each with one line ``answer {...}``; all else that it prints is passed over.

    Args:
        python: the interpreter, of an environment that has what the script imports.
        script: beside this file.
        settings: the first request, answered when all is ready.
        env: more environment variables.
    """

    def __init__(
        self, python: str, script: str, settings: Mapping[str, Any], env: Mapping[str, str] | None = None
    ) -> None:
        self.log: list[str] = []
        command = [python, str(Path(__file__).parent / script)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **(env or {})},
        )  # fmt: skip
        self.ready = self.ask(settings)

    def ask(self, request: Mapping[str, Any]) -> Any:
        """The answer to a request.

        Raises:
            SystemExit: where the process ended instead; what it said last is shown.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        for line in self.process.stdout:
            if line.startswith("answer "):
                return json.loads(line.removeprefix("answer "))
            self.log = [*self.log[-30:], line.rstrip()]
        sys.exit("\n".join([*self.log, f"{self.process.args[1]} ended"]))  # type: ignore[index]

    def __enter__(self) -> Helper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
