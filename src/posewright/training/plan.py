"""What a run does where nobody said: net, start weights, epochs and batch from the number of objects and the machine.

The rules are plain on purpose; a person's own settings always win, and a run's ``config.yaml`` holds what came out.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

from posewright.annotations import Annotations
from posewright.errors import PosewrightError
from posewright.media.sources import folder_pictures
from posewright.models.overrides import as_overrides, net_overrides
from posewright.models.presets import FAMILIES, family_of, preset
from posewright.training.config import TrainConfig
from posewright.training.losses import activation_for
from posewright.training.nets import net_settings
from posewright.training.ranks import find_place
from posewright.training.run_config import AUTO, INPUT_SIZE, NONE, USUAL_LR
from posewright.training.start import Start, find_start, free_start

SMALL = 1000
"""Below so many training objects a run starts from shipped weights unless told otherwise."""


def model_for(objects: int, device: str) -> str:
    """The preset: on a GPU larger the more there is to learn from, elsewhere one that a laptop trains in minutes."""
    if device != "cuda" or objects < SMALL:
        return "hourglass_s1_tiny"
    return "hourglass_s2_tiny" if objects < 20_000 else "hourglass_s2"


def batch_for(objects: int, ranks: int = 1) -> int:
    """Objects a step: 32, but where there are few of them an eighth, as a power of two of at least 4, so that an epoch
    has steps enough; never more than there are."""
    eighth = 2 ** math.floor(math.log2(max(objects / 8, 1)))
    batch = max(1, min(32, max(4, eighth), objects))
    # Each device takes an equal part.
    more = -(-batch // ranks) * ranks
    return more if more <= objects else max(objects // ranks, 1) * ranks


def epochs_for(objects: int) -> int:
    """Passes: falling with the square root of the number of objects, so that four times the data is trained on for twice
    as long; 300 at most (up to 40 objects), 60 for 1,000, at least 20 (from 9,000 on)."""
    return min(300, max(20, round(1900 / math.sqrt(max(objects, 1)) / 10) * 10))


def count_objects(annotations: Annotations) -> int:
    """How many objects there are to learn from: not a crowd, and with a labelled keypoint."""
    return int(annotations.usable.sum())


def settle(
    config: TrainConfig, annotations: Annotations, device: str, own_net: bool = False
) -> tuple[TrainConfig, Start | None]:
    """The settings with nothing left open, and the weights to start from; says what was chosen.

    Args:
        config: as a person gave them.
        annotations: what to train on, its "train" split.
        device: "cpu", "cuda" or "mps".
        own_net: the net is given, and starts from other weights only where ``init`` names them.

    Raises:
        PosewrightError: where start weights are named that cannot be used, or the batch is larger than the data.
    """
    objects, given = count_objects(annotations.of_split("train")), config
    # Pictures that a teacher labels are passed over like the others.
    crops = objects + (len(folder_pictures(config.unlabelled, "--unlabelled")) if config.unlabelled else 0)
    if config.batch_size > crops > 0:
        raise PosewrightError(
            f"batch_size is {config.batch_size}, and there are {crops} objects to train on",
            fix=f"Leave it out, or take at most {crops}",
        )
    start = None
    if config.qat and config.init in (AUTO, NONE) and not own_net:
        raise PosewrightError("qat goes on with a trained net", fix="Name it with --init")
    if config.qat and config.precision == AUTO:
        config = replace(config, precision="fp32")  # bf16 has no more digits than what is rounded
    if config.init not in (AUTO, NONE):
        start = find_start(config.init)
        config = like_start(config, start)
    if config.model == AUTO:
        config = replace(config, model=model_for(objects, device))
    if config.init == AUTO:
        if objects < SMALL and not own_net:
            start = free_start(net_settings(config), len(annotations.skeleton))
        config = replace(config, init=start.name if start is not None else NONE)
    usual = epochs_for(crops) // (10 if config.qat else 1)
    config = replace(
        config,
        input_size=INPUT_SIZE if config.input_size == AUTO else config.input_size,
        epochs=config.epochs or (usual if config.init_epoch < usual else config.init_epoch + usual),
        batch_size=config.batch_size or batch_for(crops, find_place(config.devices, config.nodes).ranks),
    )
    factor = 1.0 if own_net else net_settings(config).lr_factor
    config = replace(config, lr=config.lr or factor * config.highest_lr)
    if own_net:
        given = replace(given, model=config.model)  # nobody chose a preset
    chosen = describe_choice(given, config)
    if chosen:
        print(f"for {objects} objects: {chosen}")
    return config, start


def describe_choice(given: TrainConfig, settled: TrainConfig) -> str:
    """What :func:`settle` chose, in one line; "" where a person had left nothing open."""
    height, width = settled.size
    parts = (
        (given.model == AUTO, settled.model),
        (given.input_size == AUTO, f"input {height}x{width}"),
        (given.epochs == 0, f"{settled.epochs} epochs"),
        (given.batch_size == 0, f"batches of {settled.batch_size}"),
        (given.lr == 0 and settled.lr != USUAL_LR, f"--lr {settled.lr:g}"),
        (given.init == AUTO and settled.init != NONE, f"starting from {settled.init} (--init none for random weights)"),
    )
    return ", ".join(text for chosen, text in parts if chosen)


def like_start(config: TrainConfig, start: Start) -> TrainConfig:
    """Settings that nobody gave, as the start has them: its preset, its input size, and the settings of its net that the
    preset's name and ``--net`` leave open."""
    there = start.checkpoint.net.config
    model = start.checkpoint.preset if config.model == AUTO else config.model
    family, named = family_of(model)
    net = config.net
    if family is FAMILIES.get(there.family):
        typed = net_overrides(family.config, config.net)
        settled = {*typed, *(named if config.model != AUTO else ())}
        if "sigmoid" in (activation_for(config.loss), there.activation):
            settled.add("activation")  # the loss decides
        same = {f.name: getattr(there, f.name) for f in dataclasses.fields(there) if f.name not in settled}
        net = as_overrides(preset(model, **(typed | same)), preset(model))
    width, height = start.checkpoint.rule.size
    size = f"{height}x{width}" if config.input_size == AUTO else config.input_size
    return replace(config, model=model, net=net, input_size=size)
