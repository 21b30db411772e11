"""Where the pictures of CVAT's XML are: named ones, frames exported as pictures, or frames of the video itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from posewright.annotations.cvat_shapes import Frame, Meta
from posewright.annotations.pictures import USUAL_FOLDERS, choose_root, find_root, join_roots, relative_path
from posewright.annotations.registry import ReadOptions
from posewright.errors import PosewrightError

ENDINGS = (".PNG", ".png", ".jpg", ".jpeg", ".JPG", ".JPEG")
"""Of the pictures that CVAT makes of a video's frames (the first), and of what other tools made of them."""
VIDEO_FOLDERS = ("videos", "video")


@dataclass(frozen=True)
class Place:
    """A picture's path from the folder it was found in, or a video's with the frame; and its group."""

    path: str
    frame: int | None = None
    group: str | None = None


def places(frames: Sequence[Frame], meta: Meta, path: Path, options: ReadOptions) -> tuple[Path, list[Place]]:
    """The folder that pictures start from, and the place of every frame.

    A frame whose name cannot be used is reported and marked broken.

    Raises:
        PosewrightError: where ``options.images`` holds none of the pictures, or where nothing says what they are called.
    """
    folder = path.absolute().parent
    bases = [folder, *([folder.parent] if folder.name.lower() in ("annotations", "labels", "xml") else [])]
    folders = [options.images] if options.images else [base / name for base in bases for name in USUAL_FOLDERS]
    for frame in frames:
        try:
            for name in (frame.name, frame.subset):
                if name:
                    relative_path(name, file=path, record=frame.record)
        except PosewrightError as error:
            options.bad(error)
            frame.broken = True
    named = [i for i, f in enumerate(frames) if f.name is not None and not f.broken]
    numbered = [i for i, f in enumerate(frames) if f.name is None and not f.broken]
    parts: list[tuple[list[int], Path, list[Place]]] = []
    if named or not numbered:
        root, names = _named([frames[i] for i in named], folders, options, path)
        parts.append((named, root, [Place(name) for name in names]))
    if numbered:
        parts.append((numbered, *_numbered([frames[i] for i in numbered], meta, folders, options, path)))
    root, joined = join_roots([(root, [place.path for place in row]) for _, root, row in parts])
    found = [Place("")] * len(frames)
    for (indices, _, row), names in zip(parts, joined):
        for i, place, name in zip(indices, row, names):
            found[i] = Place(name, place.frame, place.group)
    return root, found


def _named(frames: list[Frame], folders: list[Path], options: ReadOptions, path: Path) -> tuple[Path, list[str]]:
    """Pictures lie under their names, or in a project's export under the subset's."""
    names = [frame.name or "" for frame in frames]
    names = [relative_path(name, file=path, record=f"image '{name}'") for name in names]
    deeper = [f"{f.subset}/{name}" if f.subset else name for f, name in zip(frames, names)]
    for option in (deeper, names):
        if find_root(option, folders) is not None:
            return choose_root(option, options.images, folders, path)[0], option
    option = deeper if len(set(names)) < len(names) else names
    return choose_root(option, options.images, folders, path)[0], option


def _numbered(
    frames: list[Frame], meta: Meta, folders: list[Path], options: ReadOptions, path: Path
) -> tuple[Path, list[Place]]:
    """Frames of videos: pictures where the export holds them, else the video itself."""
    tasks = [meta.task(frame.task) for frame in frames]
    videos = [PurePosixPath(task.source.replace("\\", "/")).name for task in tasks]
    groups = [video or (f"task {frame.task}" if frame.task else None) for frame, video in zip(frames, videos)]
    for ending in ENDINGS:
        bare = [f"frame_{frame.number:06d}{ending}" for frame in frames]
        deeper = [f"{f.subset}/{name}" if f.subset else name for f, name in zip(frames, bare)]
        for option in dict.fromkeys((tuple(deeper), tuple(bare))):
            if len(set(option)) == len(option) and find_root(option, folders) is not None:
                root = choose_root(option, options.images, folders, path)[0]
                return root, [Place(name, None, group) for name, group in zip(option, groups)]
    unknown = next((i for i, video in enumerate(videos) if not video or video in (".", "..")), None)
    if unknown is not None:
        record = frames[unknown].record
        if tasks[unknown].mode != "annotation":
            fix = "Put the frames beside it as images/frame_000000.png, ..., or say with --images where they are"
            raise PosewrightError("names neither a picture nor a video", file=path, record=record, fix=fix)
        what = "is a video's export of a task of pictures, which it numbers and does not name"
        raise PosewrightError(what, file=path, record=record, fix="Export it as 'CVAT for images 1.1'")
    names = [relative_path(video, file=path, record="source") for video in videos]
    more = [] if options.images else [path.absolute().parent / name for name in VIDEO_FOLDERS]
    around = [] if options.images else [path.absolute().parent.parent]
    root = choose_root(list(dict.fromkeys(names)), options.images, [*folders, *more, *around], path)[0]
    return root, [Place(name, frame.number, group) for frame, name, group in zip(frames, names, groups)]
