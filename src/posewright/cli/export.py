"""``posewright export``."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from posewright.cli.measured import size_on_disk
from posewright.cli.reading import Reading
from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.export.parity import Bounds
    from posewright.export.pictures import Pictures
    from posewright.models.checkpoint import Checkpoint

TargetName = Literal["onnx", "openvino", "litert", "mnn", "torch", "coreml", "executorch", "savedmodel", "frozen"]


@dataclass(frozen=True)
class Command:
    """Make the model file of a run, a checkpoint or a shipped name.

    The file takes pictures as they are and returns keypoints: normalisation and decoding are inside. It is run, and what it
    returns is compared with the net's on real pictures, before it is kept.

    examples:
      posewright export runs/mine
      posewright export runs/mine --to onnx --precision int8 --data labels.json
      posewright export runs/mine/model.safetensors -o hand
      posewright export hand --web site/
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A run's folder, a checkpoint (*.safetensors) or a shipped name."""
    to: TargetName = "onnx"
    """Format of the file."""
    precision: Literal["fp32", "fp16", "int8", "int8-dynamic"] = "fp32"
    """What the weights are stored in. int8 is a quarter of the size; it has to see training pictures to be made. int8-dynamic,
    for litert, sees none: the weights are int8, and what is computed is rounded anew for each picture."""
    outputs: Literal["all", "keypoints", "heatmaps"] = "all"
    """What the file returns: everything; everything but the heat maps; or the heat maps alone, for accelerators that cannot
    decode them."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Where to write it, without the ending; beside the checkpoint unless given."""
    data: Path | None = None
    """Labelled pictures to calibrate int8 on (their train split) and to check the file on (their val split). Found by itself
    where the model's training set still lies where it was."""
    batch: int | None = None
    """The one batch size that the file takes; any unless given, where the format allows that."""
    flip: bool = False
    """Average each picture with its mirror image inside the file: steadier, at twice the time."""
    max_loss: float | None = None
    """Points of PCK that the file may lose against the net: 0.5 for fp16 and 1 for int8 unless given. Beyond that nothing is
    kept."""
    web: Path | None = None
    """Instead of a model file, write a folder with a web page that runs one, for any server: MODEL is an ONNX model file, a
    run's folder or a shipped name. onnxruntime-web is fetched once, through npm."""
    web_runtime: Annotated[Path | None, tyro.conf.arg(metavar="FILE.tgz")] = None
    """For --web on a machine without npm or network: onnxruntime-web's package, as npm pack writes it elsewhere."""
    reading: tyro.conf.OmitArgPrefixes[Reading] = field(default_factory=Reading)

    def run(self) -> int:
        if self.web is not None:
            return self._page(self.web)
        if self.web_runtime is not None:
            raise PosewrightError("--web-runtime is for --web FOLDER, which is not given")
        from posewright.console import status
        from posewright.export.exporting import default_path, export, with_ending
        from posewright.export.targets import get_target
        from posewright.models.checkpoint import checkpoint_kind, load_checkpoint
        from posewright.runtime.names import find_checkpoint

        target = get_target(self.to, self.precision)
        self._check()
        source = find_checkpoint(self.model)
        words = [w for w, there in (("flip", self.flip), (self.outputs, self.outputs != "all")) if there]
        path = with_ending(self.output, target) if self.output else default_path(source, target, self.precision, words)
        if checkpoint_kind(source) == "locator":
            return self._locator(source, path)
        checkpoint = load_checkpoint(source)
        pictures = self._pictures(checkpoint, source)
        if pictures is not None:
            print(f"Seen: {pictures.words}.")
        with status(f"writing {path.name}"):
            report = export(
                checkpoint,
                path,
                self.to,
                self.precision,
                self.outputs,
                flip=self.flip,
                batch=self.batch,
                calibration=None if pictures is None else pictures.train,
                check=None if pictures is None else pictures.check,
                bounds=self._bounds(),
            )
        print(f"{path}: {size_on_disk(path) / 1e6:.1f} MB, {self.precision}.")
        if report is None:
            wants = " or ".join(target.format.engines)
            print(
                "It was not run: "
                + (f"{wants} is not installed here." if wants else "only other devices run such files.")
            )
            return 0
        for line in (report.sentence(), *report.notes):
            print(line)
        trust = " --trust" if target.format.native else ""
        print(f"Next: posewright predict {path}{trust} PICTURES -o out")
        return 0

    def _page(self, folder: Path) -> int:
        from posewright.runtime.names import find_model
        from posewright.web.site import write_site

        if self != Command(self.model, web=self.web, web_runtime=self.web_runtime):
            fix = "Write the file first, and then the page: posewright export FILE.onnx --web FOLDER"
            raise PosewrightError("--web takes a model file as it is; the other options are about writing one", fix=fix)
        site = write_site(find_model(self.model), folder, runtime=self.web_runtime)
        print(f"{site.folder}: the page of '{site.name}', {site.files} files, {site.size / 1e6:.1f} MB.")
        print(f"Who can open it can also take the model. {site.terms or 'Its terms are not stated.'}")
        print("A double click does not do: browsers give cameras only to http://localhost and https.")
        print(f"Next: {site.serving}, and open http://localhost:8000")
        return 0

    def _check(self) -> None:
        if self.batch is not None and self.batch < 1:
            raise PosewrightError(f"--batch must be at least 1, not {self.batch}")
        if self.max_loss is not None and not 0 <= self.max_loss <= 100:
            raise PosewrightError(f"--max-loss is in points of PCK, 0 to 100, not {self.max_loss:g}")
        if self.max_loss is not None and self.precision == "fp32":
            raise PosewrightError("--max-loss is for fp16 and int8; in fp32 nothing is lost")

    def _bounds(self) -> Bounds | None:
        from posewright.export.parity import BOUNDS

        if self.max_loss is None:
            return None
        # Who allows a loss of PCK has seen to it that the points may move as well.
        return replace(
            BOUNDS[self.precision],
            loss=self.max_loss / 100,
            grain=0,
            median=float("inf"),
            maps=None,
            told=None,
            p99=None,
        )

    def _pictures(self, checkpoint: Checkpoint, source: Path) -> Pictures | None:
        """Real pictures to see: those of ``--data``, or those that the checkpoint leads to."""
        from posewright.export.pictures import labelled_pictures, pictures_for
        from posewright.training.parting import held_out

        if self.data is None:
            return pictures_for(checkpoint, source)
        labels = self.reading.read(self.data, self.reading.options())
        if labels.skeleton.keypoints != checkpoint.skeleton.keypoints:
            what = f"has the keypoints of '{labels.skeleton.name}', the model those of '{checkpoint.skeleton.name}'"
            raise PosewrightError(what, file=self.data, fix="Give pictures labelled like those of the training")
        return labelled_pictures(labels, checkpoint.rule, held_out(str(source), self.data))

    def _locator(self, source: Path, target: Path) -> int:
        from posewright.export.locator import export_locator
        from posewright.models.locator_checkpoint import load_locator_checkpoint

        if (self.to, self.precision, self.outputs, self.flip, self.batch) != ("onnx", "fp32", "all", False, None):
            raise PosewrightError("is a locator, which is written as ONNX in fp32 only", file=source)
        off = export_locator(load_locator_checkpoint(source), target)
        print(
            f"{target}: {target.stat().st_size / 1e6:.1f} MB, boxes within {100 * off:.4f} % of their side of the net's."
        )
        print(f"Next: posewright predict MODEL PICTURES --locator {target} -o out")
        return 0
