"""posewright serve as a process: what it prints, whom it lets in, and how it ends."""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

from posewright.cli import main
from posewright.cli.serve import named_models
from posewright.errors import PosewrightError

needs_serve = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("fastapi", "uvicorn", "prometheus_client", "python_multipart", "httpx"))),
    reason="the service is tested with pip install 'posewright[serve]'",
)


def complaint(capsys, *args: str) -> str:
    assert main(["serve", *args]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error, error
    return error


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    onnx = pytest.importorskip("onnx", reason="small nets are made with onnx")
    assert onnx
    from helpers.spots import spot_model

    return spot_model(tmp_path_factory.mktemp("nets") / "spots.onnx")


class Process:
    """The command, running."""

    def __init__(self, process: subprocess.Popen) -> None:
        self.process, self._lines = process, queue.Queue()
        threading.Thread(target=lambda: [self._lines.put(line) for line in process.stdout], daemon=True).start()
        self.said: list[str] = []
        while not self.said or not self.said[-1].startswith("Next:"):
            self.said.append(self._lines.get(timeout=30))
        self.port = int(re.search(r"http://\S+:(\d+)", "".join(self.said))[1])
        deadline = time.monotonic() + 20
        while self.ask("GET", "/readyz")[0] != 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str):
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        line.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = line.getresponse()
        data = answer.read()
        line.close()
        return answer.status, data

    def rest(self) -> str:
        """What else it said until it ended."""
        self.process.wait(20)
        time.sleep(0.05)
        return "".join(self._lines.get() for _ in range(self._lines.qsize()))


