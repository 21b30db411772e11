"""``posewright serve``."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from posewright.cli.running import Running
from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.runtime import Predictor
    from posewright.tracking.crowd import Locator

VARIABLE = "POSEWRIGHT_TOKEN"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


@dataclass(frozen=True)
class Command:
    """Answer requests for keypoints over HTTP: pictures in, JSON out.

    POST /v1/poses takes a picture as it is, a form with several, or JSON; GET /v1/models says what is served; /docs
    explains the interface, / is a page to try a picture on; /healthz, /readyz and /metrics (Prometheus) are for machines.
    The crops of requests that come together go through the net together.

    It listens on this machine only unless told otherwise, and ends with Ctrl-C or SIGTERM, after answering what it has
    accepted. A request above a limit is refused with 413, 415 or 422, one for which there is no place with 429 and the
    seconds after which to come again.

    examples:
      posewright serve hand
      posewright serve hand body face=runs/faces --port 9000
      posewright serve body --locator yolox_s.onnx --classes person
      posewright serve hand body --locator hand=runs/find_hands
      POSEWRIGHT_TOKEN=... posewright serve hand --host 0.0.0.0
      curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/v1/poses
    """

    models: tyro.conf.Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="MODEL...")]]
    """Model files, run folders or shipped names, or NAME=MODEL to choose what requests call it. The first is taken where a
    request names none."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all of this machine's."""
    port: int = 8000
    """Port to listen on; 0 for any free one."""
    locator: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="L")] = ()
    """Finds the boxes of pictures that bring none: a locator's run folder, model file or shipped name, or another project's
    detector (*.onnx). NAME=L for one of the models only; may be given several times."""
    classes: Annotated[str | None, tyro.conf.arg(metavar="NAME,...")] = None
    """Of another project's detector: names or numbers of the classes that count, such as person,dog."""
    locator_score: float | None = None
    """Boxes of the locator with a lower score are left out; unless given, what its file says, or 0.3."""
    token_file: Path | None = None
    """File with the token that requests have to bring (Authorization: Bearer ...). Or set POSEWRIGHT_TOKEN."""
    readers: int | None = None
    """Threads that decode pictures; as many as processors, four at most, unless given."""
    max_batch: int = 8
    """Crops in one run of the net."""
    max_delay_ms: float = 5.0
    """Milliseconds that a crop waits for company at most while the net is free."""
    queue: int = 64
    """Requests that may be accepted and not answered yet; more are refused with 429."""
    max_megabytes: float = 16.0
    """Of a request's body."""
    max_pixels: int = 40_000_000
    """Of a picture, by its header, before it is decoded."""
    max_pictures: int = 16
    """Of a request."""
    max_boxes: int = 100
    """Of a request, and of what a locator finds for it."""
    body_seconds: float = 30.0
    """For a request's body to arrive."""
    access_log: bool = False
    """Print a line for each request."""
    running: tyro.conf.OmitArgPrefixes[Running] = field(default_factory=Running)

    def run(self) -> int:
        import uvicorn  # noqa: F401  so that a missing extra is told before models are loaded

        from posewright.web.service.app import make_app
        from posewright.web.service.core import Service
        from posewright.web.service.limits import Limits
        from posewright.web.service.run import is_loopback, listening, serve

        limits = Limits(
            self.max_megabytes,
            self.max_pixels,
            self.max_boxes,
            self.max_pictures,
            self.queue,
            self.max_batch,
            self.max_delay_ms / 1000,
            self.body_seconds,
        )
        if self.readers is not None and self.readers < 1:
            raise PosewrightError(f"--readers must be at least 1, not {self.readers}")
        specs, token, alone = named_models(self.models), self._token(), is_loopback(self.host)
        with listening(self.host, self.port) as made:
            models = self._loaded(specs)
            service = Service(models, self._locators(models), limits, self.readers)
            hosts = frozenset({"localhost", "127.0.0.1", "[::1]", self.host.lower()}) if alone and not token else None
            server = None

            def stop() -> None:
                if server is not None:
                    server.should_exit = True

            app = make_app(service, token, hosts, _line if self.access_log else None, stop)
            server = serve(app, made, lambda: setattr(service, "closing", True))
            self._greet(service.default, list(models), made.getsockname()[1], alone, token)
            server.run(sockets=[made])
            if service.trouble is not None:
                raise service.trouble
        print("Ended; what was accepted has been answered.")
        return 0

    def _greet(self, default: str, names: list[str], port: int, alone: bool, token: str | None) -> None:
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(
            self.host, f"[{self.host}]" if ":" in self.host else self.host
        )
        address = f"http://{host}:{port}"
        others = f", {', '.join(names[1:])}" if names[1:] else ""
        if not alone and token is None:
            print(
                f"posewright: warning: whoever reaches {self.host} port {port} can use this service; set {VARIABLE} or give "
                "--token-file",
                file=sys.stderr,
            )
        print(f"Serving {default} (taken where none is named){others} at {address}, until Ctrl-C.")
        print(f"A page to try a picture on is at {address}/, the interface at {address}/docs.")
        bearer = f' -H "Authorization: Bearer ${VARIABLE}"' if token else ""
        print(
            f"Next: curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg'{bearer} {address}/v1/poses", flush=True
        )

    def _token(self) -> str | None:
        """What requests have to bring."""
        if self.token_file is not None:
            from posewright.files import read_text

            where, token = str(self.token_file), read_text(self.token_file).strip()
        elif VARIABLE in os.environ:
            where, token = VARIABLE, os.environ[VARIABLE].strip()
        else:
            return None
        if not token or not all("!" <= letter <= "~" for letter in token):
            fix = "Put one word of letters, digits and signs there, such as: openssl rand -hex 24"
            raise PosewrightError("holds no token", file=where, fix=fix)
        return token

    def _loaded(self, specs: dict[str, str]) -> dict[str, Predictor]:
        from posewright.runtime import load

        how = self.running  # whose own way to load takes checkpoints, too, with torch
        return {
            name: load(spec, how.device, how.threads, engine=how.engine, trust=how.trust)
            for name, spec in specs.items()
        }

    def _locators(self, models: dict[str, Predictor]) -> dict[str, Locator]:
        """The locator of each model that has one."""
        from posewright.errors import did_you_mean

        if not self.locator:
            for option, given in (("--classes", self.classes), ("--locator-score", self.locator_score)):
                if given is not None:
                    raise PosewrightError(f"{option} is the locator's; give --locator too")
        opened: dict[str, Locator] = {}
        found: dict[str, Locator] = {}
        general = None
        for text in self.locator:
            name, spec = _parted(text)
            if name is not None and name not in models:
                raise PosewrightError(f"--locator {text}: no model '{name}' is served", fix=did_you_mean(name, models))
            if spec not in opened:
                opened[spec] = self.running.open_locator(spec, self.classes, self.locator_score)
            if (name is None and general is not None) or name in found:
                raise PosewrightError(
                    f"two locators for {'all models' if name is None else name}: '{text}' is the second"
                )
            if name is None:
                general = opened[spec]
            else:
                found[name] = opened[spec]
        return {name: found.get(name, general) for name in models if found.get(name, general) is not None}  # type: ignore[misc]


