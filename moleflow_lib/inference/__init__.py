"""A learned detector away from its training images: saved, loaded, scoring photos, learning a further product."""

from moleflow_lib.inference.calibration import Calibration, TaskCalibration
from moleflow_lib.inference.checked import calibration_rows
from moleflow_lib.inference.further import learn_further, learn_into
from moleflow_lib.inference.learned import DECISIONS, LearnedDetector, ScoredImage, learned_detector
from moleflow_lib.inference.saved import load_detector, save_detector

__all__ = [
    "DECISIONS", "Calibration", "LearnedDetector", "ScoredImage", "TaskCalibration", "calibration_rows",
    "learn_further", "learn_into", "learned_detector", "load_detector", "save_detector",
]
