"""Datasets before they reach the library: get, convert, check, draw and look at them."""
