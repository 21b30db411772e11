"""``posewright describe``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from posewright.errors import PosewrightError

if TYPE_CHECKING:
    from posewright.geometry import CropRule
    from posewright.models.base import HeatmapNet

DEFAULT_SIZE, DEFAULT_KEYPOINTS = 256, 17
"""Of a preset, which has neither."""


@dataclass(frozen=True)
class Command:
    """Say what a net is made of: its parts or layers, parameters, multiplications, receptive field and memory.

    A run, a checkpoint or a shipped name is described layer by layer, a preset as it would be trained. Of a model file
    (*.onnx) what the file itself tells, without torch. With --picture it draws what the layers make of a picture, and the
    first layer's kernels.

    examples:
      posewright describe hourglass_s2 --input-size 256
      posewright describe runs/mine --layers
      posewright describe model.onnx
      posewright describe runs/mine --picture photo.jpg --layer stem.residual1,stacks.0 -o look
      posewright describe runs/mine --maximise stem.residual3 -o look
    """

    model: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="MODEL")]
    """A model file, a run's folder, a checkpoint (*.safetensors), a shipped name, or a preset."""
    input_size: str | None = None
    """Crop size to reckon with, one number or HEIGHTxWIDTH; the model's own, or 256 for a preset."""
    keypoints: int | None = None
    """Number of keypoints of a preset's net; 17 unless given."""
    net: tuple[str, ...] = ()
    """Settings of a preset's net in place of its own, such as channels=96 order=preact."""
    layers: bool = False
    """List every layer instead of the parts they form."""
    picture: Path | None = None
    """Draw what the layers make of this picture."""
    layer: str | None = None
    """Layers to draw, with commas; the net's parts unless given. --layers lists their names."""
    maximise: str | None = None
    """Draw the crops that excite channels of this layer most, found by gradient ascent."""
    channels: int = 16
    """How many channels --maximise shows."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("description")
    """Folder for the pictures."""

    def run(self) -> int:
        if self.layer and not self.picture:
            raise PosewrightError("--layer says what to draw of a picture", fix="Add --picture FILE")
        if self.channels < 1:
            raise PosewrightError(f"--channels must be at least 1, not {self.channels}")
        path = Path(self.model)
        if path.suffix == ".onnx" and path.exists():
            self._describe_file(path)
            return 0
        self._describe_net()
        return 0

    # -- a model file ----------------------------------------------------------------------------------------------

    def _describe_file(self, path: Path) -> None:
        from posewright.reports.tables import print_table
        from posewright.runtime.graph import read_graph
        from posewright.runtime.modelfile import read_info

        given: dict[str, Any] = {"--input-size": self.input_size, "--keypoints": self.keypoints, "--net": self.net}
        given |= {"--layers": self.layers, "--picture": self.picture, "--maximise": self.maximise}
        for name, value in given.items():
            if value:
                what = f"{name} needs a net's layers, which a model file no longer has"
                raise PosewrightError(what, file=path, fix="Name the run or its checkpoint (*.safetensors)")
        info, graph = read_info(path), read_graph(path)
        skeleton = f"{len(info.skeleton)} keypoints of '{info.skeleton.name}'"
        if info.kind == "locator":
            skeleton = f"finds boxes around '{info.skeleton.name}' with a score of {info.threshold:g} or more"
        print(f"{path}: {info.preset}, {skeleton}, input {info.size_text}, {path.stat().st_size / 1e6:.2f} MB")
        ends = [{"": "input", "name": n, "type": t} for n, t in graph.inputs.items()]
        ends += [{"": "output", "name": n, "type": t} for n, t in graph.outputs.items()]
        print_table(ends)
        most = ", ".join(f"{count} {name}" for name, count in list(graph.operators.items())[:8])
        print(f"{graph.nodes} nodes ({most}, ...), opset {graph.opset}; {graph.weights / 1e6:.2f} M stored numbers, "
              f"{graph.weight_bytes / 1e6:.2f} MB.")  # fmt: skip
        crop = info.crop
        decoded = f", decoded by '{info.decoding}'" if info.kind == "keypoints" else ", boxes decoded in the graph"
        print(f"Crop rule: margin {crop.margin:g}, border {crop.border}; maps at stride {info.stride}{decoded}.")
        if info.covariance_tail is not None:
            print(f"Its covariance follows a Student law with {info.covariance_tail:.3g} degrees of freedom.")
        for name, figures in info.metrics.items():
            rest = ", ".join(f"{k} {v}" for k, v in figures.items() if k != "value")
            print(f"{name}: {figures['value']} ({rest})")
        for line in (*info.training_data, info.terms, f"written by posewright {info.tool_version}, {graph.producer}"):
            if line:
                print(line)
        locator = f"MODEL PICTURES --locator {path}" if info.kind == "locator" else f"{path} PICTURES"
        print(f"\nNext: posewright predict {locator} -o out")

    # -- a net -----------------------------------------------------------------------------------------------------

    def _describe_net(self) -> None:
        from posewright.models.describe import FIELD_LIMIT, describe_net
        from posewright.models.layers import find_layer
        from posewright.reports.tables import print_table

        net, rule, trained = self._net()
        width, height = rule.size
        for name in [*(self.layer or "").split(","), self.maximise]:
            if name:
                find_layer(net, name)
        found = describe_net(net, (height, width))
        print_table(_rows(found.layers, found.parameters, by_part=not self.layers), strong=[-1])
        seen = [" x ".join("all" if v >= FIELD_LIMIT else str(v) for v in pair) for pair in found.stages]
        fields = ", ".join(f"stage {i + 1}: {text}" for i, text in enumerate(seen))
        print(f"{self.model} at {height}x{width}: {found.macs / 1e9:.3f} GMAC, {found.parameters:,} parameters.")
        print(f"Receptive field of one cell, in px of the crop (height x width): {fields}.")
        print(f"Weights {found.weight_bytes / 2**20:.2f} MiB in float32; activations of one crop "
              f"{found.activation_bytes / 2**20:.2f} MiB at the most.")  # fmt: skip
        if self.picture or self.maximise:
            for line in self._draw(net, rule):
                print(line)
        if trained:
            print(f"\nNext: posewright export {self.model}")
        else:
            print(f"\nNext: posewright train --data LABELS --model {self.model}")

    def _net(self) -> tuple[HeatmapNet, CropRule, bool]:
        """The net, its crop rule at the size asked for, and whether it is trained."""
        from posewright.geometry import CropRule
        from posewright.models.checkpoint import load_checkpoint
        from posewright.models.overrides import net_overrides
        from posewright.models.presets import build_net, family_of, preset
        from posewright.runtime.names import find_checkpoint

        size = _size(self.input_size) if self.input_size else None
        is_preset = not Path(self.model).exists() and _names_preset(self.model)
        if not is_preset:
            if self.keypoints or self.net:
                raise PosewrightError(f"--keypoints and --net are for presets, and '{self.model}' is a trained net")
            checkpoint = load_checkpoint(find_checkpoint(self.model))
            rule = checkpoint.rule if size is None else replace(checkpoint.rule, size=size)
            return checkpoint.net, rule, True
        if self.keypoints is not None and self.keypoints < 1:
            raise PosewrightError(f"--keypoints must be at least 1, not {self.keypoints}")
        family, _ = family_of(self.model)
        settings = preset(self.model, **net_overrides(family.config, self.net))
        net = build_net(settings, self.keypoints or DEFAULT_KEYPOINTS)
        return net.eval(), CropRule(size or (DEFAULT_SIZE, DEFAULT_SIZE)), False

    def _draw(self, net: HeatmapNet, rule: CropRule) -> list[str]:
        """Write the pictures asked for; one line for each."""
        from posewright.console import progress_bar
        from posewright.media.pictures import read_picture, write_picture
        from posewright.models import layers
        from posewright.reports.layers import TILES, exciting_sheet, feature_sheet, kernel_sheet
        from posewright.warp import warp

        lines = []
        if self.picture:
            image = read_picture(self.picture)
            crop = warp(image, rule.letterbox(image.shape[1], image.shape[0]), rule)
            names = self.layer.split(",") if self.layer else layers.part_names(net)
            for name, maps in layers.feature_maps(net, crop, names).items():
                path = write_picture(self.output / f"features_{name}.png", feature_sheet(maps, crop))
                lines.append(f"{path}: {min(len(maps), TILES)} of {len(maps)} channels of {name}, the liveliest first")
            name, weights = layers.first_kernels(net)
            path = write_picture(self.output / "kernels.png", kernel_sheet(weights, net.config.colour))
            lines.append(f"{path}: the {len(weights)} kernels of {name}")
        if self.maximise:
            wanted = range(min(self.channels, layers.channel_count(net, self.maximise, rule.size[::-1])))
            with progress_bar("maximising", len(wanted)) as advance:
                found: list[tuple[int, Any]] = []
                for pair in layers.maximise(net, self.maximise, wanted, (rule.size[1], rule.size[0])):
                    found.append(pair)
                    advance(1)
            sheet = exciting_sheet([p for _, p in found], [c for c, _ in found])
            path = write_picture(self.output / f"maximised_{self.maximise}.png", sheet)
            lines.append(f"{path}: crops that excite channels of {self.maximise} most")
        return lines


def _names_preset(model: str) -> bool:
    from posewright.models.presets import family_of
    from posewright.runtime.names import shipped_models

    try:
        family_of(model)
    except PosewrightError as error:
        # Neither a file nor a shipped model nor a preset: of the three, a misspelt preset has the most useful message.
        if not Path(model).suffix and len(Path(model).parts) == 1 and model not in shipped_models():
            raise PosewrightError(f"no file, shipped model or preset is called '{model}'", fix=error.fix) from None
        return False
    return True


def _size(text: str) -> tuple[int, int]:
    """(width, height)."""
    from posewright.training.run_config import crop_size

    height, width = crop_size(text)
    return width, height


def _rows(layers: Any, parameters: int, by_part: bool) -> list[dict[str, Any]]:
    """The table: one row a layer, or a part, and a last one for the whole net."""
    rows: dict[str, dict[str, Any]] = {}
    for number, layer in enumerate(layers):
        key = layer.part if by_part else f"{number}"
        row = rows.setdefault(key, {"part" if by_part else "layer": layer.part if by_part else layer.name})
        if by_part:
            row["layers"] = row.get("layers", 0) + 1
        else:
            row["kind"] = layer.kind
        row["output"] = " x ".join(map(str, layer.shape))
        row["parameters"] = row.get("parameters", 0) + layer.parameters
        row["MMAC"] = row.get("MMAC", 0.0) + layer.macs / 1e6
    total = {"part" if by_part else "layer": "all", "parameters": parameters}
    total |= {"MMAC": sum(row["MMAC"] for row in rows.values())}
    if by_part:
        total["layers"] = len(layers)
    table = [*rows.values(), total]
    for row in table:
        row["parameters"], row["MMAC"] = f"{row['parameters']}", f"{row['MMAC']:.1f}"
    return table
