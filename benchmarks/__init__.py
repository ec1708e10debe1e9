"""Ratios of this library's time to that of literal references, on demand: `make bench`."""
