"""Learning one task after another."""
