"""One end for all processes of a run: the same exit code everywhere, and one line for what went wrong.

Left alone, a process whose fellow has failed waits for it in a collective call, for half an hour, or ends with an error of
its own that hides the cause. So each run has a note in the store over which its processes found one another: the first to
fail, or the first process when all is done, writes it; the others read it twice a second and end. Only the first process
speaks.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, NoReturn, TypeVar

import lightning.pytorch as pl
import torch.distributed as dist

from posewright.errors import PosewrightError
from posewright.training.ranks import Place, find_place, joined

OFTEN = 0.5
"""Seconds between two looks at the note."""
PATIENCE = 15.0
"""Seconds that the process which ends a run waits for the others to have heard of it."""
NOTE, HEARD, LEFT = "posewright/end", "posewright/heard", "posewright/left"
INTERRUPTED = 130

Result = TypeVar("Result")
_watch: Watch | None = None


class Watch(threading.Thread):
    """Looks for the note on a thread of its own, since the main one may wait in a collective call."""

    def __init__(self, place: Place) -> None:
        super().__init__(name="end-of-run", daemon=True)
        self.place = place
        self.store: dist.Store | None = None
        self.over, self.heard = threading.Event(), threading.Event()
        self.code = 1
        self.lock = threading.Lock()

    # -- the note --------------------------------------------------------------------------------------------------

    def connect(self) -> dist.Store | None:
        """A connection of our own to the processes' store, once there is one."""
        with self.lock:
            there = joined() or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
            if self.store is None and there and self.place.ranks > 1:
                host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
                # torchrun may start the processes again; each time is a run of its own.
                turn = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
                self.store = dist.PrefixStore(
                    turn, dist.TCPStore(host, port, is_master=False, timeout=timedelta(seconds=PATIENCE))
                )
            return self.store

    def write(self, code: int, line: str) -> bool:
        """Write the note; False where somebody else has, or there is nobody to write to."""
        mine = json.dumps({"rank": self.place.rank, "code": code, "line": line})
        try:
            store = self.connect()
            return store is not None and store.compare_set(NOTE, "", mine).decode() == mine
        except RuntimeError:
            return False

    def run(self) -> None:
        while not self.over.wait(OFTEN):
            try:
                store = self.connect()
                if store is None or not store.check([NOTE]):
                    continue
                note = json.loads(store.get(NOTE))
                if note["rank"] == self.place.rank:
                    return
                store.add(HEARD, 1)
            except RuntimeError:
                # The store lives in the first process or with torchrun: whoever held it has gone.
                note = {"rank": 0, "code": 1, "line": ""}
            self.obey(note)
            return

    def obey(self, note: dict[str, Any]) -> None:
        """End as the note says."""
        self.code = note["code"]
        self.heard.set()
        if self.code == 0:
            return  # the main thread is waiting for it
        if self.place.first:
            if sys.stdout.isatty():
                print("\x1b[?25h", end="")  # a progress bar hides the cursor
            if note["line"]:
                print(note["line"], file=sys.stderr)
            if self.code != INTERRUPTED:  # on which Lightning kills whom it has started
                self.wait_until(lambda store: store.check([LEFT]))
        sys.stdout.flush()
        sys.stderr.flush()
        # The main thread may never come back from where it is waiting.
        os._exit(self.code)

    # -- the ends of a process -------------------------------------------------------------------------------------

    def wait_until(self, ready: Callable[[dist.Store], bool]) -> bool:
        """Wait until the store says so; False where that takes too long."""
        started = time.monotonic()
        while self.store is not None and time.monotonic() - started < PATIENCE:
            try:
                if ready(self.store):
                    return True
            except RuntimeError:
                return False
            time.sleep(0.05)
        return False

    def wait_until_heard(self) -> bool:
        """Wait for all others to have read our note, then let the first process, which may hold the store, go."""
        heard = self.wait_until(lambda store: store.add(HEARD, 0) >= self.place.ranks - 1)
        if heard and self.store is not None:
            self.store.set(LEFT, "1")
        return heard

    def finished(self) -> None:
        """The first process is done: let the others go."""
        if self.write(0, ""):
            self.wait_until_heard()
        self.over.set()

    def failed(self, error: BaseException) -> None:
        """Tell the others, and end without a word where another process speaks.

        Raises:
            SystemExit: in place of ``error``, which has then been told.
        """
        if isinstance(error, SystemExit) and self.heard.is_set():
            return
        code, line = told(error, self.place.rank)
        lost = is_consequence(error)
        if lost:
            self.heard.wait(2 * OFTEN)  # the cause, if anybody lived to write it, ends this process meanwhile
            code, line = (
                1,
                "posewright: another process of this run has gone. --resume goes on from its last checkpoint",
            )
        written = self.write(code, line)
        if not written and self.store is not None and not lost:
            self.heard.wait(PATIENCE)  # another was first
        self.over.set()
        if self.place.first and lost:
            print(line, file=sys.stderr)
            raise SystemExit(code) from None
        if written and not self.place.first:
            if not isinstance(error, (PosewrightError, OSError, KeyboardInterrupt, SystemExit)) and not lost:
                traceback.print_exception(error)
            if self.wait_until_heard():
                raise SystemExit(code) from None
        elif written and code != INTERRUPTED:
            self.wait_until_heard()


class PlainTermination(pl.Callback):
    """SIGTERM ends a process at once.

    Lightning's own handler enters a collective call, which the other processes may never join.
    """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def told(error: BaseException, rank: int) -> tuple[int, str]:
    """Exit code and line for an error, as the command line has them."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, ""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) and error.code else 1, ""
    if isinstance(error, PosewrightError):
        return 2, f"posewright: {error}"
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return 2, f"posewright: {where}{error.strerror or error}"
    first_line = (str(error).splitlines() or [""])[0]
    return 1, f"posewright: process {rank} failed: {type(error).__name__}: {first_line}"


def is_consequence(error: BaseException) -> bool:
    """Whether the error only says that another process can no longer be reached."""
    if isinstance(error, (dist.DistBackendError, dist.DistNetworkError, dist.DistStoreError)):
        return True
    return type(error) is RuntimeError and bool(re.search(r"gloo|NCCL|onnection (closed|reset)", str(error)))


def wait_for_the_first() -> NoReturn:
    """In a process other than the first: wait until that one is done with the run, then end.

    Raises:
        SystemExit: always.
    """
    assert _watch is not None
    _watch.heard.wait()
    raise SystemExit(_watch.code)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):  # noqa: PTH123
        yield


def together(fit: Callable[..., Result]) -> Callable[..., Result]:
    """For a function ``fit(config, ...)`` that all processes of a run call: they end together.

    It returns in the first process only; the others end within it.
    """

    @functools.wraps(fit)
    def joint(config: Any, *args: Any, **kwargs: Any) -> Result:
        global _watch
        place = find_place(config.devices, config.nodes)
        if place.ranks == 1:
            return fit(config, *args, **kwargs)
        if _watch is not None:
            raise PosewrightError(
                "several devices train one run a start, and this process has trained one",
                fix="Start a process for each run",
            )
        # For the processes that Lightning starts: torch's warnings of a lost connection come with a stack of C++ frames.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        _watch = watch = Watch(place)
        watch.start()
        try:
            with contextlib.nullcontext() if place.first else _silent():
                result = fit(config, *args, **kwargs)
        except BaseException as error:
            watch.failed(error)
            raise
        watch.finished()
        return result

    return joint
