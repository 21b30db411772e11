"""``posewright evaluate`` as it is typed, with a small real model file whose accuracy is known."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers.spots import STRIDE, picture_with_spots, spot_model
from posewright.annotations import Annotations, Image
from posewright.cli import main
from posewright.cli.evaluate import choose_split, held_out
from posewright.errors import PosewrightError
from posewright.geometry import CropRule
from posewright.runtime.modelfile import ModelInfo
from posewright.skeleton import Normaliser, Skeleton

SKELETON = Skeleton(
    "lamp", ("red", "green", "blue"), links=((0, 1), (1, 2)), normaliser=Normaliser("segment", ("red", "blue"))
)
SIZE = (160, 120)


def lamp_model(path, skeleton=SKELETON):
    """A model file that finds the centre of the red, the green and the blue light."""
    rule, outputs = CropRule((96, 96)), ("keypoints", "presence", "heatmaps")
    return spot_model(path, size=rule.size, outputs=outputs, info=ModelInfo(skeleton, rule, STRIDE, "spots", outputs))


def lamp_set(folder, count=6, seed=0):
    """Pictures with a red, a green and a blue light, and COCO labels; the last picture is empty."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for i in range(count + 1):
        points = rng.uniform((20, 20), (SIZE[0] - 20, SIZE[1] - 20), (3, 2)).round(2)
        points[2] = points[0] + [30, 40] if points[0, 0] < 80 else points[0] - [30, -40]
        points = np.clip(points, 2, np.array(SIZE) - 3)
        there = points if i < count else np.full((3, 2), np.nan)
        picture = picture_with_spots(*SIZE, there.tolist(), sigma=4.0)
        if i < count:
            low, high = points.min(0) - 6, points.max(0) + 6
            annotations.append(
                {
                    "id": i + 1,
                    "image_id": i + 100,
                    "num_keypoints": 3,
                    "category_id": 1,
                    "keypoints": np.column_stack([points, [2, 2, 1 if i == 0 else 2]]).ravel().tolist(),
                    "bbox": [*low, *(high - low)],
                    "area": float((high - low).prod()),
                    "iscrowd": 0,
                }
            )
        name = f"lamp_{i}.png"
        cv2.imwrite(str(folder / "images" / name), picture[..., ::-1])
        images.append({"id": i + 100, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
    category = SKELETON.to_coco()
    labels = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "labels.json").write_text(json.dumps(labels))
    return folder / "labels.json"


@pytest.fixture
def one_thread():
    """A net this small is faster on one thread, many times so where other work keeps the cores busy."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield torch
    torch.set_num_threads(before)


@pytest.fixture
def place(tmp_path, monkeypatch):
    lamp_set(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def figures(path="figures.json"):
    return json.loads(Path(path).read_text())


def as_results(labels, shift=(0.0, 0.0)):
    rows = []
    for a in json.loads(Path(labels).read_text())["annotations"]:
        points = np.array(a["keypoints"], float).reshape(-1, 3)
        points[:, :2] += np.array(shift) * (points[:, 2:] > 0)
        points[:, 2] = points[:, 2] > 0
        row = {"image_id": a["image_id"], "category_id": 1, "keypoints": points.ravel().tolist(), "score": 1.0}
        rows.append(row)
    return rows


@pytest.mark.parametrize("options", [[], ["--flip"], ["--batch-size", "1"]])
def test_a_good_model_is_found_good(place, capsys, options):
    lamp_model(place / "lamp.onnx")
    assert main(["evaluate", "lamp.onnx", "labels.json", "--json", "figures.json", *options]) == 0
    got = figures()
    assert (got["n_images"], got["n_objects"], got["n_keypoints"]) == (7, 6, 18)
    assert got["metrics"]["PCK@0.05"] == 1
    assert got["metrics"]["mean_error_px"] < 0.3
    assert got["normaliser"] == "segment (red to blue)"
    assert set(got["by_keypoint"]) == {"red", "green", "blue"}
    said = capsys.readouterr().out
    assert "all pictures of labels.json" in said
    assert "PCK@0.2" in said
    assert "Next: posewright predict lamp.onnx" in said


def test_the_folder_it_leaves(place):
    lamp_model(place / "lamp.onnx")
    assert main(["evaluate", "lamp.onnx", "labels.json", "-o", "out", "--save-pictures"]) == 0
    names = sorted(p.name for p in (place / "out").iterdir())
    assert names == ["keypoints.png", "pck_curve.png", "pictures", "report.html", "results.json", "worst.jpg"]
    drawn = sorted((place / "out" / "pictures").iterdir())
    assert [p.name for p in drawn] == [f"lamp_{i}.jpg" for i in range(6)]
    before, after = cv2.imread(str(place / "images" / "lamp_0.png")), cv2.imread(str(drawn[0]))
    assert after.shape == before.shape
    assert (after.max(2) > 60).sum() > 1.5 * (before.max(2) > 60).sum()
    page = (place / "out" / "report.html").read_text()
    assert "Evaluation of lamp" in page
    assert page.count("data:image") == 3


def test_its_own_results_evaluate_to_the_same_figures(place):
    lamp_model(place / "lamp.onnx")
    assert main(["evaluate", "lamp.onnx", "labels.json", "--json", "a.json"]) == 0
    assert main(["evaluate", "evaluation/lamp/results.json", "labels.json", "--json", "b.json"]) == 0
    a, b = figures("a.json"), figures("b.json")
    assert a["metrics"] == pytest.approx(b["metrics"], abs=2e-3)
    assert not (place / "evaluation" / "results" / "results.json").exists()  # nothing new to write


def test_the_official_tool_takes_its_results(place):
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    lamp_model(place / "lamp.onnx")
    assert main(["evaluate", "lamp.onnx", "labels.json", "-o", "out"]) == 0
    truth = coco.COCO("labels.json")
    official = COCOeval(truth, truth.loadRes("out/results.json"), "keypoints")
    official.params.kpt_oks_sigmas = np.full(3, 0.05)
    official.evaluate()
    official.accumulate()
    official.summarize()
    assert official.stats[0] > 0.9  # AP


def test_a_checkpoint_is_measured_by_its_own_net(place, one_thread):
    """Its figures are those of crops put through the unfused net by hand."""
    torch = one_thread
    from posewright.annotations import read_annotations
    from posewright.media.pictures import read_picture
    from posewright.metrics import evaluate
    from posewright.models.checkpoint import Checkpoint, save_checkpoint
    from posewright.models.heatmaps import decode
    from posewright.models.presets import build_net, preset
    from posewright.warp import warp

    torch.manual_seed(0)
    net = build_net(preset("hourglass_s1_mobile_tiny"), len(SKELETON)).eval()
    rule = CropRule((64, 64))
    save_checkpoint(Checkpoint(net, SKELETON, rule, "hourglass_s1_mobile_tiny"), place / "net.safetensors")
    assert main(["evaluate", "net.safetensors", "labels.json", "--json", "figures.json"]) == 0

    truth = read_annotations("labels.json")
    expected = []
    for i, box in enumerate(truth.boxes):
        to_crop = rule.similarity(box)
        crop = warp(read_picture(truth.image_path(int(truth.image[i]))), to_crop, rule)
        with torch.inference_mode():
            found = decode(net(torch.from_numpy(crop)[None])[:, -1, :3], net.config.stride)[0]
        expected.append(to_crop.inverse().apply(found[:, :2].double().numpy()))
    by_hand = evaluate(np.array(expected), truth).to_json()
    assert figures()["metrics"] == pytest.approx(by_hand["metrics"], abs=1e-3)
    assert figures()["metrics"]["mean_error_px"] > 5  # an untrained net: not zero by accident


def test_results_of_another_tool(place, capsys):
    (place / "r.json").write_text(json.dumps(as_results("labels.json", (3, 4))[1:]))
    options = ["--normaliser", "fixed:5", "--thresholds", "0.9,1.1", "--json", "figures.json"]
    assert main(["evaluate", "r.json", "labels.json", *options]) == 0
    got = figures()
    assert got["metrics"]["mean_error_px"] == pytest.approx(5)
    assert got["metrics"]["PCK@0.9"] == 0
    assert got["metrics"]["PCK@1.1"] == pytest.approx(15 / 18, abs=1e-6)
    assert got["n_missing"] == 1
    assert "1 of 6 objects have no prediction" in capsys.readouterr().out


def test_average_precision_takes_every_detection(place, capsys):
    """A spare detection that scores higher than the right one costs AP, though PCK does not see it."""
    rows = as_results("labels.json")
    for row in as_results("labels.json", (60, 0)):
        rows.append(row | {"score": 2.0})
    (place / "r.json").write_text(json.dumps(rows))
    assert main(["evaluate", "r.json", "labels.json", "--sigmas", "0.05", "--json", "figures.json"]) == 0
    got = figures()
    assert got["metrics"]["PCK@0.1"] == 1
    assert got["metrics"]["AP"] == pytest.approx(0.5, abs=1e-6)
    assert got["metrics"]["AR"] == 1
    assert any("12 detections on 7 pictures for 6 objects" in line for line in got["conventions"])
    assert "AP 0.500, AP50 0.500" in capsys.readouterr().out
    assert main(["evaluate", "r.json", "labels.json", "--json", "figures.json"]) == 0
    assert "AP" not in figures()["metrics"]


def test_a_model_has_an_average_precision_too(place):
    """That of its own results file."""
    lamp_model(place / "lamp.onnx")
    assert main(["evaluate", "lamp.onnx", "labels.json", "--sigmas", "0.05,0.06,0.07", "--json", "a.json"]) == 0
    results = "evaluation/lamp/results.json"
    assert main(["evaluate", results, "labels.json", "--sigmas", "0.05,0.06,0.07", "--json", "b.json"]) == 0
    a, b = figures("a.json")["metrics"], figures("b.json")["metrics"]
    assert a["AP"] > 0.9
    assert {n: a[n] for n in ("AP", "AR")} == pytest.approx({n: b[n] for n in ("AP", "AR")}, abs=1e-6)


def test_the_table_of_the_hourglass_system(place, capsys):
    (place / "r.json").write_text(json.dumps(as_results("labels.json")))
    assert main(["evaluate", "r.json", "labels.json", "--protocol", "hourglass", "--json", "figures.json"]) == 0
    got = figures()["protocol"]
    assert (got["name"], got["PCK"], got["n"]) == ("hourglass PCK", 1, 18)
    assert "in heatmap cells of a 256 x 256 input: distance < 3.2 cells" in capsys.readouterr().out
    assert "hourglass PCK" in (place / "evaluation" / "r" / "report.html").read_text()
    lamp_model(place / "lamp.onnx")
    assert main(["evaluate", "lamp.onnx", "labels.json", "--protocol", "hourglass", "--json", "figures.json"]) == 0
    assert (figures()["protocol"]["input_size"], figures()["protocol"]["PCK"]) == ([96, 96], 1)


def test_hidden_keypoints_can_be_left_out(place):
    (place / "r.json").write_text(json.dumps(as_results("labels.json")))
    assert main(["evaluate", "r.json", "labels.json", "--visible-only", "--json", "figures.json"]) == 0
    assert figures()["n_keypoints"] == 17


def test_results_need_no_pictures(place):
    (place / "r.json").write_text(json.dumps(as_results("labels.json")))
    for picture in (place / "images").iterdir():
        picture.unlink()
    assert main(["evaluate", "r.json", "labels.json", "-o", "out"]) == 0
    assert not (place / "out" / "worst.jpg").exists()
    assert "lamp_0.png: does not exist" in (place / "out" / "report.html").read_text()
    assert main(["evaluate", "r.json", "labels.json", "-o", "out2", "--save-pictures"]) == 2
    assert not (place / "out2").exists()


def test_limit_measures_on_fewer_pictures_and_says_so(place, capsys):
    (place / "r.json").write_text(json.dumps(as_results("labels.json")))
    assert main(["evaluate", "r.json", "labels.json", "--limit", "3", "--json", "figures.json"]) == 0
    assert figures()["n_images"] == 3
    said = capsys.readouterr().out
    assert "3 pictures, spread evenly over all pictures" in said
    assert "4 results are for pictures outside" in said


def test_skip_bad_goes_on_and_lists(place, capsys):
    lamp_model(place / "lamp.onnx")
    (place / "images" / "lamp_1.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (place / "images" / "lamp_2.png").unlink()
    assert main(["evaluate", "lamp.onnx", "labels.json", "-o", "out"]) == 2
    assert not (place / "out").exists()
    capsys.readouterr()
    options = ["--skip-bad", "--save-pictures", "--json", "figures.json"]
    assert main(["evaluate", "lamp.onnx", "labels.json", "-o", "out", *options]) == 0
    said = capsys.readouterr().out
    assert figures()["n_objects"] == 4
    assert figures()["metrics"]["PCK@0.05"] == 1
    for name in ("lamp_1.png", "lamp_2.png"):
        assert any(name in line for line in said.splitlines() if line.startswith("left out: "))
        assert name in (place / "out" / "report.html").read_text()
    assert len(list((place / "out" / "pictures").iterdir())) == 4


def bad_labels(text):
    return lambda place: (place / "labels.json").write_text(text)


def bad_results(text):
    return lambda place: (place / "r.json").write_text(text)


@pytest.mark.parametrize(
    ("prepare", "arguments", "complaint"),
    [
        (None, ["none.onnx", "labels.json"], "none.onnx: does not exist"),
        (None, ["lamp.onnx", "none.json"], "none.json: does not exist"),
        (None, ["none.json", "labels.json"], "none.json: No such file"),
        (None, ["lamp.onnx", "labels.json", "--split", "test"], "has no split 'test'; it has no splits"),
        (None, ["lamp.onnx", "labels.json", "--thresholds", "0.1,high"], "thresholds '0.1,high' are not numbers"),
        (None, ["lamp.onnx", "labels.json", "--thresholds", "0"], "each must be above 0"),
        (None, ["lamp.onnx", "labels.json", "--thresholds", "nan"], "each must be above 0"),
        (None, ["lamp.onnx", "labels.json", "--normaliser", "bx"], "unknown normaliser 'bx'. Did you mean 'box'"),
        (None, ["lamp.onnx", "labels.json", "--normaliser", "segment:red,bleu"], "Did you mean 'blue'"),
        (None, ["lamp.onnx", "labels.json", "--normaliser", "head"], "no object has a head size"),
        (None, ["lamp.onnx", "labels.json", "--sigmas", "0.1,0.2"], "--sigmas has 2 numbers; give one, or 3"),
        (None, ["lamp.onnx", "labels.json", "--sigmas", "wide"], "sigmas 'wide' are not numbers"),
        (None, ["lamp.onnx", "labels.json", "--sigmas", "-1"], "each must be above 0"),
        (None, ["lamp.onnx", "labels.json", "--protocol", "mpii"], "needs MPII's joints; 'lamp' lacks"),
        (None, ["lamp.onnx", "labels.json", "--limit", "0"], "--limit below 1"),
        (None, ["lamp.onnx", "labels.json", "--batch-size", "0"], "batch size must be at least 1"),
        (None, ["lamp.onnx", "labels.json", "--device", "abacus"], "unknown device 'abacus'"),
        (None, ["lamp.onnx", "labels.json", "--format", "cocoo"], "Did you mean 'coco'"),
        (None, ["lamp.onnx", "labels.json", "--images", "none"], "none: is no folder"),
        (None, ["other.onnx", "labels.json"], "does not find 'blue', which the labels ('lamp') have"),
        (None, ["broken.onnx", "labels.json"], "broken.onnx: "),
        (None, ["lamp.onnx", "labels.json", "-o", "labels.json"], "cannot be written"),
        (bad_labels("{"), ["lamp.onnx", "labels.json"], "labels.json: "),
        (bad_labels('{"images": [], "annotations": []}'), ["lamp.onnx", "labels.json"], "labels.json: "),
        (bad_results("[]"), ["r.json", "labels.json", "--flip"], "--flip, --device and --batch-size need a model"),
        (bad_results("[1]"), ["r.json", "labels.json"], "r.json: result 0: has no image_id"),
        (bad_results("{}"), ["r.json", "labels.json"], "not COCO results"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(place, capsys, prepare, arguments, complaint):
    lamp_model(place / "lamp.onnx")
    lamp_model(place / "other.onnx", Skeleton("other", ("red", "green", "violet")))
    (place / "broken.onnx").write_bytes((place / "lamp.onnx").read_bytes()[:500])
    if prepare:
        prepare(place)
    before = sorted(p.name for p in place.iterdir())
    assert main(["evaluate", *arguments]) == 2
    said = capsys.readouterr()
    assert complaint in said.err
    assert len(said.err.strip().splitlines()) == 1
    assert sorted(p.name for p in place.iterdir()) == before


def three(*splits):
    images = [Image(f"{i}.png", split=s) for i, s in enumerate(splits)]
    n = len(images)
    return Annotations(SKELETON, images, np.arange(n), np.full((n, 3, 3), 2.0), np.tile([0.0, 0, 9, 9], (n, 1)))


@pytest.mark.parametrize(
    ("splits", "wanted", "paths", "words"),
    [
        ((None, None), None, ["0.png", "1.png"], "all pictures"),
        (("train", "val", "val"), None, ["1.png", "2.png"], "the val split"),
        (("train", "val", "val"), "train", ["0.png"], "the train split"),
        (("train", "val"), "all", ["0.png", "1.png"], "all splits (train, val)"),
        (("train", "test"), None, ["0.png", "1.png"], "all splits (test, train)"),
        (("train", "test"), "test", ["1.png"], "the test split"),
    ],
)
def test_which_part_is_measured(splits, wanted, paths, words):
    got, said = choose_split(three(*splits), wanted, None)
    assert ([im.path for im in got.images], said) == (paths, words)


def test_a_part_that_is_not_there():
    with pytest.raises(PosewrightError, match="has no split 'val'; its splits are test, train"):
        choose_split(three("train", "test"), "val", None)


def test_a_run_is_measured_on_what_it_held_out(place, capsys):
    """The same pictures that training validated on, though the labels themselves know no splits."""
    pytest.importorskip("yaml")
    from posewright.annotations import read_annotations
    from posewright.training.config import TrainConfig

    config = TrainConfig(data="labels.json", val_share=0.4, seed=3)
    (place / "run").mkdir()
    config.save(place / "run" / "config.yaml")
    lamp_model(place / "run" / "model.onnx")
    trained = read_annotations("labels.json").with_validation(config.val_share, config.seed)
    for part in ("train", "val"):
        expected = [im.path for im in trained.of_split(part).images]
        held = held_out("run/model.onnx", place / "labels.json")
        assert [im.path for im in choose_split(read_annotations("labels.json"), part, held)[0].images] == expected
    assert main(["evaluate", "run", "labels.json", "--json", "figures.json"]) == 0
    assert figures()["n_images"] == len(trained.of_split("val").images) < 7
    assert "the val split (what this run held out) of labels.json" in capsys.readouterr().out
    assert (place / "run" / "evaluation" / "report.html").is_file()
    assert held_out("run", place / "other.json") is None
    assert held_out("hand", place / "labels.json") is None
    own, _ = choose_split(three("train", "val"), None, held)
    assert [im.path for im in own.images] == ["1.png"]  # splits of the labels' own go first


def test_help_shows_examples(capsys):
    with pytest.raises(SystemExit) as done:
        main(["evaluate", "--help"])
    assert done.value.code == 0
    said = capsys.readouterr().out
    assert "posewright evaluate runs/mine labels.json" in said
    assert "--normaliser" in said


# -- real labels -----------------------------------------------------------------------------------------------------


@pytest.fixture
def coco(shared_data):
    found = sorted((shared_data / "formats" / "coco").rglob("*.json"))
    keypoints = [p for p in found if "keypoints" in json.loads(p.read_text())["categories"][0]]
    assert keypoints
    return keypoints[0]


def test_real_labels_as_results_are_perfect_and_a_shift_is_exact(coco, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [r for r in as_results(coco) if any(r["keypoints"])]
    labelled = sum(sum(v > 0 for v in r["keypoints"][2::3]) for r in rows)
    Path("r.json").write_text(json.dumps(rows[::-1]))
    assert main(["evaluate", "r.json", str(coco), "--split", "all", "--json", "figures.json", "-o", "out"]) == 0
    got = figures()
    assert (got["n_keypoints"], got["n_missing"]) == (labelled, 0)
    assert (got["metrics"]["PCK@0.05"], got["metrics"]["mean_error_px"], got["metrics"]["NME"]) == (1, 0, 0)
    Path("r.json").write_text(json.dumps(as_results(coco, (0.6, -0.8))))
    assert main(["evaluate", "r.json", str(coco), "--split", "all", "--json", "figures.json", "-o", "out"]) == 0
    got = figures()
    assert got["metrics"]["mean_error_px"] == pytest.approx(1, abs=1e-6)
    assert got["metrics"]["median_error_px"] == pytest.approx(1, abs=1e-6)
