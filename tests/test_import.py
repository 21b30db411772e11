"""Importing posewright is cheap: engines and everything else that is heavy wait until they are needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

ENGINES = {"onnxruntime", "openvino", "torch", "tensorflow", "ai_edge_litert", "MNN", "executorch", "coremltools"}
WORKSHOP = {"cv2", "matplotlib", "pandas", "scipy", "av", "rich", "tyro", "supervision", "huggingface_hub", "fastapi"}
HEAVY = ENGINES | WORKSHOP


def loaded_by(code: str) -> tuple[set[str], float]:
    """The packages that some code imports, in a Python of its own, and the seconds that it takes."""
    timed = f"import sys, time; start = time.perf_counter(); {code}; print(time.perf_counter() - start, *sys.modules)"
    out = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True).stdout.split()
    return {name.split(".")[0] for name in out[1:]}, float(out[0])


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import posewright", set()),
        ("from posewright import Poses, Skeleton, Similarity, PosewrightError", {"numpy"}),
        ("from posewright import load, Predictor", {"numpy"}),
        ("from posewright.runtime import read_info; from posewright.runtime.names import find_model", {"numpy"}),
        ("from posewright.hub import address; import posewright.bridges, posewright.notebook", {"numpy"}),
    ],
)
def test_what_is_imported_is_light(code, allowed):
    found, seconds = loaded_by(code)
    print(f"{code}: {seconds:.3f} s")  # shown with pytest -s; machines differ too much to hold it to a number
    assert "posewright" in found
    assert found & (HEAVY | {"numpy"}) <= allowed, sorted(found & HEAVY)


def test_reading_a_description_starts_no_engine():
    code = "from posewright.runtime import read_info; from posewright.runtime.names import find_model as f"
    found, _ = loaded_by(f"{code}; read_info(f('hand'))")
    assert not found & HEAVY, sorted(found & HEAVY)


def test_running_a_model_loads_its_engine_and_no_other():
    code = "import numpy, posewright; posewright.load('hand')(numpy.zeros((40, 30, 3), numpy.uint8))"
    found, _ = loaded_by(code)
    assert found & ENGINES == {"onnxruntime"}
    assert not found & {"matplotlib", "pandas", "supervision", "huggingface_hub", "tyro", "rich"}
