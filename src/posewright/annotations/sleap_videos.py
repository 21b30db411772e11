"""The videos and pictures that a SLEAP file is about: found by the ends of their paths, or taken out of the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from posewright.annotations.pictures import USUAL_FOLDERS
from posewright.annotations.tables import Image
from posewright.errors import PosewrightError

FOLDERS = (*USUAL_FOLDERS, "videos", "video")


class Films:
    """Collects the pictures of the labelled frames, then finds out where they are.

    Args:
        path: the SLEAP file.
        videos: sleap-io's videos, in order.

    Attributes:
        images: one entry a labelled frame; complete after :meth:`settle`.
    """

    def __init__(self, path: Path, videos: Sequence[Any]) -> None:
        self.path, self.videos = path, list(videos)
        self.images: list[Image] = []
        self._wanted: list[tuple[int, int]] = []
        self._rows: dict[tuple[int, int], int] = {}
        self._place = {id(video): i for i, video in enumerate(self.videos)}

    def image(self, video: Any, frame: int, record: str) -> int:
        """The row of a video's frame among the pictures, which is added where it is new."""
        number = self._place.get(id(video))
        if number is None:
            raise PosewrightError("belongs to a video that the file does not list", file=self.path, record=record)
        key = (number, int(frame))
        if key not in self._rows:
            self._rows[key] = len(self._wanted)
            self._wanted.append(key)
        return self._rows[key]

    def settle(self, options: Any) -> Path:
        """Fill in ``images``, writing the frames inside the file where need be; returns their root.

        Raises:
            PosewrightError: where the pictures are of a kind that is not read, not where ``--images`` says, or inside the
                file with no place to write them to.
        """
        used = sorted({number for number, _ in self._wanted})
        inside = [number for number in used if _embedded(self.videos[number])]
        if inside and len(inside) < len(used):
            fix = "Save it in SLEAP as a project without frames inside, or as a package with all of them"
            raise PosewrightError("holds the frames of some of its videos only", file=self.path, fix=fix)
        return self._taken_out(options) if inside else self._found(options.images)

    # -- videos and pictures beside the file ---------------------------------------------------------------------------

    def _found(self, told: Path | None) -> Path:
        from posewright.media.sources import VIDEO_ENDINGS

        if told is not None and not told.is_dir():
            raise PosewrightError("is no folder", file=told, fix="Give the folder of the videos with --images")
        root = told or self.path.parent
        below = ("",) if told is not None else FOLDERS
        places: dict[int, str | list[str]] = {}
        hits, first = 0, ""
        for number in sorted({number for number, _ in self._wanted}):
            video = self.videos[number]
            name, filename = f"video {number}", video.filename
            if (video.backend_metadata or {}).get("crop"):
                raise PosewrightError("is cut from a larger one, which is not read", file=self.path, record=name)
            if isinstance(filename, list):
                frames = [frame for n, frame in self._wanted if n == number]
                if max(frames) >= len(filename):
                    what = f"has {len(filename)} pictures, and frame {max(frames)} is labelled"
                    raise PosewrightError(what, file=self.path, record=name)
                found = [_look(root, below, _parts(str(filename[frame]))) for frame in frames]
                places[number] = [""] * len(filename)
                for frame, (inner, there) in zip(frames, found):
                    places[number][frame] = inner  # type: ignore[index]
                    hits += there
                first = first or str(filename[frames[0]])
                continue
            parts = _parts(str(filename))
            if not parts or PurePosixPath(parts[-1]).suffix.lower() not in VIDEO_ENDINGS:
                what = f"'{filename}' is no video file, and is not read"
                raise PosewrightError(what, file=self.path, record=name, fix="Save it in SLEAP as a package (.pkg.slp)")
            places[number], there = _look(root, below, parts)
            hits += there
            first = first or str(filename)
        if told is not None and places and not hits:
            what = f"'{first}', named first in {self.path}, is not there, nor are the others"
            raise PosewrightError(what, file=told, fix="Give the folder that holds the videos")
        self._check_apart(places)
        for number, frame in self._wanted:
            place = places[number]
            if isinstance(place, list):
                group = PurePosixPath(place[frame]).parent.as_posix()
                self.images.append(Image(place[frame], group=group if group != "." else None))
            else:
                width, height = (0, 0) if (root / place).is_file() else _shape(self.videos[number])
                self.images.append(Image(place, width, height, frame=frame, group=place))
        return root

    def _check_apart(self, places: dict[int, str | list[str]]) -> None:
        """Two videos of one name in different folders must not be taken for one."""
        owner: dict[str, int] = {}
        for number, place in places.items():
            for name in dict.fromkeys(place if isinstance(place, list) else [place]):
                if name and owner.setdefault(name, number) != number:
                    what = f"videos {owner[name]} and {number} are both called '{name}'"
                    fix = "Lay them in folders called as they were when they were labelled"
                    raise PosewrightError(what, file=self.path, fix=fix)

    # -- frames inside the file ----------------------------------------------------------------------------------------

    def _taken_out(self, options: Any) -> Path:
        stems: dict[int, str] = {}
        for number in sorted({number for number, _ in self._wanted}):
            source = getattr(self.videos[number], "source_video", None)
            parts = _parts(str(source.filename)) if source is not None and isinstance(source.filename, str) else []
            stem = PurePosixPath(parts[-1]).stem.strip(".") if parts else ""
            stems[number] = stem if stem and stem not in stems.values() else f"{stem or 'video'}-{number}"
        names = [f"{stems[number]}/{frame:06d}.png" for number, frame in self._wanted]
        self.images = [Image(name, group=stems[number]) for name, (number, _) in zip(names, self._wanted)]
        if options.images is not None:
            if not any((options.images / name).is_file() for name in names[:32]):
                what = f"picture '{names[0]}', which is inside {self.path}, is not there"
                raise PosewrightError(what, file=options.images, fix="Give the folder that convert wrote them to")
            return options.images
        if options.extract is None:
            what = "holds its pictures inside, and they are to lie in files of their own"
            raise PosewrightError(
                what, file=self.path, fix=f"posewright convert {self.path} -o labels.json takes them out"
            )
        self._write(names, options.extract)
        return options.extract

    def _write(self, names: Sequence[str], target: Path) -> None:
        from posewright.annotations.tree import fresh_folder
        from posewright.console import progress_bar
        from posewright.media.pictures import write_picture

        with fresh_folder(target) as folder, progress_bar("taking frames out", len(names)) as advance:
            for name, (number, frame) in zip(names, self._wanted):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                write_picture(folder / name, self._pixels(number, frame))
                advance(1)

    def _pixels(self, number: int, frame: int) -> Any:
        """A frame inside the file, ``uint8 [H, W, 3]`` RGB."""
        video, record = self.videos[number], f"video {number}, frame {frame}"
        try:
            if video.backend is None:
                video.open()
            picture = np.asarray(video[frame])
        except Exception as error:  # whatever sleap-io stumbles over
            what = f"cannot be taken out ({type(error).__name__}: {str(error)[:100]})"
            raise PosewrightError(what, file=self.path, record=record) from None
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] not in (1, 3) or not picture.size:
            what = f"is a picture of shape {picture.shape} of {picture.dtype}"
            raise PosewrightError(what, file=self.path, record=record)
        return np.ascontiguousarray(np.repeat(picture, 3, 2) if picture.shape[2] == 1 else picture)


