"""What travels to a machine that is lent, and what comes back."""

from __future__ import annotations

import tarfile

import cv2
import gpu_session as session
import numpy as np
import pytest
import travel

from posewright.errors import PosewrightError


def files(folder, sizes):
    rng = np.random.default_rng(0)
    folder.mkdir()
    made = []
    for name, size in sizes.items():
        (folder / name).write_bytes(rng.bytes(size))
        made.append((folder / name, f"net/{name}"))
    return made


def test_what_comes_back_in_pieces_is_whole_again(tmp_path, monkeypatch):
    monkeypatch.setattr(travel, "PIECE", 20_000)
    out = tmp_path / "out"
    out.mkdir()
    made = files(tmp_path / "a", {"weights": 50_000, "log": 100})
    assert travel.write_pieces(made, [], out, 200_000) == []
    assert len(list(out.iterdir())) >= 3 and max(p.stat().st_size for p in out.iterdir()) == 20_000
    travel.join(out, tmp_path / "home")
    for file, name in made:
        assert (tmp_path / "home" / name).read_bytes() == file.read_bytes()
    travel.write_pieces(made[1:], [], out, 200_000)  # a smaller archive leaves none of the older pieces
    assert [p.name for p in out.iterdir()] == ["session.tar.0"]
    (out / "session.tar.2").write_bytes(b"x")
    with pytest.raises(PosewrightError, match="all pieces"):
        travel.join(out, tmp_path / "other")


def test_what_a_net_goes_on_from_comes_back_whole_or_not_at_all(tmp_path):
    made = files(tmp_path / "a", {"weights": 50_000, "last": 40_000, "best": 40_000})
    out = tmp_path / "out"
    out.mkdir()
    left = travel.write_pieces(made[:1], [made[1:]], out, 150_000)
    assert left == ["net/last", "net/best"]
    travel.join(out, tmp_path / "home")
    assert [p.name for p in (tmp_path / "home" / "net").iterdir()] == ["weights"]


@pytest.mark.parametrize("kind", ["outside", "link"])
def test_an_archive_that_reaches_outside_is_refused(tmp_path, kind):
    info = tarfile.TarInfo("../evil" if kind == "outside" else "inside")
    if kind == "link":
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with tarfile.open(tmp_path / "session.tar.0", "w") as tar:
        tar.addfile(info)
    with pytest.raises(PosewrightError, match="no file of a session"):
        travel.join(tmp_path, tmp_path / "home")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "home" / "inside").exists()


def test_sets_travel_in_parts_of_a_size(tmp_path):
    for number in range(4):
        files(tmp_path / f"s{number}", {"a": 3_000})
    sets = tmp_path / "sets"
    sets.mkdir()
    for number in range(4):
        (tmp_path / f"s{number}").rename(sets / f"s{number}")
    assert travel.into_parts(sets, tmp_path, 7_000) == ["part1", "part2"]
    (tmp_path / "part2").rename(tmp_path / "later")
    travel.from_parts(tmp_path, tmp_path / "there")
    assert len(list((tmp_path / "there").rglob("a"))) == 2
    (tmp_path / "later").rename(tmp_path / "part2")  # the second call brings the rest
    travel.from_parts(tmp_path, tmp_path / "there")
    assert all(
        (tmp_path / "there" / f"s{n}" / "a").read_bytes() == (sets / f"s{n}" / "a").read_bytes() for n in range(4)
    )
    with pytest.raises(PosewrightError, match="not all there"):
        travel.packed_set(tmp_path / "there" / "nowhere")


def test_labels_move_with_pictures_that_are_reduced(discs, tmp_path):
    small = travel.reduced(discs, tmp_path / "small", 32, 95)
    assert (
        max(im.width for im in small.images[:20]) < 96 and small.images[-1].width == 96
    )  # without an object: as it was
    for i in range(3):
        picture = cv2.imread(str(small.image_path(i)))[..., ::-1].astype(int)
        red = np.argwhere(np.abs(picture - (230, 40, 40)).sum(2) < 120)
        assert small.keypoints[i, 0, :2] == pytest.approx(red.mean(0)[::-1], abs=1)


def test_what_is_no_net_of_a_set_is_refused():
    job = session.Job.parse("body:hourglass_s1_nano@128,channels=48")
    assert (job.set, str(job.net)) == ("body", "hourglass_s1_nano@128 channels=48")
    with pytest.raises(PosewrightError, match="no net of a set"):
        session.Job.parse("mouse:hourglass_s1_nano@128")
