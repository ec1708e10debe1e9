"""Scores of new images as files: tables for programs, heat maps, and one page for people.

Images are scored in chunks, here or by Dask workers. Each finished chunk is kept in `unfinished` until the
tables are written, so that an interrupted call continues and a folder with `unfinished` in it is not whole.
"""

from moleflow_lib.reporting.scores.files import write_scores
from moleflow_lib.reporting.scores.request import ScoreRequest

__all__ = ["ScoreRequest", "write_scores"]
