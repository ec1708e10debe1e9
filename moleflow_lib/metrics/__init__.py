"""Metrics of detection, of a sequence of tasks, and of the router. Undefined is None, never zero."""

from moleflow_lib.metrics.continual import continual_summary, mean_defined, routing_summary
from moleflow_lib.metrics.detection import METRIC_TITLES, METRICS, detection_metrics, image_metrics, pixel_metrics

__all__ = [
    "METRICS", "METRIC_TITLES", "continual_summary", "detection_metrics", "image_metrics", "mean_defined", "pixel_metrics",
    "routing_summary",
]
