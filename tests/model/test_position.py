"""The positional encoding against its formula, written out one value at a time."""

from __future__ import annotations

import math

import pytest
import torch

from moleflow_lib.errors import ConfigError
from moleflow_lib.model.position import PositionalEmbeddingGenerator, positional_encoding_2d


def test_every_value_by_formula() -> None:
    code = positional_encoding_2d(8, 3, 4)
    for y in range(3):
        for x in range(4):
            for i in range(2):
                rate = 10000 ** (-i / 2)
                expected = [math.sin(x * rate), math.cos(x * rate), math.sin(y * rate), math.cos(y * rate)]
                assert code[y, x, 4 * i : 4 * i + 4].tolist() == pytest.approx(expected, abs=1e-6)


def test_it_is_added_unscaled_or_not_at_all() -> None:
    features = torch.rand(2, 3, 4, 8)
    assert torch.equal(PositionalEmbeddingGenerator(8)(features), features + positional_encoding_2d(8, 3, 4))
    assert PositionalEmbeddingGenerator(8, enabled=False)(features) is features


def test_width_must_divide_by_four() -> None:
    with pytest.raises(ConfigError, match="divides by 4, got 6"):
        positional_encoding_2d(6, 2, 2)
