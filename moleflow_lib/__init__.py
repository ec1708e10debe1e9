"""MoLE-Flow: continual visual anomaly detection with a shared flow and small parts per task."""

__version__ = "0.1.0"
