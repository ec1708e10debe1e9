"""Whether features can be kept as float16, in which they are stored."""

from __future__ import annotations

import math

import torch

__all__ = ["beyond_float16"]


def beyond_float16(features: torch.Tensor) -> str:
    """Why features cannot be kept as float16, and what to do; "" if they can.

    >>> beyond_float16(torch.tensor([1.0, -2.0])), beyond_float16(torch.tensor([1e5]))[:40]
    ('', 'reach 1e+05, beyond the 65504 of float16')
    """
    largest = float(features.abs().max())
    limits = torch.finfo(torch.float16)
    todo = "in which features are kept; set block_norm=true, or choose other blocks or another backbone"
    if not math.isfinite(largest):
        return "are not finite: its weights or the image are damaged; check both"
    if largest > limits.max:
        return f"reach {largest:.3g}, beyond the {limits.max:.0f} of float16, {todo}"
    if 0 < largest < limits.smallest_normal:
        return f"are at most {largest:.2g}, below the {limits.smallest_normal:.2g} of float16, {todo}"
    return ""
