"""The folder that ``posewright export MODEL --web FOLDER`` writes, and where onnxruntime-web comes from."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from helpers.site import runtime_package
from helpers.spots import spot_model
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.web import site, site_runtime
from posewright.web.site import write_site

DUMMY = {name: name.encode() for name in site_runtime.FILES.values()}


@pytest.fixture
def runtime(monkeypatch):
    """Something in the place of onnxruntime-web, for what is about the folder."""
    monkeypatch.setattr(site, "runtime_files", lambda package: dict(DUMMY))


@pytest.fixture
def model(tmp_path) -> Path:
    return spot_model(tmp_path / "spots.onnx")


def tgz(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """A package as npm packs it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return stream.getvalue()


PACKED = tgz({"package/README.md": b"read me", **{name: f"content of {name}".encode() for name in site_runtime.FILES}})


def pin(monkeypatch, data: bytes) -> None:
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    monkeypatch.setattr(site_runtime, "INTEGRITY", f"sha512-{digest}")


def fake_npm(folder: Path, monkeypatch, script: str) -> Path:
    """A program called npm, first in the path; ``script`` is Python. It notes in ``calls`` that it was called."""
    folder.mkdir(exist_ok=True)
    calls = folder / "calls"
    program = folder / "npm"
    note = f"p = pathlib.Path({str(calls)!r})\np.open('a').write(' '.join(sys.argv[1:]) + '\\n')\n"
    text = f"#!{sys.executable}\nimport sys, pathlib\n{note}"
    program.write_text(text + script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return calls


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("POSEWRIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "packages" / site_runtime.NAME


# -- the folder --------------------------------------------------------------------------------------------------------


def test_what_the_folder_holds(model, tmp_path, runtime):
    written = write_site(model, tmp_path / "site")
    folder = tmp_path / "site"
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {"index.html", "main.js", "worker.js", "site.css", "model.onnx", "model.json", "NOTICE.txt"} <= set(files)
    assert {f"runtime/{name}" for name in DUMMY} | {"runtime/LICENSE.txt"} <= set(files)
    assert b"Copyright (c) Microsoft Corporation" in files["runtime/LICENSE.txt"]
    assert files["model.onnx"] == model.read_bytes()
    about = json.loads(files["model.json"])
    assert about["name"] == "spots" and about["batch"] is None
    assert about["posewright"]["skeleton"]["keypoints"] == ["red", "green", "blue"]
    manifest = json.loads(files.pop("files.json"))
    assert manifest["files"] == {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()
    }
    assert manifest["runtime"]["integrity"] == site_runtime.INTEGRITY
    assert (written.files, written.size) == (
        len(files) + 1,
        sum(map(len, files.values())) + (folder / "files.json").stat().st_size,
    )
    again = write_site(model, tmp_path / "again")
    assert (tmp_path / "again" / "files.json").read_bytes() == (folder / "files.json").read_bytes()
    assert again.serving == f"python -m http.server --bind 127.0.0.1 -d {tmp_path / 'again'} 8000"


def test_every_file_that_the_page_names_is_there(model, tmp_path, runtime):
    write_site(model, tmp_path / "site")
    named = set()
    for path in (tmp_path / "site").glob("*"):
        if path.suffix in (".html", ".js"):
            text = path.read_text()
            imports, others = r'(?m)^import [^"]*"\./([^"]+)"', r'(?:href|src)="([^":]+\.\w+)"'
            for pattern in (imports, others, r'"(runtime/[^"]+)"'):
                named |= set(re.findall(pattern, text))
            assert not re.search(r"https?://(?!localhost)\w", text), path
            assert "innerHTML" not in text and "eval(" not in text, path  # names come from whoever made the model
    assert len(named) > 12
    assert [name for name in named if not (tmp_path / "site" / name).is_file()] == []


def test_an_older_page_is_replaced_and_nothing_else(model, tmp_path, runtime, monkeypatch):
    folder = tmp_path / "site"
    folder.mkdir()
    write_site(model, folder)  # an empty folder is as good as none
    other = spot_model(tmp_path / "other.onnx", margin=1.5)
    write_site(other, folder)
    assert (folder / "model.onnx").read_bytes() == other.read_bytes()
    (folder / "mine.txt").write_text("keep me")
    with pytest.raises(PosewrightError, match=r"holds something else than an older page, such as 'mine.txt'"):
        write_site(model, folder)
    assert (folder / "mine.txt").read_text() == "keep me" and (folder / "model.onnx").read_bytes() == other.read_bytes()
    with pytest.raises(PosewrightError, match="is a file, not a folder"):
        write_site(model, folder / "mine.txt")
    monkeypatch.chdir(folder)
    for here in (".", ".."):
        with pytest.raises(PosewrightError, match="the folder you are in"):
            write_site(model, here)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.onnx", "site", "spots.onnx"]


def test_models_that_no_page_can_run(tmp_path, runtime):
    maps = spot_model(tmp_path / "maps.onnx", outputs=("heatmaps",))
    with pytest.raises(PosewrightError, match="returns heat maps only"):
        write_site(maps, tmp_path / "site")
    foreign = spot_model(tmp_path / "foreign.onnx", described=False)
    with pytest.raises(PosewrightError, match="not a posewright model file"):
        write_site(foreign, tmp_path / "site")
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(spot_model(tmp_path / "whole.onnx").read_bytes()[:-400])
    with pytest.raises(PosewrightError, match=r"cut short|cannot be loaded"):
        write_site(cut, tmp_path / "site")
    with pytest.raises(PosewrightError, match="pages run nothing else"):
        write_site(Path("model.tflite"), tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_a_run_gives_the_page_its_name_and_a_fixed_batch_is_noted(tmp_path, runtime):
    assert write_site(spot_model(tmp_path / "gauge" / "model.onnx", batch=4), tmp_path / "site").name == "gauge"
    assert json.loads((tmp_path / "site" / "model.json").read_text())["batch"] == 4


def test_the_command(model, tmp_path, runtime, capsys):
    folder = tmp_path / "site"
    assert main(["export", str(model), "--web", str(folder)]) == 0
    said = capsys.readouterr().out
    assert f"{folder}: the page of 'spots'" in said and "Its terms are not stated." in said
    assert f"python -m http.server --bind 127.0.0.1 -d {folder} 8000, and open http://localhost:8000" in said
    assert main(["export", str(model), "--web", str(folder), "--precision", "int8"]) == 2
    assert "the other options are about writing one" in capsys.readouterr().err
    assert main(["export", str(model), "--web-runtime", "x.tgz"]) == 2
    assert "--web-runtime is for --web FOLDER" in capsys.readouterr().err


def test_no_torch_is_needed(model, tmp_path):
    program = (
        "import sys; from posewright.cli import main; from posewright.web import site;"
        "site.runtime_files = lambda package: {'ort-wasm.js': b''};"
        "sys.exit(main(sys.argv[1:]) or 'torch' in sys.modules)"
    )
    command = [sys.executable, "-c", program, "export", str(model), "--web", str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").is_file()


# -- onnxruntime-web ---------------------------------------------------------------------------------------------------


def test_the_package_is_fetched_once_and_checked_each_time(tmp_path, monkeypatch, cache):
    pin(monkeypatch, PACKED)
    (tmp_path / "package").write_bytes(PACKED)
    name = site_runtime.NAME
    calls = fake_npm(
        tmp_path / "bin",
        monkeypatch,
        f"pathlib.Path({name!r}).write_bytes(pathlib.Path({str(tmp_path / 'package')!r}).read_bytes())",
    )
    want = {own: f"content of {n}".encode() for n, own in site_runtime.FILES.items()}
    assert site_runtime.runtime_files() == want
    assert site_runtime.runtime_files() == want
    lines = calls.read_text().splitlines()
    assert len(lines) == 1 and lines[0].startswith(
        f"pack {site_runtime.PACKAGE}@{site_runtime.VERSION} --ignore-scripts"
    )
    cache.write_bytes(PACKED[:-7])  # spoilt in the cache: fetched again
    assert site_runtime.runtime_files() == want
    assert len(calls.read_text().splitlines()) == 2 and cache.read_bytes() == PACKED
    assert site_runtime.runtime_files(tmp_path / "package") == want


def test_a_package_with_another_digest_is_refused(tmp_path, monkeypatch, cache):
    other = tmp_path / "other.tgz"
    other.write_bytes(PACKED)
    with pytest.raises(PosewrightError, match=r"other.tgz: is not onnxruntime-web .* sha512"):
        site_runtime.runtime_files(other)
    fake_npm(tmp_path / "bin", monkeypatch, f"pathlib.Path({site_runtime.NAME!r}).write_bytes(b'something else')")
    with pytest.raises(PosewrightError, match="sha512"):
        site_runtime.runtime_files()
    assert not cache.exists()


def test_no_npm_and_no_network(tmp_path, monkeypatch, cache):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PosewrightError, match=r"npm, which is not installed. Install it, or .* --web-runtime"):
        site_runtime.runtime_files()
    told = (
        "code ECONNREFUSED",
        "syscall connect",
        "errno E",
        "FetchError: request failed, reason: connect",
        "A complete log",
    )
    said = "\n".join(f"npm error {line}" for line in told)
    fake_npm(tmp_path / "bin", monkeypatch, f"print({said!r}, file=sys.stderr)\nsys.exit(1)")
    with pytest.raises(
        PosewrightError, match=r"npm could not fetch .*: FetchError: request failed, reason: connect. Check the network"
    ):
        site_runtime.runtime_files()
    with pytest.raises(PosewrightError, match=r"nowhere.tgz: No such file"):
        site_runtime.runtime_files(tmp_path / "nowhere.tgz")


def test_hostile_packages(tmp_path, monkeypatch):
    """Even with the right digest nothing is written where the package says, and links are not followed."""
    monkeypatch.chdir(tmp_path)
    first, *others = site_runtime.FILES
    good = dict.fromkeys(site_runtime.FILES, b"x")
    outside = tgz({"../outside": b"x", str(tmp_path / "absolute"): b"x", **good})
    assert set(site_runtime.unpack(outside)) == set(site_runtime.FILES.values())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PosewrightError, match="is a link or too large"):
        site_runtime.unpack(tgz(dict.fromkeys(others, b"x"), {first: "/etc/passwd"}))
    with pytest.raises(PosewrightError, match=f"lacks '{first}'"):
        site_runtime.unpack(tgz(dict.fromkeys(others, b"x")))
    monkeypatch.setattr(site_runtime, "LARGEST", 1000)
    with pytest.raises(PosewrightError, match="is a link or too large"):
        site_runtime.unpack(tgz({**good, first: b"0" * 5000}))
    for damaged in (b"", b"no archive", PACKED[: len(PACKED) // 2], PACKED[:20] + bytes(20) + PACKED[40:]):
        with pytest.raises(PosewrightError, match=r"damaged|lacks"):
            site_runtime.unpack(damaged)


def test_the_pinned_package(tmp_path):
    files = site_runtime.runtime_files(runtime_package(tmp_path))
    assert set(files) == set(site_runtime.FILES.values())
    assert all(files[name].startswith(b"\0asm") for name in files if name.endswith(".wasm"))
    for name in ("ort-wasm.js", "ort-webgpu.js"):
        # Each script fetches the engine beside it.
        wasm = {
            "ort-wasm.js": b"ort-wasm-simd-threaded.wasm",
            "ort-webgpu.js": b"ort-wasm-simd-threaded.asyncify.wasm",
        }[name]
        assert wasm in files[name] and f"ONNX Runtime Web v{site_runtime.VERSION}".encode() in files[name]
    assert np.isclose(sum(map(len, files.values())), 41.2e6, rtol=0.02)
