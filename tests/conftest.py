"""Fixtures shared by all tests."""

from __future__ import annotations

import logging
import os
import signal
from pathlib import Path

import pytest

from helpers.discs import draw_discs

# Lightning gives its loggers a handler on whatever stderr is at its import, unless somebody else looks after logging;
# under pytest that stderr is one test's capture, and closed by the time another test logs.
logging.getLogger().addHandler(logging.NullHandler())


# A shell that starts pytest in the background has it ignore Ctrl-C, and its children with it, some of which are sent one.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def find_shared_data() -> Path | None:
    """The folder of real data: ``POSEWRIGHT_DATA``, else ``../shared/data`` beside the checkout; None where missing."""
    named = os.environ.get("POSEWRIGHT_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture(scope="session", autouse=True)
def frames_of_videos_in(tmp_path_factory):
    """No test keeps frames of videos in the cache folder of whoever runs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POSEWRIGHT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data, or a skip that says where it was looked for."""
    folder = find_shared_data()
    if folder is None:
        pytest.skip("real data not found: set POSEWRIGHT_DATA, or put it at ../shared/data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def discs(tmp_path_factory):
    """A small labelled set that the tests draw themselves."""
    return draw_discs(tmp_path_factory.mktemp("discs"))
