"""A surface, and the camera that photographs it: light, shadow, lens and sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from data_prep.drawing.fields import pixel_grid

__all__ = ["Camera", "Rig", "Surface", "expose", "to_bytes"]


@dataclass(frozen=True, kw_only=True)
class Surface:
    """What lies under the camera, pixel by pixel."""

    height: np.ndarray  # (S, S), in sides of the picture
    albedo: np.ndarray  # (S, S, 3), reflected share of the light, linear, 0 to 1
    gloss: np.ndarray  # (S, S), strength of the mirror-like reflection


@dataclass(frozen=True, kw_only=True)
class Rig:
    """How a product is lit and seen on its inspection line, before the drift of any one picture."""

    azimuth: float  # where the light comes from, radians, 0 = right, growing clockwise
    elevation: float  # height of the light, radians above the table
    ambient: float  # share of the light that comes from everywhere
    polish: int  # the highlight is a cosine to the power 2**polish
    unevenness: float = 0.06  # usual drop of the light across the picture
    reach: float = 0.04  # how far a shadow can fall, in sides of the picture


@dataclass(frozen=True, kw_only=True)
class Camera:
    """One exposure: the rig with the drift and the sensor noise of this picture."""

    rig: Rig
    light: np.ndarray  # (3,) unit vector towards the light
    field: np.ndarray  # (S, S) uneven illumination, about 1
    tint: np.ndarray  # (3,) exposure times white balance, about 1
    blur: float  # pixels
    grain: np.ndarray  # (S, S, 3) noise, in grey levels

    @classmethod
    def draw(cls, rng: np.random.Generator, rig: Rig, size: int) -> Camera:
        """Draw the drift of one picture."""
        azimuth = rig.azimuth + 0.12 * rng.standard_normal()
        elevation = rig.elevation + 0.03 * rng.standard_normal()
        flat = np.cos(elevation)
        x, y = pixel_grid(size)
        slope = rig.unevenness * rng.standard_normal(2)
        bow = 0.25 * rng.uniform(0.4, 1.0)
        field = (
            1 + slope[0] * (x - 0.5) * 2 + slope[1] * (y - 0.5) * 2 - bow * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
        )
        grey = rng.standard_normal((size, size, 1), dtype=np.float32)
        colour = rng.standard_normal((size, size, 3), dtype=np.float32)
        return cls(
            rig=rig,
            light=np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)]),
            field=field,
            tint=(1 + 0.05 * rng.standard_normal()) * (1 + 0.006 * rng.standard_normal(3)),
            blur=size / 256 * rng.uniform(0.45, 0.85),
            grain=rng.uniform(1.2, 2.4) * (0.85 * grey + 0.5 * colour),
        )


def expose(surface: Surface, camera: Camera) -> np.ndarray:
    """Photograph a surface: diffuse light, highlights, cast shadows, lens blur, a square-root tone curve.

    The lighting is Lambert's cosine with Blinn's highlight; the rest is an engineering choice.

    Returns:
        (S, S, 3) float64 in grey levels 0 to 255, still without sensor noise.
    """
    size = len(surface.height)
    rig = camera.rig
    (lx, ly, lz) = camera.light
    down, right = np.gradient(np.asarray(surface.height) * size)
    inverse = 1 / np.sqrt(1 + right * right + down * down)
    half = camera.light + np.array([0.0, 0.0, 1.0])
    hx, hy, hz = half / np.sqrt(half @ half)
    direct = np.clip((lz - lx * right - ly * down) * inverse, 0.0, None) / lz
    shine = np.clip((hz - hx * right - hy * down) * inverse, 0.0, 1.0)
    for _ in range(rig.polish):
        shine = shine * shine
    lit = 1 - cast_shadow(surface.height, camera)
    diffuse = camera.field * (rig.ambient + (1 - rig.ambient) * direct * lit)
    mirror = camera.field * surface.gloss * shine * lit
    radiance = (surface.albedo * diffuse[..., None] + mirror[..., None]) * camera.tint
    radiance = ndimage.gaussian_filter(radiance, (camera.blur, camera.blur, 0), truncate=3.0, mode="nearest")
    return 255 * np.sqrt(np.clip(radiance, 0.0, 1.0))


def cast_shadow(height: np.ndarray, camera: Camera) -> np.ndarray:
    """Share of the direct light (S, S) that higher ground towards the light takes away."""
    size = len(height)
    (lx, ly, lz) = camera.light
    flat = np.hypot(lx, ly)
    steps = max(1, round(camera.rig.reach * size))
    padded = np.pad(height, steps, mode="edge")
    excess = np.zeros_like(height)
    for step in range(1, steps + 1):
        row = steps + round(step * ly / flat)
        column = steps + round(step * lx / flat)
        over = padded[row : row + size, column : column + size] - height - step / size * lz / flat
        np.maximum(excess, over, out=excess)
    return ndimage.uniform_filter(np.clip(excess * size / 1.5, 0.0, 1.0), 3, mode="nearest")


def to_bytes(levels: np.ndarray, camera: Camera) -> np.ndarray:
    """Add the sensor's noise to grey levels (S, S, 3) and round to uint8."""
    return np.clip(np.rint(levels + camera.grain), 0, 255).astype(np.uint8)
