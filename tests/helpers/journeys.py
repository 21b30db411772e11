"""What lies in a reader's folder before the commands of a page are typed there: small sets that the tests draw themselves."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from helpers.clips import write_clip
from helpers.discs import draw_discs
from helpers.pages import REPOSITORY
from posewright.annotations import Annotations, get_format
from posewright.runtime.names import find_model


def labelled(folder: Path, name: str = "labels.json", photos: str = "photos", **more: int) -> Annotations:
    """Labels (COCO, no splits) at ``folder/name`` of pictures in ``folder/photos``."""
    (folder / photos).mkdir()
    labels = draw_discs(folder / photos, **more)
    labels = replace(labels, images=[replace(image, split=None) for image in labels.images])
    get_format("coco").write(labels, folder / name)
    return labels


def clip(folder: Path, name: str = "clip.mp4", frames: int = 8) -> None:
    """A video of the same kind of pictures."""
    with TemporaryDirectory() as drawn:
        draw_discs(Path(drawn), count=frames, seed=5, empty=0)
        pictures = [cv2.imread(str(p))[..., ::-1] for p in sorted(Path(drawn).glob("*.png"))]
    write_clip(folder / name, [np.ascontiguousarray(p) for p in pictures])


def nothing(folder: Path) -> None:
    """These commands need no data."""


def three_commands(folder: Path) -> None:
    labelled(folder, count=16)


def first_model(folder: Path) -> None:
    labelled(folder, count=24)
    labelled(folder, "more.json", "more", count=10, seed=9)
    clip(folder)


def coming_from(folder: Path) -> None:
    """The same objects as the projects of seven tools."""
    labels = labelled(folder, "coco.json", count=8)
    get_format("deeplabcut").write(labels, folder / "deeplabcut-project")
    get_format("yolo-pose").write(labels, folder / "yolo")
    get_format("labelme").write(labels, folder / "labelme")
    shutil.copytree(folder / "photos", folder / "frames")
    (folder / "annotations.xml").write_text(_cvat(labels), encoding="utf-8")
    (folder / "export.json").write_text(json.dumps(_label_studio(labels)), encoding="utf-8")
    clip(folder, "videos/one.mp4")
    if find_spec("sleap_io"):
        _sleap(folder / "labels.v001.slp", folder / "videos/one.mp4")


def _points(labels: Annotations, i: int) -> list[tuple[str, float, float]]:
    """The labelled keypoints of picture ``i`` by name, from the picture's corner."""
    found = np.flatnonzero(labels.image == i)
    points = labels.keypoints[found[0]] if len(found) else np.zeros((0, 3))
    return [(name, x + 0.5, y + 0.5) for name, (x, y, v) in zip(labels.skeleton.keypoints, points) if v]


def _cvat(labels: Annotations) -> str:
    """CVAT for images 1.1, with a point a label."""
    names = "".join(f"<label><name>{name}</name><type>points</type></label>" for name in labels.skeleton.keypoints)
    rows = []
    for i, image in enumerate(labels.images):
        shapes = "".join(
            f'<points label="{name}" occluded="0" points="{x:.2f},{y:.2f}"></points>'
            for name, x, y in _points(labels, i)
        )
        rows.append(
            f'<image id="{i}" name="{image.path}" width="{image.width}" height="{image.height}">{shapes}</image>'
        )
    head = f"<meta><task><labels>{names}</labels></task></meta>"
    return f'<?xml version="1.0"?><annotations><version>1.1</version>{head}{"".join(rows)}</annotations>'


def _label_studio(labels: Annotations) -> list[dict[str, Any]]:
    """Label Studio's JSON export."""
    tasks = []
    for i, image in enumerate(labels.images):
        result = [
            {
                "id": f"{i}{name}",
                "type": "keypointlabels",
                "original_width": image.width,
                "original_height": image.height,
                "image_rotation": 0,
                "value": {
                    "x": 100 * x / image.width,
                    "y": 100 * y / image.height,
                    "width": 0.5,
                    "keypointlabels": [name],
                },
            }
            for name, x, y in _points(labels, i)
        ]
        url = f"/data/upload/1/0123abcd-{image.path}"
        tasks.append({"id": i, "data": {"image": url}, "annotations": [{"id": i, "result": result}]})
    return tasks


def _sleap(path: Path, video: Path) -> None:
    import sleap_io

    skeleton = sleap_io.Skeleton(["nose", "tail"])
    film = sleap_io.Video.from_filename(str(video))
    places = np.array([[20.0, 30.0], [40.0, 30.0]])
    frames = [
        sleap_io.LabeledFrame(film, i, [sleap_io.Instance.from_numpy(places + i, skeleton=skeleton)]) for i in range(3)
    ]
    sleap_io.save_file(sleap_io.Labels(frames), str(path))


def adding_a_format(folder: Path) -> None:
    """The page's own example of a file, and its pictures."""
    page = (REPOSITORY / "docs/adding-a-format.md").read_text(encoding="utf-8")
    text = re.search(r"```text\n(# gauges\n.*?)```", page, re.S)[1]
    (folder / "shots.gauges").write_text(text, encoding="utf-8")
    (folder / "cam1").mkdir()
    for name in re.findall(r"cam1/\S+", text):
        cv2.imwrite(str(folder / name), np.random.default_rng(0).integers(0, 255, (80, 100, 3), np.uint8))


def shipping(folder: Path) -> None:
    """Pictures, and the file that the page has exported by then: the shipped one."""
    labelled(folder, count=3)
    (folder / "parcel").mkdir()
    shutil.copy(find_model("hand"), folder / "parcel/hand.onnx")


READY = {
    "README.md": three_commands,
    "shipping.md": shipping,
    "adding-a-format.md": adding_a_format,
    "first-model.md": first_model,
    "choosing-a-preset.md": nothing,
    "coming-from.md": coming_from,
}
