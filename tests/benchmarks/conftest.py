"""The benchmarks and recipes are scripts beside the package: their folders must be found to import what they share."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("benchmarks", "zoo"):
    sys.path.append(str(Path(__file__).resolve().parents[2] / folder))
