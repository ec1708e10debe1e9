"""A woven steel mesh over a pale table: a strictly regular object at a random phase."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from data_prep.camera import Rig, Surface
from data_prep.fields import blob, curve, mix, path_distance, pixel_grid, ramp, smooth_noise, stroke

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
    thinning: float = 0.0  # share of the wire's thickness lost; 1 is a gap
    shift: float = 0.0  # sideways, in sides of the picture


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
        c, s = np.cos(self.turn), np.sin(self.turn)
        return c * x + s * y + self.phase[0] + 0.2, c * y - s * x + self.phase[1] + 0.2

    def wires(self, family: int) -> tuple[np.ndarray, np.ndarray]:
        """Cover in 0 to 1 and height of one family of wires, each (S, S)."""
        across, along = self.axes() if family == 0 else self.axes()[::-1]
        index = np.rint(across / self.pitch).astype(int)
        off = across - self.pitch * index - self.offsets[family].take(index)
        radius = np.full_like(off, self.radius)
        for flaw in self.flaws:
            if flaw.family == family:
                near = (1 - ramp(np.abs(along - flaw.at), 0.55 * flaw.reach, flaw.reach)) * (index == flaw.wire)
                gap = ramp(near, 0.35, 0.65) if flaw.thinning >= 1 else near * flaw.thinning
                radius = radius * (1 - gap) - gap * (flaw.thinning >= 1) / self.size
                off = off - flaw.shift * near
        weave = np.cos(np.pi * along / self.pitch) * np.where(index % 2, -1.0, 1.0) * (1 - 2 * family)
        round_ = np.sqrt(np.clip(radius**2 - off**2, 0.0, None))
        cover = np.clip(0.5 + (radius - np.abs(off)) * self.size, 0.0, 1.0)
        return cover, round_ + 0.75 * self.radius * weave

    @property
    def surface(self) -> Surface:
        """Both families of wires over the table."""
        (first, rise), (second, lift) = self.wires(0), self.wires(1)
        cover = np.maximum(first, second)
        top = np.maximum(np.where(first > 0, rise, -1.0), np.where(second > 0, lift, -1.0))
        floor = -3.0 * self.radius
        height = floor + (np.maximum(top, floor) - floor) * cover
        table = np.array([0.50, 0.53, 0.55]) * self.table[..., None]
        albedo = mix(table, _STEEL * self.wear[..., None], cover)
        return Surface(height=height, albedo=albedo, gloss=0.45 * cover * self.wear)


def _somewhere(mesh: Mesh, rng: np.random.Generator) -> dict[str, float | int]:
    """A wire, and a place between two crossings along it, well inside the picture."""
    across, along = mesh.axes()
    row, column = rng.integers(mesh.size // 6, mesh.size - mesh.size // 6, 2)
    family = int(rng.integers(2))
    u, v = (across, along) if family == 0 else (along, across)
    at = (np.floor(v[row, column] / mesh.pitch) + rng.uniform(0.35, 0.65)) * mesh.pitch
    return {"family": family, "wire": int(np.rint(u[row, column] / mesh.pitch)), "at": float(at)}


def broken(mesh: Mesh, rng: np.random.Generator, severity: float) -> Surface:
    """A wire worn thin (the hard end) or parted."""
    if severity < 0.35:
        flaw = Flaw(**_somewhere(mesh, rng), reach=0.40 * mesh.pitch, thinning=0.35 + severity)
    else:
        flaw = Flaw(**_somewhere(mesh, rng), reach=(0.05 + 1.0 * severity) * mesh.pitch, thinning=1.0)
    return replace(mesh, flaws=(flaw,)).surface


def bent(mesh: Mesh, rng: np.random.Generator, severity: float) -> Surface:
    """A wire pushed sideways out of its row."""
    shift = (0.07 + 0.25 * severity) * mesh.pitch * rng.choice([-1, 1])
    flaw = Flaw(**_somewhere(mesh, rng), reach=(1.0 + 1.3 * severity) * mesh.pitch, shift=float(shift))
    return replace(mesh, flaws=(flaw,)).surface


def thread(mesh: Mesh, rng: np.random.Generator, severity: float) -> Surface:
    """A textile fibre that lies on the mesh."""
    old = mesh.surface
    colours = ((0.60, 0.58, 0.52), (0.10, 0.10, 0.12), (0.35, 0.10, 0.10), (0.12, 0.18, 0.35))
    colour = colours[rng.integers(len(colours))]
    path = curve(rng, tuple(rng.uniform(0.3, 0.7, 2)), rng.uniform(0, np.pi), 0.12 + 0.4 * severity, 1.8, 24)
    off, _ = path_distance(mesh.size, path)
    width = 0.0026 + 0.0050 * severity
    cover = stroke(off, width) * (0.40 + 0.55 * severity)
    height = mix(old.height, np.maximum(old.height, 1.75 * mesh.radius + width), cover)
    return Surface(height=height, albedo=mix(old.albedo, colour, cover), gloss=old.gloss * (1 - cover))


def residue(mesh: Mesh, rng: np.random.Generator, severity: float) -> Surface:
    """Glue or scale that clogs part of the mesh."""
    old = mesh.surface
    edge = blob(rng, mesh.size, tuple(rng.uniform(0.2, 0.8, 2)), 0.022 + 0.055 * severity, 0.35)
    cover = (1 - ramp(edge, -0.008, 0.003)) * (0.22 + 0.68 * severity)
    lumps = 0.5 * smooth_noise(rng, mesh.size, 60)
    colour = np.array([0.26, 0.22, 0.15]) * (1 + 0.15 * lumps)[..., None]
    height = mix(old.height, np.maximum(old.height, mesh.radius * (0.3 + 0.3 * lumps)), cover)
    return Surface(height=height, albedo=mix(old.albedo, colour, cover), gloss=mix(old.gloss, 0.12, cover))


DEFECTS = {"bent": bent, "broken": broken, "residue": residue, "thread": thread}
