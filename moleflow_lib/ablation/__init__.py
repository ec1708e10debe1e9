"""Ablations: a grid of switches, orders and seeds, run anywhere, read as paired differences with intervals."""

from moleflow_lib.ablation.differences import paired_differences
from moleflow_lib.ablation.grid import AblationRun, Grid, planned_runs
from moleflow_lib.ablation.running import run_ablation
from moleflow_lib.ablation.switches import SWITCHES

__all__ = ["SWITCHES", "AblationRun", "Grid", "paired_differences", "planned_runs", "run_ablation"]
