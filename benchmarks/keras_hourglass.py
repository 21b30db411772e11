"""The stacked hourglass as a widely used tf.keras implementation has it, and how that trains and predicts.

Not run by a person: train_cpu.py and predict_cpu.py start it with an interpreter that has TensorFlow, and ask it in JSON lines
(see turns.Helper). It imports nothing of posewright.

Layers run convolution, ReLU, batch norm, with Keras's own settings; no activation follows a sum; maps are linear; each output
carries its mean squared error. Prediction is that system's demo: the whole picture resized without regard to its aspect,
``Model.predict`` on a batch of one, the highest cell of each map in numpy.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import tensorflow as tf

MEAN = np.array([0.4404, 0.4440, 0.4327], np.float32)
layers = tf.keras.layers


def build(size: int, keypoints: int, stacks: int, channels: int, mobile: bool) -> Any:
    """The net: ``[B, size, size, 3]`` to one ``[B, size / 4, size / 4, keypoints]`` a stack."""

    def conv(
        x: Any, width: int, kernel: int = 1, plain: bool = False, strides: int = 1, act: str | None = "relu"
    ) -> Any:
        kind = layers.SeparableConv2D if mobile and not plain else layers.Conv2D
        return kind(width, kernel, strides=strides, padding="same", activation=act)(x)

    def normed(x: Any, width: int, kernel: int = 1, plain: bool = False, strides: int = 1) -> Any:
        return layers.BatchNormalization()(conv(x, width, kernel, plain, strides))

    def block(x: Any, width: int) -> Any:
        skip = x if x.shape[-1] == width else conv(x, width)
        return layers.Add()([normed(normed(normed(x, width // 2), width // 2, 3), width), skip])

    def pool(x: Any) -> Any:
        return layers.MaxPooling2D(2)(x)

    image = layers.Input((size, size, 3))
    x = block(normed(image, 64, 7, plain=True, strides=2), channels // 2)
    x = block(block(pool(x), channels // 2), channels)
    maps = []
    for stack in range(stacks):
        before, kept = x, []
        for level in range(4):
            x = block(pool(x) if level else x, channels)
            kept.append(x)
        deepest = kept.pop()
        x = deepest
        for _ in range(3):
            x = block(x, channels)
        x = layers.Add()([x, block(deepest, channels)])
        for skip in reversed(kept):
            x = block(layers.Add()([layers.UpSampling2D()(x), block(skip, channels)]), channels)
        head = normed(x, channels, plain=True)
        maps.append(conv(head, keypoints, plain=True, act=None))
        if stack < stacks - 1:
            on = conv(head, channels, plain=True, act=None), conv(maps[-1], channels, plain=True, act=None)
            x = layers.Add()([before, *on])
    return tf.keras.Model(image, maps)


def trainer(model: Any, batch: int, keypoints: int, jit: bool) -> Any:
    """A step of training on one batch in memory."""
    model.compile(optimizer=tf.keras.optimizers.Adam(5e-4), loss=["mse"] * len(model.outputs), jit_compile=jit)
    size = model.input_shape[1]
    rng = np.random.default_rng(0)
    images = rng.random((batch, size, size, 3), np.float32) - MEAN
    target = rng.random((batch, size // 4, size // 4, keypoints), np.float32) ** 8
    return lambda: model.train_on_batch(images, [target] * len(model.outputs))


def clocked(call: Any, count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return seconds


def points(model: Any, path: str) -> np.ndarray:
    """Keypoints ``[K, 3]`` (x, y, score) of a picture file, in its own pixels, as that system's demo finds them."""
    from PIL import Image

    picture = Image.open(path).convert("RGB")
    size = model.input_shape[1]
    small = np.asarray(picture.resize((size, size), Image.Resampling.BICUBIC), np.float32) / 255 - MEAN
    maps = np.asarray(model.predict(small[None], verbose=0)[-1])[0].copy()
    maps[maps < 1e-6] = 0
    found = np.empty((maps.shape[-1], 3))
    for k in range(maps.shape[-1]):
        row, column = np.unravel_index(maps[..., k].argmax(), maps.shape[:2])
        found[k] = column * 4 * picture.width / size, row * 4 * picture.height / size, maps[row, column, k]
    return found


def main() -> None:
    settings = json.loads(sys.stdin.readline())
    threads = int(settings["threads"])
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1 if threads == 1 else 2)
    model = build(*(settings[name] for name in ("size", "keypoints", "stacks", "channels", "mobile")))
    parameters = int(sum(np.prod(w.shape) for w in model.trainable_weights))
    about: dict[str, Any] = {"parameters": parameters, "version": tf.__version__, "keras": tf.keras.__version__}
    if settings["do"] == "train":
        # Whichever of Keras's two ways is the faster here, as somebody who cares would choose.
        tried, steps = {}, {}
        for jit in (False, True) if settings["jit"] == "both" else (settings["jit"] == "on",):
            steps[jit] = trainer(model, settings["batch"], settings["keypoints"], jit)
            tried[jit] = min(clocked(steps[jit], 4)[1:])
        best = min(tried, key=lambda jit: tried[jit])
        if list(steps)[-1] != best:  # the model knows its last compilation only
            steps[best] = trainer(model, settings["batch"], settings["keypoints"], best)
            steps[best]()
        about |= {"jit": best, "tried": {("xla" if k else "graph"): v for k, v in tried.items()}}
        call = steps[best]
    else:

        def call() -> object:
            return points(model, settings["picture"])

        call()
    print("answer " + json.dumps(about), flush=True)
    for line in sys.stdin:
        print("answer " + json.dumps(clocked(call, json.loads(line)["count"])), flush=True)


if __name__ == "__main__":
    main()
