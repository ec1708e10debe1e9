"""Ablations: a grid of variations, orders and seeds, read as paired differences with intervals."""

from moleflow_lib.studies.ablation.agreement import agreement_rows
from moleflow_lib.studies.ablation.cost import part_costs
from moleflow_lib.studies.ablation.departures import departure_rows
from moleflow_lib.studies.ablation.differences import (
    class_differences,
    metric_differences,
    paired_differences,
)
from moleflow_lib.studies.ablation.grid import AblationRun, left_out_line, plan_rows, planned_runs
from moleflow_lib.studies.ablation.lora_rank import learned_updates
from moleflow_lib.studies.ablation.orders import base_rows, order_effect, order_rows
from moleflow_lib.studies.ablation.parts import PARTS, PUBLISHED, RECORD, varied_as
from moleflow_lib.studies.ablation.running import run_ablation
from moleflow_lib.studies.ablation.tail import tail_rows
from moleflow_lib.studies.ablation.variations import parse_variations, variation_name

__all__ = [
    "PARTS",
    "PUBLISHED",
    "RECORD",
    "AblationRun",
    "agreement_rows",
    "base_rows",
    "class_differences",
    "departure_rows",
    "learned_updates",
    "left_out_line",
    "metric_differences",
    "order_effect",
    "order_rows",
    "paired_differences",
    "parse_variations",
    "part_costs",
    "plan_rows",
    "planned_runs",
    "run_ablation",
    "tail_rows",
    "variation_name",
    "varied_as",
]
