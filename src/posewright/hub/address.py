"""What ``hf://user/repo@revision/file`` means, and one line for each way in which the Hub refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from posewright.errors import PosewrightError

SCHEME = "hf://"
INSTALL = "pip install 'posewright[hub]'"
_REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_ADDRESS = re.compile(
    r"hf:/{1,2}(?P<repo>[^/@]+/[^/@]+)(?:@(?P<revision>refs/(?:pr|convert)/[^/]+|[^/]+))?(?:/(?P<file>.*))?"
)
_NETWORK = ("requests", "urllib3", "httpx", "httpx2", "httpcore", "httpcore2")
"""Packages whose errors mean that the Hub was not reached; huggingface_hub went from one to the next."""


@dataclass(frozen=True)
class Address:
    """A place on the Hub.

    Attributes:
        repo: "user/name".
        revision: a branch, tag or commit; None for the main branch.
        file: a file's path within the repository; None for whichever holds the model.
    """

    repo: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{SCHEME}{self.repo}{revision}{f'/{self.file}' if self.file else ''}"


def is_address(spec: str | Path) -> bool:
    """Whether a name for a model means a place on the Hub; also after it has been made a Path, which halves the slashes."""
    return re.match(r"hf:[/\\]", str(spec)) is not None


def parse_address(spec: str | Path) -> Address:
    """Read ``hf://user/repo[@revision][/file]``.

    Raises:
        PosewrightError: where it is no such address, or its file lies outside the repository.
    """
    text = str(spec).replace("\\", "/")
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise PosewrightError(f"'{text}' is no address on the Hub", fix="Write hf://user/repo[@revision][/file]")
    repo, revision, file = found["repo"], found["revision"], found["file"]
    check_repo(repo)
    if file and not inside(file):
        raise PosewrightError(f"'{file}' is no file within a repository", file=text)
    return Address(repo, unquote(revision) if revision else None, file or None)


def check_repo(repo: str) -> None:
    """Raise a PosewrightError where this is no "user/name"."""
    if not _REPO.fullmatch(repo) or ".." in repo or "--" in repo or repo.endswith((".git", ".", "-")):
        raise PosewrightError(f"'{repo}' is no repository's name", fix="Write user/repo, as in its address on the Hub")


def inside(file: str) -> bool:
    """Whether a path within a repository stays there."""
    parts = PurePosixPath(file).parts
    return not file.startswith("/") and "\\" not in file and ":" not in file and ".." not in parts and bool(parts)


def package() -> Any:
    """The package huggingface_hub.

    Raises:
        PosewrightError: where it is not installed.
    """
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "huggingface_hub":
            raise
        what = "models on the Hub need huggingface_hub, which is not installed"
        raise PosewrightError(what, fix=INSTALL) from None
    return huggingface_hub


def is_unreachable(error: BaseException) -> bool:
    """Whether an error means that there was no answer from the Hub."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if isinstance(error, HfHubHTTPError):
        return False
    own = type(error).__module__.split(".")[0] in _NETWORK
    return own or isinstance(error, (ConnectionError, TimeoutError, LocalEntryNotFoundError))


@contextmanager
def one_line(address: Address) -> Iterator[None]:
    """Whatever the Hub or the way to it refuses comes out as one PosewrightError about this address."""
    from huggingface_hub import errors

    def told(what: str, fix: str | None = None) -> PosewrightError:
        return PosewrightError(what, file=str(address), fix=fix)

    try:
        yield
    except errors.GatedRepoError:
        page = f"https://huggingface.co/{address.repo}"
        raise told("is gated", f"Accept its terms at {page}, then log in: hf auth login") from None
    except errors.RepositoryNotFoundError:
        fix = "Check the name; for a private one log in: hf auth login"
        raise told("there is no such repository, or it is private", fix) from None
    except errors.RevisionNotFoundError:
        raise told(f"has no revision '{address.revision}'") from None
    except errors.HFValidationError:
        raise told("is no repository's name", "Write user/repo, as in its address on the Hub") from None
    except errors.LocalTokenNotFoundError:
        raise told("nobody is logged in", "Log in: hf auth login") from None
    except PosewrightError:
        raise
    except Exception as error:
        if is_unreachable(error):
            raise told("the Hub cannot be reached", "Check the network, or name a file on this machine") from None
        if isinstance(error, errors.EntryNotFoundError):
            raise told("there is no such file in the repository") from None
        if not isinstance(error, errors.HfHubHTTPError):
            raise
        code = getattr(getattr(error, "response", None), "status_code", None)
        if code == 401:
            raise told("nobody is logged in, or the token is no longer good", "Log in: hf auth login") from None
        if code == 403:
            raise told("the token that is logged in may not do this", "Log in with one that may write") from None
        if code == 429:
            raise told("the Hub asks to come back later (too many requests)") from None
        first = str(error).strip().splitlines()
        raise told(f"the Hub answered {code or 'with an error'}: {first[0] if first else ''}") from None
