"""A learned detector away from its training images: saved, loaded, scoring photos, learning one product more.

>>> from pathlib import Path
>>> from tempfile import TemporaryDirectory
>>> from data_prep.draw import draw_demo
>>> from moleflow_lib import Experiment, ExperimentConfig, load_detector, save_detector
>>> folder = TemporaryDirectory()
>>> here = Path(folder.name)
>>> data = draw_demo(here / "demo", train=6, test_good=1, test_defect=4, size=64)
>>> small = {"preset": "demo", "classes": "nut", "image_size": 56, "steps": 2, "device": "cpu"}
>>> config = ExperimentConfig.from_params({**small, "dataset_root": str(data), "out_dir": str(here / "run")})
>>> save_detector(Experiment(config)).name
'detector'
>>> detector = load_detector(here / "run", device="cpu")
>>> for image in detector.score(data / "nut" / "test" / "good", false_alarm_rate=0.2):
...     print(image.name, image.task, image.map.shape)
000.png nut (224, 224)
>>> folder.cleanup()
"""

from moleflow_lib.inference.calibration import Calibration, TaskCalibration
from moleflow_lib.inference.detector_files import load_detector, save_detector, saved_detector
from moleflow_lib.inference.export import export_task
from moleflow_lib.inference.learned_detector import DECISIONS, LearnedDetector, ScoredImage, learned_detector
from moleflow_lib.inference.new_tasks import learn_further, learn_into
from moleflow_lib.inference.threshold_check import calibration_rows

__all__ = [
    "DECISIONS",
    "Calibration",
    "LearnedDetector",
    "ScoredImage",
    "TaskCalibration",
    "calibration_rows",
    "export_task",
    "learn_further",
    "learn_into",
    "learned_detector",
    "load_detector",
    "save_detector",
    "saved_detector",
]
