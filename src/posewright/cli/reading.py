"""The options of reading labels, the same for every command, and how the next command names the same labels."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from posewright.annotations import Annotations, ReadOptions

OPTIONS = ("format", "images", "skeleton", "category", "flags", "skip_bad")


@dataclass(frozen=True)
class Reading:
    """For labels that need more words than their path."""

    format: str | None = None
    """Format of the labels; found by itself unless given. `posewright convert --help` lists them."""
    images: Path | None = None
    """Folder of the pictures, where they do not lie beside the labels."""
    skeleton: str | None = None
    """Shipped skeleton's name or skeleton files, where the labels do not say; for COCO also a choice of keypoints."""
    category: str | None = None
    """Kind of object to read, where the labels hold several with keypoints of their own (COCO, CVAT)."""
    flags: Literal["labelled", "hidden"] | None = None
    """What a 1 in an LSP file's flags means, where the file does not tell."""
    skip_bad: bool = False
    """Leave records and pictures that cannot be used out and list them, instead of stopping at the first."""

    def options(self) -> ReadOptions:
        """For a reader; it notes there what it left out."""
        from posewright.annotations import ReadOptions
        from posewright.skeletons import load_skeleton

        skeleton = load_skeleton(self.skeleton) if self.skeleton else None
        return ReadOptions(skeleton, self.images, self.skip_bad, self.flags, self.category)

    def read(self, data: Path, options: ReadOptions) -> Annotations:
        """The labels at ``data``."""
        from posewright.annotations import read_annotations

        return read_annotations(data, self.format, options)

    def words(self, data: object) -> str:
        """``DATA --images DIR ...``: the same labels read the same way, for a shell."""
        return data_words(data, vars(self))


def part_of(annotations: Annotations, split: str, data: str | Path) -> Annotations:
    """One split of the labels at ``data``, or "all"; with an error that says which there are."""
    from posewright.annotations.splits import one_split

    return annotations if split == "all" else one_split(annotations, split, data)


def data_words(data: object, given: dict[str, Any]) -> str:
    """``DATA --images DIR ...``, quoted for a shell, from the labels' path and the options of reading that were given."""
    words = [shlex.quote(str(data))]
    for name in OPTIONS:
        value = given.get(name)
        if value:
            option = f"--{name.replace('_', '-')}"
            words.append(option if value is True else f"{option} {shlex.quote(str(value))}")
    return " ".join(words)
