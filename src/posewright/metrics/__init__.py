"""How good predictions are: PCK, NME and AUC with a named normaliser, errors in pixels, OKS. Needs numpy alone."""

from posewright.metrics.bootstrap import PckDifference, paired_bootstrap
from posewright.metrics.evaluation import Evaluation, evaluate
from posewright.metrics.normalise import normaliser_lengths, parse_normaliser
from posewright.metrics.oks import oks
from posewright.metrics.pck import PckResult, distances, normalised_distances, pck, pck_of_distances
from posewright.metrics.results import Predicted, read_results
from posewright.metrics.running import run_model

__all__ = [
    "Evaluation",
    "PckDifference",
    "PckResult",
    "Predicted",
    "distances",
    "evaluate",
    "normalised_distances",
    "normaliser_lengths",
    "oks",
    "paired_bootstrap",
    "parse_normaliser",
    "pck",
    "pck_of_distances",
    "read_results",
    "run_model",
]
