"""The predictor: pictures and boxes in, poses in the pictures' own pixels out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from posewright.errors import PosewrightError
from posewright.geometry import Similarity, covariance_matrices, picture_box
from posewright.poses import Poses
from posewright.runtime.decode import decode
from posewright.runtime.engines import open_engine
from posewright.runtime.inputs import Picture, checked_boxes, pixels_of
from posewright.runtime.modelfile import ModelInfo
from posewright.skeleton import Skeleton


class Runs(Protocol):
    """What runs a net on crops: one a file format, and torch for checkpoints."""

    info: ModelInfo
    path: Path
    device: str

    def run(self, crops: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[np.float32]]: ...


@dataclass
class CropJob:
    """One picture on its way through: where its crops came from."""

    source: str
    width: int
    height: int
    boxes: NDArray[np.float64]
    maps: list[Similarity] = field(default_factory=list)


@dataclass(frozen=True)
class Mapped:
    """What :meth:`Predictor.predict_maps` returns for one picture.

    Attributes:
        poses: as :meth:`Predictor.predict_batch` returns them.
        maps: ``[N, K, h, w]``, the last stage's heat maps of each pose, without the background's, or those of all S
            stages, ``[N, S, K, h, w]``, where asked for; None of a model file that has none.
        to_crop: the map from the picture to each pose's crop, in whose pixels cell ``i`` lies at
            ``stride * i + (stride - 1) / 2``.
    """

    poses: Poses
    maps: NDArray[np.float32] | None
    to_crop: list[Similarity]


class Predictor:
    """A model ready to run; made by :func:`posewright.load`.

    Example::

        model = posewright.load("hand.onnx")
        poses = model("photo.jpg")
        x, y, score = poses.keypoint("wrist")

    Attributes:
        info: what the model file says about itself.
        skeleton: the K keypoints it finds.
        device: what it runs on.
        engine: name of what runs it, one of :data:`posewright.runtime.engines.ENGINES`, or "torch".
        computes: what its engine computes in: "fp32", or "bf16" or "fp16" where that is faster and ``exact`` not asked for.
        prepare: what each crop, ``uint8 [H, W, 3]`` RGB, goes through before the net sees it; nothing where None.
        spent: seconds since it was made, by part: "crop", cutting crops out, and "net", running the net on them.
    """

    def __init__(self, engine: Runs) -> None:
        self._engine = engine
        self.info: ModelInfo = engine.info
        self.skeleton: Skeleton = engine.info.skeleton
        self.device: str = engine.device
        self.engine: str = getattr(engine, "name", "")
        self.computes: str = getattr(engine, "computes", "fp32")
        self.prepare: Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None = None
        self.spent = {"crop": 0.0, "net": 0.0}
        self._mirror = np.array(self.skeleton.flip_order())
        self._extras = [name for name in ("presence", "covariance", "visibility") if name in self.info.outputs]

    @property
    def path(self) -> Path:
        """The model file, or the checkpoint."""
        return self._engine.path

    def __repr__(self) -> str:
        what = f"{len(self.skeleton)} keypoints of '{self.skeleton.name}' at {self.info.size_text}"
        return f"Predictor({what} on {self.device})"

    def warm_up(self, count: int = 1, batch: int = 1) -> None:
        """Run the net ``count`` times on empty crops; what it took does not count as spent."""
        width, height = self.info.input_size
        for _ in range(count):
            self._engine.run(np.zeros((batch, height, width, 3), np.uint8), list(self.info.outputs))

    def __call__(
        self, picture: Picture, boxes: ArrayLike | None = None, *, flip: bool = False, min_presence: float = 0.0
    ) -> Poses:
        """Find the keypoints of each boxed object of one picture.

        Args:
            picture: a file, or ``uint8 [H, W, 3]`` RGB, or grey ``uint8 [H, W]``. (OpenCV reads pictures as BGR:
                reverse the channels first.)
            boxes: ``[N, 4]`` (x0, y0, x1, y1) in pixels of the picture, (0, 0) at the first pixel's centre; None for
                one object in the whole picture, which is fitted into the input without being squashed.
            flip: average with the mirrored picture: steadier, at twice the time.
            min_presence: leave out poses whose presence is lower.

        Returns:
            One pose a box, in pixels of the picture.

        Raises:
            PosewrightError: where the picture or a box cannot be used.
        """
        return self.predict_batch([picture], [boxes], flip=flip, min_presence=min_presence)[0]

    def predict_batch(
        self,
        pictures: Sequence[Picture],
        boxes: Sequence[ArrayLike | None] | None = None,
        *,
        flip: bool = False,
        min_presence: float = 0.0,
        batch_size: int = 16,
        to_crop: Sequence[Sequence[Similarity] | None] | None = None,
    ) -> list[Poses]:
        """Like calling the predictor on each picture, with the crops of all of them sharing batches.

        Args:
            pictures: see :meth:`__call__`.
            boxes: one entry a picture; None for whole pictures throughout.
            flip, min_presence: see :meth:`__call__`.
            batch_size: crops in one run of the net.
            to_crop: one entry a picture: the maps from it to the crop of each of its boxes, in the place of the model's
                own crop rule (a turned crop, a mirrored one), or None.

        Returns:
            One :class:`Poses` a picture.
        """
        found = self._predict(pictures, boxes, flip, min_presence, batch_size, to_crop, keep=None)
        return [mapped.poses for mapped in found]

    def predict_maps(
        self,
        pictures: Sequence[Picture],
        boxes: Sequence[ArrayLike | None] | None = None,
        *,
        flip: bool = False,
        batch_size: int = 16,
        to_crop: Sequence[Sequence[Similarity] | None] | None = None,
        stages: bool = False,
    ) -> list[Mapped]:
        """Like :meth:`predict_batch`, with the heat maps that the poses were read from; all are held in memory at once.

        With ``flip`` the maps are the mean of those of the picture and of its mirror image.

        Args:
            stages: hand out the maps of all stages.
        """
        keep = ("stages" if stages else "last") if "heatmaps" in self.info.outputs else None
        return self._predict(pictures, boxes, flip, 0.0, batch_size, to_crop, keep=keep)

    def _predict(
        self,
        pictures: Sequence[Picture],
        boxes: Sequence[ArrayLike | None] | None,
        flip: bool,
        min_presence: float,
        batch_size: int,
        to_crop: Sequence[Sequence[Similarity] | None] | None,
        keep: str | None,
    ) -> list[Mapped]:
        if boxes is None:
            boxes = [None] * len(pictures)
        if len(boxes) != len(pictures):
            raise PosewrightError(f"{len(boxes)} entries of boxes for {len(pictures)} pictures")
        if batch_size < 1:
            raise PosewrightError(f"batch size must be at least 1, not {batch_size}")
        jobs: list[CropJob] = []
        parts: list[dict[str, NDArray[Any]]] = []
        waiting: list[NDArray[np.uint8]] = []
        if to_crop is None:
            to_crop = [None] * len(pictures)
        for crop in self._crops(pictures, boxes, to_crop, jobs):
            waiting.append(crop)
            if len(waiting) == batch_size:
                parts.append(self._run(waiting, flip, keep))
                waiting = []
        if waiting:
            parts.append(self._run(waiting, flip, keep))
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
        maps = found.pop("heatmaps", None)
        results, start = [], 0
        for job in jobs:
            end = start + len(job.maps)
            poses = self._poses(job, {name: a[start:end] for name, a in found.items()}, min_presence)
            results.append(Mapped(poses, None if maps is None else maps[start:end], job.maps))
            start = end
        return results

    # -- into the net ----------------------------------------------------------------------------------------------

    def _crops(
        self,
        pictures: Sequence[Picture],
        boxes: Sequence[ArrayLike | None],
        to_crop: Sequence[Sequence[Similarity] | None],
        jobs: list[CropJob],
    ) -> Iterator[NDArray[np.uint8]]:
        """The crops of all pictures in order, noting in ``jobs`` where each came from."""
        from posewright.warp import warp

        rule = self.info.crop
        for picture, given, maps in zip(pictures, boxes, to_crop, strict=True):
            image, source = pixels_of(picture)
            height, width = image.shape[:2]
            if given is None:
                job = CropJob(source, width, height, picture_box(width, height)[None], [rule.letterbox(width, height)])
            else:
                checked = checked_boxes(given, source)
                job = CropJob(source, width, height, checked, list(maps or [rule.similarity(box) for box in checked]))
                if len(job.maps) != len(checked):
                    raise PosewrightError(f"{len(job.maps)} maps to crops for {len(checked)} boxes")
            jobs.append(job)
            for similarity in job.maps:
                start = perf_counter()
                crop = warp(image, similarity, rule)
                crop = crop if crop.ndim == 3 else np.repeat(crop[..., None], 3, axis=2)
                if self.prepare is not None:
                    crop = self.prepare(crop)
                self.spent["crop"] += perf_counter() - start
                yield crop

    def _run(self, crops: list[NDArray[np.uint8]], flip: bool, keep: str | None) -> dict[str, NDArray[Any]]:
        """Run the net on crops; keypoints in crop pixels and whatever else a pose holds, by name.

        Args:
            keep: hand out the maps of the "last" stage or of all "stages", too, or none.
        """
        batch = np.stack(crops) if len(crops) > 1 else crops[0][None]
        if flip:
            found = self._both_ways(batch, first=0 if keep == "stages" else -1)
        elif "keypoints" in self.info.outputs and keep is None:
            found = self._fetch(batch, "keypoints")
        elif "keypoints" in self.info.outputs and keep == "stages":
            found = self._fetch(batch, "keypoints", "heatmaps")
            found["heatmaps"] = found["heatmaps"][:, :, : len(self.skeleton)]
        else:
            found = self._fetch(batch, "heatmaps")
            found["heatmaps"] = found["heatmaps"][:, 0 if keep == "stages" else -1 :, : len(self.skeleton)]
            found["keypoints"] = self._decode(found["heatmaps"])
        maps = found.pop("heatmaps", None)
        if keep is not None and maps is not None:
            found["heatmaps"] = maps if keep == "stages" else maps[:, -1]
        if "presence" not in found:
            found["presence"] = found["keypoints"][..., 2].mean(1)
        return found

    def _fetch(self, batch: NDArray[np.uint8], *main: str) -> dict[str, NDArray[Any]]:
        """One run of the net: the outputs named, and those of the smaller ones that the file has."""
        names, start = [*main, *self._extras], perf_counter()
        found = dict(zip(names, self._engine.run(batch, names), strict=True))
        self.spent["net"] += perf_counter() - start
        return found

    def _both_ways(self, batch: NDArray[np.uint8], first: int) -> dict[str, NDArray[Any]]:
        """Average the maps of the crops and of their mirror images, then decode once.

        Averaging maps rather than points lets a side that only one of the two runs mixed up be outvoted.

        Args:
            first: stage whose maps, and those of the ones after it, are averaged.
        """
        if self.info.flip:
            what = "averages each crop with its mirror image by itself: leave flip averaging out"
            raise PosewrightError(what, file=self._engine.path)
        if "heatmaps" not in self.info.outputs:
            what, fix = "flip averaging needs heat maps, which this model file has not", "Export it with heatmaps"
            raise PosewrightError(what, file=self._engine.path, fix=fix)
        found = self._fetch(batch, "heatmaps")
        other = self._fetch(np.ascontiguousarray(batch[:, :, ::-1]), "heatmaps")
        back = other["heatmaps"][:, first:, : len(self.skeleton), :, ::-1][:, :, self._mirror]
        # Mirrored, a peak that lies to the right of the truth lies to the left of it.
        other["heatmaps"] = _moved_right(back, 2 * self.info.label_shift[0])
        found["heatmaps"] = found["heatmaps"][:, first:, : len(self.skeleton)]
        if "visibility" in other:
            other["visibility"] = other["visibility"][:, self._mirror]
        if "covariance" in other:
            other["covariance"] = other["covariance"][:, self._mirror] * np.array([1, -1, 1], np.float32)
        both = {name: (found[name] + other[name]) / 2 for name in found}
        both["keypoints"] = self._decode(both["heatmaps"])
        return both

    def _decode(self, heatmaps: NDArray[Any]) -> NDArray[np.float64]:
        """The last stage's maps ``[B, S, C, h, w]`` to keypoints ``[B, K, 3]`` in crop pixels."""
        info = self.info
        found = decode(heatmaps[:, -1, : len(self.skeleton)], info.stride, info.label_shift, info.decoding)
        if info.score_curve is not None:
            found[..., 2] = info.score_curve.apply(found[..., 2])
        return found

    # -- back to the picture ---------------------------------------------------------------------------------------

    def _poses(self, job: CropJob, found: dict[str, NDArray[Any]], min_presence: float) -> Poses:
        where: dict[str, Any] = {"source": job.source, "width": job.width, "height": job.height}
        if not job.maps:
            return Poses.empty(self.skeleton, **where)
        keypoints = found["keypoints"]
        xy = np.empty((*keypoints.shape[:2], 2))
        covariance = np.empty(found["covariance"].shape) if "covariance" in found else None
        for i, similarity in enumerate(job.maps):
            back = similarity.inverse()
            xy[i] = back.apply(keypoints[i, :, :2])
            if covariance is not None:
                covariance[i] = _turned_covariance(found["covariance"][i], back)
        columns: dict[str, Any] = {"xy": xy, "score": keypoints[..., 2], "boxes": job.boxes, "covariance": covariance}
        columns |= {"presence": found["presence"], "visibility": found.get("visibility")}
        if min_presence > 0:
            keep = found["presence"] >= min_presence
            columns = {name: None if a is None else a[keep] for name, a in columns.items()}
        return Poses(self.skeleton, **columns, **where)


