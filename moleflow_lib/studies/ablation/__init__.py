"""Ablations: a grid of switches, orders and seeds, run anywhere, read as paired differences with intervals."""

from moleflow_lib.studies.ablation.agreement import agreement_rows
from moleflow_lib.studies.ablation.cost import part_costs
from moleflow_lib.studies.ablation.departures import departure_rows
from moleflow_lib.studies.ablation.differences import class_differences, metric_differences, paired_differences
from moleflow_lib.studies.ablation.grid import AblationRun, Grid, moot_rows, plan_rows, planned_runs
from moleflow_lib.studies.ablation.lora_rank import learned_updates
from moleflow_lib.studies.ablation.orders import base_rows, order_effect, order_rows
from moleflow_lib.studies.ablation.running import run_ablation
from moleflow_lib.studies.ablation.switches import SWITCHES
from moleflow_lib.studies.ablation.tail import tail_rows

__all__ = [
    "SWITCHES", "AblationRun", "Grid", "agreement_rows", "base_rows", "class_differences", "departure_rows",
    "learned_updates", "metric_differences", "moot_rows", "order_effect", "order_rows", "paired_differences",
    "part_costs", "plan_rows", "planned_runs", "run_ablation", "tail_rows",
]
