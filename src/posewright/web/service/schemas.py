"""What goes in and out as JSON; the OpenAPI page is made of these."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Number = Annotated[float, Field(allow_inf_nan=False)]
BOX = r"^-?[0-9]+(\.[0-9]+)?(,-?[0-9]+(\.[0-9]+)?){3}$"
"""A box in an address: left,top,right,bottom."""

# The descriptions below are shown on the OpenAPI page.


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class Options(_Strict):
    """How pictures are looked at; in the address, or in a form's fields or the JSON. What the address says goes first."""

    model: str | None = Field(None, description="Name of a model of GET /v1/models; the first one unless given.")
    flip: bool = Field(False, description="Average with the mirrored picture: steadier, at twice the time.")
    min_presence: float = Field(
        0.0, ge=0, le=1, description="Leave out poses whose presence (is the object there at all) is lower."
    )
    locate: bool | None = Field(
        None,
        description="Let the model's locator find the boxes of pictures that bring none; as usual where it has one. "
        "Without, one object is looked for in the whole picture.",
    )


class Query(Options):
    """What may stand in the address."""

    box: list[Annotated[str, Field(pattern=BOX, max_length=200)]] = Field(
        default_factory=list,
        description="left,top,right,bottom in pixels, (0, 0) at the first pixel's centre; once for each object. "
        "For pictures that bring no boxes of their own.",
    )


class SentPicture(_Strict):
    """One picture in JSON."""

    data: str = Field(
        description="The picture file (JPEG, PNG, WebP, BMP, TIFF, GIF, JPEG 2000, PNM) in base64; a data: URL may be.",
        json_schema_extra={"contentEncoding": "base64", "format": "picture"},
    )
    name: str = Field("", max_length=1000, description="Comes back as the picture's source.")
    boxes: list[Annotated[list[Number], Field(min_length=4, max_length=4)]] | None = Field(
        None,
        description="[left, top, right, bottom] of each object in pixels, (0, 0) at the first pixel's centre; "
        "an empty list for none. See locate where this is left out.",
    )


class PosesRequest(Options):
    """Pictures in JSON."""

    pictures: list[SentPicture] = Field(min_length=1)


class Pose(BaseModel):
    """One object."""

    box: list[float] = Field(
        min_length=4, max_length=4, description="Where the model looked: left, top, right, bottom."
    )
    presence: float = Field(description="0..1: is the object there at all.")
    keypoints: list[Annotated[list[float], Field(min_length=3, max_length=3)]] = Field(
        description="[x, y, score] of each keypoint in the skeleton's order, in pixels of the picture."
    )
    covariance: list[Annotated[list[float], Field(min_length=3, max_length=3)]] | None = Field(
        None, description="[xx, xy, yy] of each keypoint in square pixels, of models that tell it."
    )
    visibility: list[float] | None = Field(None, description="0..1 of each keypoint, of models that tell it.")


class Picture(BaseModel):
    """What was found in one picture; the same record that posewright predict writes as a line of JSON."""

    source: str
    width: int
    height: int
    skeleton: str
    poses: list[Pose]


class PosesAnswer(BaseModel):
    """What was found, in the order of the pictures sent."""

    model: str
    pictures: list[Picture]


class Skeleton(BaseModel):
    """The keypoints and how they hang together; pairs are of keypoint numbers."""

    model_config = ConfigDict(extra="allow")
    name: str
    keypoints: list[str]
    links: list[list[int]]
    link_colours: list[list[int]]


class InputSize(BaseModel):
    width: int
    height: int


class Model(BaseModel):
    """What a model file says about itself."""

    model_config = ConfigDict(protected_namespaces=())
    name: str
    default: bool = Field(description="Whether it is taken where no model is named.")
    locator: bool = Field(description="Whether it has a locator, which finds the boxes of pictures that bring none.")
    flip: bool = Field(description="Whether flip can be asked for.")
    skeleton: Skeleton
    input_size: InputSize
    preset: str
    device: str
    outputs: list[str]
    calibrated: bool = Field(description="Whether a score is the share of such keypoints that are right.")
    calibration: str
    training_data: list[str]
    metrics: dict[str, dict[str, Any]] = Field(
        description="Measured figures with the conventions they were measured by."
    )
    terms: str = Field(description="What the terms of the training data mean for the use of the model.")


class Bounds(BaseModel):
    """What the service takes in one request, and at a time."""

    bytes: int
    pixels: int
    boxes: int
    pictures: int
    queue: int


class ModelsAnswer(BaseModel):
    """The models that are served, and the limits."""

    models: list[Model]
    limits: Bounds


class Trouble(BaseModel):
    """What went wrong."""

    code: str = Field(description="One word for programs.")
    message: str = Field(description="One line for people.")


class ErrorAnswer(BaseModel):
    """Every answer that is no success."""

    error: Trouble


class State(BaseModel):
    """Health."""

    status: str
