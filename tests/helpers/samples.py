"""A small labelled set in every registered format, made on the spot, and the real ones where they are at hand.

A format that is written is made by its own writer; one that is only read needs an entry in ``_MADE``, and its layout
is the tool's own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from helpers.labels import NAMES, picture, save_json
from posewright.annotations import Annotations, Image, ReadOptions, formats, get_format
from posewright.skeleton import Skeleton
from posewright.skeletons import BUILTIN

MOUSE = Skeleton("mouse", tuple(NAMES), ((1, 2),), (), ((0, 1), (0, 3)))
PICTURES = (".png", ".jpg", ".jpeg", ".mp4")


@dataclass(frozen=True)
class Sample:
    """One labelled set on disk.

    Attributes:
        format: its format's name.
        name: what it is, in a word.
        make: fills an empty folder; returns what is to be read.
        options: for ``ReadOptions``.
    """

    format: str
    name: str
    make: Callable[[Path], Path]
    options: dict[str, Any] = field(default_factory=dict)

    def read_options(self, extract: Path, *, skip_bad: bool = False) -> ReadOptions:
        """What its reader is told; pictures inside a label file go to ``extract``."""
        told = ReadOptions(**self.options, skip_bad=skip_bad)
        return replace(told, extract=extract) if get_format(self.format).embedded else told

    def files(self, folder: Path) -> list[Path]:
        """The label files below the folder it was made in, sorted: all that is neither picture nor video."""
        return sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() not in PICTURES)


def made_samples(name: str) -> list[Sample]:
    """What the tests make themselves of a registered format: never nothing.

    Raises:
        AssertionError: for a format that is only read and of which nobody wrote a sample.
    """
    if name in _MADE:
        return [Sample(name, "made", _MADE[name], _TOLD.get(name, {}))]
    assert get_format(name).write is not None, f"format '{name}' has no sample: add one to tests/helpers/samples.py"
    return [Sample(name, "made", lambda folder: _written(name, folder), _TOLD.get(name, {}))]


def real_samples(name: str, shared: Path) -> list[Sample]:
    """What tools themselves wrote in that format, where it is among the shared data."""
    found = []
    for fmt, folder, source in _REAL:
        place = shared / "formats" / folder
        if fmt == name and name in formats() and (place / source).exists():
            label = f"{folder}/{source}".strip("/")
            found.append(Sample(name, label, lambda to, a=place, b=source: _copied(a, b, to)))
    return found


_REAL = (
    ("coco", "coco", "person_keypoints_val.json"),
    ("deeplabcut", "deeplabcut/openfield", ""),
    ("deeplabcut", "deeplabcut/openfield", "labeled-data/m4s1/CollectedData_Pranav.h5"),
    ("deepposekit", "deepposekit", "fly.h5"),
    ("json", "bees", "pose_dataset.json"),
    ("labelme", "labelme", ""),
    ("yolo-pose", "yolo", ""),
    ("label-studio", "labelstudio", "data_keypoints.json"),
    ("sleap", "sleap", "minimal_instance.slp"),
    ("sleap", "sleap", "small_robot_minimal.slp"),
)


def _copied(place: Path, source: str, folder: Path) -> Path:
    shutil.copytree(place, folder, dirs_exist_ok=True)
    return folder / source if source else folder


# -- made by the formats' own writers ----------------------------------------------------------------------------------


def animals(root: Path, skeleton: Skeleton = MOUSE) -> Annotations:
    """Three pictures, with two objects, one and one; something in every column."""
    for i in range(3):
        picture(root / f"day{i % 2}/{i}.png", 128, 96)
    images = [Image(f"day{i % 2}/{i}.png", 128, 96, None, ("train", "train", "val")[i], None, i + 1) for i in range(3)]
    rng, k = np.random.default_rng(0), len(skeleton)
    keypoints = np.concatenate([rng.uniform(20, 76, (4, k, 2)).round(2), rng.integers(0, 3, (4, k, 1))], 2)
    keypoints[:, :2, 2] = 2
    boxes = np.tile([10.0, 8.0, 100.0, 90.0], (4, 1)) + np.arange(4)[:, None]
    outline = [np.array([[12.0, 12.0], [90.0, 15.0], [60.0, 80.0]])]
    image, track, head = np.array([0, 0, 1, 2]), np.arange(4), np.array([20.0, np.nan, 21.5, 22])
    return Annotations(
        skeleton, images, image, keypoints, boxes, root, track=track, head_size=head, polygons=[outline] * 4
    )


def _written(name: str, folder: Path) -> Path:
    skeleton = BUILTIN["hand-21"] if name.startswith("cpm") else MOUSE
    labels = animals(folder / "pictures", skeleton)
    if name in ("deeplabcut", "cpm-tfrecord"):  # a place for one object a picture
        labels = labels.objects([0, 2, 3])
    write = get_format(name).write
    assert write is not None
    if name in ("coco", "hourglass-json"):
        return write(labels, folder)[0]
    return (
        write(labels, folder / "x.tfrecords")[0] if name == "cpm-tfrecord" else _of_many(write, labels, folder / "set")
    )


def _of_many(write: Callable[[Annotations, Path], list[Path]], labels: Annotations, folder: Path) -> Path:
    write(labels, folder)
    return folder


_TOLD: dict[str, dict[str, Any]] = {
    "lsp": {"flags": "labelled"},
    "cpm-tfrecord": {"skeleton": BUILTIN["hand-21"]},
}


# -- made after the tools' own layouts ---------------------------------------------------------------------------------


def _lsp(folder: Path) -> Path:
    from scipy.io import savemat

    table = np.concatenate([np.random.default_rng(0).uniform(5, 60, (14, 2, 4)), np.ones((14, 1, 4))], 1)
    table[::3, :, 1] = 0
    savemat(folder / "joints.mat", {"joints": table})
    for i in range(4):
        picture(folder / f"images/im{i + 1:05d}.jpg", 70, 66)
    return folder


def _faces(folder: Path) -> Path:
    points = "\n".join(f"{10 + i}.5 {20 + i // 2}.25" for i in range(68))
    for name in ("lfpw/trainset/a", "lfpw/trainset/b", "helen/testset/c"):
        picture(folder / f"{name}.png", 110, 100)
        (folder / f"{name}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
    return folder


def _mpii(folder: Path) -> Path:
    from scipy.io import savemat

    from helpers.mat_structs import structs

    points = [{"id": i, "x": 20.5 + i, "y": 30 + i, "is_visible": (1, 0, [])[i % 3]} for i in range(16)]
    person = {"x1": 30, "y1": 10, "x2": 60, "y2": 50, "scale": 0.4, "objpos": {"x": 51, "y": 41}}
    labelled = person | {"annopoints": {"point": points}}
    people = ([labelled, person], [{"scale": 0.5, "objpos": {"x": 50, "y": 40}}], [labelled], [])
    entries = [
        {"image": {"name": f"{i}.jpg"}, "annorect": p, "frame_sec": [], "vididx": i % 2 + 1}
        for i, p in enumerate(people)
    ]
    videos = np.array([["video_one", "video_two"]], object)
    content = {"annolist": structs(entries), "img_train": np.array([[1, 0, 1, 1]]), "video_list": videos}
    savemat(folder / "mpii.mat", {"RELEASE": structs([content])}, do_compression=True)
    picture(folder / "images/0.jpg", 120, 90)
    picture(folder / "images/2.jpg", 120, 90)
    return folder / "mpii.mat"


def _mpii_json(folder: Path) -> Path:
    joints = [[-1.0, -1.0], [22.0, 33.0], *([20.5 + i, 30.0 + i] for i in range(14))]
    row = {"joints_vis": [0, 0] + [1] * 14, "joints": joints, "image": "a.jpg", "scale": 0.4, "center": [51.0, 41.0]}
    save_json(folder / "annot/train.json", [row, row | {"center": [-1, -1]}, row | {"image": "b.jpg"}])
    save_json(folder / "annot/valid.json", [row | {"image": "c.jpg"}])
    save_json(folder / "annot/test.json", [{"image": "d.jpg", "center": [50, 40], "scale": 0.5}])
    for name in "abcd":
        picture(folder / f"images/{name}.jpg", 100, 90)
    return folder


def _animal_pose(folder: Path) -> Path:
    names = list(BUILTIN["animal-20"].keypoints)
    points = [[10.0 + i, 20.0 + i, 1] for i in range(19)] + [[0.0, 0.0, 0]]
    row = {"image_id": 1, "bbox": [5, 6, 45, 56], "keypoints": points, "num_keypoints": 19, "category_id": 1}
    for name in ("a", "b"):
        picture(folder / f"images/{name}.jpg")
    content = {
        "images": {"1": "a.jpg", "2": "b.jpg", "3": "c.jpg"},
        "annotations": [row, row | {"image_id": 2, "category_id": 2}],
        "categories": [
            {"supercategory": "animal", "id": i + 1, "name": name, "keypoints": names, "skeleton": [[0, 1], [0, 2]]}
            for i, name in enumerate(("dog", "cat"))
        ],
    }
    return save_json(folder / "keypoints.json", content)


def _animal_pose_xml(folder: Path) -> Path:
    names = ("L_Eye", "R_Eye", "Nose", "TailBase", "L_F_Paw")
    rows = "".join(f'<keypoint name="{n}" visible="1" x="{20 + i}.5" y="{30 + i}" z="0"/>' for i, n in enumerate(names))
    for i in range(2):
        box = '<visible_bounds height="40" width="50" xmin="10" ymin="12" xmax="60" ymax="52"/>'
        text = f"<annotation><image>{i}</image><category>dog</category>{box}<keypoints>{rows}</keypoints></annotation>"
        (folder / f"{i}_1.xml").write_text(text)
        picture(folder / f"{i}.jpg")
    return folder


def _cvat(folder: Path) -> Path:
    rows = "".join(
        f'<points label="{name}" source="manual" outside="{i // 3}" occluded="{i % 2}" points="{20 + i}.50,{30 + i}.25"/>'
        for i, name in enumerate(NAMES)
    )
    skeleton = f'<skeleton label="mouse" source="manual" z_order="0" group_id="1">{rows}</skeleton>'
    box = '<box label="mouse" source="manual" occluded="0" xtl="10.0" ytl="12.0" xbr="90.0" ybr="70.0" group_id="1"/>'
    images = "".join(
        f'<image id="{i}" name="{i}.png" subset="train" width="100" height="80">{skeleton}{box}</image>'
        for i in range(3)
    )
    labels = "<label><name>mouse</name><type>skeleton</type></label>"
    meta = f"<meta><task><id>1</id><name>mice</name><size>3</size><labels>{labels}</labels></task></meta>"
    path = folder / "annotations.xml"
    path.write_text(f'<?xml version="1.0"?>\n<annotations><version>1.1</version>{meta}{images}</annotations>\n')
    for i in range(3):
        picture(folder / f"images/{i}.png")
    return path


def _label_studio(folder: Path) -> Path:
    def region(kind: str, label: str, **value: Any) -> dict[str, Any]:
        said = {"type": f"{kind}labels", "value": value | {f"{kind}labels": [label]}, "id": label}
        return {"original_width": 100, "original_height": 80, "image_rotation": 0, "parentID": "mouse"} | said

    box = {k: v for k, v in region("rectangle", "mouse", x=10, y=5, width=80, height=90).items() if k != "parentID"}
    points = [region("keypoint", name, x=20 + 9 * i, y=30 + i, width=0.5) for i, name in enumerate(NAMES)]
    tasks = [
        {
            "id": i,
            "data": {"image": f"/data/upload/1/0123abcd-{i}.png"},
            "annotations": [{"id": i, "result": [box, *points]}],
        }
        for i in range(3)
    ]
    for i in range(3):
        picture(folder / f"0123abcd-{i}.png")
    return save_json(folder / "export.json", tasks)


def _deepposekit(folder: Path) -> Path:
    import h5py

    rng = np.random.default_rng(0)
    with h5py.File(folder / "fly.h5", "w") as file:
        file["images"] = rng.integers(0, 255, (3, 24, 32, 1), np.uint8)
        file["annotations"] = rng.uniform(2, 20, (3, 3, 2))
        file["annotated"] = np.array([[1, 1, 0], [1, 1, 1], [0, 0, 0]], bool)
        file["skeleton"] = np.array([[-1, -1], [0, 2], [0, 1]], np.int32)
    (folder / "fly_skeleton.csv").write_text("name,parent,swap\nhead,,\neyeL,head,eyeR\neyeR,head,eyeL\n")
    return folder / "fly.h5"


def _plain_json(folder: Path) -> Path:
    points = {"nose": [30, 40], "tail": [10.5, 20, 1], "ear": None}
    records = [{"path": f"{i}.png", "set": "train", "group": "cam", "keypoints": points} for i in range(3)]
    for i in range(3):
        picture(folder / f"{i}.png")
    return save_json(folder / "labels.json", [*records, {"path": "0.png", "keypoints": points, "box": [4, 5, 60, 70]}])


def _packed(folder: Path) -> Path:
    from posewright.geometry import CropRule
    from posewright.training.packing import PackConfig, pack

    pack(animals(folder / "pictures"), folder / "shards", PackConfig(CropRule((32, 32))))
    return folder / "shards"


def _sleap(folder: Path) -> Path:
    """Two frames of a short video; needs sleap-io, as reading it does."""
    import sleap_io as sio

    from helpers.clips import moving_pictures, write_clip

    write_clip(folder / "one.mp4", moving_pictures(6))
    skeleton = sio.Skeleton(list(NAMES), edges=[("nose", "tail")], name="mouse")
    skeleton.add_symmetry("left_ear", "right_ear")
    video, track = sio.Video(str(folder / "one.mp4"), open_backend=False), sio.Track("a")
    points = [[5.0, 6], [7, 8], [np.nan, np.nan], [9.25, 10]]
    frames = [sio.LabeledFrame(video, i, [sio.Instance.from_numpy(points, skeleton, track=track)]) for i in (1, 4)]
    sio.Labels(frames, [video], [skeleton], [track]).save(str(folder / "labels.slp"), verbose=False, embed=False)
    return folder / "labels.slp"


_MADE: dict[str, Callable[[Path], Path]] = {
    "lsp": _lsp,
    "300w": _faces,
    "mpii": _mpii,
    "mpii-json": _mpii_json,
    "animal-pose": _animal_pose,
    "animal-pose-xml": _animal_pose_xml,
    "cvat": _cvat,
    "label-studio": _label_studio,
    "deepposekit": _deepposekit,
    "json": _plain_json,
    "packed": _packed,
    "sleap": _sleap,
}
