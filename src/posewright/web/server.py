"""What the pages on this machine share: a server for this machine only, and how it answers."""

from __future__ import annotations

import errno
import hmac
import json
import os
import secrets
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from posewright.errors import PosewrightError

HOST = "127.0.0.1"
MOST_BYTES = 16_000_000
"""Of a request's content; a picture with hundreds of objects has far less."""
PATIENCE = 30.0
"""Seconds that a request may be silent while it is being sent, or while it does not take its answer."""

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Frame-Options": "DENY",
}
ONE_PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""For a page with its own script and style in it, which takes nothing from anywhere else."""


class TooMuch(PosewrightError):
    """A request that is too long to be read."""


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number that JSON knows")


class LocalPage:
    """Serves a page on 127.0.0.1 and nowhere else, to those who know its address.

    Three things keep others out: the address listened on (other machines), a token in every path (other people on this
    machine), and the names that the server answers to together with the origin and the header that changes need (other
    sites open in the same browser: they can neither read an answer, nor hide where they come from, nor set that header).

    A page overrides :meth:`get` and :meth:`post`.

    Args:
        port: to listen on; any free one where 0.
        token: of the address; a random one where None.

    Raises:
        PosewrightError: where the port is taken.
    """

    def __init__(self, port: int = 0, token: str | None = None) -> None:
        self.token = token or secrets.token_urlsafe(12)
        handler = type("Handler", (Request,), {"page": self})
        try:
            self._server = _Server((HOST, port), handler)
        except (OSError, OverflowError) as error:
            taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            why = "another program has it" if taken else str(getattr(error, "strerror", None) or error)
            raise PosewrightError(f"port {port} cannot be listened on: {why}", fix="Leave --port out") from None

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def address(self) -> str:
        """What to open in a browser on this machine."""
        return f"http://{HOST}:{self.port}/{self.token}/"

    def serve(self) -> None:
        """Answer until the page asks to quit; the port is free afterwards."""
        try:
            self._server.serve_forever(poll_interval=0.1)
        finally:
            self._server.server_close()

    def quit(self) -> None:
        """End :meth:`serve`, from any thread but its own."""
        self._server.shutdown()

    def quit_soon(self) -> None:
        """End :meth:`serve` once the present answer is out, from any thread."""
        threading.Thread(target=self.quit).start()

    def get(self, request: Request, path: str) -> None:
        """Answer a GET; ``path`` is what follows the token, without a leading slash. No part of it names a file."""
        request.say(404, "no such page")

    def post(self, request: Request, path: str) -> None:
        """Answer a POST, see :meth:`get`."""
        request.say(404, "no such page")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = os.name != "nt"  # there it would let two programs listen on one port


class Request(BaseHTTPRequestHandler):
    """One request, with a few ways to answer it."""

    page: LocalPage
    timeout = PATIENCE

    def log_message(self, format: str, *args: Any) -> None:
        """The terminal is not a web server's log."""

    def do_GET(self) -> None:
        path = self._path_from_here()
        if path is not None:
            self._guarded(self.page.get, path)

    def do_POST(self) -> None:
        path = self._path_from_here()
        if path is None:
            return
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self._names():
            self.say(403, "this page takes changes from itself only")
            return
        # Pages of other sites cannot set a header of their own without asking, and are never answered yes.
        if not self.headers.get("X-Posewright"):
            self.say(404, "no such page")
            return
        self._guarded(self.page.post, path)

    def _guarded(self, answer: Any, path: str) -> None:
        try:
            answer(self, path)
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # whoever asked has gone
        except TooMuch as error:
            self.say(413, str(error))
        except PosewrightError as error:
            self.say(400, str(error))
        except Exception as error:
            traceback.print_exc()
            self.say(500, f"the program stumbled, and its terminal says where: {type(error).__name__}: {error}")

    def _names(self) -> list[str]:
        return [f"{host}:{self.page.port}" for host in (HOST, "localhost")]

    def _path_from_here(self) -> str | None:
        """The path behind the token; None, and a refusal, where a stranger asks.

        Another site's name that leads here (DNS rebinding) is refused by the Host header.
        """
        if self.headers.get("Host") not in self._names():
            self.say(403, "this page is for this machine only")
            return None
        token, slash, path = self.path[1:].partition("/")
        if not slash or not hmac.compare_digest(token.encode(), self.page.token.encode()):
            self.say(403, "open the whole address that the terminal shows")
            return None
        return path

    def content(self) -> Any:
        """The JSON that came with a POST.

        Raises:
            TooMuch: where it is longer than any change.
            PosewrightError: where there is none.
        """
        try:
            length = int(self.headers.get("Content-Length") or 0)
            if length > MOST_BYTES:
                raise TooMuch(f"the request holds more than {MOST_BYTES // 1_000_000} MB")
            return json.loads(self.rfile.read(max(length, 0)), parse_constant=_no_number)
        except TooMuch:
            raise
        except (ValueError, RecursionError):
            raise PosewrightError("the request holds no JSON") from None

    def json(self, content: Any, status: int = 200) -> None:
        self.answer(status, "application/json", json.dumps(content, allow_nan=False).encode())

    def say(self, status: int, text: str) -> None:
        self.answer(status, "text/plain; charset=utf-8", text.encode())

    def answer(self, status: int, kind: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.start(status, {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})})
        self.wfile.write(data)

    def start(self, status: int, headers: dict[str, str]) -> None:
        """The head of an answer whose content follows on ``wfile``."""
        self.send_response(status)
        for name, value in {**HEADERS, **headers}.items():
            self.send_header(name, value)
        self.end_headers()
