"""The HTML pages of a run: one report a notebook, and the index."""