def load(
    model: str | Path,
    device: str = "auto",
    threads: int | None = None,
    *,
    engine: str | None = None,
    trust: bool = False,
    exact: bool = False,
    warm_up: int = 0,
) -> Predictor:
    """Load a model to run.

    Args:
        model: a model file of any format, a run folder that holds one, or the name of a shipped model.
        device: what the engine runs on. With onnxruntime "auto" (CUDA where it works, else the processor), "cpu", "cuda",
            "tensorrt", "coreml" or "directml"; with OpenVINO "auto" (a GPU where it has one, else the processor), "cpu", "gpu"
            or "npu"; the others know "cpu".
        threads: processor threads for one call; the engine's own choice where None.
        engine: one of :data:`posewright.runtime.engines.ENGINES`; the first that runs such files and is installed where
            None.
        trust: load files that bring native code with them, which runs when they are loaded.
        exact: compute in single precision, where the engine would take a lower one for speed: OpenVINO does on processors
            that have bfloat16.
        warm_up: how often to run it on an empty picture before it is handed out, so that the first real one is no slower
            than the others.

    Raises:
        PosewrightError: where there is no such model, its file is no whole model file, or the device or engine is not there.
    """
    from posewright.runtime.names import find_model

    predictor = Predictor(open_engine(find_model(model), device, threads, engine=engine, trust=trust, exact=exact))
    predictor.warm_up(warm_up)
    return predictor


def _moved_right(maps: NDArray[Any], cells: float) -> NDArray[Any]:
    """Maps ``[..., w]`` moved right by ``cells``, linear between cells; the edge stays what it was beyond it."""
    if cells == 0:
        return maps
    width = maps.shape[-1]
    at = np.clip(np.arange(width) - cells, 0, width - 1)
    low = np.floor(at).astype(int)
    share = (at - low).astype(maps.dtype)
    return maps[..., low] * (1 - share) + maps[..., np.minimum(low + 1, width - 1)] * share


def _turned_covariance(covariance: NDArray[np.floating[Any]], back: Similarity) -> NDArray[np.float64]:
    """Covariances ``[K, 3]`` (xx, xy, yy) from crop pixels to picture pixels."""
    linear = back.matrix[:, :2]
    turned = linear @ covariance_matrices(covariance) @ linear.T
    return np.stack([turned[:, 0, 0], turned[:, 0, 1], turned[:, 1, 1]], -1)
