"""What the two older systems call the layers of their nets, and where in our nets each of them belongs.

The hourglass system (tf.keras) renamed its layers on 2021-09-01; weights of both generations are about. The pose machine
system has three spellings: the pickles' are those of the original Caffe nets, one for bodies and one for hands, and its own
TensorFlow checkpoints have theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

# -- the hourglass system ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """One convolution of a Keras hourglass.

    Attributes:
        name: its layer's name in the file.
        module: the convolution of our net that takes its weights.
        norm: the batch norm of our net that follows it, "" where none does. In a file it stands in a layer of its own,
            whose name is a number.
    """

    name: str
    module: str
    norm: str = ""


@dataclass(frozen=True)
class _Spelling:
    """One generation's way to name layers; ``{i}`` is the stack, counted from 0, and ``{n}`` a number."""

    front: str
    front_block: str
    block: tuple[str, str, str]
    skip: str
    down: str
    bottom_short: str
    bottom: str
    short: str
    merged: str
    head: str
    predict: str


_NEW = _Spelling(
    "front_conv_1x1_1",
    "front_residual_{n}",
    ("_conv_1x1_1", "_conv_3x3_2", "_conv_1x1_3"),
    "_skip",
    "hg{i}_downsample_{n}",
    "hg{i}_downsample_f8_short",
    "hg{i}_downsample_f8_{n}",
    "hg{i}_upsample_f{n}_short",
    "hg{i}_upsample_f{n}_merged",
    "hg{i}_conv_1x1_{n}",
    "hg{i}_conv_1x1_predict",
)
_OLD = _Spelling(
    "front_conv_1x1_x1",
    "front_residual_x{n}",
    ("_conv_1x1_x1", "_conv_3x3_x2", "_conv_1x1_x3"),
    "skip",
    "hg{i}_l{n}",
    "{i}_lf8",
    "{i}_lf8_x{n}",
    "hg{i}_rf{n}_connect",
    "hg{i}_rf{n}_connect_conv",
    "{i}_conv_1x1_x{n}",
    "{i}_conv_1x1_parts",
)
_LEVELS = (1, 2, 4, 8)
"""What the system divides its maps by on the way down."""


def is_old(names: Iterable[str]) -> bool:
    """Whether the layers have the names used before 2021-09-01."""
    return _OLD.front in names or any(re.fullmatch(r"\d+_conv_1x1_parts", name) for name in names)


def count_stacks(names: Iterable[str]) -> int:
    """How many hourglasses the layers' names speak of; 0 where they are no hourglass's."""
    found = [re.match(r"hg(\d{1,9})_|(\d{1,9})_(?:lf8|conv_1x1_)", name) for name in names]
    return max((int(m[1] or m[2]) + 1 for m in found if m), default=0)


def predict_name(stack: int, old: bool) -> str:
    """The layer that predicts a stack's maps."""
    return (_OLD if old else _NEW).predict.format(i=stack)


def hourglass_layers(stacks: int, old: bool) -> list[Layer]:
    """All convolutions with a place in our net, in the order in which the system makes them.

    That is the order of the numbers in its batch norms' names, too. A block's ``_skip`` is listed everywhere, though only
    blocks that change the number of channels have one.
    """
    s = _OLD if old else _NEW
    layers = [Layer(s.front, "stem.conv", "stem.bn")]

    def block(name: str, module: str) -> None:
        for part, ending in enumerate(s.block, 1):
            layers.append(Layer(name + ending, f"{module}.unit{part}.conv", f"{module}.unit{part}.bn"))
        layers.append(Layer(name + s.skip, f"{module}.skip.conv"))

    for n in (1, 2, 3):
        block(s.front_block.format(n=n), f"stem.residual{n}")
    for i in range(stacks):
        stack = f"stacks.{i}"
        for level, n in enumerate(_LEVELS):
            block(s.down.format(i=i, n=n), f"{stack}.down.{level}")
        block(s.bottom_short.format(i=i), f"{stack}.bottom_short")
        for n in (1, 2, 3):
            block(s.bottom.format(i=i, n=n), f"{stack}.bottom.{n - 1}")
        for level in (2, 1, 0):
            for name, module in ((s.short, "short"), (s.merged, "merged")):
                block(name.format(i=i, n=_LEVELS[level]), f"{stack}.{module}.{level}")
        head = f"heads.{i}"
        layers.append(Layer(s.head.format(i=i, n=1), f"{head}.feature.conv", f"{head}.feature.bn"))
        layers.append(Layer(s.predict.format(i=i), f"{head}.predict"))
        layers.append(Layer(s.head.format(i=i, n=2), f"{head}.from_feature"))
        layers.append(Layer(s.head.format(i=i, n=3), f"{head}.from_maps"))
    return layers


