"""Graphs of nets, made once: tracing one takes seconds, and many tests write the same untrained net."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from typing import Any

import onnx
import torch

SIMPLE = (int, float, str, bool, tuple, type(None))


def print_of(net: torch.nn.Module) -> str:
    """Tells nets apart by all that a trace of them can depend on: layers, their settings, every number in them."""
    found = hashlib.sha256()
    for name, module in net.named_modules():
        kept = {key: value for key, value in vars(module).items() if isinstance(value, SIMPLE)}
        found.update(repr((name, type(module), sorted(kept.items()))).encode())
    for name, tensor in (*net.named_parameters(), *net.named_buffers()):
        found.update(repr((name, tensor.dtype, tensor.shape)).encode() + tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def made_once(graph_of: Callable[..., onnx.ModelProto]) -> Callable[..., onnx.ModelProto]:
    """``graph_of`` that answers again what it answered for the same net with the same settings."""
    made: dict[Any, onnx.ModelProto] = {}

    def remembered(net, size, outputs, info, batch=None):
        key = (print_of(net), size, tuple(outputs), info.to_json(), batch)
        if key not in made:
            made[key] = graph_of(net, size, outputs, info, batch)
        return copy.deepcopy(made[key])

    return remembered
