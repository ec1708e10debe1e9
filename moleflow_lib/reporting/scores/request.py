"""What is asked of a detector: which one, how, and where the results go."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

import moleflow_lib
from moleflow_lib.config.arguments import HEAT_MAPS
from moleflow_lib.errors import ConfigError
from moleflow_lib.inference import LearnedDetector, load_detector
from moleflow_lib.inference.detector_folder import MANIFEST, detector_folder
from moleflow_lib.storage.keys import file_sha256

__all__ = ["ScoreRequest", "made_by"]


@dataclass(frozen=True, kw_only=True)
class ScoreRequest:
    """How images are to be scored; a worker elsewhere needs nothing else.

    Attributes:
        run: the run's folder, or its detector folder.
        out: folder of the results.
        device: auto, cpu or cuda.
        backbone_weights: a local weights file; empty: the tag's own.
        task: score all under this task; None: the router chooses.
        false_alarm_rate: of the decisions.
        heat_maps: of all images, of those not called normal (`flagged`), or none.

    Raises:
        ConfigError: another choice of heat maps.
    """

    run: Path
    out: Path
    device: str = "auto"
    backbone_weights: str = ""
    task: str | None = None
    false_alarm_rate: float = 0.01
    heat_maps: str = "all"

    def __post_init__(self) -> None:
        if self.heat_maps not in HEAT_MAPS:
            raise ConfigError(f"heat_maps: expected one of {', '.join(HEAT_MAPS)}, got {self.heat_maps!r}")

    @property
    def plan(self) -> Path:
        """The file that says what an unfinished scoring was asked for."""
        return self.out / "unfinished" / "plan.json"

    def detector(self) -> LearnedDetector:
        """The detector, loaded once a process; again if another one lies there now.

        Raises:
            MoLEFlowError: see `load_detector`.
        """
        return _loaded(detector_folder(self.run), self.detector_sha256(), self.device, self.backbone_weights)

    def detector_sha256(self) -> str:
        """Hash of the detector's manifest, which holds the hashes of everything else."""
        return file_sha256(detector_folder(self.run) / MANIFEST)

    def asked(self) -> dict[str, object]:
        """All that decides the results but the images, as JSON values."""
        return {
            "detector": self.detector_sha256(),
            "device": str(self.detector().detector.device),
            "task": self.task,
            "false_alarm_rate": self.false_alarm_rate,
            "heat_maps": self.heat_maps,
            **made_by(),
        }


def made_by() -> dict[str, str]:
    """Versions of what makes scores."""
    return {"moleflow_lib": moleflow_lib.__version__, "torch": torch.__version__}


@lru_cache(maxsize=1)
def _loaded(folder: Path, sha256: str, device: str, backbone_weights: str) -> LearnedDetector:
    return load_detector(folder, device, backbone_weights)
