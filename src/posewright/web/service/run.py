"""The service as a process: where it listens, and how it ends."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from types import FrameType
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from posewright.errors import PosewrightError

HEADER_SECONDS = 10.0
"""For the header of a request to arrive."""
GRACE = 60
"""Seconds for what is accepted to be answered, once the service is told to end."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        PosewrightError: where the address is not one of this machine's, or the port is taken.
    """
    if not 0 <= port <= 65535:
        raise PosewrightError(f"port {port} cannot be listened on", fix="Ports are from 1 to 65535; 0 takes a free one")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, proto)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(address)
            made.listen(1024)
        except BaseException:
            made.close()
            raise
    except (OSError, UnicodeError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "another program has it" if taken else str(getattr(error, "strerror", None) or error)
        fix = "Give another --port, or 0 for a free one" if taken else "Check --host and --port"
        raise PosewrightError(f"{host} port {port} cannot be listened on: {why}", fix=fix) from None
    made.setblocking(False)
    return made


class Server(uvicorn.Server):
    """uvicorn, which ends well when it is told to."""

    def __init__(self, config: uvicorn.Config, closing: Any) -> None:
        super().__init__(config)
        self._closing = closing

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take nothing new from now on; told twice, go at once."""
        self._closing()
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


class Impatient(H11Protocol):
    """HTTP that closes a connection whose header does not arrive in time, which uvicorn would keep for ever."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Have a timer run while a header is on its way, from its first byte on; or from when the connection was made."""
        if self.conn.their_state is not h11.IDLE:
            self._unwatch()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEADER_SECONDS, self.transport.close)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def serve(app: Any, made: socket.socket, closing: Any) -> Server:
    """A server of an application on a listening socket, ready for ``run(sockets=[made])``.

    Args:
        closing: called once it is told to end (SIGTERM, Ctrl-C).
    """
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # a stranger's broken request is not worth a line
    config = uvicorn.Config(
        app,
        http=Impatient,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=GRACE,
    )
    return Server(config, closing)
