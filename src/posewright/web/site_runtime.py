"""onnxruntime-web, which runs models in browsers: fetched once through npm, pinned by version and digest, kept in the cache.

Nothing of the package is run here, and none of it is unpacked to where the package says: the few files that a page needs
are read out of it by name.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from posewright.cache import cache_folder
from posewright.console import status
from posewright.errors import PosewrightError
from posewright.files import whole_file

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""The digest of that version's package, as npm writes it in lock files."""
NAME = f"{PACKAGE}-{VERSION}.tgz"

FILES = {
    "package/dist/ort.wasm.bundle.min.mjs": "ort-wasm.js",
    "package/dist/ort-wasm-simd-threaded.wasm": "ort-wasm-simd-threaded.wasm",
    "package/dist/ort.webgpu.bundle.min.mjs": "ort-webgpu.js",
    "package/dist/ort-wasm-simd-threaded.asyncify.wasm": "ort-wasm-simd-threaded.asyncify.wasm",
}
"""What a page needs: the names in the package, and those in a site. Scripts end in .js there: not every server knows .mjs."""
LARGEST = 100_000_000
"""Bytes that one of them, or the package, may have."""
PATIENCE = 600
"""Seconds that npm may take for 33 MB."""


def runtime_files(package: Path | None = None) -> dict[str, bytes]:
    """The files of :data:`FILES` by their names in a site.

    Args:
        package: the package's file, for machines without npm or network; the cached one unless given, fetched through npm
            where there is none.

    Raises:
        PosewrightError: where the package cannot be had, or is not the one that was pinned.
    """
    if package is not None:
        data = _read(package)
        _verify(data, package)
    else:
        data = _cached()
    return unpack(data, package or NAME)


def _cached() -> bytes:
    path = cache_folder("packages") / NAME
    if path.is_file():
        data = _read(path)
        if _is_pinned(data):
            return data
        # Whatever happened to it, a fresh one is better than an error.
    data = _fetched()
    try:
        with whole_file(path) as temporary:
            temporary.write_bytes(data)
    except PosewrightError:
        pass  # a cache that cannot be written only costs the next one time
    return data


def _fetched() -> bytes:
    """The package as npm brings it, verified."""
    npm = shutil.which("npm")
    by_hand = f"take the package from a machine that has: npm pack {PACKAGE}@{VERSION}, then --web-runtime {NAME}"
    if npm is None:
        raise PosewrightError(
            f"{PACKAGE} is fetched through npm, which is not installed", fix=f"Install it, or {by_hand}"
        )
    with tempfile.TemporaryDirectory(prefix="posewright-") as folder:
        command = [
            npm, "pack", f"{PACKAGE}@{VERSION}", "--ignore-scripts", "--prefer-offline",
            "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=60000", "--loglevel=error",
        ]  # fmt: skip
        try:
            with status(f"fetching {PACKAGE} {VERSION} through npm, once (33 MB)"):
                done = subprocess.run(
                    command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
                )
        except subprocess.TimeoutExpired:
            raise PosewrightError(
                f"npm did not bring {PACKAGE} in {PATIENCE} s", fix=f"Try again, or {by_hand}"
            ) from None
        except OSError as error:
            raise PosewrightError(f"npm cannot be started: {error.strerror or error}", file=npm) from None
        path = Path(folder) / NAME
        if done.returncode or not path.is_file():
            what = f"npm could not fetch {PACKAGE} {VERSION}: {_why(done.stderr)}"
            raise PosewrightError(what, fix=f"Check the network, or {by_hand}")
        data = _read(path)
    _verify(data, NAME)
    return data


def _why(said: bytes) -> str:
    """The line of npm's that says most."""
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines()]
    errors = [
        line.removeprefix("npm error").removeprefix("npm ERR!").strip() for line in lines if line.startswith("npm ")
    ]
    told = [line for line in errors if line and not line.startswith(("A complete log", "code ", "errno ", "syscall "))]
    return told[0] if told else (errors or lines or ["it said nothing"])[0]


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise PosewrightError(f"is not {NAME}: it is larger than {LARGEST // 1_000_000} MB", file=path)
        return path.read_bytes()
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None


def _is_pinned(data: bytes) -> bool:
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    return hmac.compare_digest(f"sha512-{digest}", INTEGRITY)


def _verify(data: bytes, file: str | Path) -> None:
    if not _is_pinned(data):
        what = f"is not {PACKAGE} {VERSION}: its sha512 digest is another than the one this posewright knows"
        raise PosewrightError(what, file=file, fix=f"Fetch it again: npm pack {PACKAGE}@{VERSION}")


def unpack(data: bytes, file: str | Path = NAME, files: Mapping[str, str] | None = None) -> dict[str, bytes]:
    """The wanted files of a package, read into memory; nothing else of it is looked at, and nothing is written.

    Args:
        data: a .tgz file's content.
        file: for messages.
        files: wanted names in the package, and the names to return them by; :data:`FILES` unless given.

    Raises:
        PosewrightError: where it is no such archive, lacks one, or one is a link, not a file, or too large.
    """
    wanted, found = FILES if files is None else files, dict[str, bytes]()
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            for member in archive:
                if member.name not in wanted:
                    continue
                if not member.isreg() or member.size > LARGEST:
                    raise PosewrightError(
                        "is a link or too large, not a file of that package", file=file, record=member.name
                    )
                stream = archive.extractfile(member)
                found[wanted[member.name]] = b"" if stream is None else stream.read()
                if len(found) == len(wanted):
                    break
    except (tarfile.TarError, OSError, EOFError, zlib.error):
        raise PosewrightError("is damaged, or not a package that npm packed", file=file) from None
    missing = [name for name, own in wanted.items() if own not in found]
    if missing:
        raise PosewrightError(f"lacks '{missing[0]}'", file=file)
    return found