def named_models(specs: tuple[str, ...]) -> dict[str, str]:
    """Models by the name that requests call them: what is given as NAME=MODEL, or else the file's or run's name.

    Raises:
        PosewrightError: where there is none, two have one name, or a name is none.
    """
    if not specs:
        raise PosewrightError("no model given", fix="Name one: posewright serve hand")
    found: dict[str, str] = {}
    for text in specs:
        name, spec = _parted(text)
        if name is None:
            path = Path(spec)
            name = path.resolve().name if path.is_dir() else path.stem if path.suffix else path.name
        if not _NAME.fullmatch(name):
            fix = "Give it one of letters, digits, dots, dashes and underscores: NAME=MODEL"
            raise PosewrightError(f"'{name}' is no name for a model", fix=fix)
        if name in found:
            raise PosewrightError(f"two models are called '{name}'", fix=f"Name them: {name}=MODEL other={spec}")
        found[name] = spec
    return found


def _parted(text: str) -> tuple[str | None, str]:
    """NAME=SPEC in its parts; a file may have such a name, too."""
    name, sign, spec = text.partition("=")
    if not sign or Path(text).exists():
        return None, text
    if not name or not spec:
        raise PosewrightError(f"'{text}' is not NAME=MODEL")
    return name, spec


def _line(text: str) -> None:
    print(text, flush=True)