def norm_number(name: str) -> int:
    """The number at the end of a batch norm's name; -1 for the first one, which may have none."""
    match = re.search(r"_(\d+)$", name)
    return int(match[1]) if match else -1


# -- the pose machine system ------------------------------------------------------------------------------------------

_TRUNK = ("conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1", "conv3_2", "conv3_3", "conv3_4", "conv4_1", "conv4_2")
_TAILS = {
    "body": (*(f"conv4_{n}_CPM" for n in (3, 4, 5, 6)), "conv4_7_CPM", "conv5_1_CPM", "conv5_2_CPM"),
    "hand": ("conv4_3", "conv4_4", "conv5_1", "conv5_2", "conv5_3_CPM", "conv6_1_CPM", "conv6_2_CPM"),
}
"""The trunk's last four layers, the feature and the two layers of stage 1."""

LAYOUTS = tuple(_TAILS)
"""The two nets whose layers the pickles name."""


def cpm_modules(stages: int) -> list[str]:
    """The convolutions of our pose machine, in the order of its layers."""
    first = ["stages.0.conv1", "stages.0.heatmap"]
    later = [f"stages.{s}.conv{n}" for s in range(1, stages) for n in range(1, 8)]
    return [*(f"trunk.conv{n}" for n in range(1, 15)), "feature", *first, *later]


def cpm_pickle_names(layout: str, stages: int) -> list[str]:
    """What a pickle calls the kernels of :func:`cpm_modules`; the bias's name is that with "_b" behind it."""
    later = [f"Mconv{n}_stage{s}" for s in range(2, stages + 1) for n in range(1, 8)]
    return [*_TRUNK, *_TAILS[layout], *later]


def cpm_variable_names(stages: int) -> list[str]:
    """What a TensorFlow checkpoint calls the convolutions of :func:`cpm_modules`."""
    trunk = [f"sub_stages/sub_conv{n}" for n in range(1, 15)]
    first = ["sub_stages/sub_stage_img_feature", "stage_1/conv1", "stage_1/stage_heatmap"]
    later = [f"stage_{s}/mid_conv{n}" for s in range(2, stages + 1) for n in range(1, 8)]
    return [*trunk, *first, *later]


def pickle_layout(names: Iterable[str]) -> str | None:
    """ "body" or "hand", by the layer that only one of them has; None for neither."""
    names = set(names)
    return next((layout for layout, tail in _TAILS.items() if tail[4] in names or tail[6] in names), None)


def pickle_stages(names: Iterable[str]) -> int:
    """How many stages a pickle's names speak of."""
    return _last_stage(names, r"Mconv\d_stage(\d{1,2})(?:_b)?")


def variable_stages(names: Iterable[str]) -> int:
    """How many stages a checkpoint's names speak of."""
    return _last_stage(names, r"stage_(\d{1,2})/mid_conv\d/\w+")


def _last_stage(names: Iterable[str], pattern: str) -> int:
    return max((int(m[1]) for m in (re.fullmatch(pattern, name) for name in names) if m), default=1)
