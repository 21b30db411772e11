"""Sources that are no files, for tests: a pipe that is written to, a server that sends pictures and stops."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import cv2
import numpy as np

from posewright.media.sources import Frame


def jpeg(picture: np.ndarray, ending: str = ".jpg") -> bytes:
    """RGB as JPEG, or what the ending says."""
    return cv2.imencode(ending, np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()


def shade(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def levels(frames: Iterable[Frame]) -> list[int]:
    """The mean level of each frame."""
    return [round(float(frame.image.mean())) for frame in frames]


@contextmanager
def piped(chunks: Iterable[bytes]) -> Iterator[int]:
    """The reading end of a pipe that the chunks are written to, and that is closed then."""
    out, into = os.pipe()

    def write() -> None:
        with suppress(BrokenPipeError), os.fdopen(into, "wb", buffering=0) as file:
            for chunk in chunks:
                file.write(chunk)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield out
    finally:
        os.close(out)
        thread.join(5)


class Feed:
    """A server on this machine that sends motion JPEG over HTTP.

    Args:
        serve: called for each connection with its number, counted from 0, and a function that sends one picture; the
            connection is closed when it returns.
    """

    def __init__(self, serve: Callable[[int, Callable[[np.ndarray], None]], None]) -> None:
        self._serve, self._ended = serve, threading.Event()
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}/feed.mjpg"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._ended.is_set():
                line, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(line, self.connections), daemon=True).start()
                self.connections += 1

    def _answer(self, line: socket.socket, number: int) -> None:
        def send(picture: np.ndarray) -> None:
            data = jpeg(picture)
            line.sendall(b"--cut\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n" % (len(data), data))

        with suppress(OSError), line:
            line.recv(65536)
            line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=cut\r\n\r\n")
            self._serve(number, send)

    def hang(self) -> None:
        """Send nothing more, and keep the connection, until the test is over."""
        self._ended.wait(60)

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
