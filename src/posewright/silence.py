"""Keeping native libraries, which write past Python's own streams, from talking into a program's output."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator

OUT, ERR = 1, 2


@contextlib.contextmanager
def native_silence(*streams: int) -> Iterator[None]:
    """What is written to stdout or stderr inside the block, by Python or not, goes nowhere.

    It holds for the whole process: for blocks that load or convert something, not for those that run often.

    Args:
        streams: :data:`OUT`, :data:`ERR`; the first where none is given.
    """
    chosen = streams or (OUT,)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = {stream: os.dup(stream) for stream in chosen}
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for stream in chosen:
            os.dup2(nowhere, stream)
        # Python's own streams may lead elsewhere, as in a notebook.
        with contextlib.ExitStack() as stack:
            for stream in chosen:
                turned = contextlib.redirect_stdout if stream == OUT else contextlib.redirect_stderr
                stack.enter_context(turned(io.StringIO()))
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for stream, copy in kept.items():
            os.dup2(copy, stream)
            os.close(copy)
        os.close(nowhere)
