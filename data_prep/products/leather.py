"""Brown pebbled leather: a texture without any position of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from data_prep.camera import Rig, Surface
from data_prep.fields import blob, curve, mix, path_distance, pixel_grid, ramp, smooth_noise, stroke, worley

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
        height = 0.0031 * pebble + 0.0030 * smooth_noise(rng, size, 2.5) + 0.00020 * smooth_noise(rng, size, 100)
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
    turn, scale = rng.uniform(-0.3, 0.3), 30 * rng.uniform(0.93, 1.07)
    c, s = np.cos(turn) * scale, np.sin(turn) * scale
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
    """A blade's slit: dark and deep where it gapes, with raised lips."""
    old = leather.surface
    path = curve(rng, _place(rng), rng.uniform(0, np.pi), 0.05 + 0.22 * severity, 0.25)
    off, along = path_distance(len(old.height), path)
    width = (0.0022 + 0.0050 * severity) * (0.25 + np.sin(np.pi * along))
    open_ = stroke(off, width)
    lips = np.exp(-(((np.abs(off) - 1.8 * width) / (1.2 * width)) ** 2))
    height = old.height + (0.0004 + 0.0024 * severity) * lips - (0.0015 + 0.009 * severity) * open_
    albedo = mix(old.albedo, (0.055, 0.030, 0.020), (0.30 + 0.62 * severity) * open_)
    return Surface(height=height, albedo=albedo, gloss=old.gloss * (1 - open_))


def fold(leather: Leather, rng: np.random.Generator, severity: float) -> Surface:
    """A crease pressed in by folding: a long dark line between two swollen lips, worn lighter."""
    old = leather.surface
    path = curve(rng, _place(rng), rng.uniform(0, np.pi), 0.25 + 0.35 * severity, 0.35)
    off, along = path_distance(len(old.height), path)
    fade = ramp(np.sin(np.pi * along), 0.0, 0.5)
    width = rng.uniform(0.012, 0.018)
    lips = np.exp(-((off / width) ** 2)) * fade
    valley = np.exp(-((off / (0.4 * width)) ** 2)) * fade
    height = old.height + (0.0010 + 0.0080 * severity) * (lips - 1.3 * valley)
    worn = 1 + (0.10 + 0.25 * severity) * (lips - valley) - (0.06 + 0.55 * severity) * valley
    return replace(old, height=height, albedo=old.albedo * worn[..., None])


def stain(leather: Leather, rng: np.random.Generator, severity: float) -> Surface:
    """A patch of another colour that has soaked in, darkest along its rim."""
    old = leather.surface
    shades = ((0.52, 0.48, 0.48), (0.68, 0.76, 1.15), (1.65, 1.50, 1.10), (0.95, 0.58, 0.55))
    shade = np.asarray(shades[rng.integers(len(shades))])
    edge = blob(rng, len(old.height), _place(rng), rng.uniform(0.035, 0.06) + 0.05 * severity)
    cover = (1 - ramp(edge, -0.006, 0.004)) * (0.8 + 0.2 * np.exp(-((edge / 0.01) ** 2)))
    return replace(old, albedo=old.albedo * (1 + (0.35 + 0.65 * severity) * cover[..., None] * (shade - 1)))


def poke(leather: Leather, rng: np.random.Generator, severity: float) -> Surface:
    """A puncture: a small dark pit inside a pushed-up rim."""
    old = leather.surface
    radius = 0.0075 + 0.0115 * severity
    edge = blob(rng, len(old.height), _place(rng), radius, 0.12)
    pit = 1 - ramp(edge, -0.6 * radius, 0.4 * radius)
    rim = np.exp(-(((edge - 0.8 * radius) / (0.7 * radius)) ** 2))
    height = old.height - (0.0020 + 0.010 * severity) * pit + (0.0006 + 0.0022 * severity) * rim
    albedo = mix(old.albedo, (0.035, 0.020, 0.015), (0.32 + 0.60 * severity) * pit)
    return Surface(height=height, albedo=albedo, gloss=old.gloss * (1 - pit))


DEFECTS = {"cut": cut, "fold": fold, "poke": poke, "stain": stain}
