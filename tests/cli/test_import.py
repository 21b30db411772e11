"""``posewright import``: from an old file to a folder that every command takes."""

from __future__ import annotations

import json
import os
import pickle

import numpy as np
import onnxruntime
import pytest
import torch

pytest.importorskip("h5py", reason="h5py is not installed: pip install 'posewright[legacy]'")

from helpers.keras_files import keras_layers, old_name, random_net, write_keras
from posewright.cli import main
from posewright.legacy.importer import import_weights
from posewright.media.pictures import write_picture
from posewright.models.checkpoint import load_checkpoint
from posewright.runtime.modelfile import read_info


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A run imported on the command line from a file with old names, and the net that the file was written from."""
    folder = tmp_path_factory.mktemp("import")
    net = random_net(stacks=1)  # exporting more takes long; other tests read every kind of file
    old = write_keras(folder / "old.h5", keras_layers(net), size=(64, 96), rename=old_name)
    (folder / "my_classes.txt").write_text("left_eye\nright_eye\nnose\n")
    names = ["--skeleton", str(folder / "my_classes.txt")]
    assert main(["import", str(old), "-o", str(folder / "run"), *names]) == 0
    return folder, net


def test_the_run_holds_the_net_and_all_that_the_system_did_around_it(imported):
    folder, net = imported
    assert sorted(p.name for p in (folder / "run").iterdir()) == ["model.onnx", "model.safetensors"]
    checkpoint, info = load_checkpoint(folder / "run" / "model.safetensors"), read_info(folder / "run" / "model.onnx")
    assert checkpoint.skeleton.keypoints == info.skeleton.keypoints == ("left_eye", "right_eye", "nose")
    assert (info.crop.size, info.crop.margin, info.crop.border, info.crop.reduce_above) == ((96, 64), 1.25, 0, 2)
    assert (info.label_shift, info.decoding, info.preset) == ((1, 1), "gaussian", "hourglass_s1")
    assert "terms" in info.terms
    image = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    session = onnxruntime.InferenceSession(str(folder / "run" / "model.onnx"), providers=["CPUExecutionProvider"])
    (maps,) = session.run(["heatmaps"], {"image": image})
    with torch.no_grad():
        wanted = net(torch.from_numpy(image)).numpy()
    assert maps.shape == (2, 1, 3, 16, 24)
    assert np.abs(maps - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_predict_runs_it_on_a_picture(imported, tmp_path, capsys):
    folder, _ = imported
    write_picture(tmp_path / "photo.png", np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8))
    for more in ([], ["--flip"]):
        args = ["predict", str(folder / "run"), str(tmp_path / "photo.png"), "-o", str(tmp_path / "out"), *more]
        assert main(args) == 0
        record = json.loads((tmp_path / "out" / "photo.jsonl").read_text().splitlines()[0])
        assert np.isfinite(np.array(record["poses"][0]["keypoints"])).all()
    assert "Next, to measure it" in capsys.readouterr().out


def test_what_it_says(imported, tmp_path, capsys, monkeypatch):
    folder, _ = imported
    # What is written has been looked at above; here it is only about the words.
    monkeypatch.setattr("posewright.export.exporting.export_onnx", lambda checkpoint, path: path.write_bytes(b"x"))
    run = tmp_path / "run"
    assert main(["import", str(folder / "old.h5"), "-o", str(run), "--as-published", "--input-size", "128"]) == 0
    out = capsys.readouterr().out
    for fact in (
        "hourglass_s1, 0.0",
        "3 (imported-3)",
        "128x128 RGB, heat maps at stride 4",
        "box x 1.25, border 0",
        "as published (argmax, to whole pixels)",
        "The file does not name its 3 keypoints: called keypoint_1 and so on. --skeleton names them.",
        f"Next: posewright predict {run} PICTURES -o out",
    ):
        assert fact in out, fact
    assert load_checkpoint(run / "model.safetensors").net.config.decoding == "argmax"
    # An earlier import is replaced; a folder with anything else in it is left alone.
    assert main(["import", str(folder / "old.h5"), "-o", str(run), "--margin", "1.5", "--net", "background=false"]) == 0
    assert "less the labels' shift of +1, +1 cells" in capsys.readouterr().out
    assert load_checkpoint(run / "model.safetensors").rule.margin == 1.5
    (run / "notes.txt").write_text("mine")
    assert main(["import", str(folder / "old.h5"), "-o", str(run)]) == 2
    assert capsys.readouterr().err == f"posewright: {run}: holds other things, such as notes.txt. Give another -o\n"
    assert (run / "notes.txt").read_text() == "mine"


class Hostile:
    def __reduce__(self):
        return os.system, ("touch witness",)


BAD = {
    "nothing there": (None, "does not exist"),
    "no such kind": (b"hello, I am a text", "is of no kind that can be imported"),
    "a zip": (b"PK\x03\x04" + bytes(40), "is a zip archive. If it is a Keras archive, save it from Keras as .h5"),
    "code": (pickle.dumps({"conv1_1": Hostile()}, 2), "posix.system, which no array needs; nothing of it was run"),
    "arrays missing": (pickle.dumps({"conv4_7_CPM": np.ones(3)}), "lacks conv1_1, conv1_1_b, conv1_2, conv1_2_b and"),
    "another pickle": (pickle.dumps({"w": np.ones(3)}), "neither conv4_7_CPM (a body net's) nor conv5_3_CPM"),
}


@pytest.mark.parametrize(
    "case", [*BAD, "layers missing", "cut short", "another net", "wrong size", "wrong names", "full"]
)
def test_what_cannot_be_used_is_one_line_and_leaves_nothing(case, imported, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old, more = tmp_path / "old.h5", []
    layers = keras_layers(random_net(stacks=1))
    if case in BAD:
        data, says = BAD[case]
        if data is not None:
            old.write_bytes(data)
    elif case == "layers missing":
        write_keras(old, layers, leave_out=("hg0_upsample_f2_merged_conv_3x3_2",))
        says = "lacks layer hg0_upsample_f2_merged_conv_3x3_2"
    elif case == "cut short":
        old.write_bytes((imported[0] / "old.h5").read_bytes()[:-2000])
        says = "is no whole HDF5 file; it was damaged or cut short"
    elif case == "another net":
        old = imported[0] / "run" / "model.safetensors"
        says = "is of no kind that can be imported"
    elif case == "wrong size":
        write_keras(old, layers)
        more, says = ["--input-size", "70x70"], "does not fit the net. Use multiples of 32"
    elif case == "wrong names":
        write_keras(old, layers)
        more, says = ["--skeleton", "coco-17"], "its net finds 3 keypoints; skeleton 'coco-17' has 17"
    elif case == "full":
        write_keras(old, layers)

        def full(*_args):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("posewright.export.exporting.export_onnx", full)
        says = "no space left on the device"
    assert main(["import", str(old), "-o", str(tmp_path / "run"), *more]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"posewright: {tmp_path / 'run' if case == 'full' else ''}")
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert {p.name for p in tmp_path.iterdir()} <= {"old.h5"}


# -- the files of the real systems ------------------------------------------------------------------------------------

REAL = {
    "hg_s1_mobile_tiny_192_k14": "hourglass_s1_mobile_tiny",
    "hg_s2_tiny_256_k16_weights": "hourglass_s2_tiny",
    "cpm_hand_128_s3_seed7": "cpm_hand_s3",
    "cpm_body_128_s3_seed9": "cpm_body_s3",
}
"""Name of the weights and the original code's true outputs in the shared data, and the preset that is found."""


