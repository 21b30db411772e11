"""Loading the next batches on a thread while the net is busy with this one.

On one machine's processors this is all that training needs: decoding, warping and the net's own arithmetic run outside the
interpreter's lock, and no process has to be started. Loader processes (``--workers``) are for devices that outrun a thread.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

DEPTH = 4
"""Batches that wait at most."""


class Prefetched:
    """A loader whose batches are made ahead of time on one thread, in the same order.

    Attributes:
        loader: the loader itself, with ``num_workers=0``.
        sampler, batch_sampler: the loader's, where Lightning looks for ``set_epoch``.
        dataset: its data set.
    """

    def __init__(self, loader: DataLoader[Any]) -> None:
        self.loader, self.dataset = loader, loader.dataset
        self.sampler, self.batch_sampler = loader.sampler, loader.batch_sampler

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        # The sampler is asked for its position now, before anybody moves it on to the next pass.
        batches = iter(self.loader)
        ready: queue.Queue[tuple[str, Any]] = queue.Queue(DEPTH)
        over = threading.Event()

        def put(kind: str, value: Any = None) -> None:
            while not over.is_set():
                with contextlib.suppress(queue.Full):
                    ready.put((kind, value), timeout=0.1)
                    return

        def work() -> None:
            try:
                for batch in batches:
                    put("batch", batch)
                    if over.is_set():
                        return
                put("end")
            except BaseException as error:
                put("error", error)

        thread = threading.Thread(target=work, name="prefetch", daemon=True)
        thread.start()
        try:
            while True:
                kind, value = ready.get()
                if kind == "error":
                    raise value
                if kind == "end":
                    return
                yield value
        finally:
            over.set()
            thread.join()
