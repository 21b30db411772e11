"""Whether a packed set is, to the last byte, what was packed."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from pathlib import Path

from posewright.errors import PosewrightError
from posewright.media.pictures import decode_picture
from posewright.media.shards import INDEX, Index, Member, Shard, load_index


def check_shards(folder: Path, progress: Callable[[int], None] | None = None) -> Index:
    """Read all shards from end to end and hold them against the index.

    Args:
        folder: of the packed set.
        progress: called with the number of samples done since the last call.

    Raises:
        PosewrightError: for the first shard or member that is not what the index says, or picture that cannot be decoded.
    """
    index = load_index(folder)
    index.check_sizes()
    with (folder / INDEX).open("rb") as file:
        lines = file.read().splitlines()[2:]
    start = 0
    for shard in index.shards:
        path = folder / shard.name
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
        if digest.hexdigest() != shard.sha256:
            _name_the_member(index.members[start : start + shard.samples])
            raise PosewrightError("is not the shard that was packed: its SHA-256 is another", file=path)
        members = index.members[start : start + shard.samples]
        _check_order(path, shard, members)
        for number, (picture, labels) in enumerate(members, start):
            if labels.read() != lines[number]:
                raise PosewrightError("holds other labels than the index", file=path, record=labels.name)
            decode_picture(picture.read(), f"{path}/{picture.name}")
            if progress:
                progress(1)
        start += shard.samples
    return index


def _name_the_member(members: list[tuple[Member, Member]]) -> None:
    """Raise for the first member whose checksum is another, if it is one of them and not what lies between."""
    for picture, labels in members:
        picture.read()
        labels.read()


def _check_order(path: Path, shard: Shard, members: list[tuple[Member, Member]]) -> None:
    """Raise where the tar itself names other members, in another order or place, than the index."""
    expected = [(m.name, m.at, m.size) for pair in members for m in pair]
    try:
        with tarfile.open(path) as tar:
            found = [(entry.name, entry.offset_data, entry.size) for entry in tar]
    except (tarfile.TarError, EOFError) as error:
        raise PosewrightError(f"is no tar file that can be read: {error}", file=path) from None
    if found != expected:
        raise PosewrightError(f"does not hold the {shard.samples} samples that the index names", file=path)
