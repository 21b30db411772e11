"""The scripts of a model's web page against the Python they mirror, run by node."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posewright.geometry import CropRule, keypoints_box
from posewright.tracking.filters import Measured
from posewright.tracking.one_euro import OneEuro
from posewright.tracking.track import BOX_MARGIN
from posewright.warp import warp


@pytest.fixture(scope="module")
def scripts(tmp_path_factory) -> Path:
    """The page's scripts where node takes them for modules, or a skip."""
    if shutil.which("node") is None:
        pytest.skip("the page's scripts are tested by node, which is not installed")
    folder = tmp_path_factory.mktemp("scripts")
    for file in (resources.files("posewright.web") / "site_page").iterdir():
        if file.name.endswith(".js"):
            (folder / file.name).write_bytes(file.read_bytes())
    (folder / "package.json").write_text('{"type": "module"}')
    return folder


def node(folder: Path, script: str, given: Any) -> Any:
    """What a script returns that imports from the page's; ``given`` is at hand as ``given``."""
    path = folder / "test.js"
    path.write_text(
        'import { readFileSync } from "node:fs";\n'
        'const given = JSON.parse(readFileSync(0, "utf8"));\n'
        f"{script}\n"
        "process.stdout.write(JSON.stringify(answer, (_, v) => Number.isNaN(v) ? null : v));\n"
    )
    done = subprocess.run(
        ["node", str(path)], input=json.dumps(given), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


CROPS = [
    (64, 48, None),
    (64, 48, [10.0, 5.0, 40.0, 33.0]),
    (301, 203, [-50.0, -50.0, 90.0, 90.0]),  # over a corner
    (301, 203, [290.0, 190.0, 600.0, 500.0]),
    (301, 203, [400.0, 400.0, 500.0, 500.0]),  # all outside
    (999, 751, None),  # reduced by six, with a rest at the far edge
    (999, 751, [700.0, 500.0, 1050.0, 800.0]),
    (2003, 1501, None),
    (1600, 1200, [100.5, 200.25, 900.75, 1000.0]),
]


def test_crops_are_those_of_python(scripts, tmp_path):
    rule, rng = CropRule((96, 64), 1.25), np.random.default_rng(0)
    cases, want = [], []
    for i, (width, height, box) in enumerate(CROPS):
        coarse = rng.integers(0, 256, (max(2, height // 7), max(2, width // 7), 3), dtype=np.uint8)
        smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
        picture = np.clip(smooth + rng.integers(-20, 21, smooth.shape), 0, 255).astype(np.uint8)
        (tmp_path / str(i)).write_bytes(picture.tobytes())
        cases.append({"width": width, "height": height, "box": box, "file": str(tmp_path / str(i))})
        want.append(warp(picture, rule.letterbox(width, height) if box is None else rule.similarity(box), rule))
    script = """
        import { cropMap } from "./geometry.js";
        import { crop } from "./warp.js";
        const answer = given.cases.map(({ width, height, box, file }) => {
          const data = readFileSync(file);
          const read = (x, y, w, h) => {
            if (x < 0 || y < 0 || w < 1 || h < 1 || x + w > width || y + h > height) throw new Error("read outside");
            const part = new Uint8ClampedArray(w * h * 4);
            for (let j = 0; j < h; j++) for (let i = 0; i < w; i++) for (let c = 0; c < 3; c++) {
              part[(j * w + i) * 4 + c] = data[((y + j) * width + x + i) * 3 + c];
            }
            return part;
          };
          return Array.from(crop(read, width, height, cropMap(box, width, height, given.rule), given.rule));
        });
    """
    found = node(scripts, script, {"cases": cases, "rule": rule.to_dict()})
    for case, crop, true in zip(cases, found, want, strict=True):
        apart = np.abs(np.array(crop).reshape(true.shape) - true.astype(int))
        # One level here and there, where single precision rounds the other way.
        assert apart.max() <= 1 and (apart > 0).mean() < 0.001, (case, apart.max(), apart.mean())
    assert len({true.tobytes() for true in want}) == len(CROPS)


def test_the_filter_is_that_of_python(scripts):
    rng = np.random.default_rng(1)
    steps, time = [], 100.0
    places = rng.uniform(0, 400, (5, 2))
    for i in range(60):
        time += float(rng.choice([1 / 30, 1 / 15, 0.2, 0.7]))
        places = places + rng.normal(0, 6, places.shape)
        score = np.where(rng.random(5) < 0.3, 0.01, 0.8)
        if i < 8:
            score[4] = 0.0  # not seen for a while
        steps.append(
            {"points": np.column_stack([places, score]).tolist(), "time": time, "size": float(rng.uniform(50, 300))}
        )
    script = """
        import { OneEuro } from "./one_euro.js";
        const filter = new OneEuro();
        const answer = given.map(({ points, time, size }) => filter.update(points, time, size));
    """
    found = node(scripts, script, steps)
    ours = OneEuro()
    for step, xy in zip(steps, found, strict=True):
        points = np.array(step["points"])
        seen = points[:, 2:] >= 0.05
        measured = Measured(step["time"], np.where(seen, points[:, :2], np.nan), np.zeros((5, 2, 2)), step["size"])
        want = ours.update(measured).xy
        got = np.array([[np.nan if v is None else v for v in point] for point in xy])
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-9, equal_nan=True)
    assert np.isnan(np.array(found[0][4], float)).all()


def test_the_numbers_are_those_of_python(scripts):
    from posewright.tracking import box, filters, one_euro, track

    script = """
        import * as follow from "./follow.js";
        import * as euro from "./one_euro.js";
        const answer = { ...follow, ...euro };
    """
    found = node(scripts, script, None)
    want = {n: getattr(one_euro, n) for n in ("CUTOFF", "BETA", "CUTOFF_OF_SPEED", "FORGET")}
    want |= {"BOX_MARGIN": track.BOX_MARGIN, "LOW": track.LOW, "LOOK": box.LOOK, "SEEN": filters.SEEN}
    assert {name: found[name] for name in want} == want


def test_the_next_box(scripts):
    rng = np.random.default_rng(2)
    points = np.column_stack([rng.uniform(0, 300, (6, 2)), [0.9, 0.5, 0.09, 0.2, 0.1, 0.0]])
    cases = [
        {"keypoints": points.tolist(), "presence": 0.9},
        {"keypoints": points.tolist(), "presence": 0.29},
        {"keypoints": np.column_stack([points[:, :2], [0.9, 0.9, 0, 0, 0, 0]]).tolist(), "presence": 1.0},
        {"keypoints": [[5.0, 5.0, 0.9]], "presence": 1.0},
    ]
    script = """
        import { nextBox } from "./follow.js";
        const answer = given.map(({ keypoints, presence }) => nextBox(keypoints, presence));
    """
    followed, low, few, one = node(scripts, script, cases)
    known = np.column_stack([points[:, :2], points[:, 2] >= 0.1])
    np.testing.assert_allclose(followed, keypoints_box(known, BOX_MARGIN))
    assert low is None and few is None
    assert one == [4.5, 4.5, 5.5, 5.5]
