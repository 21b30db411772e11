"""The skeletons that ship with posewright, in the keypoint order of the sets they come from, and how a person names one."""

from __future__ import annotations

import json
from pathlib import Path

from posewright.errors import PosewrightError, did_you_mean
from posewright.files import read_text
from posewright.sides import swaps_from_names
from posewright.skeleton import COLOURS, Normaliser, Skeleton


def _skeleton(
    name: str,
    keypoints: str,
    links: str,
    normaliser: Normaliser,
    sigmas: tuple[float, ...] | None = None,
    swaps: tuple[tuple[int, int], ...] | None = None,
    colours: str = "",
) -> Skeleton:
    """Build a skeleton from space-separated names and from links written as chains: "wrist-a-b wrist-c"."""
    names = tuple(keypoints.split())
    pairs = [
        (names.index(a), names.index(b))
        for chain in links.split()
        for a, b in zip(chain.split("-"), chain.split("-")[1:], strict=False)
    ]
    found = swaps_from_names(names) if swaps is None else swaps
    rgb = tuple(COLOURS[c] for c in colours)
    return Skeleton(name, names, found, (), tuple(pairs), rgb, sigmas, normaliser)


BODY_14 = _skeleton(
    "body-14",
    "right_ankle right_knee right_hip left_hip left_knee left_ankle right_wrist right_elbow right_shoulder "
    "left_shoulder left_elbow left_wrist neck head_top",
    "right_ankle-right_knee-right_hip left_ankle-left_knee-left_hip right_hip-left_hip "
    "right_wrist-right_elbow-right_shoulder left_wrist-left_elbow-left_shoulder "
    "right_shoulder-neck left_shoulder-neck right_shoulder-right_hip left_shoulder-left_hip neck-head_top",
    Normaliser("torso", ("left_shoulder", "right_hip")),
)
"""Leeds Sports Pose: person-centric sides."""

MPII_16 = _skeleton(
    "mpii-16",
    "right_ankle right_knee right_hip left_hip left_knee left_ankle pelvis thorax upper_neck head_top right_wrist "
    "right_elbow right_shoulder left_shoulder left_elbow left_wrist",
    "right_ankle-right_knee-right_hip-pelvis left_ankle-left_knee-left_hip-pelvis pelvis-thorax-upper_neck-head_top "
    "right_wrist-right_elbow-right_shoulder-thorax left_wrist-left_elbow-left_shoulder-thorax",
    Normaliser("head", ("upper_neck", "head_top")),
)
"""MPII Human Pose; the published class list's spelling "plevis" is read as pelvis."""

COCO_17 = _skeleton(
    "coco-17",
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle",
    "left_ankle-left_knee-left_hip right_ankle-right_knee-right_hip left_hip-right_hip left_shoulder-left_hip "
    "right_shoulder-right_hip left_shoulder-right_shoulder left_shoulder-left_elbow-left_wrist "
    "right_shoulder-right_elbow-right_wrist left_eye-right_eye nose-left_eye-left_ear-left_shoulder "
    "nose-right_eye-right_ear-right_shoulder",
    Normaliser("torso", ("left_shoulder", "right_hip")),
    (
        0.026,
        0.025,
        0.025,
        0.035,
        0.035,
        0.079,
        0.079,
        0.072,
        0.072,
        0.062,
        0.062,
        0.107,
        0.107,
        0.087,
        0.087,
        0.089,
        0.089,
    ),
)
"""COCO persons, with the sigmas of the official evaluation."""

_FINGERS = ("thumb", "index", "middle", "ring", "little")
HAND_21 = _skeleton(
    "hand-21",
    "wrist " + " ".join(f"{finger}_{joint}" for finger in _FINGERS for joint in range(1, 5)),
    " ".join("wrist-" + "-".join(f"{finger}_{joint}" for joint in range(1, 5)) for finger in _FINGERS),
    Normaliser("palm", ("wrist", "middle_1")),
    swaps=(),
    colours="rrrryyyyggggccccbbbb",
)
"""One hand: the wrist, then each finger from its base (1) to its tip (4). A mirror makes a left hand of a right one,
and no keypoint changes its name."""

_FACE_SWAPS = (
    *((i, 16 - i) for i in range(8)),
    *((17 + i, 26 - i) for i in range(5)),
    *((31 + i, 35 - i) for i in range(2)),
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
    *((48, 54), (49, 53), (50, 52), (59, 55), (58, 56)),
    *((60, 64), (61, 63), (67, 65)),
)


