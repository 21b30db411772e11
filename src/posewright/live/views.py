"""What is drawn of a frame: the poses on it, or what the net saw of it and made of that, stage by stage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from posewright.errors import PosewrightError
from posewright.geometry import input_to_cell
from posewright.live.watched import Look, Watch
from posewright.live.work import Item
from posewright.media.drawing import contact_sheet, draw_keypoints, draw_poses
from posewright.runtime.predictor import Predictor
from posewright.warp import warp

Picture = NDArray[np.uint8]
View = Literal["overlay", "stages", "heatmaps", "crop"]
VIEWS: tuple[View, ...] = get_args(View)

NEEDS: dict[View, Watch] = {"overlay": "nothing", "stages": "maps", "heatmaps": "maps", "crop": "crops"}
"""What of its looks the model has to remember for a view."""
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

    def __call__(self, view: View, item: Item) -> Picture:
        """``uint8 [H, W, 3]`` RGB. The size of an "overlay" is the frame's; that of another view depends on the model, and
        for "crop" on how many looks there are."""
        if view == "overlay":
            return draw_poses(
                item.frame.image,
                item.poses,
                threshold=self.threshold,
                boxes=self.boxes,
                names=self.names,
                ellipses=self.ellipses,
            )
        if view == "crop":
            return self._crops(item)
        return self._stages(item) if view == "stages" else self._heatmaps(item)

    # -- the views of the net -----------------------------------------------------------------------------------------

    def _crops(self, item: Item) -> Picture:
        crops = [self.crop(item, look) for look in item.looks] or [self._nothing()]
        captions = [f"presence {look.pose.presence[0]:.2f}" for look in item.looks] or ["nothing looked at"]
        return contact_sheet(crops, captions, tile=max(384, *self.model.info.crop.size))

    def _stages(self, item: Item) -> Picture:
        tile, look = self._tile(1), self._best(item)
        crop = self._nothing() if look is None else self.crop(item, look)
        result, stages = crop.copy(), []
        captions = []
        if look is not None:
            draw_keypoints(result, self._in_crop(look), look.pose.score[0] >= self.threshold, self.model.skeleton)
            assert look.maps is not None
            for number, maps in enumerate(look.maps, 1):
                stages.append(self._coloured(maps.max(0), crop))
                captions.append(f"stage {number}: up to {maps.max():.2f}")
        said = "nothing looked at" if look is None else f"result: presence {look.pose.presence[0]:.2f}"
        pictures, captions = [*stages, result], [*captions, said]
        return contact_sheet(pictures, captions, columns=_columns(len(pictures)), tile=tile)

    def _heatmaps(self, item: Item) -> Picture:
        names, look = self.model.skeleton.keypoints, self._best(item)
        tile = self._tile(len(names))
        if look is None:
            pictures, captions = [self._nothing()] * len(names), list(names)
        else:
            crop = self.crop(item, look)
            assert look.maps is not None
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

    def _in_crop(self, look: Look) -> NDArray[np.float64]:
        return look.to_crop.apply(look.pose.xy[0])

    def _coloured(self, cells: NDArray[np.float32], crop: Picture) -> Picture:
        """A map over the crop that it belongs to, cell upon pixel, from dark (0 and below) to bright (its highest)."""
        width, height = self.model.info.crop.size
        stride = width / cells.shape[1]
        level = np.clip(cells / max(float(cells.max()), _FAINT), 0, 1)
        xs = input_to_cell(np.arange(width, dtype=np.float32), stride)
        ys = input_to_cell(np.arange(height, dtype=np.float32), stride)
        grid = np.meshgrid(xs.astype(np.float32), ys.astype(np.float32))
        large = cv2.remap(level.astype(np.float32), *grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        colours = cv2.applyColorMap(np.rint(255 * large).astype(np.uint8), cv2.COLORMAP_TURBO)
        return cv2.addWeighted(cv2.cvtColor(colours, cv2.COLOR_BGR2RGB), 0.6, crop, 0.4, 0)

    def _tile(self, count: int) -> int:
        """Longer side of a tile: as large as its input where there are few, smaller where there are many."""
        own = max(self.model.info.crop.size)
        return int(np.clip(own, 256, 384)) if count <= 4 else int(np.clip(960 // _columns(count), 112, max(own, 160)))


def _columns(count: int) -> int:
    return max(1, math.ceil(math.sqrt(count)))
