"""The pages' server: whom it listens to, what it refuses, what it stands."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from posewright.errors import PosewrightError
from posewright.web import server
from posewright.web.server import LocalPage, Request

OURS = {"X-Posewright": "test"}


class Echo(LocalPage):
    """Gives back what it was told; "break" has a mistake in it."""

    def __init__(self) -> None:
        super().__init__()
        self.took: list[Any] = []

    def get(self, request: Request, path: str) -> None:
        request.json({"path": path})

    def post(self, request: Request, path: str) -> None:
        if path == "break":
            raise KeyError("a mistake of ours")
        self.took.append(request.content())
        request.json(self.took[-1])


@pytest.fixture
def page() -> Iterator[Echo]:
    made = Echo()
    thread = threading.Thread(target=made.serve)
    thread.start()
    yield made
    made.quit()
    thread.join(5)
    assert not thread.is_alive()


def ask(page: Echo, method: str = "GET", path: str = "x", body: bytes | str | None = None, **headers: str):
    """Status, content and headers of one answer."""
    line = http.client.HTTPConnection("127.0.0.1", page.port, timeout=20)
    line.request(method, f"/{page.token}/{path}", body, {name.replace("_", "-"): v for name, v in headers.items()})
    answer = line.getresponse()
    data = answer.read()
    line.close()
    return answer.status, data, answer.headers


def raw(page: Echo, text: bytes, shut: bool = False) -> bytes:
    """What comes back when these very bytes are sent."""
    with socket.create_connection(("127.0.0.1", page.port), timeout=20) as line:
        line.sendall(text)
        if shut:
            line.shutdown(socket.SHUT_WR)
        parts = []
        try:
            while part := line.recv(65536):
                parts.append(part)
        except ConnectionResetError:  # it did not read all that was sent
            pass
        return b"".join(parts)


def test_only_this_machine_can_reach_it(page):
    assert page._server.server_address[0] == "127.0.0.1"
    assert page.address.startswith("http://127.0.0.1:")
    with socket.socket() as line, pytest.raises(OSError):
        line.settimeout(5)
        line.connect(("127.0.0.2", page.port))  # any other address of this machine


def test_names_that_lead_here_from_elsewhere_are_refused(page):
    for host in ("evil.example", f"evil.example:{page.port}", "127.0.0.1", f"127.0.0.1:{page.port + 1}", ""):
        assert ask(page, Host=host)[0] == 403, host
    assert ask(page, Host=f"localhost:{page.port}")[0] == 200
    assert raw(page, f"GET /{page.token}/x HTTP/1.0\r\n\r\n".encode()).startswith(b"HTTP/1.0 403")


def test_the_address_holds_a_secret(page):
    for token in ("", page.token[:-1], page.token + "x", "é"):
        answer = raw(page, f"GET /{token}/x HTTP/1.0\r\nHost: 127.0.0.1:{page.port}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.0 403"), token
    other = LocalPage()
    other._server.server_close()
    assert other.token != page.token
    assert len(page.token) >= 16


def test_other_sites_change_nothing(page):
    here = f"http://127.0.0.1:{page.port}"
    for origin in (
        "http://evil.example",
        "null",
        "https" + here[4:],
        f"http://127.0.0.1:{page.port + 1}",
        here + ".evil",
    ):
        assert ask(page, "POST", body="1", **OURS, Origin=origin)[0] == 403, origin
    assert ask(page, "POST", body="1")[0] == 404  # a form of another site cannot set the header
    assert page.took == []
    status, _, headers = ask(page, "OPTIONS", Origin="http://evil.example", Access_Control_Request_Method="POST")
    assert status == 501
    assert not [name for name in headers if name.lower().startswith("access-control")]
    for origin in (here, f"http://localhost:{page.port}"):
        status, _, headers = ask(page, "POST", body="1", **OURS, Origin=origin)
        assert status == 200
        assert not [name for name in headers if name.lower().startswith("access-control")]
    assert page.took == [1, 1]
    for name in ("Cache-Control", "X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy"):
        assert headers[name]


@pytest.mark.parametrize(
    "body", ["", "{", "[1,", "nul", "'a'", "NaN", '{"a": Infinity}', "\ud800", b"\xff\xfe\x00", "[" * 100_000]
)
def test_what_is_no_json_is_refused(page, body, capsys):
    data = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    status, why, _ = ask(page, "POST", body=data, **OURS)
    assert (status, why) == (400, b"the request holds no JSON")
    assert capsys.readouterr().err == ""


def test_requests_are_bounded(page, monkeypatch):
    monkeypatch.setattr(server, "MOST_BYTES", 1000)
    assert ask(page, "POST", body=json.dumps("x" * 998), **OURS)[0] == 200
    line = f"POST /{page.token}/x HTTP/1.0\r\nHost: 127.0.0.1:{page.port}\r\nX-Posewright: a\r\nContent-Length: "
    assert raw(page, f"{line}1001\r\n\r\n".encode()).startswith(b"HTTP/1.0 413")
    assert raw(page, f"{line}99999999999999999999\r\n\r\n".encode()).startswith(b"HTTP/1.0 413")
    for length in ("-5", "1e3", "x"):
        assert raw(page, f"{line}{length}\r\n\r\n[1]".encode()).startswith(b"HTTP/1.0 400"), length
    assert raw(page, f"{line}9\r\n\r\n[1,2".encode(), shut=True).startswith(b"HTTP/1.0 400")  # cut short
    assert raw(page, b"GET /" + b"a" * 70_000 + b" HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 414")
    assert len(page.took) == 1


def test_who_stops_in_the_middle_is_left(page, monkeypatch, capsys):
    monkeypatch.setattr(page._server.RequestHandlerClass, "timeout", 0.2)
    line = (
        f"POST /{page.token}/x HTTP/1.0\r\nHost: 127.0.0.1:{page.port}\r\nX-Posewright: a\r\nContent-Length: 50\r\n\r\n"
    )
    assert raw(page, b"GET /") == b""
    assert raw(page, f"{line}[1,".encode()) == b""
    assert ask(page)[0] == 200
    assert capsys.readouterr().err == ""


def test_a_mistake_of_ours_is_told_and_ends_nothing(page, capsys):
    status, why, _ = ask(page, "POST", "break", "1", **OURS)
    assert status == 500
    assert b"a mistake of ours" in why
    assert b"Traceback" not in why
    assert "Traceback" in capsys.readouterr().err
    assert ask(page)[0] == 200


def test_a_port_that_is_taken(page):
    with pytest.raises(PosewrightError, match=f"port {page.port} cannot be listened on: another program has it. Leave"):
        LocalPage(page.port)
    for port in (-1, 65536):
        with pytest.raises(PosewrightError, match="cannot be listened on"):
            LocalPage(port)
