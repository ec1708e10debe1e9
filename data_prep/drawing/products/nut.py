"""A turned steel hexagon nut on a dark mat, at any rotation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from data_prep.drawing.camera import Rig, Surface
from data_prep.drawing.fields import (
    blob,
    curve,
    graded,
    mix,
    path_distance,
    pixel_grid,
    ramp,
    smooth_noise,
    stroke,
)

__all__ = ["DEFECTS", "RIG", "Nut"]

RIG = Rig(azimuth=-2.1, elevation=0.95, ambient=0.40, polish=5, reach=0.05)
_STEEL = np.array([0.190, 0.191, 0.196])
_APOTHEM = 0.335
_ROUND = 0.372
_BORE = 0.172
_THREAD = 0.036
_THICK = 0.060


@dataclass(frozen=True, kw_only=True)
class Nut:
    """One nut: its pose, the marks of its turning and the mat under it."""

    size: int
    centre: tuple[float, float]
    turn: float
    scale: float
    tilt: tuple[float, float]  # slope of the face, right and down
    rings: np.ndarray  # (400,) turning marks from the middle outwards
    wear: np.ndarray  # (S, S) brightness of the steel
    mat: np.ndarray  # (S, S) roughness of the mat
    bite: np.ndarray  # (S, S) how far the metal is broken away: 0 is whole, 1 is gone

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int) -> Nut:
        """Draw the pose and the finish of one nut."""
        return cls(
            size=size,
            centre=tuple(0.5 + 0.012 * rng.standard_normal(2)),
            turn=float(rng.uniform(0, np.pi / 3)),
            scale=float(rng.uniform(0.985, 1.015)),
            tilt=tuple(0.018 * rng.standard_normal(2)),
            rings=np.convolve(rng.standard_normal(408), np.hanning(11)[1:-1] / 1.9, mode="valid"),
            wear=1 + 0.03 * smooth_noise(rng, size, 6) + 0.035 * smooth_noise(rng, size, 70),
            mat=smooth_noise(rng, size, 100) + 0.6 * smooth_noise(rng, size, 30),
            bite=np.zeros((size, size)),
        )

    def polar(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance from the nut's middle and angle in the nut's own frame, each (S, S)."""
        x, y = pixel_grid(self.size)
        dx = (x - self.centre[0]) / self.scale
        dy = (y - self.centre[1]) / self.scale
        return np.hypot(dx, dy), np.arctan2(dy, dx) - self.turn

    def outline(self) -> np.ndarray:
        """Signed distance to the hexagon with rounded corners (S, S), negative inside."""
        radius, angle = self.polar()
        side = np.abs((angle + np.pi / 6) % (np.pi / 3) - np.pi / 6)
        return np.maximum(radius * np.cos(side) - _APOTHEM, radius - _ROUND)

    @cached_property
    def surface(self) -> Surface:
        """Face, chamfer, thread and mat; where bitten, the mat shows inside a rough break."""
        radius, _ = self.polar()
        depth = np.clip((_BORE - radius) / _THREAD, 0.0, 1.0)
        broken = ramp(self.bite, 0.0, 0.3)
        gone = ramp(self.bite, 0.45, 0.75)
        cover = np.clip(0.5 - self.outline() * self.size, 0.0, 1.0) * (1 - gone)
        cover = cover * np.clip(0.5 + (radius - _BORE + _THREAD) * self.size, 0.0, 1.0)
        rough = 1 + 0.4 * self.mat
        top = mix(self._relief(), (0.30 + 0.15 * rough) * _THICK, broken)
        steel = _STEEL * mix(self.wear * (1 - 0.55 * depth), 0.75 * rough, broken)[..., None]
        gloss = 0.85 * cover * self.wear * (1 - 0.5 * depth) * (1 - 0.8 * broken)
        mat = np.array([0.030, 0.036, 0.046]) * (1 + 0.10 * self.mat)[..., None]
        height = top * cover + 0.0006 * self.mat * (1 - cover)
        return Surface(height=height, albedo=mix(mat, steel, cover), gloss=gloss)

    def _relief(self) -> np.ndarray:
        """Height of the whole metal (S, S): turned face, chamfers, rounded edge and thread."""
        x, y = pixel_grid(self.size)
        radius, angle = self.polar()
        top = _THICK + 0.00042 * np.interp(radius, np.linspace(0, 0.5, 400), self.rings)
        top = top + self.tilt[0] * (x - 0.5) + self.tilt[1] * (y - 0.5)
        top = (
            top - 0.50 * np.clip(radius - 0.325, 0.0, None) - 0.9 * np.clip(_BORE + 0.014 - radius, 0.0, None)
        )
        depth = np.clip((_BORE - radius) / _THREAD, 0.0, 1.0)
        winding = np.sin(8 * np.pi * depth + angle + self.turn) * (depth > 0)
        edge = ramp(-self.outline(), -0.002, 0.012)
        return np.where(depth > 0, top - 0.02 * depth + 0.0035 * winding, top * (0.72 + 0.28 * edge))

    def spot(self, rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
        """A random place whose distance from the middle lies between two radii."""
        radius = rng.uniform(low, high)
        angle = rng.uniform(0, 2 * np.pi)
        return self.centre[0] + radius * np.cos(angle), self.centre[1] + radius * np.sin(angle)

    def rim(self, angle: float) -> tuple[float, float]:
        """The place on the outer edge in a direction of the picture."""
        side = np.abs((angle - self.turn + np.pi / 6) % (np.pi / 3) - np.pi / 6)
        reach = min(_APOTHEM / np.cos(side), _ROUND) * self.scale
        return self.centre[0] + reach * np.cos(angle), self.centre[1] + reach * np.sin(angle)


def scratch(nut: Nut, rng: np.random.Generator, severity: float) -> Surface:
    """Strokes across the face that catch the light."""
    old = nut.surface
    metal = nut.outline() < -0.004
    cover = np.zeros((nut.size, nut.size))
    angle = rng.uniform(0, np.pi)
    length = graded(severity, 0.07, 0.13, 0.28, 0.48)
    for _ in range(1 + int(2.4 * severity)):
        path = curve(rng, nut.spot(rng, 0.20, 0.30), angle + 0.2 * rng.standard_normal(), length, 0.15)
        off, along = path_distance(nut.size, path)
        width = graded(severity, 0.0015, 0.0020, 0.0042, 0.0070) * (0.3 + np.sin(np.pi * along))
        cover = np.maximum(cover, stroke(off, width))
    cover = cover * metal * (nut.polar()[0] > _BORE)
    albedo = mix(old.albedo, (0.62, 0.62, 0.62), graded(severity, 0.14, 0.28, 0.75, 0.90) * cover)
    return replace(
        old, height=old.height - graded(severity, 0.0004, 0.0008, 0.0024, 0.0050) * cover, albedo=albedo
    )


def chip(nut: Nut, rng: np.random.Generator, severity: float) -> Surface:
    """A piece broken from the outer edge."""
    place = nut.rim(rng.uniform(0, 2 * np.pi))
    edge = blob(rng, nut.size, place, graded(severity, 0.013, 0.024, 0.062, 0.110), 0.22)
    return replace(nut, bite=1 - ramp(edge, -0.014, 0.004)).surface


def rust(nut: Nut, rng: np.random.Generator, severity: float) -> Surface:
    """A corroded patch: orange to brown, matt and rough."""
    old = nut.surface
    radius = graded(severity, 0.022, 0.034, 0.075, 0.130)
    edge = blob(rng, nut.size, nut.spot(rng, 0.22, 0.29), radius, 0.4)
    grain = smooth_noise(rng, nut.size, 70)
    cover = (1 - ramp(edge, -0.02, 0.006)) * np.clip(1.0 + 0.25 * grain, 0.3, 1.0)
    cover = cover * (nut.outline() < 0) * (nut.polar()[0] > _BORE) * graded(severity, 0.18, 0.38, 0.88, 1.0)
    colour = np.array([0.21, 0.075, 0.020]) * (1 + 0.35 * grain)[..., None]
    height = old.height + graded(severity, 0.0004, 0.0006, 0.0012, 0.0018) * cover * grain
    return Surface(height=height, albedo=mix(old.albedo, colour, cover), gloss=old.gloss * (1 - 0.9 * cover))


def burr(nut: Nut, rng: np.random.Generator, severity: float) -> Surface:
    """A sliver of metal left hanging from the thread into the bore, or sticking out from the outer edge."""
    old = nut.surface
    angle = rng.uniform(0, 2 * np.pi)
    inside = rng.random() < 0.6
    middle = np.asarray(nut.centre)
    edge = np.asarray(nut.rim(angle))
    root = middle + (_BORE - 0.5 * _THREAD) * np.array([np.cos(angle), np.sin(angle)]) if inside else edge
    heading = angle + np.pi * inside + rng.choice([-1, 1]) * rng.uniform(0.2, 0.9)
    path = curve(rng, (0.0, 0.0), heading, graded(severity, 0.026, 0.045, 0.125, 0.190), 0.6)
    off, along = path_distance(nut.size, path - path[0] + root)
    width = graded(severity, 0.0050, 0.0065, 0.0170, 0.0250) * (1.05 - along) ** 0.8
    free = nut.polar()[0] < _BORE if inside else nut.outline() > -0.012
    cover = stroke(off, width) * free * graded(severity, 0.35, 0.55, 0.95, 1.0)
    ridge = np.sqrt(np.clip(1 - (off / (1.4 * width)) ** 2, 0.0, 1.0))
    height = mix(old.height, 0.7 * _THICK + width * ridge + 0.03 * along, cover)
    albedo = mix(old.albedo, graded(severity, 1.0, 1.0, 1.8, 2.2) * _STEEL, cover)
    return Surface(height=height, albedo=albedo, gloss=mix(old.gloss, 0.8, cover))


DEFECTS = {"burr": burr, "chip": chip, "rust": rust, "scratch": scratch}
