"""``posewright models``."""

from __future__ import annotations

import shutil
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
        from posewright.models.locator_presets import locator_table
        from posewright.models.presets import preset_table
        from posewright.reports.tables import print_table
        from posewright.runtime.modelfile import read_info
        from posewright.runtime.names import VARIABLE, shipped_models

        rows, notes = [], []
        for name, entry in shipped_models().items():
            try:
                info = read_info(entry.model)
            except PosewrightError as error:
                notes.append(f"{name} cannot be used: {error}")
                continue
            rows.append(
                {
                    "name": name,
                    "finds": f"{len(info.skeleton)} keypoints" if info.kind == "keypoints" else "boxes",
                    "of": info.skeleton.name,
                    "input": info.size_text,
                    "preset": info.preset,
                    "MB": f"{entry.model.stat().st_size / 1e6:.1f}",
                    "measured": "\n".join(f"{metric} {_figure(of)}" for metric, of in info.metrics.items()),
                }
            )
            trained = f"trained on {'; '.join(info.training_data)}. " if info.training_data else ""
            notes.append(f"{name}: {trained}{info.terms or 'No terms stated.'} ({entry.model})")
        if rows:
            print_table(rows, "Shipped models: any command takes them by name.")
        else:
            print(f"No shipped model is installed here. {VARIABLE} can name a folder of them.")
        for note in notes:
            print(textwrap.fill(note, min(shutil.get_terminal_size().columns, 120), subsequent_indent="  "))
        print_table(preset_table(), "Presets for posewright train --model.")
        print_table(locator_table(), "Presets for posewright train-locator --model.")
        if rows:
            print(f"Next: posewright predict {rows[0]['name']} PICTURES -o out")
        else:
            print("Next: posewright train --data LABELS -o runs/mine")
        return 0


def _figure(of: object) -> str:
    """A metric's value with the conventions it was measured by."""
    if not isinstance(of, dict):
        return str(of)
    value = of.get("value")
    rest = ", ".join(f"{k} {v}" for k, v in of.items() if k != "value" and v not in (None, ""))
    shown = f"{value:.3f}" if isinstance(value, float) else str(value)
    return f"{shown} ({rest})" if rest else shown
