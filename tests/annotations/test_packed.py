"""Packed sets as a format: found by itself, read through the index, and refused with one line where anything is damaged."""

from __future__ import annotations

import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest

from helpers.discs import DISCS
from helpers.scenes import draw_scenes
from posewright.annotations import ReadOptions, find_format, get_format, read_annotations
from posewright.annotations.video_frames import all_files, frames_as_pictures
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.media.header import picture_size
from posewright.media.labelled import picture_of
from posewright.media.pictures import read_picture
from posewright.media.shard_check import check_shards
from posewright.media.shards import header_check, load_index
from posewright.skeleton import Skeleton
from posewright.training.packing import PackConfig, pack


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    pack(
        draw_scenes(folder / "pictures", 6),
        folder / "shards",
        PackConfig(CropRule((64, 64)), shard_mb=0.05, terms="mine"),
    )
    return folder / "shards"


@pytest.fixture
def shards(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "shards"))


def rewrite(folder: Path, change) -> None:
    """Change header, places and labels of an index, and make its checksums right again."""
    path = folder / "index.jsonl"
    header, members, *labels = (json.loads(line) for line in path.read_text().splitlines())
    change(header, members, labels)
    second = json.dumps(members).encode() + b"\n"
    rest = "".join(json.dumps(label) + "\n" for label in labels).encode()
    header["crc32"] = {"members": zlib.crc32(second), "labels": zlib.crc32(rest), "header": header_check(header)}
    path.write_bytes(json.dumps(header).encode() + b"\n" + second + rest)


def test_it_is_found_by_itself_from_folder_or_index(shards):
    for source in (shards, shards / "index.jsonl"):
        assert find_format(source).name == "packed"
        a = read_annotations(source)
        assert (a.skeleton, a.root, a.terms) == (DISCS, shards, "mine")
        assert len({im.path.partition("/")[0] for im in a.images}) == 3
        assert a.require_pictures() is a
        for i, im in enumerate(a.images):
            assert read_picture(a.image_path(i)).shape == picture_of(a, i).shape == (im.height, im.width, 3)
            assert picture_size(a.image_path(i)) == (im.width, im.height)


def test_reading_pictures_needs_no_labels(shards):
    """What a loader process does: it knows a path and reads the first two lines of the index."""
    path = shards / read_annotations(shards).images[0].path
    index = shards / "index.jsonl"
    index.write_bytes(b"".join(index.read_bytes().splitlines(keepends=True)[:2]))
    assert read_picture(path).ndim == 3
    with pytest.raises(PosewrightError, match=r"index\.jsonl: is cut short or damaged"):
        read_annotations(shards)


def test_the_pictures_as_files_again(shards, tmp_path):
    """Byte for byte, for formats and tools that know nothing of shards; these say so when asked to write a packed set."""
    a = read_annotations(shards)
    done: list[int] = []
    b = frames_as_pictures(a, tmp_path / "pictures", done.append)
    assert sum(done) == len(a.images)
    assert all_files(b)
    assert (b.root, b.images[0].path) == (tmp_path / "pictures", "00000000.png")  # a small file is kept as it is
    assert [(im.group, im.split) for im in a.images] == [(im.group, im.split) for im in b.images]
    for (member, _), im in zip(load_index(shards).members, b.images, strict=True):
        assert (b.root / im.path).read_bytes() == member.read()
    for name in ("labelme", "yolo-pose", "deeplabcut", "cpm-labels"):
        with pytest.raises(PosewrightError, match=r"'00000\d.tar/0000000\d.\w+': .* knows pictures only"):
            get_format(name).write(a, tmp_path / name)
        assert not (tmp_path / name).exists()


def test_a_choice_of_keypoints(shards):
    a = read_annotations(shards)
    b = read_annotations(shards, options=ReadOptions(skeleton=Skeleton("two", ("top", "left_disc"))))
    assert np.array_equal(b.keypoints, a.keypoints[:, [2, 0]])
    with pytest.raises(PosewrightError, match="has no keypoint 'nose'"):
        read_annotations(shards, options=ReadOptions(skeleton=Skeleton("other", ("nose",))))
    with pytest.raises(PosewrightError, match="Leave --images out"):
        read_annotations(shards, options=ReadOptions(images=shards))


def test_a_check_reads_everything(shards):
    index = check_shards(shards)
    assert sum(s.samples for s in index.shards) == len(index.members) == len(read_annotations(shards).images)


# -- damage ------------------------------------------------------------------------------------------------------------


def test_a_shard_that_is_missing_cut_short_or_longer(shards):
    shard = shards / "000001.tar"
    whole = shard.read_bytes()
    for data, says in ((whole[:-1024], "is cut short: it has"), (whole + b"\0", "is not the one that was packed")):
        shard.write_bytes(data)
        with pytest.raises(PosewrightError, match=rf"000001\.tar: {says}"):
            read_annotations(shards)
    shard.unlink()
    with pytest.raises(PosewrightError, match=r"000001\.tar: is missing"):
        read_annotations(shards)


