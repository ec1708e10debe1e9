"""A learned detector away from its training images: saved, loaded, scoring photos, learning a further product."""

from moleflow_lib.inference.calibration import Calibration, TaskCalibration
from moleflow_lib.inference.learned import DECISIONS, LearnedDetector, ScoredImage, learned_detector
from moleflow_lib.inference.saved import load_detector, save_detector

__all__ = [
    "DECISIONS", "Calibration", "LearnedDetector", "ScoredImage", "TaskCalibration", "learned_detector", "load_detector",
    "save_detector",
]
