"""One model started in a process of its own: how long until the first result, and how much memory it takes at most.

``python -m posewright.cli.cold_start JSON`` is that process; it prints what it found as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from time import perf_counter

from posewright.cli.running import Running

LONGEST = 600
"""Seconds after which a start is given up."""
RUNS = 3
"""How often it is run before its memory is read: engines take some of it only later."""


@dataclass(frozen=True)
class Started:
    """What a fresh process found.

    Attributes:
        seconds: from the wish to load it to its first result, the engine's own start included, Python's not.
        memory: the process's peak in MB; None where the system does not tell.
    """

    seconds: float
    memory: float | None


def start_fresh(spec: str, running: Running) -> Started | None:
    """Start a model in a process of its own, see :func:`posewright.cli.measured.open_measured`; None where that failed."""
    command = [sys.executable, "-m", "posewright.cli.cold_start", json.dumps([spec, asdict(running)])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=True)
        return Started(**json.loads(done.stdout.splitlines()[-1]))
    except (subprocess.SubprocessError, ValueError, IndexError, TypeError):
        return None


def main(text: str) -> None:
    """Start a model, and print how that went."""
    from posewright.cli.measured import open_measured
    from posewright.runtime.timing import peak_memory

    spec, options = json.loads(text)
    before = perf_counter()
    model = open_measured(spec, Running(**options))
    model.warm_up()
    seconds = perf_counter() - before
    model.warm_up(RUNS)
    print(json.dumps(asdict(Started(seconds, peak_memory()))))


if __name__ == "__main__":
    main(sys.argv[1])
