"""What is drawn of a frame: the poses on it, or what the net saw of it and made of that, stage by stage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.geometry import CropRule, Similarity
from posewright.live.watched import NEEDS, Look, View
from posewright.live.work import Item
from posewright.media.drawing import contact_sheet, draw_keypoints, draw_poses
from posewright.runtime.predictor import Predictor
from posewright.warp import warp

Picture = NDArray[np.uint8]
_FAINT = 0.05
"""A map whose highest cell is lower is coloured as if it were this high: noise shall not look like a find."""


def check_view(view: View, model: Predictor, file: str) -> None:
    """Refuse a view that a model file has not what it takes for.

    Raises:
        PosewrightError: where it has no heat maps.
    """
    if NEEDS[view] == "maps" and "heatmaps" not in model.info.outputs:
        what = f"has no heat maps, which the view '{view}' shows"
        raise PosewrightError(what, file=file, fix="Export it with heatmaps among its outputs")


@dataclass(frozen=True)
class Drawing:
    """How items are drawn.

    Attributes:
        model: whose looks they are.
        threshold: keypoints with a lower score are not drawn.
        boxes: draw the boxes that the model was shown, on the view "overlay".
        names: write the keypoints' names there.
        ellipses: draw there where each keypoint lies in one case of two.
    """

    model: Predictor
    threshold: float = 0.2
    boxes: bool = False
    names: bool = False
    ellipses: bool = False

    def __call__(self, item: Item) -> Picture:
        """``uint8 [H, W, 3]`` RGB of the item's view.

        The size of an "overlay" is the frame's; that of another view depends on the model, and for "crop" on how many
        looks there are.
        """
        if item.view == "overlay":
            return draw_poses(
                item.frame.image,
                item.poses,
                threshold=self.threshold,
                boxes=self.boxes,
                names=self.names,
                ellipses=self.ellipses,
            )
        if item.view == "crop":
            return self._crops(item)
        return self._stages(item) if item.view == "stages" else self._heatmaps(item)

    # -- the views of the net -----------------------------------------------------------------------------------------

    def _crops(self, item: Item) -> Picture:
        crops = [self.crop(item, look) for look in item.looks] or [self._nothing()]
        captions = [f"presence {look.pose.presence[0]:.2f}" for look in item.looks] or ["nothing looked at"]
        return contact_sheet(crops, captions, tile=max(384, *self.model.info.crop.size))

    def _stages(self, item: Item) -> Picture:
        look, pictures, captions = self._best(item), [], []
        stages = 0 if look is None or look.maps is None else len(look.maps)
        tile = self._tile(stages + 1)
        crop = self._enlarged(self._nothing() if look is None else self.crop(item, look), tile)
        result, said = crop.copy(), "nothing looked at"
        if look is not None and look.maps is not None:
            for number, maps in enumerate(look.maps, 1):
                pictures.append(self._coloured(maps.max(0), crop))
                captions.append(f"stage {number}: up to {maps.max():.2f}")
            points = look.to_crop.apply(look.pose.xy[0])
            shown = look.pose.score[0] >= self.threshold
            draw_keypoints(result, self._scale(crop).apply(points), shown, self.model.skeleton)
            said = f"result: presence {look.pose.presence[0]:.2f}"
        return contact_sheet([*pictures, result], [*captions, said], columns=_columns(stages + 1), tile=tile)

    def _heatmaps(self, item: Item) -> Picture:
        names, look = self.model.skeleton.keypoints, self._best(item)
        tile = self._tile(len(names))
        crop = self._enlarged(self._nothing() if look is None else self.crop(item, look), tile)
        pictures, captions = [crop] * len(names), list(names)
        if look is not None and look.maps is not None:
            maps = look.maps[-1]
            pictures = [self._coloured(m, crop) for m in maps]
            captions = [f"{name} {m.min():.2f}..{m.max():.2f}" for name, m in zip(names, maps)]
        return contact_sheet(pictures, captions, columns=_columns(len(names)), tile=tile)

    # -- their parts --------------------------------------------------------------------------------------------------

    def crop(self, item: Item, look: Look) -> Picture:
        """What the net saw: ``uint8`` RGB of the model's input size."""
        crop = warp(item.frame.image, look.to_crop, self.model.info.crop)
        return crop if self.model.prepare is None else self.model.prepare(crop)

    def _best(self, item: Item) -> Look | None:
        return next((look for look in item.looks if look.maps is not None), None)

    def _nothing(self) -> Picture:
        width, height = self.model.info.crop.size
        return np.full((height, width, 3), self.model.info.crop.border, np.uint8)

    def _scale(self, enlarged: Picture) -> Similarity:
        """The map from the model's input to a picture of it of another size."""
        width, height = self.model.info.crop.size
        return CropRule((enlarged.shape[1], enlarged.shape[0])).letterbox(width, height)

    def _enlarged(self, crop: Picture, side: int) -> Picture:
        width, height = self.model.info.crop.size
        factor = side / max(width, height)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        return crop if factor == 1 else warp(crop, CropRule(size).letterbox(width, height), CropRule(size))

    def _coloured(self, cells: NDArray[np.float32], crop: Picture) -> Picture:
        """A map over the crop that it belongs to, cell upon pixels, from dark (0 and below) to bright (its highest)."""
        level = np.clip(cells / max(float(cells.max()), _FAINT), 0, 1)
        stride, shift = self.model.info.stride, (self.model.info.stride - 1) / 2
        cells_to_input = np.array([[stride, 0, shift], [0, stride, shift], [0, 0, 1]], float)
        matrix = self._scale(crop).matrix @ cells_to_input
        size = (crop.shape[1], crop.shape[0])
        grey = cv2.warpAffine(np.rint(255 * level).astype(np.uint8), matrix, size, borderMode=cv2.BORDER_REPLICATE)
        colours = cv2.applyColorMap(grey, cv2.COLORMAP_TURBO)
        return cv2.addWeighted(cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), 0.6, crop, 0.4, 0)  # type: ignore[return-value]

    def _tile(self, count: int) -> int:
        """Longer side of a tile: as large as its input where there are few, smaller where there are many."""
        own = max(self.model.info.crop.size)
        return int(np.clip(own, 256, 384)) if count <= 4 else int(np.clip(960 // _columns(count), 112, max(own, 160)))


def _columns(count: int) -> int:
    return max(1, math.ceil(math.sqrt(count)))
