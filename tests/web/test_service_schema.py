"""The service keeps to its own OpenAPI schema, whatever is generated from that."""

from __future__ import annotations

import base64

import pytest

pytest.importorskip("fastapi", reason="the service is tested with pip install 'posewright[serve]'")
pytest.importorskip("schemathesis", reason="the schema is tested with pip install schemathesis")

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

import posewright
from helpers.service import picture_bytes
from helpers.spots import spot_model
from posewright.web.service.app import make_app
from posewright.web.service.core import Service
from posewright.web.service.limits import Limits

PICTURES = tuple(picture_bytes(60, ending, (60, 40)) for ending in (".png", ".jpg", ".webp", ".bmp", ".tif", ".gif"))
RAW = ("image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff", "image/gif", "image/jp2")
TOKEN = {"Authorization": "Bearer s3cret"}
LITTLE = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)

for _kind in (*RAW, "image/x-portable-anymap", "application/octet-stream"):
    schemathesis.openapi.media_type(_kind, st.sampled_from(PICTURES) | st.binary(max_size=100))
schemathesis.openapi.format("picture", st.sampled_from([base64.b64encode(data).decode() for data in PICTURES]))


@pytest.fixture
def served(tmp_path):
    path = spot_model(tmp_path / "spots.onnx")
    service = Service({"spots": posewright.load(path, threads=1)}, limits=Limits(queue=4, pictures=2, boxes=3))
    service.warm_up()
    yield schemathesis.openapi.from_asgi("/openapi.json", make_app(service, token="s3cret"))
    service.close()


def statuses(operation, mode: GenerationMode) -> set[int]:
    """What an operation answered; every answer is held against the schema."""
    found: set[int] = set()

    @given(case=operation.as_strategy(generation_mode=mode))
    @LITTLE
    def check(case):
        answer = case.call_and_validate(headers=TOKEN, excluded_checks=[schemathesis.checks.positive_data_acceptance])
        assert answer.status_code < 500
        found.add(answer.status_code)

    try:
        check()
    except Unsatisfiable:  # what takes nothing cannot be given anything wrong
        assert mode is GenerationMode.NEGATIVE and operation.label != "POST /v1/poses"
    return found


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_it_keeps_to_its_schema(served, mode):
    operations = [result.ok() for result in served.get_all_operations()]
    answered = {operation.label: statuses(operation, mode) for operation in operations}
    took = answered.pop("POST /v1/poses")
    assert took & {400, 415, 422}
    assert 200 in took or mode is GenerationMode.NEGATIVE
    assert len(answered) == 4
    assert mode is GenerationMode.NEGATIVE or all(200 in found for found in answered.values())
