"""The whole road on generated hands: draw a set, train, evaluate on held-out pictures, export, run, report."""

from __future__ import annotations

import contextlib
import io
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posewright.annotations import Annotations, read_annotations
from posewright.console import progress_bar
from posewright.errors import PosewrightError
from posewright.files import write_text
from posewright.synthetic import make_hand_set, make_hand_video, render_hand
from posewright.training.augment_config import AugmentConfig
from posewright.training.config import TrainConfig

GOAL = 0.90
"""PCK@0.2 by the palm that the demo's training is laid out to pass."""
MARK = ".posewright-demo"
"""A file that says a folder was made by the demo, and may be made anew by it."""
REPORT = "report.html"


@dataclass(frozen=True)
class DemoConfig:
    """How large the demo is.

    Attributes:
        pictures: generated for training and validation together.
        epochs: passes over them.
        difficulty: of the pictures, 0..1 (see :func:`posewright.synthetic.render_hand`); a net this small, trained for
            two minutes, learns the easy ones.
        seed: of everything.
    """

    pictures: int = 3000
    epochs: int = 15
    difficulty: float = 0.05
    seed: int = 0

    def training(self, folder: Path) -> TrainConfig:
        """The settings of the demo's training run."""
        return TrainConfig(
            data=str(folder / "data"),
            output=str(folder / "run"),
            model="hourglass_s1_nano",
            input_size="96",
            margin=1.1,
            epochs=self.epochs,
            batch_size=32,
            lr=6e-3,
            ema=0.99,
            seed=self.seed,
            checkpoint_minutes=0.5,
            augment=AugmentConfig(
                scale=0.12,
                rotation=15,
                shift=0.04,
                colour=0.1,
                hue=0,
                saturation=0.2,
                value=0.2,
                contrast=0.2,
                blur=0,
                cutout=0,
                negative=0.04,
            ),
        )


@dataclass
class Demo:
    """What the demo made.

    Attributes:
        folder: where everything lies.
        pck: PCK@0.2 by the palm of the exported model, on pictures the training never saw.
        pictures: how many those were.
        seconds: what all of it took.
    """

    folder: Path
    pck: float
    pictures: int
    seconds: float


def run_demo(folder: Path, config: DemoConfig, say: Callable[[str], None] = print) -> Demo:
    """Make the demo's folder; one that was broken off is gone on with, one that is finished is made anew.

    Raises:
        PosewrightError: where the folder holds something else.
    """
    started = time.monotonic()
    _prepare(folder)
    say("1/5  Drawing synthetic hands")
    data = _data(folder / "data", config)
    say(f"     {len(data.images)} pictures with their labels in {folder / 'data'}")
    say("2/5  Training a small stacked hourglass")
    run = _train(folder, config)
    say("3/5  Evaluating the exported model on held-out pictures")
    evaluated = _evaluate(folder, data)
    pck = evaluated.evaluation.metrics["PCK@0.2"]
    say("4/5  Running it, without torch, on new pictures and a video")
    sheet = _new_pictures(folder, config)
    video, video_pck = _video(folder, config)
    say("5/5  Writing the report")
    demo = Demo(folder, pck, evaluated.evaluation.n_images, time.monotonic() - started)
    _report(demo, config, run, evaluated, sheet, video, video_pck)
    return demo


def _prepare(folder: Path) -> None:
    if folder.exists() and not (folder / MARK).is_file() and any(folder.iterdir()):
        raise PosewrightError("holds other things than a demo", file=folder, fix="Name another folder with -o")
    if (folder / REPORT).is_file():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / MARK, "made by posewright demo\n")


def _data(folder: Path, config: DemoConfig) -> Annotations:
    """The generated set, drawn unless an earlier, broken-off demo has drawn it."""
    if not (folder / "annotations.json").is_file():
        with progress_bar("drawing", config.pictures) as advance:
            make_hand_set(
                folder,
                config.pictures,
                seed=config.seed,
                val_share=0.12,
                difficulty=config.difficulty,
                progress=advance,
            )
    data = read_annotations(folder)
    if len(data.images) != config.pictures:
        raise PosewrightError(f"holds {len(data.images)} pictures, not {config.pictures}", file=folder, fix="Delete it")
    return data


def _train(folder: Path, config: DemoConfig) -> Any:
    from posewright.training.fit import LAST, MODEL, finished_run, fit

    if (folder / "run" / MODEL).is_file():
        return finished_run(folder / "run")
    return fit(config.training(folder), resume=(folder / "run" / LAST).is_file())


