"""``posewright similarity``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from posewright.errors import PosewrightError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from posewright.skeleton import Skeleton


@dataclass(frozen=True)
class Command:
    """How alike two poses are, and what B has to change to be like A, in words: "left arm higher".

    A pose is one of those in a file: of labels in any known format, or of what `posewright predict` wrote (*.jsonl). B is
    moved and scaled onto A; the figure is their object keypoint similarity (OKS), 1 for the same pose.

    examples:
      posewright similarity coach.jsonl me.jsonl
      posewright similarity poses.json me.jsonl --index-a 3 --index-b 40
    """

    a: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="POSE_A")]
    """The pose to be like: a file of labels or predictions."""
    b: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="POSE_B")]
    """The pose to be judged: likewise."""
    index_a: int = 0
    """Which of A's poses, counted from 0 over the whole file."""
    index_b: int = 0
    """Which of B's."""
    min_score: float = 0.1
    """Predicted keypoints with a lower score are taken for missing."""
    turn: bool = False
    """Turn B onto A as well: the same pose lying down is then the same."""
    skeleton: str | None = None
    """Shipped skeleton's name or skeleton files, where the files do not say."""
    json: Path | None = None
    """Write all figures to this file as well."""

    def run(self) -> int:
        from posewright.files import write_text
        from posewright.metrics.similarity import similarity
        from posewright.reports.tables import print_table

        a, skeleton = self._pose(self.a, self.index_a)
        b, other = self._pose(self.b, self.index_b)
        if not skeleton.same_keypoints(other):
            what = f"has the keypoints of '{other.name}', {self.a} those of '{skeleton.name}'"
            raise PosewrightError(what, file=self.b, fix="Compare poses of one skeleton")
        found = similarity(a, b, skeleton, turn=self.turn)
        if self.json:
            from json import dumps

            write_text(self.json, dumps(found.to_json(), indent=1, allow_nan=False) + "\n")
        print(f"OKS {found.oks:.3f}: pose {self.index_b} of {self.b} against pose {self.index_a} of {self.a}.")
        if found.limbs:
            print_table(
                found.rows(),
                "Moves of a limb's end as seen from its root, in lengths of the limb; angles of its joint.",
            )
        for line in found.feedback:
            print(f"  {line}")
        if not found.limbs:
            print("  No arm, leg or finger is whole in both poses: the figure is all there is.")
        elif not found.feedback:
            print("  No limb needs to change.")
        placed = "moved, scaled and turned" if self.turn else "moved and scaled"
        known = "the skeleton's" if skeleton.sigmas else f"{found.sigmas[0]:g} for every keypoint"
        print(f"OKS: B {placed} onto A by least squares, area of the box around A's keypoints, sigmas: {known}.")
        if self.json:
            print(f"{self.json} holds all figures.")
        print("Next: posewright predict MODEL video.mp4 -o out, then compare its out/*.jsonl with another pose")
        return 0

    def _pose(self, path: Path, index: int) -> tuple[NDArray[np.float64], Skeleton]:
        """The pose of that number ``[K, 2]``, NaN where it lacks a keypoint."""
        import numpy as np

        from posewright.skeletons import load_skeleton

        wanted = load_skeleton(self.skeleton) if self.skeleton else None
        if path.suffix.lower() == ".jsonl":
            xy, present, skeleton = _predicted(path, wanted, self.min_score)
        else:
            from posewright.annotations import ReadOptions, read_annotations

            labels = read_annotations(path, None, ReadOptions(skeleton=wanted))
            xy, present, skeleton = labels.keypoints[..., :2], labels.labelled, labels.skeleton
        if not 0 <= index < len(xy):
            raise PosewrightError(f"has {len(xy)} poses, counted from 0; there is no number {index}", file=path)
        return np.where(present[index][:, None], xy[index], np.nan), skeleton


def _predicted(
    path: Path, skeleton: Skeleton | None, min_score: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_], Skeleton]:
    """All poses of a file that `posewright predict` wrote: ``[N, K, 2]``, which keypoints are sure enough, the skeleton."""
    import numpy as np

    from posewright.media.pose_lines import read_pose_lines

    found = read_pose_lines(path, skeleton)
    skeleton = found[0].skeleton
    xy, score = (np.concatenate([getattr(poses, name) for poses in found]) for name in ("xy", "score"))
    return xy, score >= min_score, skeleton
