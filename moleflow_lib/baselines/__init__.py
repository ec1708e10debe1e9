"""Plainer methods on the same features, tasks, router and scores, one file an idea."""