def test_a_flipped_bit_is_found_when_the_picture_is_read_and_by_the_check(shards):
    a = read_annotations(shards)
    member = load_index(shards).members[2][0]
    data = bytearray(member.shard.read_bytes())
    data[member.at + member.size // 2] ^= 4
    member.shard.write_bytes(bytes(data))
    again = read_annotations(shards)
    assert len(again) == len(a)
    with pytest.raises(PosewrightError, match=rf"{member.shard.name}: {member.name}: is damaged"):
        picture_of(again, 2)
    with pytest.raises(PosewrightError, match=rf"{member.shard.name}: {member.name}: is damaged"):
        check_shards(shards)
    assert picture_of(again, 0).ndim == 3


def test_shards_without_their_index_are_no_unknown_format(shards):
    """As a copy that was broken off leaves them, or packing that was: the index comes last."""
    (shards / "index.jsonl").unlink()
    with pytest.raises(PosewrightError, match=r"index\.jsonl: .* it is missing.*the same command goes on"):
        read_annotations(shards)
    (shards / "photo.txt").write_text("of another tool")
    with pytest.raises(PosewrightError, match="is in no annotation format"):
        read_annotations(shards)


def test_a_shard_cut_short_while_it_is_in_use(shards):
    a = read_annotations(shards)
    last = len(a.images) - 1
    shard = a.image_path(last).parent
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(PosewrightError, match="is cut short"):
        picture_of(a, last)
    shard.unlink()
    with pytest.raises(PosewrightError, match="is missing"):
        picture_of(a, last)


def test_changed_bytes_between_the_members_are_found_by_the_check(shards):
    shard = shards / "000000.tar"
    data = bytearray(shard.read_bytes())
    data[0] = ord("9")  # the first member's name
    shard.write_bytes(bytes(data))
    read_annotations(shards)
    with pytest.raises(PosewrightError, match=r"000000\.tar: .*SHA-256"):
        check_shards(shards)


def test_a_picture_that_is_not_there(shards):
    for name in ("000000.tar/99999999.jpg", "000000.tar/../index.jsonl", "000000.tar/00000000.json"):
        with pytest.raises(PosewrightError, match=r"is not in|is not a picture|does not exist"):
            read_picture(shards / name)
    (shards / "other.tar").write_bytes(b"\0" * 1024)
    (shards / "index.jsonl").unlink()
    with pytest.raises(PosewrightError, match="found through it, and it is missing"):
        read_picture(shards / "other.tar" / "00000000.jpg")


def test_damage_to_the_index(shards):
    path = shards / "index.jsonl"
    whole = path.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(whole), 60):
        broken = bytearray(whole)
        broken[at] ^= 1
        path.write_bytes(bytes(broken))
        with pytest.raises(PosewrightError, match=r"index\.jsonl") as refused:
            read_annotations(shards, "packed")
        assert "\n" not in str(refused.value)
    for size in (0, 40, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:size])
        with pytest.raises(PosewrightError):
            read_annotations(shards, "packed")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda h, m, x: h.update(format_version=2), "has version 2; this posewright reads version 1"),
        (lambda h, m, x: h["shards"][0].update(name="../secret.tar"), "is no name of a shard"),
        (lambda h, m, x: m["picture"].__setitem__(0, "../../etc/passwd"), "is no name of a picture"),
        (lambda h, m, x: m["picture"].__setitem__(0, "00000000.exe"), "is no name of a picture"),
        (lambda h, m, x: m["picture"].__setitem__(1, m["picture"][0]), "is listed twice"),
        (lambda h, m, x: m["at"].__setitem__(0, 10**12), "does not lie where it can"),
        (lambda h, m, x: m["at"].__setitem__(0, -1), "is no size"),
        (lambda h, m, x: m["bytes"].__setitem__(0, 10**9), "does not lie where it can"),
        (lambda h, m, x: m["crc32"].pop(), "not all of"),
        (lambda h, m, x: h["shards"].pop(), "not all of"),
        (lambda h, m, x: h["shards"][0].update(samples=1e9), "is no size"),
        (lambda h, m, x: x[1].update(keypoints=[[1, 2, 2]]), "keypoints"),
        (lambda h, m, x: x[1].update(box=[0, 0, 0]), "labels that cannot be used"),
        (lambda h, m, x: x[1].update(size=[0, 5]), "is no number of pixels"),
        (lambda h, m, x: x[1].update(at=[0, 0, 0]), "reduced by 0"),
        (lambda h, m, x: x[1].update(split="some"), "split 'some'"),
        (lambda h, m, x: x[1].update(whole=[1]), "labels that cannot be used"),
        (lambda h, m, x: h.update(skeleton={"name": "x"}), "skeleton"),
    ],
)
def test_an_index_that_lies(shards, change, says):
    rewrite(shards, change)
    with pytest.raises(PosewrightError, match=says) as refused:
        read_annotations(shards, "packed")
    assert "\n" not in str(refused.value)
    assert str(shards) in str(refused.value)


def test_places_that_belong_to_another_picture(shards):
    """Checksums are those of the index's own names: exchanged places are found when the picture is read."""

    def exchange(header, members, labels):
        for name in ("crc32",):
            members[name][0], members[name][1] = members[name][1], members[name][0]

    rewrite(shards, exchange)
    a = read_annotations(shards)
    with pytest.raises(PosewrightError, match="is damaged"):
        picture_of(a, 0)


def test_visible_keypoints_far_outside_the_whole_picture(shards):
    def away(header, members, labels):
        own = next(label for label in labels if "object" in label)
        own["keypoints"][0] = [9e5, 1.0, 2]

    rewrite(shards, away)
    with pytest.raises(PosewrightError, match="far outside the picture"):
        read_annotations(shards)
