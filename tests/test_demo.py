"""The demo, made small: every step of the road runs and leaves what it says."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from posewright.demo import REPORT, DemoConfig, run_demo
from posewright.training.config import TrainConfig


@dataclass(frozen=True)
class Tiny(DemoConfig):
    def training(self, folder: Path) -> TrainConfig:
        return replace(super().training(folder), input_size="64", net=("channels=16",), batch_size=8, threads=1)


def test_a_small_demo_and_one_that_goes_on(tmp_path):
    folder, said = tmp_path / "demo", []
    done = run_demo(folder, Tiny(pictures=40, epochs=1), said.append)
    assert 0 <= done.pck <= 1
    assert [line[:3] for line in said if line[1:3] == "/5"] == ["1/5", "2/5", "3/5", "4/5", "5/5"]
    for name in ("run/model.onnx", "run/model.safetensors", "run/curves.png", "evaluation/report.html", "overlays.jpg"):
        assert (folder / name).stat().st_size > 500, name
    assert len(list((folder / "overlays").glob("*.jpg"))) == 12
    page = (folder / REPORT).read_text(encoding="utf-8")
    assert f"{done.pck:.3f}" in page
    assert "data:video/mp4" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    # Broken off after training: what is there is used again, not made anew.
    (folder / REPORT).unlink()
    trained = (folder / "run" / "model.onnx").stat().st_mtime_ns
    again = run_demo(folder, Tiny(pictures=40, epochs=1), said.append)
    assert (folder / "run" / "model.onnx").stat().st_mtime_ns == trained
    assert again.pck == done.pck
