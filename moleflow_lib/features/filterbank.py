"""Patch features from fixed wavelets: a two-layer scattering transform that needs no weights.

A scattering transform (Mallat 2012; Bruna & Mallat 2013) convolves the image with oriented band-pass
wavelets, takes the modulus and averages; repeating this on the moduli recovers the texture that the
average has lost. Here the window of the average is one patch. The D = 132 channels are, in this order:

======== ============================== =============================================================
channels shape                          content, m in grey levels (1/255) and averaged over the patch
======== ============================== =============================================================
96       4 scales, 3 colours, 8 angles  log(1 + m₁), m₁ = |x * ψ| (first order)
30       6 scale pairs, 5 turns         log(1 + m₂) − L₁, m₂ = ||x * ψ| * ψ'| (second order)
3        colours                        log(1 + standard deviation of x)
3        colours                        2 · (mean of x), luminance counted from mid-grey
======== ============================== =============================================================

Colours are luminance (R+G+B)/3 and the opponents R−G and (R+G)/2−B. Angle k is a wave vector kπ/8 from
the x axis (right) towards the y axis (down); scale j has wavelength 8/3 · 2ʲ pixels. Scale pairs j₁ < j₂
run (0,1), (0,2), (1,2), (0,3), (1,3), (2,3), on luminance; a turn is the angle between the two wavelets,
folded to 0, π/8 … π/2 and averaged over the first angle. Dividing the second order by the first (Andén &
Mallat 2014) keeps it from repeating the contrast; L₁ is the mean of log(1 + m₁) over the angles at scale j₁.

What comes next is a LayerNorm over the channels (or nothing at all), so they must be of one scale without
being fitted to any data. Counting in grey levels does it: natural images have about the same contrast in
every octave (Field 1987), so the log of a wavelet of unit peak gain varies alike at all scales, and contrast
below one grey level, where 8-bit rounding and compression live, stays near 0. The factor 2 of the means
brings brightness to [−1, 1], the spread of the logs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from moleflow_lib.errors import ConfigError

__all__ = ["FilterBank", "morlet_kernels"]

SCALES, COLOURS, ANGLES = 4, 3, 8
TURNS = ANGLES // 2 + 1
PAIRS = tuple((fine, coarse) for coarse in range(SCALES) for fine in range(coarse))
KERNEL_SIZE = 7
SMALLEST_IMAGE = 2 ** (SCALES - 1) * (KERNEL_SIZE // 2 + 1)  # mirrored borders need more pixels than they add
FREQUENCY = 3 * math.pi / 4  # of the wavelet, radians a pixel of its scale's image
MEAN_GAIN = 2.0


class FilterBank(nn.Module):
    """Fixed wavelet scattering on a patch grid, the backbone for machines without weights.

    It has buffers only, is deterministic, and works image by image, so that features do not depend on
    the batch and the maps of one image stay in the processor's cache.

    Args:
        image_size: side S of the square input in pixels, a multiple of `grid` and at least 32.
        grid: patches along each side.

    Attributes:
        grid: (H, W), the patch grid.
        feature_dim: D, channels of a patch.

    Raises:
        ConfigError: the image is too small or does not divide into the grid.

    >>> bank = FilterBank(image_size=56, grid=7)
    >>> tuple(bank(torch.rand(2, 3, 56, 56)).shape), bank.feature_dim
    ((2, 7, 7, 132), 132)
    """

    kernels: Tensor
    colours: Tensor
    turns: Tensor

    def __init__(self, image_size: int = 224, grid: int = 14) -> None:
        super().__init__()
        if grid < 1 or image_size % grid or image_size < SMALLEST_IMAGE:
            raise ConfigError(
                f"filterbank expected image_size to be a multiple of grid and at least {SMALLEST_IMAGE}, "
                f"got image_size={image_size} with grid={grid}; try image_size={16 * max(grid, 2)} with "
                f"grid={max(grid, 1)}"
            )
        self.image_size = image_size
        self.grid = (grid, grid)
        self.feature_dim = SCALES * COLOURS * ANGLES + len(PAIRS) * TURNS + 2 * COLOURS
        self.register_buffer("kernels", morlet_kernels())
        self.register_buffer("colours", torch.tensor([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [0.5, 0.5, -1]]))
        self.register_buffer("turns", _turn_weights())

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Features of every patch.

        Args:
            images: (B, 3, S, S) RGB in [0, 1].

        Returns:
            (B, H, W, D) float32, channels as listed at the top of this module.

        Raises:
            ConfigError: the images have another shape or are not floating point.
        """
        size = self.image_size
        if images.shape[1:] != (3, size, size) or not images.is_floating_point():
            raise ConfigError(
                f"filterbank expected float images of shape (B, 3, {size}, {size}), got {images.dtype} of "
                f"shape {tuple(images.shape)}; convert and resize them, or build it with their image_size"
            )
        if images.shape[0] == 0:
            return images.new_zeros(0, *self.grid, self.feature_dim, dtype=torch.float32)
        if torch.compiler.is_exporting():  # a program for any batch has no fixed number of turns
            return self._describe(images.float())
        return torch.cat([self._describe(image.float()) for image in images.split(1)])

    def _describe(self, images: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, H, W, D)."""
        images = torch.einsum("oc,bchw->bohw", self.colours, images)
        patches = images.unflatten(3, (self.grid[1], -1)).unflatten(2, (self.grid[0], -1))
        spread, mean = torch.std_mean(patches, dim=(3, 5), correction=0)
        first, second = self._scatter(images)
        first, second = _log_grey(first), _log_grey(second)
        finer = torch.stack([first[:, fine, 0].mean(dim=1) for fine, _ in PAIRS], dim=1)
        second = second - finer.unsqueeze(2)
        brightness = mean - mean.new_tensor([0.5, 0.0, 0.0])[:, None, None]
        parts = [first.flatten(1, 3), second.flatten(1, 2), _log_grey(spread), MEAN_GAIN * brightness]
        return torch.cat(parts, dim=1).permute(0, 2, 3, 1)

    def _scatter(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, COLOURS, S, S) -> first order (B, SCALES, COLOURS, ANGLES, H, W) and second order
        (B, PAIRS, TURNS, H, W).
        """
        first, second = [], []
        carried = images[:, :0, None].expand(-1, -1, ANGLES, -1, -1)  # luminance moduli of all finer scales
        for scale in range(SCALES):
            if scale:
                images, carried = _halve(images), _halve(carried)
                moduli = self._pool(self._modulus(carried))
                second.append(torch.einsum("bfklhw,klt->bfthw", moduli, self.turns))
            colours = [self._modulus(colour) for colour in images.split(1, dim=1)]  # small maps stay in cache
            moduli = torch.cat(colours, dim=1)
            first.append(self._pool(moduli))
            carried = torch.cat([carried, moduli[:, :1]], dim=1)
        return torch.stack(first, dim=1), torch.cat(second, dim=1)

    def _modulus(self, maps: Tensor) -> Tensor:
        """|maps * ψ| at all angles: (..., h, w) -> (..., ANGLES, h, w), borders mirrored."""
        planes = maps.flatten(0, -3).unsqueeze(1)
        planes = F.pad(planes, (KERNEL_SIZE // 2,) * 4, mode="reflect")
        real, imaginary = F.conv2d(planes, self.kernels).square_().chunk(2, dim=1)
        moduli = (real + imaginary).sqrt_()
        return moduli.unflatten(0, maps.shape[:-2])

    def _pool(self, maps: Tensor) -> Tensor:
        """Mean over each patch: (..., h, w) -> (..., H, W); repeats values where h < H."""
        return _resize(maps, self.grid, mode="area")


def morlet_kernels() -> Tensor:
    """Morlet wavelets of zero mean at all angles, real parts before imaginary parts.

    Frequency 3π/4, width 0.8 and slant 0.5 are those of Andreux et al. 2020 (Kymatio). The gain is such
    that the modulus of a grating at the centre frequency is the grating's amplitude.

    Returns:
        (2 · ANGLES, 1, KERNEL_SIZE, KERNEL_SIZE) float32.
    """
    steps = torch.arange(KERNEL_SIZE, dtype=torch.float64) - KERNEL_SIZE // 2
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    angle = torch.arange(ANGLES, dtype=torch.float64)[:, None, None] * math.pi / ANGLES
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    envelope = torch.exp(-(along**2 + (0.5 * across) ** 2) / (2 * 0.8**2))
    wave = torch.polar(torch.ones_like(along), FREQUENCY * along)
    offset = (envelope * wave).sum((1, 2), keepdim=True) / envelope.sum((1, 2), keepdim=True)
    wavelet = envelope * (wave - offset)
    wavelet = 2 * wavelet / (wavelet * wave.conj()).sum((1, 2), keepdim=True).real
    return torch.cat([wavelet.real, wavelet.imag]).unsqueeze(1).float()


def _turn_weights() -> Tensor:
    """(ANGLES, ANGLES, TURNS): averages over all pairs of angles with the same turn between them."""
    angle = torch.arange(ANGLES)
    turn = (angle[:, None] - angle).abs()
    member = F.one_hot(torch.minimum(turn, ANGLES - turn), TURNS).float()
    return member / member.sum((0, 1))


def _log_grey(amplitude: Tensor) -> Tensor:
    """log(1 + amplitude in grey levels), 0 where there is no contrast."""
    return torch.log1p(255 * amplitude)


def _halve(maps: Tensor) -> Tensor:
    """Every map at half its size, low-pass filtered first: (..., h, w) -> (..., h // 2, w // 2)."""
    return _resize(maps, (maps.shape[-2] // 2, maps.shape[-1] // 2), mode="bicubic", antialias=True)


def _resize(maps: Tensor, size: tuple[int, int], mode: str, antialias: bool = False) -> Tensor:
    resized = F.interpolate(maps.flatten(0, -3).unsqueeze(0), size, mode=mode, antialias=antialias)
    return resized[0].unflatten(0, maps.shape[:-2])
