"""Options by group, validated when made; presets fill them, notebook and command-line values are read
strictly.
"""

from moleflow_lib.config.baselines import BASELINES, BaselineEntry, check_baselines
from moleflow_lib.config.experiment import PATHS, PRESETS, ExperimentConfig, read_options
from moleflow_lib.config.options import (
    GROUPS,
    DataOptions,
    FeatureOptions,
    FlowOptions,
    RunOptions,
    ScoreOptions,
    TrainOptions,
)

__all__ = [
    "BASELINES",
    "GROUPS",
    "PATHS",
    "PRESETS",
    "BaselineEntry",
    "DataOptions",
    "ExperimentConfig",
    "FeatureOptions",
    "FlowOptions",
    "RunOptions",
    "ScoreOptions",
    "TrainOptions",
    "check_baselines",
    "read_options",
]
