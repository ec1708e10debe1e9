"""The spatial context mixer."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from moleflow_lib.model.mixer import SpatialContextMixer


def test_mixer_starts_as_a_box_blend_with_zero_padding() -> None:
    x, gate = torch.rand(1, 4, 4, 2), torch.sigmoid(torch.tensor(0.5))
    box = F.avg_pool2d(x.permute(0, 3, 1, 2), 3, stride=1, padding=1).permute(0, 2, 3, 1)
    assert torch.allclose(SpatialContextMixer(2)(x), (1 - gate) * x + gate * box, atol=1e-6)
    assert sum(p.numel() for p in SpatialContextMixer(768).parameters()) == 7681
