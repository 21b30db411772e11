"""The service without its HTTP: models ready to run, and a request's way through decoding, cropping, the net and back."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np

from posewright.errors import PosewrightError, did_you_mean
from posewright.media.claimed import claimed_size
from posewright.media.pictures import decode_picture
from posewright.poses import Poses
from posewright.runtime.predictor import Predictor
from posewright.tracking.crowd import Locator
from posewright.web.service.asked import Asked, Sent
from posewright.web.service.batches import Batcher, Found
from posewright.web.service.limits import Gate, Limits, Refusal
from posewright.web.service.metrics import Metrics
from posewright.web.service.net import Cut, PartedNet, checked_boxes
from posewright.web.service.schemas import Bounds, InputSize, Model, ModelsAnswer, Skeleton

T = TypeVar("T")

_HEAD = 64
"""Bytes that tell a format, and hold no picture."""


@dataclass(frozen=True)
class Served:
    """One model of the service.

    Attributes:
        net: the model, in parts.
        batcher: runs it.
        locator: finds the boxes of pictures that bring none; None where there is none.
    """

    net: PartedNet
    batcher: Batcher
    locator: Locator | None


class Service:
    """Models that answer requests.

    Pictures are decoded and cropped by a few threads, one picture of a request after the other, so that large requests share
    them with small ones; only crops wait for the net. Each net has one thread, see :class:`Batcher`. (To have the nets take
    turns was measured, too: it takes the same processor time, and the slowest answers come later.)

    Args:
        models: by the name that requests call them; the first is taken where none is named.
        locators: by the model's name.
        limits: what is refused.
        readers: threads that decode pictures; as many as there are processors, four at most, unless given.

    Attributes:
        ready: whether it has run each net once and is not closing.
        closing: set once it is to end; what is accepted is answered, nothing new is taken.
    """

    def __init__(
        self,
        models: Mapping[str, Predictor],
        locators: Mapping[str, Locator] | None = None,
        limits: Limits | None = None,
        readers: int | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.metrics = Metrics()
        self.gate = Gate(self.limits)
        self.warm = self.closing = False
        self.trouble: Exception | None = None
        self.models = {name: self._served(name, model, (locators or {}).get(name)) for name, model in models.items()}
        self.default = next(iter(self.models))
        count = readers or min(4, os.cpu_count() or 1)
        self._readers = ThreadPoolExecutor(count, thread_name_prefix="reader")
        self.metrics.queue.set_function(lambda: self.gate.inside)
        self.metrics.ready.set_function(lambda: self.ready)

    def _served(self, name: str, model: Predictor, locator: Locator | None) -> Served:
        net = PartedNet(model)
        batch, seconds = self.metrics.batch.labels(name), self.metrics.net.labels(name)

        def note(crops: int, took: float) -> None:
            batch.observe(crops)
            seconds.observe(took)

        batcher = Batcher(net.run, self.limits.batch, self.limits.delay, note)
        self.metrics.crops.labels(name).set_function(lambda: batcher.waiting)
        return Served(net, batcher, locator)

    @property
    def ready(self) -> bool:
        return self.warm and not self.closing

    def warm_up(self) -> None:
        """Run each net and locator once, on a full batch and on a single crop.

        Raises:
            PosewrightError: where one of them does not run.
        """
        for served in self.models.values():
            width, height = served.net.info.input_size
            blank = np.zeros((height, width, 3), np.uint8)
            for count in {1, self.limits.batch}:
                served.net.run([blank] * count, False)
            if served.locator is not None:
                served.locator.find(blank)
        self.warm = True

    def close(self) -> None:
        """Answer what is accepted, then end the threads."""
        self.closing = True
        self._readers.shutdown()
        for served in self.models.values():
            served.batcher.close()

    # -- what is served --------------------------------------------------------------------------------------------

    def describe(self) -> ModelsAnswer:
        """The models, and the limits."""
        limits = self.limits
        return ModelsAnswer(
            models=[self._described(name, served) for name, served in self.models.items()],
            limits=Bounds(
                bytes=limits.bytes,
                pixels=limits.pixels,
                boxes=limits.boxes,
                pictures=limits.pictures,
                queue=limits.queue,
            ),
        )

    def _described(self, name: str, served: Served) -> Model:
        info = served.net.info
        width, height = info.input_size
        return Model(
            name=name,
            default=name == self.default,
            locator=served.locator is not None,
            flip=served.net.flips,
            skeleton=Skeleton.model_validate(info.skeleton.to_dict()),
            input_size=InputSize(width=width, height=height),
            preset=info.preset,
            device=served.net.device,
            outputs=list(info.outputs),
            calibrated=info.calibrated,
            calibration=info.calibration,
            training_data=list(info.training_data),
            metrics={metric: dict(figures) for metric, figures in info.metrics.items()},
            terms=info.terms,
        )

    def named(self, asked: Asked) -> tuple[str, Served]:
        """The model that a request wants.

        Raises:
            Refusal: 422 where there is none of that name, or it cannot do what is asked.
        """
        name = self.default if asked.model is None else asked.model
        if name not in self.models:
            raise Refusal(422, "model", f"no model '{name[:100]}' here. {did_you_mean(name[:100], self.models)}")
        served = self.models[name]
        if asked.flip and not served.net.flips:
            raise Refusal(422, "flip", f"flip needs heat maps, which the model '{name}' has not")
        if asked.locate and served.locator is None:
            raise Refusal(422, "locate", f"the model '{name}' has no locator here")
        return name, served

    # -- one request -----------------------------------------------------------------------------------------------

    async def read(self, work: Callable[..., T], *given: Any) -> T:
        """Do something on a reader's thread; where the caller is cancelled before its turn comes, it is not done."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *given)

    async def find(self, asked: Asked, served: Served) -> list[Poses]:
        """The poses of each picture; what is not done yet is dropped where the caller is cancelled.

        Raises:
            Refusal: where a picture or a box cannot be used.
        """
        cuts: list[Cut] = []
        waiting: list[Future[Found]] = []
        share = max(1, self.limits.boxes // len(asked.pictures))
        try:
            with served.batcher.expecting():
                for picture in asked.pictures:
                    cut = await self.read(self._cut, served, picture, asked.locate, share)
                    cuts.append(cut)
                    waiting.append(served.batcher.submit(cut.crops, asked.flip))
            found = [await asyncio.wrap_future(future) for future in waiting]
        finally:
            for future in waiting:
                future.cancel()
        return [served.net.poses(cut, arrays, asked.min_presence) for cut, arrays in zip(cuts, found, strict=True)]

    def _cut(self, served: Served, picture: Sent, locate: bool | None, most: int) -> Cut:
        """Decode a picture and cut its crops out."""
        data, picture.data = picture.data, b""
        try:
            claimed = claimed_size(data, picture.where)
            if claimed is None:
                data = data[:_HEAD]  # which is enough for the decoder to say why not
            else:
                self._check_size(*claimed, picture.where)
            image = decode_picture(data, picture.where)
            del data
            height, width = image.shape[:2]
            self._check_size(width, height, picture.where)
            boxes = None if picture.boxes is None else checked_boxes(picture.boxes, width, height, picture.where)
        except PosewrightError as error:
            raise Refusal(422, "picture", str(error)) from None
        if boxes is None and served.locator is not None and locate is not False:
            boxes = served.locator.find(image)[0][:most]
        try:
            return served.net.cut(image, boxes, picture.name)
        except cv2.error as error:  # such as sides that its warp does not take
            raise Refusal(422, "picture", f"{picture.where} cannot be cropped: {error.err}") from None

    def _check_size(self, width: int, height: int, where: str) -> None:
        if width * height > self.limits.pixels:
            message = f"{where} has {width} x {height} pixels; at most {self.limits.pixels} are taken"
            raise Refusal(413, "pixels", message)
