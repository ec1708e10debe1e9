"""A woven steel mesh over a pale table: a strictly regular object at a random phase."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from scipy import ndimage

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

__all__ = ["DEFECTS", "RIG", "Mesh"]

RIG = Rig(azimuth=-2.0, elevation=0.95, ambient=0.42, polish=4, reach=0.05)
_STEEL = np.array([0.30, 0.31, 0.33])


@dataclass(frozen=True, kw_only=True)
class Flaw:
    """A change to one wire around one place along it."""

    family: int  # 0: wires that run down the picture, 1: wires that run across
    wire: int
    at: float
    reach: float  # half its extent along the wire
    thinning: float = 0.0  # share of the wire's thickness lost
    shift: float = 0.0  # sideways, in sides of the picture
    gap: float = 0.0  # half the length that is gone; the two ends then part to opposite sides

    def aside(self, along: np.ndarray) -> np.ndarray:
        """How far the wire lies out of its row at a place along it."""
        away = along - self.at
        bump = self.shift * (1 - ramp(np.abs(away), 0.1 * self.reach, self.reach))
        return bump * np.sign(away) if self.gap else bump


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """One piece of mesh: its pose, its tolerances and the table under it."""

    size: int
    pitch: float
    radius: float
    turn: float
    phase: tuple[float, float]
    offsets: np.ndarray  # (2, 64) sideways tolerance of each wire
    table: np.ndarray  # (S, S) brightness of the table
    wear: np.ndarray  # (S, S) brightness of the steel
    flaws: tuple[Flaw, ...] = ()

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int) -> Mesh:
        """Draw the pose and the tolerances of one piece."""
        pitch = 0.083 * rng.uniform(0.985, 1.015)
        return cls(
            size=size,
            pitch=pitch,
            radius=0.155 * pitch * rng.uniform(0.97, 1.03),
            turn=float(0.02 * rng.standard_normal()),
            phase=tuple(rng.uniform(0, pitch, 2)),
            offsets=0.012 * pitch * rng.standard_normal((2, 64)),
            table=1 + 0.02 * smooth_noise(rng, size, 4) + 0.015 * smooth_noise(rng, size, 80),
            wear=1 + 0.06 * smooth_noise(rng, size, 30) + 0.05 * smooth_noise(rng, size, 110),
        )

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates across and along the wires that run down, each (S, S)."""
        x, y = pixel_grid(self.size)
        c = np.cos(self.turn)
        s = np.sin(self.turn)
        return c * x + s * y + self.phase[0] + 0.2, c * y - s * x + self.phase[1] + 0.2

    def wires(self, family: int) -> tuple[np.ndarray, np.ndarray]:
        """Cover in 0 to 1 and height of one family of wires, each (S, S); the height is -1 off the wires."""
        across, along = self.axes() if family == 0 else self.axes()[::-1]
        index = np.rint(across / self.pitch).astype(int)
        flaws = [flaw for flaw in self.flaws if flaw.family == family]
        sound = ~np.isin(index, [flaw.wire for flaw in flaws])
        off = across - self.pitch * index - self.offsets[family].take(index)
        weave = np.cos(np.pi * along / self.pitch) * np.where(index % 2, -1.0, 1.0) * (1 - 2 * family)
        cover = sound * np.clip(0.5 + (self.radius - np.abs(off)) * self.size, 0.0, 1.0)
        height = np.sqrt(np.clip(self.radius**2 - off**2, 0.0, None)) + 0.75 * self.radius * weave
        height = np.where(cover > 0, height, -1.0)
        for flaw in flaws:
            other, lift = self._flawed(flaw, across, along)
            cover = np.maximum(cover, other)
            height = np.maximum(height, np.where(other > 0, lift, -1.0))
        return cover, height

    def _flawed(self, flaw: Flaw, across: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cover and height (S, S) of one flawed wire; off its row, it rises over its neighbours."""
        away = np.abs(along - flaw.at)
        aside = flaw.aside(along)
        step = 0.1 * self.pitch
        slope = (flaw.aside(along + step) - flaw.aside(along - step)) / (2 * step)
        off = across - self.pitch * flaw.wire - self.offsets[flaw.family][flaw.wire] - aside
        off = off / np.sqrt(1 + np.where(away > flaw.gap, slope, 0.0) ** 2)
        radius = self.radius * (1 - flaw.thinning * (1 - ramp(away, 0.55 * flaw.reach, flaw.reach)))
        cover = np.clip(0.5 + (radius - np.abs(off)) * self.size, 0.0, 1.0)
        if flaw.gap:
            cover = cover * np.clip(0.5 + (away - flaw.gap) * self.size, 0.0, 1.0)
        weave = np.cos(np.pi * along / self.pitch) * (-1.0 if flaw.wire % 2 else 1.0) * (1 - 2 * flaw.family)
        loose = ramp(np.abs(aside), 0.0, 0.4 * self.pitch)
        level = 0.75 * self.radius * mix(weave, 2.6, loose)
        return cover, np.sqrt(np.clip(radius**2 - off**2, 0.0, None)) + level

    @cached_property
    def surface(self) -> Surface:
        """Both families of wires over the table."""
        (first, rise) = self.wires(0)
        (second, lift) = self.wires(1)
        cover = np.maximum(first, second)
        floor = -3.0 * self.radius
        height = floor + (np.maximum(np.maximum(rise, lift), floor) - floor) * cover
        table = np.array([0.50, 0.53, 0.55]) * self.table[..., None]
        albedo = mix(table, _STEEL * self.wear[..., None], cover)
        return Surface(height=height, albedo=albedo, gloss=0.45 * cover * self.wear)


def _somewhere(mesh: Mesh, rng: np.random.Generator) -> dict[str, Any]:
    """A wire, and a place between two crossings along it, well inside the picture."""
    across, along = mesh.axes()
    row, column = rng.integers(mesh.size // 6, mesh.size - mesh.size // 6, 2)
    family = int(rng.integers(2))
    u, v = (across, along) if family == 0 else (along, across)
    at = (np.floor(v[row, column] / mesh.pitch) + rng.uniform(0.35, 0.65)) * mesh.pitch
    return {"family": family, "wire": int(np.rint(u[row, column] / mesh.pitch)), "at": float(at)}


def broken(mesh: Mesh, rng: np.random.Generator, severity: float) -> Surface:
    """A wire worn thin (the hard end), parted, or torn together with its neighbours."""
    place = _somewhere(mesh, rng)
    pitch = mesh.pitch
    if severity < 0.25:
        flaw = Flaw(**place, reach=0.55 * pitch, thinning=0.30 + 1.6 * severity)
        return replace(mesh, flaws=(flaw,)).surface
    flaws = []
    for wire in range(1 + int(severity > 0.45) + int(severity > 0.8)):
        gap = pitch * graded(severity, 0.2, 0.25, 0.85, 1.40) * rng.uniform(0.85, 1.15)
        shift = pitch * graded(severity, 0.0, 0.06, 0.55, 0.90) * rng.choice([-1, 1])
        at = place["at"] + 0.4 * wire * pitch * rng.uniform(-1, 1)
        where = {**place, "wire": place["wire"] + wire, "at": at}
        flaws.append(Flaw(**where, reach=gap + 1.2 * pitch, shift=float(shift), gap=gap))
    return replace(mesh, flaws=tuple(flaws)).surface


def bent(mesh: Mesh, rng: np.random.Generator, severity: float) -> Surface:
    """A wire pushed sideways out of its row; far enough, it takes the next one along."""
    place = _somewhere(mesh, rng)
    pitch = mesh.pitch
    way = int(rng.choice([-1, 1]))
    shift = way * pitch * graded(severity, 0.07, 0.14, 0.60, 0.95)
    reach = pitch * graded(severity, 0.9, 1.3, 2.0, 2.9)
    flaws = (Flaw(**place, reach=reach, shift=shift),)
    if severity > 0.5:
        beside = {**place, "wire": place["wire"] - way, "at": place["at"] + 0.5 * pitch * rng.uniform(-1, 1)}
        flaws += (Flaw(**beside, reach=0.7 * reach, shift=-0.6 * shift),)
    return replace(mesh, flaws=flaws).surface


def thread(mesh: Mesh, rng: np.random.Generator, severity: float) -> Surface:
    """A textile fibre that lies on the mesh."""
    old = mesh.surface
    colours = ((0.72, 0.60, 0.30), (0.05, 0.05, 0.06), (0.42, 0.05, 0.05), (0.06, 0.12, 0.40))
    colour = colours[rng.integers(len(colours))]
    length = graded(severity, 0.10, 0.20, 0.55, 1.0)
    path = curve(rng, tuple(rng.uniform(0.3, 0.7, 2)), rng.uniform(0, np.pi), length, 2.8, 32)
    off, _ = path_distance(mesh.size, ndimage.gaussian_filter1d(path, 1.5, axis=0, mode="nearest"))
    width = graded(severity, 0.0022, 0.0034, 0.0068, 0.0105)
    cover = stroke(off, width) * graded(severity, 0.30, 0.50, 0.90, 0.98)
    height = mix(old.height, np.maximum(old.height, 1.75 * mesh.radius + width), cover)
    return Surface(height=height, albedo=mix(old.albedo, colour, cover), gloss=old.gloss * (1 - cover))


def residue(mesh: Mesh, rng: np.random.Generator, severity: float) -> Surface:
    """Glue or scale that clogs part of the mesh."""
    old = mesh.surface
    radius = graded(severity, 0.018, 0.030, 0.070, 0.130)
    edge = blob(rng, mesh.size, tuple(rng.uniform(0.2, 0.8, 2)), radius, 0.3)
    cover = (1 - ramp(edge, -0.008, 0.003)) * graded(severity, 0.20, 0.38, 0.85, 0.97)
    lumps = 0.5 * smooth_noise(rng, mesh.size, 60)
    colour = np.array([0.22, 0.145, 0.060]) * (1 + 0.2 * lumps)[..., None]
    thick = mesh.radius * (0.3 + 0.3 * lumps + graded(severity, 0.0, 0.0, 0.5, 0.8) * ramp(-edge, 0.0, 0.03))
    height = mix(old.height, np.maximum(old.height, thick), cover)
    return Surface(height=height, albedo=mix(old.albedo, colour, cover), gloss=mix(old.gloss, 0.15, cover))


DEFECTS = {"bent": bent, "broken": broken, "residue": residue, "thread": thread}