def _face() -> Skeleton:
    parts = (
        ("jaw", 17, False),
        ("right_brow", 5, False),
        ("left_brow", 5, False),
        ("nose_bridge", 4, False),
        ("nostril", 5, False),
        ("right_eye", 6, True),
        ("left_eye", 6, True),
        ("outer_lip", 12, True),
        ("inner_lip", 8, True),
    )
    names: list[str] = []
    links: list[tuple[int, int]] = []
    colours: list[tuple[int, int, int]] = []
    for (part, count, closed), colour in zip(parts, "grbyyrbmc", strict=True):
        start = len(names)
        names += [f"{part}_{i}" for i in range(1, count + 1)]
        chain = [(start + i, start + i + 1) for i in range(count - 1)]
        chain += [(start + count - 1, start)] if closed else []
        links += chain
        colours += [COLOURS[colour]] * len(chain)
    return Skeleton(
        "face-68",
        tuple(names),
        _FACE_SWAPS,
        (),
        tuple(links),
        tuple(colours),
        None,
        Normaliser("outer_eye_corners", ("right_eye_1", "left_eye_4")),
    )


FACE_68 = _face()
"""The 68 points of 300-W; sides are the person's own. Points 37 and 46, counted from 1, are its outer eye corners."""

ANIMAL_20 = _skeleton(
    "animal-20",
    "left_eye right_eye nose left_ear right_ear left_front_elbow right_front_elbow left_back_elbow right_back_elbow "
    "left_front_knee right_front_knee left_back_knee right_back_knee left_front_paw right_front_paw left_back_paw "
    "right_back_paw throat withers tailbase",
    "left_eye-nose right_eye-nose left_ear-left_eye right_ear-right_eye nose-throat throat-withers-tailbase "
    "throat-left_front_elbow-left_front_knee-left_front_paw throat-right_front_elbow-right_front_knee-right_front_paw "
    "tailbase-left_back_elbow-left_back_knee-left_back_paw tailbase-right_back_elbow-right_back_knee-right_back_paw",
    Normaliser("box"),
)
"""Animal-Pose: twenty keypoints of four-legged animals."""

CPM_BODY_14 = _skeleton(
    "cpm-body-14",
    "head_top neck right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist right_hip right_knee "
    "right_ankle left_hip left_knee left_ankle",
    "head_top-neck neck-right_shoulder-right_elbow-right_wrist neck-left_shoulder-left_elbow-left_wrist "
    "neck-right_hip-right_knee-right_ankle neck-left_hip-left_knee-left_ankle",
    Normaliser("torso", ("left_shoulder", "right_hip")),
)
"""The published convolutional pose machine for bodies: those of ``body-14`` in the order of its maps."""

BUILTIN: dict[str, Skeleton] = {
    s.name: s for s in (BODY_14, CPM_BODY_14, MPII_16, COCO_17, HAND_21, FACE_68, ANIMAL_20)
}


def load_skeleton(spec: str) -> Skeleton:
    """What ``--skeleton`` takes: a shipped name, or text files as ``classes[,match_point[,skeleton]]``.

    A folder that holds exactly one ``*classes.txt`` works too; match points and links are taken from beside it. So does a
    JSON file with what :meth:`Skeleton.to_dict` gives, alone or under "skeleton", as ``posewright sigmas`` writes it.

    Raises:
        PosewrightError: where the name is unknown or a file cannot be used.
    """
    if spec in BUILTIN:
        return BUILTIN[spec]
    parts = [Path(p.strip()) for p in spec.split(",")]
    if len(parts) == 1 and parts[0].is_dir():
        found = sorted(parts[0].glob("*classes.txt"))
        if len(found) != 1:
            raise PosewrightError(f"holds {len(found)} files named *classes.txt, not one", file=parts[0])
        parts = found
    if len(parts) == 1 and parts[0].is_file() and parts[0].suffix.lower() == ".json":
        return _from_json(parts[0])
    if len(parts) == 1 and parts[0].is_file():
        stem = parts[0].name.removesuffix("classes.txt")
        beside = [parts[0].with_name(f"{stem}{kind}.txt") for kind in ("match_point", "skeleton")]
        return Skeleton.from_files(parts[0], *[b if b.is_file() else None for b in beside])
    if len(parts) <= 3 and parts[0].is_file():
        return Skeleton.from_files(*parts)
    fix = did_you_mean(spec, BUILTIN)
    raise PosewrightError(f"no skeleton '{spec}': neither a shipped name nor a classes file", fix=fix)


def _from_json(path: Path) -> Skeleton:
    """The skeleton that a JSON file holds, alone or under "skeleton"."""
    try:
        record = json.loads(read_text(path))
    except (ValueError, RecursionError):
        raise PosewrightError("is not JSON", file=path) from None
    record = record.get("skeleton", record) if isinstance(record, dict) else record
    if not isinstance(record, dict) or "keypoints" not in record:
        raise PosewrightError("is a JSON file, but no skeleton's", file=path)
    try:
        return Skeleton.from_dict(record)
    except PosewrightError as error:
        raise PosewrightError(error.what, file=path, fix=error.fix) from None
    except ValueError:
        raise PosewrightError("is a JSON file, but no skeleton's", file=path) from None
