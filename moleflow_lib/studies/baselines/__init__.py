"""Baselines on the same features, tasks, router and metrics, one file an idea."""
