"""Every preset at full size through every format whose packages are installed: does the file return what the net does?

``python benchmarks/format_parity.py`` takes minutes a preset; ``--presets hourglass_s2 cpm_hand --to onnx openvino`` a part
of it. The nets are untrained, their maps scaled until they have peaks; ``make test`` does the same with narrow nets.
Results are saved as they come (``--output``), and what is there already is not done again.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from posewright.cli.measured import size_on_disk
from posewright.errors import PosewrightError
from posewright.export.exporting import export
from posewright.export.targets import TARGETS
from posewright.files import write_text
from posewright.models.presets import preset_table
from posewright.reports.tables import print_table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from helpers.untrained import fresh

STACKS = 2
"""For the N of a preset's name."""


@dataclass(frozen=True)
class Args:
    """Hold every format against the net, at full size."""

    presets: tuple[str, ...] = ()
    """Names; all unless given."""
    to: tuple[str, ...] = ()
    """Formats; all that can be written and run here unless given."""
    size: int = 256
    """Side of the crops in pixels."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("format_parity.json")
    """Where the figures go."""


def main(args: Args) -> None:
    names = args.presets or tuple(row["name"].replace("{N}", str(STACKS)) for row in preset_table())
    formats = args.to or tuple(name for name, t in TARGETS.items() if t.installed and t.runs_here)
    done = json.loads(args.output.read_text()) if args.output.is_file() else {}
    for name in names:
        net = None
        for to in formats:
            if f"{name} {to}" in done:
                continue
            # The slim nets' maps are linear as published; the others need an activation to have a score at all.
            settings = {} if name.endswith("slim") else {"activation": "sigmoid"}
            net = net or fresh(name, (args.size, args.size), **settings)
            done[f"{name} {to}"] = _measured(net, to)
            write_text(args.output, json.dumps(done, indent=1))
            print(f"{name} {to}: {done[f'{name} {to}']}", flush=True)
    rows = []
    for key, found in done.items():
        name, to = key.split()
        row = {"preset": name, "format": to, "refused": found.get("refused", "")}
        row |= {
            "median px": found.get("median_px"),
            "99 % px": found.get("p99_px"),
            "most px": found.get("worst_px"),
            "maps": found.get("worst_map"),
        }
        rows.append(row | {"points": found.get("points"), "MB": found.get("MB"), "s to write": found.get("seconds")})
    print_table(rows, "Distance of keypoints, and of maps as a share of their largest value, from the net's.")


def _measured(net, to: str) -> dict:  # type: ignore[no-untyped-def]
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"m{TARGETS[to].format.ending}"
        try:
            report = export(net, path, to)
        except PosewrightError as error:
            return {"refused": str(error.what)}
        assert report is not None
        found = {name: value for name, value in asdict(report).items() if isinstance(value, int | float)}
        return found | {"MB": size_on_disk(path) / 1e6, "seconds": time.perf_counter() - begun}


if __name__ == "__main__":
    main(tyro.cli(Args, description=__doc__))
