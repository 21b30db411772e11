"""The LiteRT (TensorFlow Lite) file, converted straight from torch, and quantised by ai-edge-quantizer.

Only what the net's own modules compute is quantised. What decodes their maps stays in float32: products of a peak's sums span
more than 8 bits hold, and its divisions would meet zeros. So do the layers that draw the maps, where ranges are fixed
beforehand: they are few, and rounding a map to 256 values moves its peak.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posewright.console import hushed
from posewright.export.deploy import DeployedNet
from posewright.export.job import Job
from posewright.export.sensitive import search_on_file
from posewright.runtime.entries import attach_entry
from posewright.runtime.formats import FORMATS
from posewright.runtime.modelfile import INPUT
from posewright.silence import ERR, OUT, native_silence

INSIDE = r".*DeployedNet_net/.*"
"""What the converter's names of operations look like that lie inside a module of the net, rather than in the decoder."""
NOISY = ("torch.export", "torchao", "jax", "absl", "root")


class _Named(nn.Module):
    """A deployed net that returns its outputs by name, which the file then has."""

    def __init__(self, net: DeployedNet, outputs: Sequence[str]) -> None:
        super().__init__()
        self.net, self.names = net, tuple(outputs)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.names, self.net(image), strict=True))


def write(job: Job, path: Path) -> None:
    """Write the model file of a job."""

    def save(model: bytes, path: Path) -> None:
        path.write_bytes(model)
        attach_entry(path, job.info.to_json())

    model = converted(job)
    if job.precision == "int8":
        whole = model
        model = search_on_file(job, FORMATS["litert"], lambda kept: _in_integers(whole, job, kept), save)
    elif job.precision != "fp32":
        model = _quantised(model, job)
    save(model, path)


def converted(job: Job) -> bytes:
    """The file of a job in float32, without its entry."""
    width, height = job.size
    example = torch.zeros(job.batch or 1, height, width, 3, dtype=torch.uint8)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with tempfile.TemporaryDirectory() as folder, hushed(*NOISY), native_silence(OUT, ERR), torch.no_grad():
        import litert_torch

        made = Path(folder) / "model.tflite"
        named = _Named(job.net, job.outputs).eval()
        litert_torch.convert(named, sample_kwargs={INPUT: example}).export(str(made))
        return made.read_bytes()


def _quantised(model: bytes, job: Job) -> bytes:
    """A file whose weights alone are stored in another precision than float32."""
    with hushed(*NOISY), native_silence(OUT, ERR):
        from ai_edge_quantizer import qtyping, quantizer

        work = quantizer.Quantizer(bytearray(model))
        half = qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(16, dtype=qtyping.TensorDataType.FLOAT),
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
        for operation in _weighted(qtyping):
            if job.precision == "fp16":
                work.update_quantization_recipe(".*", operation, half, "float_casting")
            else:
                work.add_dynamic_config(INSIDE, operation, num_bits=8)
        return bytes(work.quantize().quantized_model)


def _in_integers(model: bytes, job: Job, kept: Collection[str]) -> bytes:
    """A file whose layers compute in int8, but for some by their names in the net, and those that draw the maps."""
    assert job.calibration is not None
    with hushed(*NOISY), native_silence(OUT, ERR):
        from ai_edge_quantizer import qtyping, quantizer

        everything = qtyping.TFLOperationName.ALL_SUPPORTED
        work = quantizer.Quantizer(bytearray(model))
        work.add_static_config(INSIDE, everything, activation_num_bits=8, weight_num_bits=8)
        for scope in [
            *(rf".*Conv2d_{name}(;.*)?" for name in _drawing(job.net)),
            *(_scope(job.net, name) for name in kept),
        ]:
            work.update_quantization_recipe(scope, everything, algorithm_key="no_quantize")
        batch = job.batch or 1
        crops = job.calibration
        parts = [crops[i : i + batch] for i in range(0, len(crops) - batch + 1, batch)]
        ranges = work.calibrate({"serving_default": [{INPUT: part} for part in parts]}, num_threads=1)
        return bytes(work.quantize(ranges).quantized_model)


def _drawing(net: DeployedNet) -> list[str]:
    """What the layers are called, within their own modules, that draw the maps."""
    drawing = {id(layer) for layer in net.net.predictors()}
    return sorted({name.rsplit(".", 1)[-1] for name, layer in net.net.named_modules() if id(layer) in drawing})


def _scope(net: nn.Module, layer: str) -> str:
    """What the converter's names of operations look like that a layer of a net computes: class and name of each module that it
    lies in. Lists of modules are not in them, so that layers which differ by nothing else cannot be told apart.
    """
    names, parts = layer.split("."), []
    for i in range(len(names)):
        kind = type(net.get_submodule(".".join(names[: i + 1])))
        parts.append(re.escape(f"{kind.__module__}.{kind.__qualname__}_{names[i]}"))
    around = "".join(f"({part}/)?" for part in parts[:-1])
    return rf"DeployedNet_net/{around}{parts[-1]}(;|$)"


def _weighted(qtyping: Any) -> list[Any]:
    """The operations that have weights."""
    names = qtyping.TFLOperationName
    return [names.CONV_2D, names.DEPTHWISE_CONV_2D, names.CONV_2D_TRANSPOSE, names.FULLY_CONNECTED]
