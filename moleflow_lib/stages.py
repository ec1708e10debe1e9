"""How a kernel tells the runner which stage it is at."""

__all__ = ["STAGE_LINES", "STAGE_MARK"]

STAGE_LINES = "MOLEFLOW_STAGE_LINES"  # environment variable: if set, stages are told in lines, not as bars
STAGE_MARK = "[stage] "  # how such a line begins
