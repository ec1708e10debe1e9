"""A sheet on which rounded boxes are laid one over another: enough to draw a circuit board."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data_prep.drawing.camera import Surface
from data_prep.drawing.fields import mix, pixel_grid, ramp

__all__ = ["Canvas"]

_FONT = (
    "75557",
    "26227",
    "71747",
    "71717",
    "55711",
    "74717",
    "74757",
    "71244",
    "75757",
    "75717",
)  # rows of bits
_BARS = {  # middle and width of each bar in a row of bits, in dots
    "1": ((1.0, 1),),
    "2": ((0.0, 1),),
    "4": ((-1.0, 1),),
    "5": ((-1.0, 1), (1.0, 1)),
    "6": ((-0.5, 2),),
    "7": ((0.0, 3),),
}


class Canvas:
    """A surface under construction, in the drawn object's own coordinates.

    Args:
        surface: what lies below; copied.
        centre: where the object's origin falls in the picture.
        turn: rotation of the object, radians clockwise.
    """

    def __init__(self, surface: Surface, centre: tuple[float, float], turn: float) -> None:
        self.height = surface.height.copy()
        self.albedo = surface.albedo.copy()
        self.gloss = surface.gloss.copy()
        self.centre = centre
        self.turn = turn

    def surface(self) -> Surface:
        """What has been drawn so far."""
        return Surface(height=self.height, albedo=self.albedo, gloss=self.gloss)

    def box(
        self,
        at: Sequence[float] | np.ndarray,
        half: tuple[float, float],
        colour: Sequence[float] | np.ndarray,
        *,
        rise: float = 0.0,
        gloss: float = 0.0,
        turn: float = 0.0,
        corner: float = 0.001,
        dome: float = 0.002,
    ) -> None:
        """Lay one rounded box down.

        Args:
            at: its middle in the object's coordinates.
            half: half its width and height; equal to `corner`, it is a disc.
            colour: linear red, green, blue; or a picture (S, S, 3) of which the box shows its part.
            rise: its thickness, on top of what lies below.
            gloss: strength of its highlight.
            turn: its own rotation.
            corner: radius of its corners.
            dome: width over which its rim rises; as large as `half`, it is a drop.
        """
        size = len(self.height)
        c = np.cos(self.turn)
        s = np.sin(self.turn)
        cx = self.centre[0] + c * at[0] - s * at[1]
        cy = self.centre[1] + s * at[0] + c * at[1]
        reach = np.hypot(*half) + 2 / size
        window = tuple(
            slice(max(0, int((m - reach) * size)), max(0, int((m + reach) * size) + 2)) for m in (cy, cx)
        )
        x, y = (axis[window] for axis in pixel_grid(size))
        c = np.cos(self.turn + turn)
        s = np.sin(self.turn + turn)
        u = np.abs(c * (x - cx) + s * (y - cy)) - half[0] + corner
        v = np.abs(c * (y - cy) - s * (x - cx)) - half[1] + corner
        inside = corner - np.hypot(np.maximum(u, 0), np.maximum(v, 0)) - np.minimum(np.maximum(u, v), 0)
        cover = np.clip(0.5 + inside * size, 0.0, 1.0)
        self.height[window] += rise * ramp(inside, -0.5 / size, dome)
        colour = np.asarray(colour)
        self.albedo[window] = mix(self.albedo[window], colour[window] if colour.ndim == 3 else colour, cover)
        self.gloss[window] = mix(self.gloss[window], gloss, cover)

    def line(
        self,
        start: Sequence[float] | np.ndarray,
        stop: Sequence[float] | np.ndarray,
        width: float,
        colour: Sequence[float] | np.ndarray,
        **how: float,
    ) -> None:
        """Lay a straight bar with round ends from one place to another."""
        (ax, ay) = start
        (bx, by) = stop
        half = (float(np.hypot(bx - ax, by - ay)) / 2 + width / 2, width / 2)
        turn = float(np.arctan2(by - ay, bx - ax))
        self.box(((ax + bx) / 2, (ay + by) / 2), half, colour, turn=turn, corner=width / 2, **how)

    def digits(
        self,
        at: Sequence[float] | np.ndarray,
        number: str,
        dot: float,
        colour: Sequence[float] | np.ndarray,
        turn: float = 0.0,
    ) -> None:
        """Print a number in dots of 3 by 5, so that no font is needed."""
        c = np.cos(turn)
        s = np.sin(turn)
        for place, digit in enumerate(number):
            left = 4 * (place - (len(number) - 1) / 2)
            for row, code in enumerate(_FONT[int(digit)]):
                for column, width in _BARS[code]:
                    u = (left + column) * dot
                    v = (row - 2) * dot
                    half = (width * dot / 2, dot / 2)
                    self.box((at[0] + c * u - s * v, at[1] + s * u + c * v), half, colour, turn=turn)
