"""What `posewright evaluate` shows and leaves behind: the table, the charts, the worst cases, the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posewright.annotations.tables import Annotations
from posewright.errors import PosewrightError
from posewright.files import write_text
from posewright.geometry import CropRule, Similarity
from posewright.metrics import Evaluation, Predicted
from posewright.metrics.evaluation import object_means, usual_threshold
from posewright.metrics.hourglass import HourglassPck
from posewright.metrics.located import Located
from posewright.metrics.mpii import MpiiPckh
from posewright.metrics.reliability import Reliability
from posewright.metrics.results import image_id
from posewright.metrics.score_fit import Calibrated
from posewright.poses import Poses
from posewright.reports.evaluation_page import evaluation_page
from posewright.reports.plots import keypoint_bars, pck_curve
from posewright.reports.tiles import Sheets, part_of_picture

RESULTS, CURVE, BARS, WORST, REPORT = "results.json", "pck_curve.png", "keypoints.png", "worst.jpg", "report.html"
PICTURES = "pictures"
TILE = CropRule((320, 320), margin=1.35)
"""How a worst case is cut out."""


@dataclass(frozen=True)
class Evaluated:
    """An evaluation together with what it is about.

    Attributes:
        evaluation: the figures.
        truth: the labelled objects that were measured.
        predicted: the predictions in their order.
        model: what the predictions are from, in words.
        data: what they are measured on, in words.
        protocol: the table of another system's rules, where asked for.
        presence: the presence told of crops with and without an object; None where that was not measured.
        calibrated: the score's new curve, where one was fitted; then the predictions' scores are by it, and the evaluation's
            are of the pictures that it was not fitted to.
        said: what else is to be stated, one sentence each.
        score_kind: what the scores are, in a few words.
        located: the figures with a locator's boxes, where one was given.
    """

    evaluation: Evaluation
    truth: Annotations
    predicted: Predicted
    model: str
    data: str
    protocol: MpiiPckh | HourglassPck | None = None
    presence: Reliability | None = None
    calibrated: Calibrated | None = None
    said: Sequence[str] = ()
    score_kind: str = "as given"
    located: Located | None = None

    def rows(self) -> list[dict[str, Any]]:
        """The table: one row a keypoint, then all of them, then the mean over keypoints."""
        e, metrics = self.evaluation, self.evaluation.metrics
        rows = [_row(name, row, e.thresholds) for name, row in e.by_keypoint.items()]
        rows.append(_row("all", {**metrics, "n": e.n_keypoints, "n_PCK": e.pck[0].n}, e.thresholds))
        means = {f"PCK@{t:g}": metrics[f"mean_PCK@{t:g}"] for t in e.thresholds}
        rows.append({"keypoint": "mean of keypoints", **means})
        if not e.n_left_out:
            for row in rows:
                row.pop("n in PCK", None)
        return rows

    def counts(self) -> str:
        e = self.evaluation
        return f"{e.n_objects} objects on {e.n_images} pictures, {e.n_keypoints} keypoints that count"

    def statements(self) -> list[str]:
        """What was measured and by which conventions, one sentence each."""
        metrics, e = self.evaluation.metrics, self.evaluation
        auc = f"AUC (PCK from 0 to 0.5): {_text(metrics['AUC@0.5'])}. NME: {_text(metrics['NME'])}."
        if "visibility_AUC" in metrics:
            accuracy, area = (_text(metrics[f"visibility_{name}"]) for name in ("accuracy", "AUC"))
            auc += f" Visible or hidden: {accuracy} right, AUC {area}."
        low, high = e.intervals[e.thresholds.index(self.right_at)]
        pck = f"PCK@{self.right_at:g} {_text(metrics[f'PCK@{self.right_at:g}'])} (95 % interval {_text(low)} to {_text(high)})"
        found = [f"{e.average_precision}."] if e.average_precision else []
        sure = [f"{r.what.capitalize()}: {r}." for r in (e.score, self.presence) if r is not None]
        own = self.protocol.conventions() if self.protocol else []
        own += [self.presence.claim()] if self.presence else []
        own += self._of_located()
        return [
            *(f"{pck}. {auc}", *found, *sure, f"{self.counts()}."),
            *(*e.conventions(), *own, *self.said, *self.predicted.notes),
        ]

    def _of_located(self) -> list[str]:
        if self.located is None:
            return []
        found = self.located.keypoints
        return [*([f"In located boxes: {found}."] if found else []), *self.located.statements()]

    @property
    def right_at(self) -> float:
        """The threshold that charts show."""
        return usual_threshold(self.evaluation.normaliser, self.evaluation.thresholds)

    def dumps(self) -> str:
        """All figures as the text that ``--json`` writes."""
        record = self.evaluation.to_json()
        if self.presence is not None:
            record["reliability"] |= {"presence": self.presence.to_json()}
        if self.calibrated is not None:
            fitted = {"curve": self.calibrated.curve.to_dict(), "before": self.calibrated.before.to_json()}
            record["calibration"] = fitted | {"after": self.calibrated.after.to_json()}
        if self.protocol is not None:
            record["protocol"] = self.protocol.to_json()
        if self.located is not None:
            record["located"] = self.located.to_json()
        return json.dumps(record, indent=1, allow_nan=False) + "\n"

    def coco_results(self) -> list[dict[str, Any]]:
        """The predictions as COCO results; a keypoint that was not predicted is 0, 0, 0."""
        results: list[dict[str, Any]] = []
        found = np.isfinite(self.predicted.xy).any((1, 2))
        for image in range(len(self.truth.images)):
            objects = np.flatnonzero((self.truth.image == image) & found)
            if len(objects):
                results += self.poses(objects, image).to_coco_results(image_id(self.truth, image))
        return results

    def poses(self, objects: Sequence[int] | np.ndarray, image: int) -> Poses:
        """The predictions of some objects of one picture."""
        p, im, index = self.predicted, self.truth.images[image], np.asarray(objects, int)
        return Poses(
            self.truth.skeleton,
            np.nan_to_num(p.xy[index]),
            np.nan_to_num(p.score[index]),
            np.nan_to_num(p.presence[index]),
            self.truth.boxes[index],
            str(self.truth.image_path(image)),
            im.width,
            im.height,
        )

    # -- pictures ---------------------------------------------------------------------------------------------------

    def worst_sheet(self, count: int) -> tuple[NDArray[np.uint8] | None, list[str]]:
        """The objects with the largest relative errors, cut out and side by side.

        Returns:
            ``uint8 [H, W, 3]`` RGB, None where none of the pictures can be read; and why some are missing from it.
        """
        means = object_means(self.evaluation.normalised, keep_empty=True)
        pixels = object_means(self.evaluation.distance, keep_empty=True)

        def tile(i: int) -> NDArray[np.uint8]:
            place = TILE.similarity(self.truth.boxes[i])
            return self._drawn(part_of_picture(self.truth, int(self.truth.image[i]), place, TILE), [i], place)

        def caption(i: int) -> str:
            size = f"{means[i]:.2f}" if np.isfinite(means[i]) else f"{pixels[i]:.0f} px"
            return f"{size}  {self.truth.images[self.truth.image[i]].name}"

        made = Sheets()
        tiles = ((partial(tile, i), caption(i)) for i in self.evaluation.worst(count))
        return made.sheet(tiles, count, columns=4), made.missing

    def pictures(self) -> Iterator[tuple[str, int]]:
        """(path under the pictures' folder, index) of every picture with an object; no two paths are the same."""
        seen: set[str] = set()
        for image in np.unique(self.truth.image[self.truth.usable]):
            im = self.truth.images[image]
            path = Path(im.path) if im.frame is None else Path(im.path).with_suffix("") / f"{im.frame:06d}.png"
            name = path.with_suffix(".jpg").as_posix()
            if name.lower() in seen:
                name = f"{path.as_posix()}.jpg"
            seen.add(name.lower())
            yield name, int(image)

    def draw(self, image: int) -> NDArray[np.uint8]:
        """One picture with its objects' truth (rings) and predictions (filled).

        Raises:
            PosewrightError: where the picture cannot be read.
        """
        from posewright.media.labelled import picture_of

        objects = np.flatnonzero((self.truth.image == image) & self.truth.usable)
        return self._drawn(picture_of(self.truth, image), objects, Similarity.identity())

    def _drawn(
        self, picture: NDArray[np.uint8], objects: Sequence[int] | NDArray[Any], place: Similarity
    ) -> NDArray[np.uint8]:
        """The picture with every keypoint that counts drawn on it; ``place`` maps source pixels to its pixels."""
        import cv2

        from posewright.media.drawing import draw_keypoints

        skeleton = self.truth.skeleton
        for i in objects:
            distance = self.evaluation.distance[i]
            found, labelled = place.apply(self.predicted.xy[i]), place.apply(self.truth.keypoints[i, :, :2])
            draw_keypoints(picture, found, np.isfinite(distance), skeleton)
            draw_keypoints(picture, labelled, ~np.isnan(distance), skeleton, hollow=True)
            for k in np.flatnonzero(np.isfinite(distance) & (distance * place.scale < 1e4)):
                a, b = (np.round(16 * np.array([found[k], labelled[k]]))).astype(int).tolist()
                cv2.line(picture, a, b, (255, 255, 255), 1, cv2.LINE_AA, shift=4)
        return picture

    # -- files ------------------------------------------------------------------------------------------------------

    def write(self, folder: Path, *, worst: int = 12, results: bool = True, then: str = "") -> list[str]:
        """Write charts, worst cases, ``report.html`` and, with ``results``, the predictions as COCO results.

        Args:
            folder: made where it is missing; files of these names in it are replaced.
            worst: how many objects the sheet of worst cases shows; 0 for no sheet.
            results: whether to write ``results.json``.
            then: the commands that the report ends with.

        Returns:
            The names of the files written, the report last.
        """
        from posewright.media.pictures import write_picture

        e = self.evaluation
        names = [CURVE, BARS]
        sheet, missing = self.worst_sheet(worst) if worst else (None, [])
        if results:
            write_text(folder / RESULTS, json.dumps(self.coco_results(), allow_nan=False))
            names.insert(0, RESULTS)
        pck_curve({self.model: e.curve()}, folder / CURVE, normaliser=e.normaliser.kind, marks=e.thresholds)
        at = self.right_at
        bars = {name: row[f"PCK@{at:g}"] for name, row in e.by_keypoint.items()}
        keypoint_bars(bars, folder / BARS, title=f"PCK@{at:g} by keypoint")
        if sheet is not None:
            write_picture(folder / WORST, sheet, quality=90)
            names.append(WORST)
        report = evaluation_page(self, folder / WORST if sheet is not None else None, missing)
        if then:
            report.heading("Next").code(then)
        report.write(folder / REPORT)
        return [*names, REPORT]


def save_pictures(
    evaluated: Evaluated, folder: Path, *, skip_bad: bool = False, progress: Callable[[int], None] | None = None
) -> list[str]:
    """Write every picture with an object, truth and prediction drawn on it, under ``folder``.

    Returns:
        One line for each picture that could not be read, with ``skip_bad``.

    Raises:
        PosewrightError: where a picture cannot be read, without ``skip_bad``.
    """
    from posewright.media.pictures import write_picture

    skipped = []
    for name, image in evaluated.pictures():
        try:
            drawn = evaluated.draw(image)
        except PosewrightError as error:
            if not skip_bad:
                raise
            skipped.append(str(error))
        else:
            write_picture(folder / name, drawn)
        if progress:
            progress(1)
    return skipped


def _row(name: str, row: dict[str, float], thresholds: Sequence[float]) -> dict[str, Any]:
    cells: dict[str, Any] = {"keypoint": name} | {f"PCK@{t:g}": row[f"PCK@{t:g}"] for t in thresholds}
    cells |= {"mean px": _text(row["mean_error_px"], 2), "median px": _text(row["median_error_px"], 2)}
    cells |= {name: value for name, value in row.items() if name.startswith("coverage@")}
    cells |= {"n": row["n"], "n in PCK": row["n_PCK"]}
    return cells


def _text(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"
