"""A teacher made ready for one student: what it says about a crop, as targets on the student's own grid."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posewright.annotations import Annotations
from posewright.console import progress_bar
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.media.sources import folder_pictures
from posewright.models.base import HeatmapNet
from posewright.models.checkpoint import join_terms, origin_of
from posewright.models.heatmaps import decode, encode, moved
from posewright.skeleton import Skeleton
from posewright.training.augment_config import PLAIN
from posewright.training.config import TrainConfig
from posewright.training.distill_data import (
    DistillDataset,
    found_boxes,
    whole_boxes,
    with_unlabelled,
)
from posewright.training.pairing import KeypointMap, match_keypoints, pair_stages, read_pairs
from posewright.training.ranks import ALONE, Place
from posewright.training.teacher_cache import TeacherCache, data_digest
from posewright.training.teachers import Seen, Teacher, load_teacher
from posewright.training.views import Grid, Resampling, Views

KEPT = "teacher"
"""Folder in the run's own for what the teacher found, where no other is named."""


@dataclass(frozen=True)
class Lesson:
    """What a student learns from, and how.

    Attributes:
        config: the run's settings.
        student: the student's skeleton.
        teacher: the teacher.
        views: the geometry between the two nets' crops.
        keypoints: the teacher's keypoints in the student's order.
        stages: the teacher's stage, from 1, for each of the student's; empty where it returns only keypoints.
        grid: the student's cells.
        background: whether the student has a background channel, behind its keypoints'.
    """

    config: TrainConfig
    student: Skeleton
    teacher: Teacher
    views: Views
    keypoints: KeypointMap
    stages: tuple[int, ...]
    grid: Grid
    background: bool

    @classmethod
    def prepare(cls, config: TrainConfig, net: HeatmapNet, skeleton: Skeleton, rule: CropRule) -> Lesson:
        """Load the settings' teacher and hold it against the student.

        Raises:
            PosewrightError: where the teacher cannot be used, or does not fit the student.
        """
        distill = config.distill
        pairs = read_pairs(distill.map)
        teacher = load_teacher(
            config.teacher or "", distill, student=skeleton, rule=rule, sigma=config.sigma, device=config.device
        )
        keypoints = match_keypoints(skeleton, teacher.skeleton, pairs)
        stages: tuple[int, ...] = ()
        if teacher.stages:
            stages = pair_stages(net.config.stages, teacher.stages, distill.stages)
        elif distill.stages:
            raise PosewrightError(f"--distill.stages: teacher '{teacher.name}' returns keypoints and has no stages")
        stride = net.config.stride
        grid = Grid((rule.size[1] // stride, rule.size[0] // stride), stride, net.config.label_shift, config.sigma)
        views = Views.between(rule, teacher.rule)
        return cls(config, skeleton, teacher, views, keypoints, stages, grid, net.config.background)

    def describe(self) -> str:
        """What is learned from whom, in one line."""
        width, height = self.teacher.rule.size
        what = {"heatmaps": "its heat maps", "response": "where it responds", "features": "its last features"}
        learned = what[self.config.distill.target] if self.stages else "its keypoints"
        line = f"teacher {self.teacher.name} ({width}x{height}): the student learns {learned}"
        if self.stages and self.config.distill.target != "features":
            line += f", stage by stage from {', '.join(map(str, self.stages))} of {self.teacher.stages}"
        if self.keypoints.missing:
            line += f"; it does not know {', '.join(self.keypoints.missing)}, which the labels alone teach"
        return line

    def record(self) -> dict[str, Any]:
        """What a checkpoint keeps about its teacher."""
        return origin_of(self.teacher.name, self.teacher.data, self.teacher.terms)

    def terms(self, own: str) -> str:
        """The run's terms, joined with those of the teacher, whose knowledge the student takes over."""
        return join_terms(own, self.teacher.terms, f"Teacher ({self.teacher.name})")

    # -- targets ---------------------------------------------------------------------------------------------------

    def targets(self, seen: Seen) -> tuple[Tensor, Tensor]:
        """The teacher's word on the student's grid.

        Args:
            seen: what the teacher made of its crops.

        Returns:
            Target maps ``[B, S, C, h, w]`` of the student's S stages, background last where the student has one, and
            ``[B, C]`` in 0..1: how much each map counts; 0 where the teacher does not know the keypoint.
        """
        known = torch.from_numpy(self.keypoints.known).to(seen.points.device)
        if seen.maps is None:
            maps, weight = self._drawn(seen.points, known)
        else:
            maps, weight = self._resampled(seen.maps), known.float().expand(len(seen.maps), -1)
        maps = maps * known[:, None, None]
        if self.background:
            own = self._own_background(seen.maps)
            maps = torch.cat([maps, 1 - maps.amax(2, keepdim=True).clamp(0, 1) if own is None else own], 2)
            weight = torch.cat([weight, weight.amin(1, keepdim=True)], 1)
        return maps, weight

    def _drawn(self, points: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Maps drawn around the teacher's points; each counts by its score."""
        points = points[:, torch.from_numpy(self.keypoints.source).to(points.device)]
        matrix = torch.tensor(self.views.to_teacher.inverse().matrix.tolist()).to(points)
        xy = moved(points[..., :2], matrix)
        extent = xy.new_tensor(self.views.student.size) - 0.5
        finite = xy.isfinite().all(-1)
        inside = ((xy >= -0.5) & (xy < extent)).all(-1) & known & finite
        maps = encode(xy, inside, self.grid.size, self.grid.stride, self.grid.sigma, self.grid.shift)
        # A point that is no number says nothing; it must not teach that the keypoint lies outside.
        return maps[:, None], points[..., 2].nan_to_num().clamp(0, 1) * (known & finite)

    def _resampled(self, maps: Tensor) -> Tensor:
        """The keypoints' maps of the paired stages ``[B, S, K, h, w]``, as high as the teacher made them."""
        stages, source = [s - 1 for s in self.stages], self.keypoints.source.tolist()
        maps = maps[:, stages][:, :, source]
        way = self._way()
        if way.same:
            return maps
        moved = _apply(way, maps)
        if way.height == 1:
            return moved
        # A wider peak is a lower one. It is raised to what it was by the peaks' own heights, but no map by more than a
        # gaussian of the teacher's width needs: what was broad before has hardly been lowered.
        raised = [decode(m.flatten(0, 1), 1)[..., 2].unflatten(0, m.shape[:2]) for m in (maps, moved)]
        factor = (raised[0] / raised[1].clamp(min=1e-6)).clamp(1.0, 1 / way.height)
        return moved * factor[..., None, None]

    def _own_background(self, maps: Tensor | None) -> Tensor | None:
        """The teacher's background maps ``[B, S, 1, h, w]``, where they mean the same as the student's would."""
        alike = len(self.teacher.skeleton) == len(self.keypoints.known) and bool(self.keypoints.known.all())
        way = self._way() if maps is not None else None
        if maps is None or way is None or not self.teacher.background or not alike or way.height != 1:
            return None
        own = maps[:, [s - 1 for s in self.stages]][:, :, -1:]
        return own if way.same else _apply(way, own)

    def _way(self, widen: bool = True) -> Resampling:
        assert self.teacher.grid is not None
        return Resampling.between(self.views, self.grid, self.teacher.grid, widen=widen)

    def features(self, features: Tensor) -> Tensor:
        """The teacher's features ``[B, F, h, w]`` on the student's grid, each cell's with mean 0 and variance 1."""
        way = self._way(widen=False)
        moved = features if way.same else _apply(way, features)
        return torch.nn.functional.layer_norm(moved.movedim(1, -1), moved.shape[1:2]).movedim(-1, 1)

    def _look(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's word on crops of its own size."""
        return self.targets(self.teacher(image))

    def _second_look(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The same, averaged with its word on the mirrored crops where mirrors are learned from: it looks only once."""
        maps, weight = self._look(image)
        if not self._mirrors:
            return maps, weight
        order = [*self.student.flip_order(), *range(len(self.student), weight.shape[1])]
        other, of_other = self._look(image.flip(2))
        return (maps + other.flip(-1)[:, :, order]) / 2, (weight + of_other[:, order]) / 2

    @property
    def _mirrors(self) -> bool:
        # Of nets that put their peaks to one side of the truth, a mirrored map lies on the other.
        return bool(self.config.augment.flip) and self.grid.shift == (0.0, 0.0)

    # -- samples ---------------------------------------------------------------------------------------------------

    def dataset(self, train: Annotations, device: str, place: Place = ALONE) -> DistillDataset:
        """The training samples: the labelled pictures, unlabelled ones behind them, and cached targets where asked for.

        Raises:
            PosewrightError: where there are no unlabelled pictures to be found, or the cache would never be used again.
        """
        config, once = self.config, self.config.distill.once
        turns = 0 if once else config.distill.views or int(config.augment == PLAIN)
        if config.distill.cache and not turns and not once:
            raise PosewrightError(
                "--distill.cache keeps what is seen again, and every epoch augments anew",
                fix="Add --distill.once, or --distill.views 8, say, for so many augmented views of each object",
            )
        pictures = folder_pictures(config.unlabelled, "--unlabelled") if config.unlabelled else []
        if pictures:
            train = with_unlabelled(train, pictures, self._boxes(pictures, device))
        dataset = DistillDataset(train, self.views, config.augment, config.seed, unlabelled=len(pictures), turns=turns)
        if once and len(dataset):
            plain = DistillDataset(train, self.views, None, config.seed, unlabelled=len(pictures), turns=1)
            dataset.memory = self._cached(plain, device, place)
        elif config.distill.cache and len(dataset):
            dataset.cache = self._cached(dataset, device, place)
        return dataset

    def _boxes(self, pictures: list[Any], device: str) -> np.ndarray:
        if self.config.distill.boxes == "whole":
            return whole_boxes(pictures, self.views.student)
        with progress_bar("unlabelled pictures", len(pictures)) as advance:
            return found_boxes(pictures, self.teacher, self.views.student, device, progress=advance)

    def _cached(self, dataset: DistillDataset, device: str, place: Place) -> TeacherCache:
        config, views, once = self.config, self.views, self.config.distill.once
        identity = {
            "teacher": self.teacher.digest,
            "data": data_digest(dataset.annotations),
            "student crop": views.student.to_dict(),
            "teacher crop": views.teacher.to_dict(),
            "grids": [asdict(g) if g is not None else None for g in (self.grid, self.teacher.grid)],
            "keypoints": [
                int(s) if k else -1 for s, k in zip(self.keypoints.source, self.keypoints.known, strict=True)
            ],
            "stages": list(self.stages),
            "background": self.background,
            **({"mirrored": self._mirrors} if once else {"augment": asdict(config.augment), "seed": config.seed}),
            "pixels": [config.distill.pixels, config.distill.bgr],
        }
        channels = len(self.keypoints.known) + int(self.background)
        shape = (max(len(self.stages), 1), channels, *self.grid.size)
        folder = config.distill.cache or Path(config.output) / KEPT
        cache = TeacherCache(folder, identity, shape, len(dataset), dataset.turns, config.distill.cache_type)
        looked = cache.fill(dataset, self._second_look if once else self._look, device, place)
        if place.rank == 0:
            print(f"teacher's targets: {looked} made, {len(dataset) * dataset.turns - looked} found, in {cache.folder}")
        return cache


def _apply(way: Resampling, maps: Tensor) -> Tensor:
    rows, columns = (torch.from_numpy(m).to(maps) for m in (way.rows, way.columns))
    # Mixed precision would round the weights, and with them where the peaks lie, to 16 bits.
    with torch.autocast(maps.device.type, enabled=False):
        return rows @ maps @ columns.T
