"""The parts of the circuit board: how each kind, its pads and its print are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from data_prep.drawing.canvas import Canvas

__all__ = ["COPPER", "SOLDER", "Part", "draw_pads", "draw_part", "draw_silkscreen", "pin_rows"]

COPPER = (0.62, 0.42, 0.16)
SOLDER = (0.42, 0.43, 0.44)
_WHITE = (0.60, 0.62, 0.59)
_BLACK = np.array([0.020, 0.021, 0.024])
_HALF = {  # half width and half height of the body
    "resistor": (0.017, 0.0105),
    "ceramic": (0.021, 0.0135),
    "diode": (0.025, 0.0150),
    "led": (0.022, 0.0165),
    "crystal": (0.062, 0.0270),
    "can": (0.062, 0.0620),
    "dual": (0.050, 0.0850),
    "quad": (0.092, 0.0920),
    "header": (0.260, 0.0270),
}
_PINS = {"dual": (7, 0.0235), "quad": (7, 0.0235), "header": (8, 0.0640)}  # a side, pitch


@dataclass(frozen=True)
class Part:
    """One part: what it is, where its middle lies, how it is turned, and how bright it came out."""

    kind: str
    x: float
    y: float
    turn: float
    shade: float = 1.0

    def placed(self, rng: np.random.Generator) -> Part:
        """The same part as a machine puts it down: about a third of a pixel off at 256."""
        dx, dy, twist, shade = rng.standard_normal(4) * (0.0014, 0.0014, 0.010, 0.07)
        return replace(self, x=self.x + dx, y=self.y + dy, turn=self.turn + twist, shade=float(np.exp(shade)))

    @property
    def half(self) -> tuple[float, float]:
        """Half the width and half the height of its body."""
        return _HALF[self.kind]

    def at(self, u: float, v: float) -> np.ndarray:
        """A place of the part's own frame in the board's."""
        c = np.cos(self.turn)
        s = np.sin(self.turn)
        return np.array([self.x + c * u - s * v, self.y + s * u + c * v])


def pin_rows(part: Part) -> list[list[np.ndarray]]:
    """Where a part meets the board, row by row: left, right, then (of a quad chip) top and bottom."""
    (w, h) = part.half
    (count, pitch) = _PINS.get(part.kind, (1, 0.0))
    steps = (np.arange(count) - (count - 1) / 2) * pitch
    if part.kind == "header":
        return [[part.at(step, 0.0) for step in steps]]
    out = 0.013 if part.kind in _PINS else 0.0
    rows = [[part.at(sign * (w + out), step) for step in steps] for sign in (-1, 1)]
    if part.kind == "quad":
        rows += [[part.at(step, sign * (h + out)) for step in steps] for sign in (-1, 1)]
    return rows


def draw_pads(canvas: Canvas, part: Part) -> None:
    """Tinned pads where the layout wants the part."""
    w, h = part.half
    for number, row in enumerate(pin_rows(part)):
        if part.kind == "header":
            half = (0.017, 0.017)
        elif part.kind in _PINS:
            half = (0.017, 0.0068) if number < 2 else (0.0068, 0.017)
        else:
            half = (min(0.45 * w, 0.014), min(1.15 * h, 0.020))
        for place in row:
            canvas.box(place, half, SOLDER, rise=0.0012, gloss=0.22, turn=part.turn, corner=0.003, dome=0.004)


def draw_silkscreen(canvas: Canvas, part: Part) -> None:
    """The printed outline of the part."""
    w, h = part.half
    if part.kind == "can":
        canvas.box(part.at(0, 0), (w + 0.012, w + 0.012), _WHITE, corner=w + 0.012)
        canvas.box(part.at(0, 0), (w + 0.007, w + 0.007), (0.016, 0.100, 0.046), gloss=0.05, corner=w + 0.007)
    elif part.kind in ("crystal", "header", "dual"):
        gap = 0.030 if part.kind == "dual" else 0.007
        corners = [part.at(i * (w + gap), j * (h + 0.008)) for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        for start, stop in zip(corners, corners[1:] + corners[:1], strict=True):
            canvas.line(start, stop, 0.0045, _WHITE)
    elif part.kind == "quad":
        canvas.box(part.at(-w - 0.020, -h - 0.020), (0.006, 0.006), _WHITE, corner=0.006)


def draw_part(canvas: Canvas, part: Part, lot: str) -> None:
    """The part itself, with the solder that holds it; `lot` is printed on chips."""
    if part.kind in ("dual", "quad"):
        _draw_chip(canvas, part, lot)
    else:
        {"header": _draw_header, "can": _draw_can, "crystal": _draw_crystal}.get(part.kind, _draw_two_ended)(
            canvas, part
        )


def _draw_header(canvas: Canvas, part: Part) -> None:
    """A socket strip: gilt contacts in black sockets."""
    canvas.box(
        part.at(0, 0), part.half, _BLACK * part.shade, rise=0.020, gloss=0.04, turn=part.turn, dome=0.004
    )
    for place in pin_rows(part)[0]:
        canvas.box(place, (0.0115, 0.0115), (0.010, 0.010, 0.012), rise=-0.004, turn=part.turn)
        canvas.box(place, (0.0065, 0.0065), (0.62, 0.45, 0.15), rise=0.016, gloss=0.35, turn=part.turn)


def _draw_can(canvas: Canvas, part: Part) -> None:
    """An electrolytic capacitor from above: an aluminium lid with its minus side blackened."""
    w, _ = part.half
    for radius, grey, rise in ((w, 0.30, 0.030), (0.88 * w, 0.42, 0.003)):
        colour = np.full(3, grey * part.shade)
        canvas.box(part.at(0, 0), (radius, radius), colour, rise=rise, gloss=0.15, corner=radius)
    canvas.box(part.at(-0.62 * w, 0), (0.014, 0.036), _BLACK, gloss=0.03, turn=part.turn, corner=0.013)
    canvas.digits(part.at(0.014, 0), "470", 0.0055, (0.05, 0.05, 0.06), part.turn)


def _draw_crystal(canvas: Canvas, part: Part) -> None:
    """A quartz crystal in its rounded steel can."""
    steel = np.full(3, 0.45 * part.shade)
    corner = part.half[1]
    canvas.box(
        part.at(0, 0), part.half, steel, rise=0.016, gloss=0.3, turn=part.turn, corner=corner, dome=0.012
    )
    canvas.digits(part.at(0, 0), "1600", 0.0048, (0.12, 0.12, 0.13), part.turn)


def _draw_chip(canvas: Canvas, part: Part, lot: str) -> None:
    """Legs, black body, the mark of pin 1 and the printed numbers."""
    (w, h) = part.half
    body = _BLACK * part.shade
    for number, row in enumerate(pin_rows(part)):
        half = (0.014, 0.0048) if number < 2 else (0.0048, 0.014)
        for place in row:
            canvas.box(place, half, (0.50, 0.50, 0.51), rise=0.005, gloss=0.4, turn=part.turn, dome=0.004)
    canvas.box(
        part.at(0, 0), part.half, body, rise=0.016, gloss=0.035, turn=part.turn, corner=0.004, dome=0.005
    )
    canvas.box(part.at(-w + 0.016, -h + 0.016), (0.006, 0.006), _BLACK * 0.6, rise=-0.001, corner=0.006)
    ink = np.full(3, 0.16 * part.shade)
    sideways = part.turn + (np.pi / 2 if part.kind == "dual" else 0.0)
    row, name = ((0.021, 0.0), "7405") if part.kind == "dual" else ((0.0, -0.020), "32168")
    canvas.digits(part.at(*row), name, 0.0060, ink, sideways)
    canvas.digits(part.at(-0.9 * row[0], -row[1]), lot, 0.0060, ink, sideways)


def _draw_two_ended(canvas: Canvas, part: Part) -> None:
    """Resistors, capacitors, diodes and lamps: a body between two tinned ends."""
    w, h = part.half
    body = {  # colour
        "resistor": (0.030, 0.030, 0.034),
        "ceramic": (0.36, 0.245, 0.135),
        "diode": (0.028, 0.027, 0.027),
        "led": (0.62, 0.58, 0.46),
    }[part.kind]
    canvas.box(part.at(0, 0), (w, h), SOLDER, rise=0.009, gloss=0.3, turn=part.turn, dome=0.004)
    canvas.box(
        part.at(0, 0), (0.62 * w, h), np.asarray(body) * part.shade, rise=0.001, gloss=0.06, turn=part.turn
    )
    if part.kind == "diode":
        canvas.box(part.at(-0.38 * w, 0), (0.0035, h), _WHITE, turn=part.turn)
    if part.kind == "led":
        canvas.box(
            part.at(0, 0), (0.010, 0.010), (0.75, 0.66, 0.30), rise=0.003, gloss=0.3, corner=0.010, dome=0.008
        )
