"""Finding labels that are probably wrong: what a model and the other labels say of each, as one likelihood ratio."""

from __future__ import annotations

from posewright.audit.findings import KINDS, Audited, Finding, audit
from posewright.audit.mend import mended, weighed

__all__ = ["KINDS", "Audited", "Finding", "audit", "mended", "weighed"]
