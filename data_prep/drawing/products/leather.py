"""Brown pebbled leather: a texture without any position of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    worley,
)

__all__ = ["DEFECTS", "RIG", "Leather"]

RIG = Rig(azimuth=-2.2, elevation=0.85, ambient=0.35, polish=4, reach=0.02)


@dataclass(frozen=True, kw_only=True)
class Leather:
    """One cut-out of a hide."""

    surface: Surface

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int) -> Leather:
        """Draw the grain, the undulation and the colour of one piece."""
        furrow, pebble = _grain(rng, size)
        height = (
            0.0031 * pebble + 0.0030 * smooth_noise(rng, size, 2.5) + 0.00020 * smooth_noise(rng, size, 100)
        )
        base = np.array([0.215, 0.100, 0.052]) * (1 + np.array([0.05, 0.06, 0.07]) * rng.standard_normal())
        mottle = 1 + 0.04 * smooth_noise(rng, size, 5) + 0.035 * smooth_noise(rng, size, 45)
        albedo = base * (mottle * (0.86 + 0.14 * pebble - 0.26 * furrow))[..., None]
        gloss = 0.10 * (0.3 + 0.7 * pebble) * (1 + 0.15 * smooth_noise(rng, size, 6))
        return cls(surface=Surface(height=height, albedo=albedo, gloss=gloss))


def _grain(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Furrows between the pebbles of the skin and the relief of the pebbles, each (S, S), about 0 to 1."""
    x, y = pixel_grid(size)
    u = x + 0.010 * smooth_noise(rng, size, 8) + 0.0025 * smooth_noise(rng, size, 40)
    v = y + 0.010 * smooth_noise(rng, size, 8) + 0.0025 * smooth_noise(rng, size, 40)
    turn = rng.uniform(-0.3, 0.3)
    scale = 30 * rng.uniform(0.93, 1.07)
    c = np.cos(turn) * scale
    s = np.sin(turn) * scale
    shift = rng.uniform(0, 40, 2)
    near, second = worley(rng, c * u + s * v + shift[0], 1.2 * (c * v - s * u) + shift[1])
    fine_near, fine_second = worley(rng, 1.9 * (c * u - s * v), 1.9 * (c * v + s * u))
    depth = np.clip(0.75 + 0.35 * smooth_noise(rng, size, 22), 0.15, 1.2)
    edge = second - near
    furrow = (1 - ramp(edge, 0.0, 0.22)) * depth
    fine = (1 - ramp(fine_second - fine_near, 0.0, 0.25)) * np.clip(smooth_noise(rng, size, 30), 0.0, 0.8)
    dome = ramp(edge, -0.25, 0.75) - 0.35 * near * near
    return np.maximum(furrow, 0.6 * fine), dome - 0.45 * furrow - 0.25 * fine


def _place(rng: np.random.Generator) -> tuple[float, float]:
    x, y = rng.uniform(0.15, 0.85, 2)
    return float(x), float(y)


def cut(leather: Leather, rng: np.random.Generator, severity: float) -> Surface:
    """A blade's slit: dark and deep where it gapes, raw at its edges, with raised lips."""
    old = leather.surface
    path = curve(rng, _place(rng), rng.uniform(0, np.pi), graded(severity, 0.05, 0.10, 0.26, 0.50), 0.3)
    off, along = path_distance(len(old.height), path)
    width = graded(severity, 0.0020, 0.0036, 0.0085, 0.0150) * (0.25 + np.sin(np.pi * along))
    open_ = stroke(off, width)
    raw = stroke(off, 1.7 * width)
    lips = np.exp(-(((np.abs(off) - 2.0 * width) / (1.3 * width)) ** 2))
    height = old.height + graded(severity, 0.0003, 0.0010, 0.0035, 0.0060) * lips
    height = height - graded(severity, 0.0012, 0.0035, 0.0120, 0.0240) * open_
    albedo = mix(old.albedo, (0.36, 0.22, 0.13), graded(severity, 0.0, 0.1, 0.55, 0.85) * raw)
    albedo = mix(albedo, (0.030, 0.017, 0.012), graded(severity, 0.25, 0.50, 0.90, 0.97) * open_)
    return Surface(height=height, albedo=albedo, gloss=old.gloss * (1 - raw))