def _evaluate(folder: Path, data: Annotations) -> Any:
    from posewright.metrics import evaluate, run_model
    from posewright.reports.evaluation import Evaluated
    from posewright.reports.tables import print_table
    from posewright.runtime import load

    truth = data.of_split("val")
    model = load(folder / "run")
    with progress_bar("evaluating", len(truth)) as advance:
        predicted, truth = run_model(model, truth, progress=advance)
    evaluated = Evaluated(evaluate(predicted.xy, truth), truth, predicted, "demo", "the held-out synthetic hands")
    print_table(evaluated.rows(), f"PCK normalised by {evaluated.evaluation.normaliser}.", strong=[-2, -1])
    evaluated.write(folder / "evaluation", then=f"posewright predict {folder / 'run'} PICTURES -o out")
    write_text(folder / "evaluation" / "figures.json", evaluated.evaluation.dumps())
    return evaluated


def _new_pictures(folder: Path, config: DemoConfig) -> Path:
    """Pictures of another seed with the model's poses on them, as a folder of files and as one sheet."""
    from posewright.media.drawing import contact_sheet, draw_poses
    from posewright.media.pictures import write_picture
    from posewright.runtime import load

    model = load(folder / "run")
    drawn: list[np.ndarray] = []
    lines: list[str] = []
    index = 0
    while len(drawn) < 12:
        sample = render_hand(config.seed + 1, index, difficulty=config.difficulty)
        index += 1
        if sample.box is None:
            continue
        name = f"{len(drawn):02d}.jpg"
        write_picture(folder / "new" / name, sample.image)
        poses = model(sample.image, [sample.box])
        poses.source = name
        lines.append(poses.to_json())
        overlay = draw_poses(sample.image, poses)
        write_picture(folder / "overlays" / name, overlay)
        drawn.append(overlay)
    write_text(folder / "overlays" / "poses.jsonl", "".join(f"{line}\n" for line in lines))
    return write_picture(folder / "overlays.jpg", contact_sheet(drawn, columns=6, tile=200))


def _video(folder: Path, config: DemoConfig) -> tuple[Path, float]:
    """A generated clip run through ``posewright predict``; the overlay video, and its PCK@0.2 against the clip's truth."""
    import json

    from posewright.cli.predict import Command
    from posewright.metrics import normaliser_lengths, pck

    clip = folder / "clip.mp4"
    truth = make_hand_video(clip, seconds=4, seed=config.seed + 2)
    with contextlib.redirect_stdout(io.StringIO()):
        Command(str(folder / "run"), (str(clip),), folder / "video", boxes=clip.with_suffix(".json")).run()
    found = np.full((len(truth), len(truth.skeleton), 2), np.nan)
    frames = {truth.images[i].frame: row for row, i in enumerate(truth.image)}
    for line in (folder / "video" / "clip.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["poses"] and record["frame"] in frames:
            found[frames[record["frame"]]] = np.array(record["poses"][0]["keypoints"])[:, :2]
    result = pck(found, truth.keypoints, normaliser_lengths(truth, truth.skeleton), 0.2)
    return folder / "video" / "clip_overlay.mp4", result.total


def _report(
    demo: Demo, config: DemoConfig, run: Any, evaluated: Any, sheet: Path, video: Path, video_pck: float
) -> None:
    from posewright.reports.html import Report

    folder = demo.folder
    size = (folder / "run" / "model.onnx").stat().st_size / 1e6
    report = Report("posewright demo").lead(
        f"A hand model trained on {config.pictures} generated pictures, measured on {demo.pictures} others that the "
        "training never saw."
    )
    report.tiles(
        {
            "PCK@0.2 (palm)": f"{demo.pck:.3f}",
            "PCK@0.2 on the video": f"{video_pck:.3f}",
            "minutes of training": f"{run.seconds / 60:.1f}",
            "MB model file": f"{size:.1f}",
        }
    )
    report.heading("New pictures").figure(sheet, "Generated with another seed; the model file's keypoints on them.")
    report.heading("Video").figure(video, "A generated clip; in each frame the model is shown the box around the hand.")
    report.heading("Training").figure(folder / "run" / "curves.png", "Loss and PCK on held-out pictures, by epoch.")
    report.heading("By keypoint").table(
        evaluated.rows(), f"PCK normalised by {evaluated.evaluation.normaliser}.", strong=[-2, -1]
    )
    report.text(" ".join(evaluated.statements()))
    report.heading("With your own pictures").code("\n".join(next_commands(folder)))
    report.write(folder / REPORT)


def next_commands(folder: Path) -> list[str]:
    """What to type next."""
    return [
        "posewright train --data YOUR_LABELS -o runs/mine       # COCO, LSP, 300-W, hourglass annotations.json",
        "posewright evaluate runs/mine YOUR_LABELS",
        "posewright predict runs/mine YOUR_PICTURES -o out",
        f"posewright predict {folder / 'run'} A_PICTURE_OF_ONE_HAND -o out   # this demo's own model",
    ]