def _embedded(video: Any) -> bool:
    """Whether a video's frames are inside the SLEAP file itself."""
    metadata = video.backend_metadata or {}
    return metadata.get("filename") == "." and bool(metadata.get("dataset"))


def _parts(name: str) -> list[str]:
    """The parts of a path of any system, without drive, root and steps up."""
    parts = name.replace("\\", "/").split("/")
    return [
        part for part in parts if part not in ("", ".", "..") and not part.endswith(":") and min(map(ord, part)) >= 32
    ]


def _look(root: Path, below: Sequence[str], parts: Sequence[str]) -> tuple[str, bool]:
    """The place below ``root`` of the file whose path ends as ``parts`` do, as much of them as possible; and whether it is
    there. Where it is not, its name alone."""
    for start in range(len(parts)):
        for folder in below:
            inner = "/".join([*([folder] if folder else []), *parts[start:]])
            if (root / inner).is_file():
                return inner, True
    return (parts[-1] if parts else "video"), False


def _shape(video: Any) -> tuple[int, int]:
    """(width, height) as the file says, or zeros."""
    shape = (video.backend_metadata or {}).get("shape")
    fits = isinstance(shape, list | tuple) and len(shape) == 4 and all(isinstance(n, int) for n in shape[1:3])
    return (max(0, shape[2]), max(0, shape[1])) if fits and shape is not None else (0, 0)
