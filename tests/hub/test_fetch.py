"""Models named by an address on the Hub: what is fetched, from where, and what is said where it cannot be.

The Hub here is a folder; that the real one answers like it is not tested.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import posewright
from helpers.fake_hub import FakeHub
from helpers.spots import picture_with_spots, spot_model
from posewright.cli import main
from posewright.errors import PosewrightError
from posewright.hub.address import Address, is_address, parse_address
from posewright.media.pictures import write_picture
from posewright.runtime.names import find_checkpoint, find_model

CENTRES = [(40.25, 30.5), (110.75, 52.25), (75.5, 88.0)]


@pytest.fixture
def hub(tmp_path, monkeypatch) -> FakeHub:
    fake = FakeHub(tmp_path / "hub", tmp_path / "cache").install(monkeypatch)
    spot_model(fake.folder / "ann/spots/model.onnx")
    (fake.folder / "ann/spots/model.safetensors").write_bytes(b"weights")
    (fake.folder / "ann/spots/pytorch_model.bin").write_bytes(b"\x80\x04 a pickle")
    for name in ("small.onnx", "parts/large.onnx", "parts/large.safetensors"):
        spot_model(fake.folder / "ann/zoo" / name)
    (fake.folder / "ann/words").mkdir()
    (fake.folder / "ann/words/README.md").write_text("nothing")
    return fake


def complaint(spec: str, call=find_model) -> str:
    with pytest.raises(PosewrightError) as caught:
        call(spec)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://ann/spots", Address("ann/spots")),
        ("hf://ann/spots/", Address("ann/spots")),
        ("hf://ann/spots@v1", Address("ann/spots", "v1")),
        ("hf://ann/spots/parts/a.onnx", Address("ann/spots", None, "parts/a.onnx")),
        ("hf://ann/spots@refs/pr/3/a.onnx", Address("ann/spots", "refs/pr/3", "a.onnx")),
        ("hf://ann/spots@refs%2Fpr%2F3", Address("ann/spots", "refs/pr/3")),
        (Path("hf://ann/spots@v1/a.onnx"), Address("ann/spots", "v1", "a.onnx")),
    ],
)
def test_addresses(text, address):
    assert is_address(text) and parse_address(text) == address
    assert parse_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "hf://ann",
        "hf://",
        "hf://ann/../x/y",
        "hf://ann/..",
        "hf://../ann",
        "hf://ann/spots/../../secret.onnx",
        "hf://ann/spots//etc/passwd.onnx",
        "hf://ann/sp ots",
        "hf://ann/spots@",
        "hf://-ann/spots",
    ],
)
def test_what_is_no_address(text, hub):
    assert complaint(text) and hub.asked == []


@pytest.mark.parametrize("text", ["hand", "runs/mine", "https://huggingface.co/a/b", "hfa/b", "/hf:/x"])
def test_other_names_are_none(text):
    assert not is_address(text)


def test_a_model_is_loaded_and_run(hub):
    model = posewright.load("hf://ann/spots")
    poses = model(picture_with_spots(160, 120, CENTRES, 3))
    assert np.abs(poses.xy[0] - CENTRES).max() < 0.5
    # The file that was listed, of the commit that was listed, and nothing else.
    assert hub.asked == [("model_info", "ann/spots", None), ("download", "ann/spots", "model.onnx", "0123abc")]


def test_commands_take_it(hub, tmp_path, capsys):
    picture = write_picture(tmp_path / "a.png", picture_with_spots(160, 120, CENTRES, 3))
    assert main(["predict", "hf://ann/spots@v1", str(picture), "-o", str(tmp_path / "out")]) == 0
    assert ("model_info", "ann/spots", "v1") in hub.asked
    assert "posewright evaluate hf://ann/spots@v1" in capsys.readouterr().out


def test_the_file_that_is_named(hub):
    assert find_model("hf://ann/zoo/parts/large.onnx").parts[-2:] == ("parts", "large.onnx")
    assert find_checkpoint("hf://ann/zoo/parts/large.onnx").name == "large.safetensors"
    assert find_model("hf://ann/zoo/parts/large.safetensors").name == "large.onnx"
    assert find_checkpoint("hf://ann/spots").read_bytes() == b"weights"


def test_what_is_not_there(hub):
    assert "hf://ann/none: there is no such repository, or it is private" in complaint("hf://ann/none")
    assert "has no revision 'v9'" in complaint("hf://ann/spots@v9")
    assert "holds no model file (*.onnx)" in complaint("hf://ann/words")
    said = complaint("hf://ann/zoo")
    assert "holds 2 model files. Name one, such as hf://ann/zoo/parts/large.onnx" in said
    said = complaint("hf://ann/zoo/big.onnx")
    assert "holds no big.onnx. Its model files: parts/large.onnx, small.onnx" in said
    assert "holds no small.safetensors" in complaint("hf://ann/zoo/small.onnx", find_checkpoint)


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt2", "model.pkl", "README.md"])
def test_nothing_that_could_run_is_fetched(hub, file):
    said = complaint(f"hf://ann/spots/{file}")
    assert "only *.onnx and *.safetensors are fetched from the Hub" in said and hub.asked == []


def test_a_name_that_would_lead_outside_is_not_fetched(hub, monkeypatch):
    bad = SimpleNamespace(siblings=[SimpleNamespace(rfilename="../../model.onnx")], sha="1")
    monkeypatch.setattr(hub, "model_info", lambda *a, **k: bad)
    assert "holds no model file" in complaint("hf://ann/spots")


def response(code: int):
    return SimpleNamespace(status_code=code, headers={}, request=None)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            lambda e: e.GatedRepoError("no", response=response(403)),
            "is gated. Accept its terms at https://huggingface.co/",
        ),
        (
            lambda e: e.HfHubHTTPError("no", response=response(401)),
            "the token is no longer good. Log in: hf auth login",
        ),
        (lambda e: e.HfHubHTTPError("no", response=response(403)), "the token that is logged in may not do this"),
        (lambda e: e.HfHubHTTPError("no", response=response(429)), "to come back later"),
        (lambda e: e.HfHubHTTPError("oops\nmore", response=response(500)), "the Hub answered 500: oops"),
        (lambda e: e.OfflineModeIsEnabled("off"), "the Hub cannot be reached. Check the network"),
        (lambda e: e.LocalTokenNotFoundError("no"), "nobody is logged in"),
        (lambda e: ConnectionError("refused"), "the Hub cannot be reached"),
        (lambda e: TimeoutError("slow"), "the Hub cannot be reached"),
    ],
)
def test_what_the_hub_refuses(hub, error, said):
    from huggingface_hub import errors

    hub.refuses = error(errors)
    text = complaint("hf://ann/spots")
    assert text.startswith("hf://ann/spots: ") and said in text


def test_no_network(hub, monkeypatch):
    """The errors of whichever package huggingface_hub talks through; a fetched file is found again without."""
    names = [name for name in ("httpx2", "httpx", "requests") if name in sys.modules]
    assert names
    hub.refuses = getattr(sys.modules[names[0]], "ConnectError", ConnectionError)("Name or service not known")
    assert "the Hub cannot be reached" in complaint("hf://ann/spots")
    hub.refuses = None
    first = find_model("hf://ann/spots")
    hub.refuses = TimeoutError()
    assert find_model("hf://ann/spots") == find_model("hf://ann/spots/model.onnx") == first
    assert "the Hub cannot be reached" in complaint("hf://ann/zoo/small.onnx")


def test_the_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    said = complaint("hf://ann/spots")
    assert "need huggingface_hub, which is not installed. pip install 'posewright[hub]'" in said


def test_a_file_on_the_hub_that_is_no_model(hub, capsys, tmp_path):
    (hub.folder / "ann/words/model.onnx").write_text("<html>not found</html>")
    assert main(["predict", "hf://ann/words", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "is not an ONNX model file" in error


def test_names_load_no_hub():
    code = "import sys, posewright.runtime.names; assert 'huggingface_hub' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
