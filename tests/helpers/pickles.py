"""Pickles of pose machine weights, and arrays to put into them."""

from __future__ import annotations

import struct

import numpy as np

from posewright.models.presets import Cpm

TAILS = {
    "body": ["conv4_3_CPM", "conv4_4_CPM", "conv4_5_CPM", "conv4_6_CPM", "conv4_7_CPM", "conv5_1_CPM", "conv5_2_CPM"],
    "hand": ["conv4_3", "conv4_4", "conv5_1", "conv5_2", "conv5_3_CPM", "conv6_1_CPM", "conv6_2_CPM"],
}


def cpm_shapes(layout: str, stages: int, keypoints: int, colours: int = 3) -> dict[str, tuple[int, ...]]:
    """Kernels ``(h, w, in, out)`` of the published layout, by name, in order."""
    trunk, maps = {"body": 256, "hand": 512}[layout], keypoints + 1
    blocks = {1: 2, 2: 2, 3: 4, 4: 2}
    names = [f"conv{b}_{n}" for b, count in blocks.items() for n in range(1, count + 1)] + TAILS[layout]
    widths = [colours, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, *[trunk] * 4, 128, 512, maps]
    sides = [3] * 15 + [1, 1]
    shapes = {n: (k, k, i, o) for n, k, i, o in zip(names, sides, widths, widths[1:], strict=False)}
    for s in range(2, stages + 1):
        seen = maps + 128 + (layout == "body")
        shapes[f"Mconv1_stage{s}"] = (7, 7, seen, 128)
        shapes |= {f"Mconv{n}_stage{s}": (7, 7, 128, 128) for n in range(2, 6)}
        shapes |= {f"Mconv6_stage{s}": (1, 1, 128, 128), f"Mconv7_stage{s}": (1, 1, 128, maps)}
    return shapes


def cpm_arrays(layout: str = "body", stages: int = 2, keypoints: int = 3, colours: int = 3) -> dict[str, np.ndarray]:
    """Weights of the published layout: every array holds its own number, rising slowly."""
    arrays = {}
    for i, (name, shape) in enumerate(cpm_shapes(layout, stages, keypoints, colours).items()):
        kernel = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        arrays[name] = (kernel % 7 - 3) * 0.4 / np.sqrt(np.prod(shape[:3])) + 1e-4 * i
        arrays[f"{name}_b"] = np.full(shape[3], i / 100, np.float32)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def variable_arrays(arrays: dict[str, np.ndarray], config: Cpm, slim: bool) -> dict[str, np.ndarray]:
    """The same as a TensorFlow checkpoint calls them."""
    kernels = [name for name in arrays if not name.endswith("_b")]
    scopes = [f"sub_stages/sub_conv{n}" for n in range(1, 15)]
    scopes += ["sub_stages/sub_stage_img_feature", "stage_1/conv1", "stage_1/stage_heatmap"]
    scopes += [f"stage_{s}/mid_conv{n}" for s in range(2, config.stages + 1) for n in range(1, 8)]
    kernel, bias = ("weights", "biases") if slim else ("kernel", "bias")
    found = {}
    for name, scope in zip(kernels, scopes, strict=True):
        found[f"{scope}/{kernel}"], found[f"{scope}/{bias}"] = arrays[name], arrays[f"{name}_b"]
    return found


def python2_pickle(arrays: dict[str, np.ndarray]) -> bytes:
    """What Python 2 writes for a dict of arrays at protocol 2: bytes as plain strings, a long-gone module's name."""

    def string(text: bytes) -> bytes:
        short = len(text) < 256
        return (b"U" + bytes([len(text)]) if short else b"T" + struct.pack("<i", len(text))) + text

    def number(n: int) -> bytes:
        return b"K" + bytes([n]) if n < 256 else b"M" + struct.pack("<H", n)

    parts = [b"\x80\x02}q\x00("]
    for name, array in arrays.items():
        kind = array.dtype.str[1:].encode()
        parts += [string(name.encode()), b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n", b"K\x00\x85"]
        parts += [string(b"b"), b"\x87R", b"(K\x01(", *map(number, array.shape), b"t"]
        parts += [b"cnumpy\ndtype\n", string(kind), b"K\x00K\x01\x87R(K\x03", string(b"<")]
        parts += [b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89", string(array.tobytes()), b"tb"]
    return b"".join([*parts, b"u."])
