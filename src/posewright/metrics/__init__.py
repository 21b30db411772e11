"""How good predictions are: PCK, NME and AUC with a named normaliser, errors in pixels, OKS. Needs numpy alone."""

from posewright.metrics.normalise import normaliser_lengths, parse_normaliser
from posewright.metrics.pck import PckResult, distances, normalised_distances, pck, pck_of_distances

__all__ = [
    "PckResult",
    "distances",
    "normalised_distances",
    "normaliser_lengths",
    "parse_normaliser",
    "pck",
    "pck_of_distances",
]
