"""What the pages on this machine share: a server for this machine only, and how it answers."""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from posewright.errors import PosewrightError

HOST = "127.0.0.1"
MOST_BYTES = 16_000_000
"""Of a request's content; a picture with hundreds of objects has far less."""

HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Frame-Options": "DENY",
}


class LocalPage:
    """Serves a page on 127.0.0.1 and nowhere else, to those who know its address.

    Three things keep others out: the address listened on (other machines), a token in every path (other people on this
    machine), and the names that the server answers to together with a header that changes need (other sites open in the
    same browser: they can neither read an answer nor set that header).

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
            self._server = ThreadingHTTPServer((HOST, port), handler)
        except (OSError, OverflowError) as error:
            raise PosewrightError(f"port {port} cannot be listened on: {error}", fix="Leave --port out") from None
        self._server.daemon_threads = True

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


class Request(BaseHTTPRequestHandler):
    """One request, with a few ways to answer it."""

    page: LocalPage

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
        # Pages of other sites cannot set a header of their own without asking, and are never answered yes.
        if not self.headers.get("X-Posewright"):
            self.say(404, "no such page")
            return
        self._guarded(self.page.post, path)

    def _guarded(self, answer: Any, path: str) -> None:
        try:
            answer(self, path)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # whoever asked has gone
        except PosewrightError as error:
            self.say(400, str(error))

    def _path_from_here(self) -> str | None:
        """The path behind the token; None, and a refusal, where a stranger asks.

        Another site's name that leads here (DNS rebinding) is refused by the Host header.
        """
        names = [f"{host}:{self.page.port}" for host in (HOST, "localhost")]
        if self.headers.get("Host") not in names:
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
            PosewrightError: where there is none.
        """
        try:
            length = int(self.headers.get("Content-Length") or 0)
            if not 0 < length <= MOST_BYTES:
                raise ValueError
            return json.loads(self.rfile.read(length))
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
