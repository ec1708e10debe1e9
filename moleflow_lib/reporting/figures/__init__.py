"""Figures: each function takes a result, returns a plotly figure, and neither shows nor saves it."""
