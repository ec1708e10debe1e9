"""The least that a drawn demo set can be asked for; known without the drawing code."""

from __future__ import annotations

__all__ = ["LEAST"]

LEAST = {
    "seed": 0,
    "train": 1,
    "test_good": 1,
    "test_defect": 4,  # one of each kind of defect
    "size": 64,  # pixels; smaller pictures show no defect
}