@pytest.fixture(scope="session", params=REAL)
def real(request, shared_data, tmp_path_factory):
    """(weights, what the original code returns for a picture, name of the preset)."""
    import runpy

    folder, name = shared_data / "legacy", request.param
    old = folder / f"{name}.h5"
    if name.startswith("cpm"):
        _, layout, _, stages, seed = name.split("_")
        make = runpy.run_path(str(folder / "legacy_cpm_pkl.py"))["arrays"]
        arrays = make(layout, int(stages[1:]), {"hand": 21, "body": 14}[layout], int(seed[4:]))
        old = tmp_path_factory.mktemp("real") / f"{name}.pkl"
        old.write_bytes(pickle.dumps(arrays, protocol=2))
    return old, dict(np.load(folder / f"{name}_io.npz")), REAL[name]


@pytest.mark.slow
def test_the_model_file_returns_what_the_original_code_returns(real, tmp_path):
    old, true, preset = real
    height, width = true["image"].shape[:2]
    assert main(["import", str(old), "-o", str(tmp_path), "--input-size", f"{height}x{width}"]) == 0
    assert read_info(tmp_path / "model.onnx").preset == preset
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    (maps,) = session.run(["heatmaps"], {"image": true["image"][None]})
    stages = [true[name].transpose(2, 0, 1) for name in sorted(true) if name.startswith("sta")]
    assert maps.shape == (1, len(stages), *stages[0].shape)
    for found, wanted in zip(maps[0], stages, strict=True):
        assert np.abs(found - wanted).max() < 1e-4 * np.abs(wanted).max()


def test_a_real_whole_models_batch_norms_are_numbered_as_they_are_connected(shared_data):
    """What weights alone leave to the numbers is what a whole model says."""
    from dataclasses import replace

    from posewright.legacy.hourglass import import_hourglass
    from posewright.legacy.keras_h5 import read_keras

    file = read_keras(shared_data / "legacy" / "hg_s1_mobile_tiny_192_k14.h5")
    assert file.size == (192, 192)
    told, counted = (import_hourglass(f).state_dict() for f in (file, replace(file, before={})))
    assert all(torch.equal(told[name], counted[name]) for name in told)
    assert import_weights(file.path).checkpoint.rule.size == (192, 192)
