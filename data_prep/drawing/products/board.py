"""A small circuit board on a dark mat: one layout, its parts placed within tolerance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from data_prep.drawing.camera import Rig, Surface
from data_prep.drawing.canvas import Canvas
from data_prep.drawing.fields import curve, graded, mix, path_distance, pixel_grid, ramp, smooth_noise, stroke
from data_prep.drawing.products.components import (
    COPPER,
    SOLDER,
    Part,
    draw_pads,
    draw_part,
    draw_silkscreen,
    pin_rows,
)

__all__ = ["DEFECTS", "RIG", "Board"]

RIG = Rig(azimuth=-2.3, elevation=0.98, ambient=0.50, polish=4, reach=0.05)
_LAYOUT = (  # from the least conspicuous part to the most
    Part("resistor", 0.135, 0.365, 0.0),
    Part("resistor", 0.135, 0.325, 0.0),
    Part("resistor", 0.135, 0.285, 0.0),
    Part("resistor", 0.235, 0.285, 0.0),
    Part("resistor", 0.235, 0.325, 0.0),
    Part("resistor", 0.395, -0.03, np.pi / 2),
    Part("resistor", 0.345, -0.03, np.pi / 2),
    Part("ceramic", -0.305, -0.055, np.pi / 2),
    Part("ceramic", -0.305, 0.065, np.pi / 2),
    Part("ceramic", 0.065, -0.165, 0.0),
    Part("ceramic", -0.055, -0.165, 0.0),
    Part("ceramic", 0.235, 0.375, 0.0),
    Part("diode", 0.385, 0.09, np.pi / 2),
    Part("led", 0.385, 0.355, 0.0),
    Part("led", 0.385, 0.255, 0.0),
    Part("crystal", 0.215, 0.155, 0.0),
    Part("can", -0.350, -0.250, 0.0),
    Part("can", -0.350, 0.265, 0.0),
    Part("dual", 0.250, -0.205, 0.0),
    Part("quad", -0.085, 0.055, 0.0),
    Part("header", -0.060, -0.390, 0.0),
)
_TRACES = (
    ((-0.30, -0.39), (-0.30, -0.33), (-0.22, -0.25), (-0.22, -0.07)),
    ((-0.22, -0.39), (-0.22, -0.31), (-0.13, -0.22), (-0.13, -0.06)),
    ((-0.06, -0.39), (-0.06, -0.28), (-0.01, -0.23), (-0.01, -0.06)),
    ((0.02, -0.39), (0.02, -0.30), (0.10, -0.26), (0.18, -0.26)),
    ((0.10, -0.39), (0.10, -0.34), (0.15, -0.30), (0.32, -0.30), (0.40, -0.24), (0.40, -0.06)),
    ((0.03, -0.01), (0.12, -0.01), (0.19, -0.09), (0.19, -0.16)),
    ((0.03, 0.03), (0.16, 0.03), (0.24, -0.05), (0.345, -0.06)),
    ((0.03, 0.07), (0.10, 0.07), (0.16, 0.15)),
    ((0.03, 0.11), (0.06, 0.11), (0.10, 0.22), (0.26, 0.22), (0.27, 0.16)),
    ((-0.04, 0.17), (-0.04, 0.26), (0.05, 0.325), (0.11, 0.325)),
    ((-0.08, 0.17), (-0.08, 0.30), (0.00, 0.365), (0.11, 0.365)),
    ((-0.13, 0.17), (-0.13, 0.27), (-0.22, 0.36), (-0.35, 0.36)),
    ((-0.20, 0.10), (-0.26, 0.10), (-0.30, 0.14), (-0.41, 0.14)),
    ((-0.20, 0.02), (-0.28, 0.02), (-0.33, -0.03), (-0.42, -0.03), (-0.42, -0.16)),
    ((0.26, 0.285), (0.31, 0.285), (0.34, 0.255), (0.36, 0.255)),
    ((0.26, 0.325), (0.32, 0.325), (0.35, 0.355), (0.36, 0.355)),
    ((0.385, 0.12), (0.385, 0.20), (0.41, 0.23), (0.41, 0.255)),
)
_MORE_VIAS = ((-0.24, 0.20), (0.30, 0.06), (-0.19, -0.33), (0.10, 0.17), (-0.41, 0.06))


@dataclass(frozen=True, kw_only=True)
class Board:
    """One assembled board: its pose, its solder mask and where its parts came to lie."""

    base: Surface  # the mat, and the bare board's texture over all of the picture
    mask: np.ndarray  # (S, S, 3) colour of the solder mask
    centre: tuple[float, float]
    turn: float
    lot: str  # the number printed on the chips of this lot
    parts: tuple[Part, ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int) -> Board:
        """Draw the pose, the colours and the tolerances of one board."""
        rough = smooth_noise(rng, size, 100)
        mat = np.array([0.060, 0.062, 0.068]) * (1 + 0.10 * rough)[..., None]
        green = np.array([0.016, 0.105, 0.048]) * (1 + 0.03 * rng.standard_normal(3))
        mottle = 1 + 0.04 * smooth_noise(rng, size, 8) + 0.03 * smooth_noise(rng, size, 90)
        return cls(
            base=Surface(height=0.0004 * rough, albedo=mat, gloss=np.zeros((size, size))),
            mask=green * mottle[..., None],
            centre=tuple(0.5 + 0.012 * rng.uniform(-1, 1, 2)),
            turn=float(0.0175 * rng.uniform(-1, 1)),
            lot="".join(str(digit) for digit in rng.integers(0, 10, 4)),
            parts=tuple(part.placed(rng) for part in _LAYOUT),
        )

    @property
    def canvas(self) -> Canvas:
        """The assembled board."""
        canvas = Canvas(self.base, self.centre, self.turn)
        self._draw_bare(canvas)
        for part in _LAYOUT:
            draw_silkscreen(canvas, part)
            draw_pads(canvas, part)
        for part in self.parts:
            draw_part(canvas, part, self.lot)
        return canvas

    @cached_property
    def surface(self) -> Surface:
        """The assembled board."""
        return self.canvas.surface()

    def place(self, at: np.ndarray) -> np.ndarray:
        """Where a place of the board falls in the picture."""
        c = np.cos(self.turn)
        s = np.sin(self.turn)
        return np.asarray(self.centre) + (c * at[0] - s * at[1], s * at[0] + c * at[1])

    def _draw_bare(self, canvas: Canvas) -> None:
        """Solder mask, copper under it, vias and mounting holes."""
        green = self.mask.mean(axis=(0, 1))
        canvas.box((0, 0), (0.462, 0.462), self.mask, rise=0.012, gloss=0.05, corner=0.02)
        for trace in _TRACES:
            for start, stop in zip(trace[:-1], trace[1:], strict=True):
                canvas.line(start, stop, 0.0085, green * 1.55 + 0.006, rise=0.0004, gloss=0.06)
        for via in (*(trace[-1] for trace in _TRACES), *_MORE_VIAS):
            canvas.box(via, (0.010, 0.010), COPPER, rise=0.0004, gloss=0.25, corner=0.010)
            canvas.box(via, (0.004, 0.004), (0.01, 0.012, 0.01), rise=-0.002, corner=0.004)
        for x in (-0.42, 0.42):
            for y in (-0.42, 0.42):
                canvas.box((x, y), (0.027, 0.027), COPPER, gloss=0.25, corner=0.027)
                canvas.box((x, y), (0.017, 0.017), (0.035, 0.036, 0.040), rise=-0.012, corner=0.017)
        canvas.digits((-0.14, 0.425), "2048", 0.0055, (0.62, 0.64, 0.60))


def _victim(rng: np.random.Generator, severity: float) -> int:
    """Which part suffers: the more severe, the more conspicuous."""
    last = len(_LAYOUT) - 1
    return int(
        np.clip(round(graded(severity, 1, 5, 14, last) + rng.uniform(-1.5, 1.5)), 15 * (severity > 0.5), last)
    )


def missing(board: Board, rng: np.random.Generator, severity: float) -> Surface:
    """A part that was never placed; its pads lie bare."""
    gone = _victim(rng, severity)
    return replace(board, parts=board.parts[:gone] + board.parts[gone + 1 :]).surface


def shifted(board: Board, rng: np.random.Generator, severity: float) -> Surface:
    """A part off its pads: pushed aside and turned, beyond the tolerance; at the worst by half its size."""
    which = _victim(rng, severity)
    way = rng.uniform(0, 2 * np.pi)
    part = board.parts[which]
    push = graded(severity, 0.35, 0.60, 1.05, 1.05) * min(*part.half, 0.06)
    twist = graded(severity, 0.10, 0.28, 0.58, 0.72) * min(1.0, 0.11 / max(part.half)) * rng.choice([-1, 1])
    moved = replace(
        part, x=part.x + push * np.cos(way), y=part.y + push * np.sin(way), turn=part.turn + twist
    )
    return replace(board, parts=board.parts[:which] + board.parts[which + 1 :] + (moved,)).surface


def bridge(board: Board, rng: np.random.Generator, severity: float) -> Surface:
    """Solder that joins neighbouring pins of a chip; much of it is a lump that buries them."""
    old = board.surface
    chips = [part for part in board.parts if part.kind in ("dual", "quad")]
    rows = pin_rows(chips[rng.integers(len(chips))])
    row = rows[rng.integers(len(rows))]
    span = round(graded(severity, 1, 1, 3, 5))
    first = int(rng.integers(len(row) - span))
    size = len(old.height)
    off, _ = path_distance(size, np.stack([board.place(row[first]), board.place(row[first + span])]))
    width = graded(severity, 0.0035, 0.0060, 0.0210, 0.0290)
    inside = width * (1 + 0.25 * smooth_noise(rng, size, 24)) - np.abs(off)
    cover = ramp(inside, -0.003, 0.002) * graded(severity, 0.60, 0.80, 1.0, 1.0)
    dome = np.sqrt(np.clip(inside / width, 0.0, 1.0))
    top = 0.013 + graded(severity, 0.004, 0.006, 0.014, 0.020) * dome
    albedo = mix(old.albedo, np.asarray(SOLDER) * graded(severity, 0.6, 0.8, 0.95, 1.0), cover)
    height = mix(old.height, np.maximum(old.height, top), cover)
    return Surface(height=height, albedo=albedo, gloss=mix(old.gloss, 0.3, cover))


def scratch(board: Board, rng: np.random.Generator, severity: float) -> Surface:
    """A stroke through the solder mask; the deeper, the more copper shows between crumbled edges."""
    old = board.surface
    x, y = pixel_grid(len(old.height))
    length = graded(severity, 0.07, 0.14, 0.42, 0.80)
    path = curve(rng, tuple(rng.uniform(0.3, 0.7, 2)), rng.uniform(0, np.pi), length, 0.3)
    off, along = path_distance(len(old.height), path)
    ragged = 1 + 0.3 * smooth_noise(rng, len(old.height), 60)
    width = graded(severity, 0.0016, 0.0021, 0.0046, 0.0066) * (0.3 + np.sin(np.pi * along)) * ragged
    on_board = (np.maximum(np.abs(x - 0.5), np.abs(y - 0.5)) < 0.44) * (old.height < 0.016)
    cover = stroke(off, width) * on_board
    crumbs = stroke(off, 1.7 * width) * on_board
    fine = 0.8 * on_board * ramp(np.sin(np.pi * along), 0.0, 0.5)
    for beside in rng.choice([-1, 1]) * np.array([0.016, 0.027])[: max(0, int(4 * severity) - 1)]:
        cover = np.maximum(cover, fine * stroke(off - beside, 0.4 * width))
    albedo = mix(old.albedo, (0.20, 0.28, 0.18), graded(severity, 0.0, 0.10, 0.55, 0.80) * crumbs)
    colour = mix(
        np.array([0.20, 0.24, 0.19]), (0.52, 0.31, 0.12), np.asarray(graded(severity, 0.0, 0.3, 0.9, 1.0))
    )
    albedo = mix(albedo, colour, graded(severity, 0.20, 0.38, 0.90, 1.0) * cover)
    height = old.height - graded(severity, 0.0, 0.0005, 0.0015, 0.0030) * cover
    return Surface(height=height, albedo=albedo, gloss=mix(old.gloss, 0.20, cover))


DEFECTS = {"bridge": bridge, "missing": missing, "scratch": scratch, "shifted": shifted}
