"""Running notebooks in order: what is asked beforehand, papermill, what a run says, what a failure stops."""
