"""``posewright models``."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """List the shipped models, which any command takes by name, and the presets that can be trained.

    Shipped models are looked for in the folders of POSEWRIGHT_MODELS, in the package, and in a source checkout's
    zoo/weights.

    examples:
      posewright models
      posewright predict hand photo.jpg
      posewright train --data labels.json --model hourglass_s2_tiny
    """

    def run(self) -> int:
        from posewright.errors import PosewrightError
        from posewright.models.presets import preset_table
        from posewright.reports.tables import print_table
        from posewright.runtime.modelfile import ModelInfo, read_info
        from posewright.runtime.names import VARIABLE, shipped_models

        def row(name: str, info: ModelInfo, size: int) -> dict[str, str]:
            return {
                "name": name,
                "skeleton": f"{info.skeleton.name} ({len(info.skeleton)})",
                "input": info.size_text,
                "preset": info.preset,
                "file": f"{size / 1e6:.1f} MB",
                "measured": "\n".join(f"{metric} {_figure(of)}" for metric, of in info.metrics.items()),
                "trained on": _wrapped("; ".join(info.training_data)),
                "terms": _wrapped(info.terms),
            }

        rows, broken = [], []
        shipped = shipped_models()
        for name, entry in shipped.items():
            try:
                rows.append(row(name, read_info(entry.model), entry.model.stat().st_size))
            except PosewrightError as error:
                broken.append(str(error))
        if rows:
            print_table(rows, "Shipped models: any command takes them by name")
        else:
            print(f"No shipped model is installed here. {VARIABLE} can name a folder of them.")
        for line in broken:
            print(f"not usable: {line}")
        print_table(preset_table(), "Presets for posewright train --model")
        if rows:
            print(f"Next: posewright predict {rows[0]['name']} PICTURES -o out")
        else:
            print("Next: posewright train --data LABELS --model hourglass_s1_tiny -o runs/mine")
        return 0


def _wrapped(text: str) -> str:
    return "\n".join(textwrap.wrap(text, 40))


def _figure(of: object) -> str:
    """A metric's value with the conventions it was measured by."""
    if not isinstance(of, dict):
        return str(of)
    value = of.get("value")
    rest = ", ".join(f"{k} {v}" for k, v in of.items() if k != "value" and v not in (None, ""))
    shown = f"{value:.3f}" if isinstance(value, float) else str(value)
    return f"{shown} ({rest})" if rest else shown
