"""How good predictions are: PCK, NME and AUC with a named normaliser, errors in pixels, OKS and AP. Needs numpy alone."""

from posewright.metrics.average_precision import AveragePrecision, Detections, average_precision
from posewright.metrics.bootstrap import PckDifference, paired_bootstrap
from posewright.metrics.comparison import Comparison, compare
from posewright.metrics.evaluation import Evaluation, evaluate
from posewright.metrics.hourglass import HourglassPck, hourglass_cells, hourglass_pck, hourglass_pck_of_cells
from posewright.metrics.mpii import MpiiPckh, mpii_pckh
from posewright.metrics.normalise import normaliser_lengths, parse_normaliser
from posewright.metrics.oks import oks
from posewright.metrics.pck import PckResult, distances, normalised_distances, pck, pck_of_distances
from posewright.metrics.results import Predicted, read_results
from posewright.metrics.running import run_model
from posewright.metrics.similarity import PoseSimilarity, similarity

__all__ = [
    "AveragePrecision",
    "Comparison",
    "Detections",
    "Evaluation",
    "HourglassPck",
    "MpiiPckh",
    "PckDifference",
    "PckResult",
    "PoseSimilarity",
    "Predicted",
    "average_precision",
    "compare",
    "distances",
    "evaluate",
    "hourglass_cells",
    "hourglass_pck",
    "hourglass_pck_of_cells",
    "mpii_pckh",
    "normalised_distances",
    "normaliser_lengths",
    "oks",
    "paired_bootstrap",
    "parse_normaliser",
    "pck",
    "pck_of_distances",
    "read_results",
    "run_model",
    "similarity",
]
