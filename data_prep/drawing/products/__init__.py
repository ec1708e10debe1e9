"""The four drawn products, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from data_prep.drawing.camera import Rig, Surface
from data_prep.drawing.products import board, grid, leather, nut

__all__ = ["PRODUCTS", "DrawnProduct"]


@dataclass(frozen=True, kw_only=True)
class DrawnProduct:
    """How one product is lit, drawn, and spoilt."""

    rig: Rig
    draw: Callable[[np.random.Generator, int], Any]  # one normal piece of a given size; has a `surface`
    defects: Mapping[
        str, Callable[[Any, np.random.Generator, float], Surface]
    ]  # the piece, spoilt to a severity


PRODUCTS = {
    "board": DrawnProduct(rig=board.RIG, draw=board.Board.draw, defects=board.DEFECTS),
    "grid": DrawnProduct(rig=grid.RIG, draw=grid.Mesh.draw, defects=grid.DEFECTS),
    "leather": DrawnProduct(rig=leather.RIG, draw=leather.Leather.draw, defects=leather.DEFECTS),
    "nut": DrawnProduct(rig=nut.RIG, draw=nut.Nut.draw, defects=nut.DEFECTS),
}
