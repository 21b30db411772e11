"""Which of the teacher's keypoints and stages each of the student's learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.files import read_text
from posewright.skeleton import Skeleton


@dataclass(frozen=True)
class KeypointMap:
    """The teacher's keypoints in the student's order.

    Attributes:
        source: ``[K]``, index into the teacher's keypoints; 0 where it has none.
        known: ``[K]`` bool: whether the teacher has this keypoint.
        missing: names of the student's keypoints that it does not have.
    """

    source: NDArray[np.int64]
    known: NDArray[np.bool_]
    missing: tuple[str, ...]


def match_keypoints(student: Skeleton, teacher: Skeleton, pairs: Sequence[tuple[str, str]] = ()) -> KeypointMap:
    """Find every keypoint of the student among the teacher's: where a pair says, else by name.

    Args:
        pairs: (student's name, teacher's name).

    Raises:
        PosewrightError: where a pair names a keypoint that does not exist or one twice, or nothing matches.
    """
    source = np.full(len(student), -1)
    for place, name in enumerate(student.keypoints):
        if name in teacher.keypoints:
            source[place] = teacher.keypoints.index(name)
    given: set[int] = set()
    for ours, theirs in pairs:
        place = student.index(ours)
        if place in given:
            raise PosewrightError(f"the map between the skeletons names '{ours}' twice")
        given.add(place)
        source[place] = teacher.index(theirs)
    known = source >= 0
    if not known.any():
        raise PosewrightError(
            f"the teacher's skeleton '{teacher.name}' shares no keypoint name with '{student.name}'",
            fix="Say which is which with --distill.map STUDENT,TEACHER ..., or a file of such lines",
        )
    missing = tuple(name for name, k in zip(student.keypoints, known, strict=True) if not k)
    return KeypointMap(np.where(known, source, 0), known, missing)


def read_pairs(texts: Sequence[str]) -> list[tuple[str, str]]:
    """What ``--distill.map`` takes: ``STUDENT,TEACHER`` pairs, or one file with such lines (``#`` starts a comment).

    Raises:
        PosewrightError: where there is no such file or a line is no pair, naming it.
    """
    if len(texts) == 1 and (Path(texts[0]).is_file() or "," not in texts[0]):
        path = Path(texts[0])
        numbered = [(n, line.split("#")[0].strip()) for n, line in enumerate(read_text(path).splitlines(), 1)]
        found = [_pair(line, path, f"line {n}") for n, line in numbered if line]
        if not found:
            raise PosewrightError("holds no pair of keypoints", file=path)
        return found
    return [_pair(text, None, None) for text in texts]


def _pair(text: str, file: Path | None, record: str | None) -> tuple[str, str]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(parts):
        raise PosewrightError(f"'{text}' is no pair STUDENT,TEACHER of keypoint names", file=file, record=record)
    return parts[0], parts[1]


def pair_stages(student: int, teacher: int, given: Sequence[int] = ()) -> tuple[int, ...]:
    """The teacher's stage, counted from 1, for each of the student's.

    Without a list the teacher's stages are cut into as many equal parts as the student has stages, and each learns from
    the last of its part: 3 of 6 are 2, 4, 6.

    Raises:
        PosewrightError: where the list has another length than the student has stages, or names one that is not there.
    """
    if not given:
        return tuple(-(-(i * teacher) // student) for i in range(1, student + 1))
    if len(given) != student:
        raise PosewrightError(
            f"--distill.stages names {len(given)} stages, the student has {student}",
            fix="Give the teacher's stage for each of the student's",
        )
    for stage in given:
        if not 1 <= stage <= teacher:
            raise PosewrightError(f"--distill.stages names stage {stage}, the teacher has {teacher}")
    return tuple(given)
