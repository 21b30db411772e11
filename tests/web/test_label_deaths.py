"""The label page in a real browser: what survives a death, a full disk, another tab and another program."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers import chromium
from helpers.discs import DISCS
from helpers.label_page import Tab, serving
from posewright.annotations import read_annotations
from posewright.web import journal, label_store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills processes the Unix way")


def test_the_browser_is_killed(driver, context, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(label_store, "EVERY", 3600.0)
    with serving(folder) as labeller:
        with chromium.own_process(tmp_path / "profile") as (process, address):
            opened = driver.connect_over_cdp(address)
            tab = Tab(opened.contexts[0], labeller)
            tab.click(30, 40)
            tab.wait(lambda: labeller.store.unwritten == 1)
            tab.page.mouse.move(*tab.at(30, 40))
            tab.page.mouse.down()
            tab.page.mouse.move(*tab.at(50, 60), steps=3)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        points = labeller.store.state(0)[1].objects[0]["points"]
        np.testing.assert_allclose(points[0], [30, 40, 2], atol=2)  # all but the gesture in progress
        journal = labeller.store.output.with_name("labels.json.journal").read_text().splitlines()
        assert json.loads(journal[-1])["objects"][0]["points"] == points
        again = Tab(context, labeller)  # another browser goes on with it
        again.keys("Home")
        again.on("000.png")
        again.wait(lambda: again.text("many") == "1 of 3")
        again.click(60, 40)
        np.testing.assert_allclose(again.points()[:2, :2], [[30, 40], [60, 40]], atol=2)


def start(folder: Path, output: Path) -> tuple[subprocess.Popen[str], str]:
    (folder.parent / "discs_classes.txt").write_text("\n".join(DISCS.keypoints))
    command = [sys.executable, "-m", "posewright", "label", str(folder), "-o", str(output)]
    command += ["--skeleton", str(folder.parent / "discs_classes.txt")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    while "http" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    return process, said


def test_the_program_is_killed_and_the_page_goes_on(context, folder, tmp_path):
    output = tmp_path / "labels.json"
    process, said = start(folder, output)
    address = re.search(r"http\S+", said).group()
    try:
        tab = Tab(context, type("There", (), {"address": address}))
        tab.click(30, 40)
        tab.settled()
        process.kill()
        process.wait(10)
        tab.click(60, 40)
        tab.click(45, 20)
        tab.says("saved", "1 not saved")
        assert "has gone" in tab.text("banner")
        tab.keys("End", "v")  # a picture that cannot come: the one that is there stays, and nothing is done to it
        tab.says("toast", "cannot be fetched")
        assert tab.text("name") == "000.png"
        process, said = start(folder, output)
        assert "1 changes that a crash had left in the journal are back" in said
        assert address in said
        tab.settled()
        tab.wait(lambda: not tab.page.is_visible("#banner"))
        tab.click(90, 90)
        tab.keys("Shift+Q")
        assert process.wait(10) == 0
        said = process.stdout.read()
        assert "1 of 5 pictures labelled, 0 done, 0 flagged." in said
        assert f"Next: posewright inspect {output}" in said
        tab.says("banner", "can be closed")
    finally:
        context.close()
        process.kill()
        process.stdout.close()
    np.testing.assert_allclose(read_annotations(output).keypoints[0], [[30, 40, 2], [60, 40, 2], [45, 20, 2]], atol=0.1)
    assert not list(tmp_path.glob("*.journal"))


# -- disks -------------------------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_and_loses_nothing(context, folder, monkeypatch):
    with serving(folder) as labeller:
        tab = Tab(context, labeller)
        tab.click(30, 40)
        tab.settled()
        with monkeypatch.context() as patch:
            patch.setattr(journal.os, "fsync", full)
            tab.click(60, 40)
            tab.says("saved", "1 not saved")
            tab.says("banner", "No space left on device")
            assert "leave it open" in tab.text("banner")
            tab.click(45, 20)  # work goes on
        tab.settled()
        tab.wait(lambda: not tab.page.is_visible("#banner"))
        np.testing.assert_allclose(tab.points(), [[30, 40, 2], [60, 40, 2], [45, 20, 2]], atol=0.1)


def test_a_folder_that_cannot_be_written_is_told(context, folder, monkeypatch):
    monkeypatch.setattr(label_store, "EVERY", 0.05)
    with serving(folder) as labeller:
        tab = Tab(context, labeller)
        with monkeypatch.context() as patch:
            patch.setattr("posewright.files.tempfile.mkstemp", refused)
            tab.click(30, 40)
            tab.says("banner", "labels.json: cannot be written: Permission denied")
            assert tab.text("saved") == "Needs you"
            assert not tab.page.is_visible("#banner-button")
        tab.wait(lambda: not tab.page.is_visible("#banner"))
        assert len(read_annotations(labeller.store.output)) == 1


def full(_: int) -> None:
    raise OSError(28, "No space left on device")


def refused(*_: object, **__: object) -> None:
    raise PermissionError(13, "Permission denied")


# -- others ------------------------------------------------------------------------------------------------------------


def test_two_tabs(tab):
    other = Tab(tab.page.context, tab.labeller)
    tab.wait(lambda: "2 tabs" in tab.text("banner") and "2 tabs" in other.text("banner"))
    tab.click(30, 40)
    other.wait(lambda: other.text("many") == "1 of 3")  # each shows what the other does
    other.page.route("**/save/*", lambda route: route.abort())
    other.click(60, 40)
    other.says("saved", "1 not saved")
    tab.click(70, 80)
    tab.settled()
    other.page.unroute("**/save/*")
    other.says("toast", "another tab")
    np.testing.assert_allclose(tab.points()[1], [70, 80, 2], atol=0.1)
    other.keys("Control+z")  # what was made here is not gone
    other.settled()
    np.testing.assert_allclose(tab.points()[1], [60, 40, 2], atol=0.1)
    other.page.close()
    tab.wait(lambda: not tab.page.is_visible("#banner"))
    tab.page.reload()  # is no second tab
    tab.wait(lambda: tab.text("many") == "2 of 3")
    tab.settled()
    assert not tab.page.is_visible("#banner")


def test_another_program_changes_the_file(tab):
    store = tab.labeller.store
    tab.click(30, 40)
    tab.settled()
    assert store.write()
    store.output.write_text("{}")
    tab.click(60, 40)
    tab.wait(lambda: store.unwritten == 1)
    assert not store.write()
    tab.labeller._tell(tab.labeller._saved())
    tab.says("banner", "changed by another program")
    assert store.output.read_text() == "{}"
    tab.page.click("#banner-button")
    tab.wait(lambda: not tab.page.is_visible("#banner"))
    assert len(read_annotations(store.output)) == 1
    assert store.output.with_name("labels.old-1.json").read_text() == "{}"