def fold(leather: Leather, rng: np.random.Generator, severity: float) -> Surface:
    """A crease pressed in by folding: a long dark line between two swollen lips, worn lighter."""
    old = leather.surface
    path = curve(rng, _place(rng), rng.uniform(0, np.pi), graded(severity, 0.20, 0.32, 0.50, 0.72), 0.4)
    off, along = path_distance(len(old.height), path)
    fade = ramp(np.sin(np.pi * along), 0.0, 0.5)
    width = rng.uniform(0.85, 1.15) * graded(severity, 0.013, 0.015, 0.020, 0.025)
    lips = np.exp(-((off / width) ** 2)) * fade
    valley = np.exp(-((off / (0.35 * width)) ** 2)) * fade
    height = old.height + graded(severity, 0.0010, 0.0030, 0.0120, 0.0220) * (lips - 1.3 * valley)
    worn = 1 + graded(severity, 0.10, 0.18, 0.50, 0.85) * (lips - valley)
    worn = worn * (1 - graded(severity, 0.06, 0.20, 0.65, 0.85) * valley)
    return replace(old, height=height, albedo=old.albedo * worn[..., None])


def stain(leather: Leather, rng: np.random.Generator, severity: float) -> Surface:
    """A patch of another colour that has soaked in, darkest along its rim; large ones with splashes."""
    old = leather.surface
    place = _place(rng)
    shades = ((0.34, 0.30, 0.30), (0.34, 0.46, 1.00), (2.20, 1.95, 1.40), (0.85, 0.26, 0.26))
    shade = np.asarray(shades[rng.integers(len(shades))])
    radius = rng.uniform(0.85, 1.15) * graded(severity, 0.030, 0.042, 0.075, 0.112)
    edge = blob(rng, len(old.height), place, radius)
    for _ in range(int(6 * severity) - 2):
        way = rng.uniform(0, 2 * np.pi)
        far = radius * rng.uniform(1.3, 2.0)
        drop = (place[0] + far * np.cos(way), place[1] + far * np.sin(way))
        edge = np.minimum(edge, blob(rng, len(old.height), drop, radius * rng.uniform(0.10, 0.25), 0.15))
    cover = (1 - ramp(edge, -0.006, 0.004)) * (0.8 + 0.2 * np.exp(-((edge / 0.01) ** 2)))
    strength = graded(severity, 0.16, 0.40, 0.90, 1.0)
    return replace(old, albedo=old.albedo * (1 + strength * cover[..., None] * (shade - 1)))


def poke(leather: Leather, rng: np.random.Generator, severity: float) -> Surface:
    """A puncture: a dark pit inside a pushed-up rim where the skin has torn pale."""
    old = leather.surface
    radius = graded(severity, 0.0095, 0.0115, 0.0230, 0.0400)
    edge = blob(rng, len(old.height), _place(rng), radius, graded(severity, 0.12, 0.12, 0.2, 0.3))
    pit = 1 - ramp(edge, -0.6 * radius, 0.2 * radius)
    rim = np.exp(-(((edge - 0.5 * radius) / (0.5 * radius)) ** 2))
    height = old.height - graded(severity, 0.0020, 0.0040, 0.0150, 0.0300) * pit
    height = height + graded(severity, 0.0004, 0.0010, 0.0060, 0.0120) * rim
    albedo = mix(old.albedo, (0.36, 0.22, 0.13), graded(severity, 0.0, 0.08, 0.35, 0.60) * rim)
    albedo = mix(albedo, (0.022, 0.013, 0.010), graded(severity, 0.34, 0.50, 0.92, 0.98) * pit)
    return Surface(height=height, albedo=albedo, gloss=old.gloss * (1 - pit))


DEFECTS = {"cut": cut, "fold": fold, "poke": poke, "stain": stain}
