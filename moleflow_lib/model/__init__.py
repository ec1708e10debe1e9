"""The density model: a shared flow, what each task adds to it, and its losses."""