def listens(port: int) -> bool:
    """Whether anybody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def running(*args: str, **environment: str):
    command = [sys.executable, "-m", "posewright", "serve", *args, "--port", "0", "--threads", "1"]
    settings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **environment}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=settings, start_new_session=True
    )
    try:
        yield Process(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)


@needs_serve
def test_it_serves_refuses_and_ends_well(net):
    import posewright
    from helpers.service import picture_bytes
    from posewright.media.pictures import decode_picture

    data = picture_bytes()
    with running(f"mine={net}", str(net), "--access-log", POSEWRIGHT_TOKEN="s3cret") as served:
        assert "Serving mine (taken where none is named), spots at http://127.0.0.1:" in served.said[0]
        assert "Authorization: Bearer $POSEWRIGHT_TOKEN" in served.said[-1]
        assert served.ask("POST", "/v1/poses", data, Content_Type="image/png")[0] == 401
        mine = {"Authorization": "Bearer s3cret"}
        status, answer = served.ask("POST", "/v1/poses", data, Content_Type="image/png", **mine)
        assert status == 200
        wanted = json.loads(posewright.load(net)(decode_picture(data)).to_json())
        assert json.loads(answer) == {"model": "mine", "pictures": [wanted]}
        with pytest.raises(OSError):  # any other address of this machine
            socket.create_connection(("127.0.0.2", served.port), timeout=5)

        # One that is half sent when the end comes is accepted, and answered.
        line = socket.create_connection(("127.0.0.1", served.port), timeout=20)
        head = f"POST /v1/poses HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer s3cret\r\nContent-Length: {len(data)}\r\n"
        line.sendall(f"{head}Content-Type: image/png\r\n\r\n".encode() + data[:100])
        idle = socket.create_connection(("127.0.0.1", served.port), timeout=20)
        for _ in range(3):  # by then it has read what was sent before
            assert served.ask("GET", "/healthz")[0] == 200
        served.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 10
        while listens(served.port):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert served.process.poll() is None
        line.sendall(data[100:])
        parts = b""
        while part := line.recv(65536):
            parts += part
        assert parts.startswith(b"HTTP/1.1 200") and parts.partition(b"\r\n\r\n")[2] == answer
        line.close()
        idle.close()
        rest = served.rest()
        assert served.process.returncode == 0, rest
    assert rest.endswith("Ended; what was accepted has been answered.\n")
    assert rest.count("POST /v1/poses 200") == 2 and "Traceback" not in rest


@needs_serve
def test_ctrl_c_ends_it_and_other_addresses_get_a_warning(net):
    with running(str(net), "--host", "0.0.0.0") as served:
        assert any("warning: whoever reaches 0.0.0.0 port" in line for line in served.said)
        assert served.ask("GET", "/v1/models", Host="anything.example")[0] == 200
        served.process.send_signal(signal.SIGINT)
        assert served.rest().endswith("Ended; what was accepted has been answered.\n")
        assert served.process.returncode == 0


def heard(line: socket.socket, last: bytes) -> bytes:
    """What comes, up to these bytes."""
    parts = b""
    while not parts.endswith(last) and (part := line.recv(1000)):
        parts += part
    return parts


@needs_serve
def test_headers_that_do_not_come_are_not_waited_for(net, monkeypatch):
    import asyncio

    from posewright.web.service import run

    monkeypatch.setattr(run, "HEADER_SECONDS", 0.2)

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        await asyncio.sleep(0.5)  # longer than a header may take
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    made = run.listening("127.0.0.1", 0)
    port = made.getsockname()[1]
    server = run.serve(app, made, lambda: None)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [made]})
    thread.start()
    try:
        for start in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b"):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
                line.sendall(start)
                begun = time.monotonic()
                assert line.recv(100) == b""
                assert time.monotonic() - begun < 5
        with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
            for _ in range(2):  # what is whole may take its time, and the connection may be used again
                line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert heard(line, b"ok").startswith(b"HTTP/1.1 200")
            line.sendall(b"GET /")
            assert b"HTTP" not in line.recv(1000)
    finally:
        server.should_exit = True
        thread.join(10)
        made.close()
    assert not thread.is_alive()


def test_names_of_models(tmp_path):
    run = tmp_path / "run1"
    run.mkdir()
    assert named_models(("hand", f"{tmp_path}/net.v2.onnx", f"x={run}", str(run))) == {
        "hand": "hand",
        "net.v2": f"{tmp_path}/net.v2.onnx",
        "x": str(run),
        "run1": str(run),
    }
    odd = tmp_path / "a=b.onnx"
    odd.write_bytes(b"")
    assert named_models((f"c={odd}",)) == {"c": str(odd)}
    for specs, why in (
        (("hand", "hand"), "two models are called 'hand'"),
        (("=hand",), "is not NAME=MODEL"),
        (("a=",), "is not NAME=MODEL"),
        ((str(odd),), "is no name for a model"),
        (("a/b=hand",), "is no name for a model"),
        ((), "no model given"),
    ):
        with pytest.raises(PosewrightError, match=re.escape(why)):
            named_models(specs)


@needs_serve
def test_bad_input(capsys, tmp_path, net, monkeypatch):
    monkeypatch.delenv("POSEWRIGHT_TOKEN", raising=False)
    mine = (str(net), "--port", "0")
    assert "no shipped model 'nothing'" in complaint(capsys, "nothing", "--port", "0")
    assert "two models are called 'spots'" in complaint(capsys, str(net), *mine)
    assert "the limit on queue has to be 1 at least" in complaint(capsys, *mine, "--queue", "0")
    assert "the limit on megabytes has to be above 0" in complaint(capsys, *mine, "--max-megabytes", "nan")
    assert "a batch waits from 0 to 10000 ms" in complaint(capsys, *mine, "--max-delay-ms", "-1")
    assert "--readers must be at least 1" in complaint(capsys, *mine, "--readers", "0")
    assert "no model 'spot' is served. Did you mean 'spots'" in complaint(capsys, *mine, "--locator", "spot=x")
    assert "finds keypoints, and is no locator" in complaint(capsys, *mine, "--locator", str(net))
    assert "--classes is the locator's" in complaint(capsys, *mine, "--classes", "person")
    token = tmp_path / "token"
    assert "token" in complaint(capsys, *mine, "--token-file", str(token))
    for text in ("", " \n", "two words", "dé"):
        token.write_text(text, encoding="utf-8")
        assert "holds no token" in complaint(capsys, *mine, "--token-file", str(token))
    monkeypatch.setenv("POSEWRIGHT_TOKEN", "")
    assert "POSEWRIGHT_TOKEN: holds no token" in complaint(capsys, *mine)
    monkeypatch.delenv("POSEWRIGHT_TOKEN")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert f"port {port} cannot be listened on: another program has it" in complaint(
            capsys, str(net), "--port", port
        )
    for port in ("-1", "65536"):
        assert "cannot be listened on" in complaint(capsys, str(net), "--port", port)
    assert "cannot be listened on" in complaint(capsys, str(net), "--host", "256.1.1.1", "--port", "0")


def test_what_is_not_installed_is_said(capsys, monkeypatch, net):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert "pip install 'posewright[serve]'" in complaint(capsys, str(net))


@needs_serve
def test_it_needs_no_torch():
    code = (
        "import sys; from posewright.web.service import app, run, core; import posewright.cli.serve; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@needs_serve
def test_locators_are_for_all_models_or_for_one(net, tmp_path):
    import posewright
    from helpers.bright_boxes import box_model
    from posewright.cli.serve import Command

    first, second = box_model(tmp_path / "first.onnx"), box_model(tmp_path / "second.onnx")
    models = {name: posewright.load(net) for name in ("a", "b", "c")}

    def opened(*specs: str, score: float | None = None) -> dict[str, tuple[str, float]]:
        found = Command(("x",), locator=specs, locator_score=score)._locators(models)
        return {name: (locator._engine.path.stem, locator.threshold) for name, locator in found.items()}

    assert opened() == {}
    assert opened(str(first), score=0.7) == dict.fromkeys("abc", ("first", 0.7))
    assert opened(f"b={first}") == {"b": ("first", 0.5)}
    assert opened(str(first), f"c={second}") == {"a": ("first", 0.5), "b": ("first", 0.5), "c": ("second", 0.5)}
    for specs in ((str(first), str(second)), (f"a={first}", f"a={second}")):
        with pytest.raises(PosewrightError, match="two locators for"):
            opened(*specs)
