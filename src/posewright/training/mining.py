"""Which training pictures a net finds hard: the loss of every object, and the weights that follow from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.media.drawing import contact_sheet, draw_keypoints
from posewright.media.pictures import write_picture
from posewright.metrics import normaliser_lengths
from posewright.models.checkpoint import Checkpoint
from posewright.models.devices import choose_device
from posewright.training.config import TrainConfig
from posewright.training.dataset import DRAWN, CropDataset, collate
from posewright.training.hard_list import places
from posewright.training.task import KeypointTask


@dataclass(frozen=True)
class Mined:
    """What a net makes of the objects of a set, each in its plain crop.

    Attributes:
        data: the crops, whose ``annotations`` the indices below refer to.
        index: ``[M]``, which object each row is.
        loss: ``[M]``, its loss alone, in the unit of the run's training loss.
        floor: ``[M]``, the loss that maps equal to their targets would have: 0, but for the cross-entropy of soft targets,
            where it is most of the loss.
        error: ``[M]``, mean distance of its labelled keypoints from the truth, as a share of the skeleton's normaliser; NaN
            where the object has no such length.
        points: ``[M, K, 2]`` predictions in crop pixels.
    """

    data: CropDataset
    index: NDArray[np.int64]
    loss: NDArray[np.float64]
    floor: NDArray[np.float64]
    error: NDArray[np.float64]
    points: NDArray[np.float64]

    def worst(self) -> NDArray[np.int64]:
        """The rows, from the highest loss down."""
        return np.argsort(-self.loss, kind="stable")


def mine(
    checkpoint: Checkpoint,
    annotations: Annotations,
    device: str = "auto",
    advance: Callable[[int], None] = lambda n: None,
) -> Mined:
    """Measure a net's loss on every object of a set, one by one and without augmentation.

    Args:
        checkpoint: the net, and the settings of the run that made it, by whose loss is measured.
        annotations: labelled with the same keypoints.
        device: "auto", "cpu", "cuda" or "mps".
        advance: called with the number of objects done since the last call.

    Raises:
        PosewrightError: where the labels' keypoints are not the net's, or no object has a labelled keypoint.
    """
    source = annotations.source or "the data"
    own, labels = checkpoint.skeleton.keypoints, annotations.skeleton.keypoints
    if own != labels:
        what = f"the model has {len(own)} keypoints ({_some(own)}), the labels have {len(labels)} ({_some(labels)})"
        raise PosewrightError(what, file=source, fix="Mine with a model that was trained on such labels")
    data = CropDataset(annotations, checkpoint.rule)
    if not len(data):
        raise PosewrightError("has no object with a labelled keypoint", file=source)
    where = torch.device(choose_device(device))
    net = checkpoint.net.eval()
    task = KeypointTask(net, loss_settings(checkpoint), annotations, 1).to(where).eval()
    lengths = normaliser_lengths(annotations, annotations.skeleton)
    losses, floors, errors, found = [], [], [], []
    with torch.inference_mode():
        for item in range(len(data)):
            sample = data[item]
            batch: Any = {name: value.to(where) for name, value in collate([sample]).items()}  # type: ignore[attr-defined]
            parts = task.losses(batch)
            maps = net.activate(parts["output"][:, -1, : net.keypoints]).float()
            xy = net.points(maps)[0, :, :2].cpu().double().numpy()
            index = int(sample["index"])
            losses.append(float(parts["loss"]))
            floors.append(_floor(task, batch, parts["output"]))
            errors.append(_error(xy, sample["inverse"].numpy(), annotations.keypoints[index]) / lengths[index])
            found.append(xy)
            advance(1)
    net.to("cpu")
    columns = (np.array(c) for c in (losses, floors, errors, found))
    return Mined(data, data.objects.astype(np.int64), *columns)


def _floor(task: KeypointTask, batch: Any, output: torch.Tensor) -> float:
    """The loss of maps that equal their targets."""
    target, state = task.targets(batch, (output.shape[-2], output.shape[-1]))
    perfect = target.logit(1e-6) if task.net.config.activation == "sigmoid" else target
    return float(task.map_loss(perfect[:, None].expand_as(output), target, state))


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _error(xy: NDArray[np.float64], inverse: NDArray[np.float32], truth: NDArray[np.float64]) -> float:
    """The mean distance of labelled keypoints ``[K, 3]`` from points of the crop ``[K, 2]``, in pixels of the picture."""
    back = xy @ inverse[:, :2].T + inverse[:, 2]
    labelled = truth[:, 2] > 0
    return float(np.linalg.norm(back - truth[:, :2], axis=1)[labelled].mean())


def loss_settings(checkpoint: Checkpoint) -> TrainConfig:
    """The settings by which the run behind a checkpoint measured its loss; those of a net that came without a run are the
    defaults, with the squared error for one whose maps are no sigmoid's."""
    own = checkpoint.training.get("config") or {}
    names = ("loss", "sigma", "huber_delta", "hard_keypoints", "stage_weights")
    known = {f.name for f in dataclasses.fields(TrainConfig)}
    given: dict[str, Any] = {
        k: tuple(own[k]) if isinstance(own[k], list) else own[k] for k in names if k in own and k in known
    }
    if "loss" not in given and checkpoint.net.config.activation != "sigmoid":
        given["loss"] = "mse"
    return TrainConfig(**given)


def weights_of(
    loss: NDArray[np.float64], floor: NDArray[np.float64], most: float, threshold: float | None = None
) -> NDArray[np.float64]:
    """How often a pass should show each object, from 1 for an easy one to ``most``.

    Without a threshold, an object's weight is what its loss has above its floor, over the median of that, within 1..``most``:
    the easier half is shown as before. With one, every object whose loss is above it is hard and gets ``most``, all others 1
    (the rule of the pose machines' repository: "hard" is a loss above 150, there summed over stages and maps).
    """
    if threshold is not None:
        return np.where(loss > threshold, most, 1.0)
    excess = np.maximum(loss - floor, 0.0)
    middle = float(np.median(excess))
    return np.clip(excess / middle, 1.0, most) if middle > 0 else np.ones(len(loss))


def rows_of(mined: Mined, weights: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The rows of a hard list, from the highest loss down."""
    named = places(mined.data.annotations)
    return [
        {
            "image": named[mined.index[m]][0],
            "object": named[mined.index[m]][1],
            "loss": round(float(mined.loss[m]), 5),
            "error": round(float(mined.error[m]), 5) if np.isfinite(mined.error[m]) else "",
            "weight": round(float(weights[m]), 4),
        }
        for m in mined.worst()
    ]


def worst_sheet(mined: Mined, path: Path, count: int = 24, columns: int = 6) -> Path:
    """Draw the crops with the highest loss: the prediction with its links, the truth as rings, loss and error below.

    Raises:
        PosewrightError: where the sheet cannot be written.
    """
    tiles, captions = [], []
    skeleton = mined.data.annotations.skeleton
    for m in mined.worst()[:count]:
        sample = mined.data[int(m)]
        picture = sample["image"].numpy().copy()
        draw_keypoints(picture, mined.points[m], np.ones(len(skeleton), bool), skeleton)
        draw_keypoints(picture, sample["points"].numpy(), (sample["state"] == DRAWN).numpy(), skeleton, hollow=True)
        tiles.append(picture)
        error = f", off by {mined.error[m]:.2f}" if np.isfinite(mined.error[m]) else ""
        captions.append(f"loss {mined.loss[m]:.3g}{error}")
    return write_picture(path, contact_sheet(tiles, captions, columns))
