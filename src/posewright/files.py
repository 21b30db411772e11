"""Writing files whole or not at all, and reading text with one clear error."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from posewright.errors import PosewrightError


class NotWritten(PosewrightError):
    """A place could not be written, or not any longer."""


def _raise_if_full(error: OSError, path: Path) -> None:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise NotWritten("no space left on the device", file=path, fix="Free some, or write elsewhere") from None


UTF_16 = (b"\xff\xfe", b"\xfe\xff")
"""What a text file in UTF-16 begins with, as Windows' "Unicode" files do."""


def read_text(path: str | Path) -> str:
    """The content of a text file without its byte-order mark, which tells UTF-16 from UTF-8.

    Raises:
        PosewrightError: where it cannot be read or is in neither.
    """
    try:
        data = Path(path).read_bytes()
        text = data.decode("utf-16" if data.startswith(UTF_16) else "utf-8-sig")
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
    except UnicodeDecodeError:
        fix = "If it is text, save it as UTF-8" if b"\0" not in data else None
        raise PosewrightError("is not a text file", file=path, fix=fix) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it to ``path`` when the block ends well, remove it otherwise.

    The temporary name keeps the ending, since writers choose their format by it. Missing parent folders are made.

    Raises:
        PosewrightError: where the disk is full or the place cannot be written.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", suffix=f".tmp{path.suffix}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        # Temporary files are private, and some writers make their own; the result is as readable as any other file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        _raise_if_full(error, path)
        if error.filename in (str(path.parent), str(temporary), str(path), None):
            raise NotWritten(f"cannot be written: {error.strerror or error}", file=path) from None
        raise
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """Where a file lies while it is not complete: ``clip.jsonl`` as ``clip.partial.jsonl``."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


@contextmanager
def partial_file(path: str | Path, keep: Callable[[BaseException], bool]) -> Iterator[Path]:
    """Yield :func:`partial_path` of ``path``; rename it to ``path`` when the block ends well.

    For what takes long and cannot be made again: unlike in :func:`whole_file` the file lies there under a name that can be
    seen, also where the machine dies, so that it has to be of use at any time.

    Args:
        keep: whether the file stays under its partial name where the block ends with this; it is removed otherwise, and
            where it is empty.

    Raises:
        NotWritten: where the disk is full or the place cannot be written.
    """
    path = Path(path)
    partial = partial_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(b"")
        yield partial
        partial.replace(path)
    except BaseException as error:
        if partial.is_file() and (not keep(error) or partial.stat().st_size == 0):
            partial.unlink()
        mine = (str(path.parent), str(partial), str(path), None)
        if not isinstance(error, OSError) or error.filename not in mine:
            raise
        _raise_if_full(error, path)
        raise NotWritten(f"cannot be written: {error.strerror or error}", file=path) from None


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``; put it in the place of ``path`` when the block ends well.

    Raises:
        PosewrightError: where the disk is full or the place cannot be written.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", suffix=f".tmp{path.suffix}", dir=path.parent))
        temporary.chmod(0o755)
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    except OSError as error:
        _raise_if_full(error, path)
        raise PosewrightError(f"cannot be written: {error.strerror or error}", file=path) from None
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: str | Path, text: str) -> Path:
    """Write a text file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)
