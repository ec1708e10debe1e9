"""Options by group, validated when made; presets fill them, notebook and command-line values are read
strictly.
"""

from moleflow_lib.config.experiment import PATHS, PRESETS, ExperimentConfig, read_options
from moleflow_lib.config.options import (
    BASELINES,
    GROUPS,
    SCORE_PARTS,
    DataOptions,
    FeatureOptions,
    FlowOptions,
    RouterOptions,
    RunOptions,
    ScoreOptions,
    StudyOptions,
    TrainOptions,
)

__all__ = [
    "BASELINES",
    "GROUPS",
    "PATHS",
    "PRESETS",
    "SCORE_PARTS",
    "DataOptions",
    "ExperimentConfig",
    "FeatureOptions",
    "FlowOptions",
    "RouterOptions",
    "RunOptions",
    "ScoreOptions",
    "StudyOptions",
    "TrainOptions",
    "read_options",
]
