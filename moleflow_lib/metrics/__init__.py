"""Metrics of detection, of a sequence of tasks, and of the router. Undefined is None, never zero."""

from moleflow_lib.metrics.bootstrap import (
    ROUNDS,
    Replicates,
    average,
    interval,
    over_seeds,
    replicate_metrics,
    t_interval,
)
from moleflow_lib.metrics.continual import continual_summary, mean_defined, routing_summary
from moleflow_lib.metrics.detection import detection_metrics, image_metrics, pixel_metrics
from moleflow_lib.metrics.metric_table import HEADLINES, METRICS, Metric
from moleflow_lib.metrics.wilson import wilson_interval

__all__ = [
    "HEADLINES",
    "METRICS",
    "Metric",
    "ROUNDS",
    "Replicates",
    "average",
    "continual_summary",
    "detection_metrics",
    "image_metrics",
    "interval",
    "mean_defined",
    "over_seeds",
    "pixel_metrics",
    "replicate_metrics",
    "routing_summary",
    "t_interval",
    "wilson_interval",
]
