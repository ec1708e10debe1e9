"""Every test image of a run with what the detector decides about it: a table, and a page with pictures."""

from moleflow_lib.reporting.judged.files import write_judged_images

__all__ = ["write_judged_images"]
