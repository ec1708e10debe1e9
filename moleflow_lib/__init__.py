"""MoLE-Flow: continual visual anomaly detection with a shared flow and small parts per task."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from moleflow_lib.config import ExperimentConfig
    from moleflow_lib.experiment import Experiment
    from moleflow_lib.inference import load_detector, save_detector

__all__ = ["Experiment", "ExperimentConfig", "__version__", "load_detector", "save_detector"]
__version__ = "0.1.0"
_FACE = {
    "Experiment": "experiment",
    "ExperimentConfig": "config",
    "load_detector": "inference",
    "save_detector": "inference",
}


def __getattr__(name: str) -> object:
    """The public face, imported when first asked for: torch alone takes seconds."""
    if name not in _FACE:
        raise AttributeError(f"module 'moleflow_lib' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"moleflow_lib.{_FACE[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
