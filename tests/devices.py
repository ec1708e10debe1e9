"""A second device that is not there: it computes on the CPU and refuses what CUDA refuses."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from moleflow_lib.runtime import DEVICE_KINDS

__all__ = ["DEVICE", "SimulatedDevice"]

DEVICE = torch.device("meta")
_aten = torch.ops.aten
_WAITING = (
    _aten._local_scalar_dense,
    _aten.item,
    _aten.is_nonzero,
    _aten.nonzero,
    _aten.masked_select,
    _aten._unique2,
    _aten.equal,
)
_INDEXING = (_aten.index, _aten.index_put_, _aten.index_put, _aten._unsafe_index)  # take indices from the CPU


class Remote(torch.Tensor):
    """A tensor that reports the simulated device and keeps its values on the CPU."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Remote:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"Remote({self.inner!r})"

    def tolist(self) -> Any:
        """Values by way of the CPU; torch has this for plain tensors alone."""
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError("a tensor of the simulated device was used outside `with SimulatedDevice()`")


class SimulatedDevice(TorchDispatchMode):
    """While it is entered, device `meta` is a second device.

    Attributes:
        waits: how often the host had to wait for the device: `.item()`, `bool()`, `.cpu()`, sizes that depend
            on values.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0
        self._known = patch("moleflow_lib.runtime.DEVICE_KINDS", (*DEVICE_KINDS, DEVICE.type))

    def __enter__(self) -> SimulatedDevice:
        self._known.start()
        return super().__enter__()

    def __exit__(self, *raised: object) -> None:
        self._known.stop()
        super().__exit__(*raised)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        flat, spec = tree_flatten((args, kwargs or {}))
        remote = [x for x in flat if isinstance(x, Remote)]
        asked = [x for x in flat if isinstance(x, torch.device)]
        there = DEVICE in asked or bool(remote and not asked)
        self._refuse_mixtures(func, flat, bool(remote))
        waiting = func.overloadpacket in _WAITING or (asked and not there) or self._is_masking(func, flat)
        self.waits += bool(remote and waiting)
        local_args, local_kwargs = tree_unflatten([_local(x) for x in flat], spec)
        result = func(*local_args, **local_kwargs)
        if func.overloadpacket is _aten._local_scalar_dense or not there:
            return result
        same = {id(x.inner): x for x in remote}  # what works in place gives back its own argument
        return tree_map(lambda x: _wrapped(x, same) if isinstance(x, torch.Tensor) else x, result)

    def _refuse_mixtures(self, func: Any, flat: list[Any], any_remote: bool) -> None:
        plain = [x for x in flat if isinstance(x, torch.Tensor) and not isinstance(x, Remote)]
        if any(x.device == DEVICE for x in plain):
            raise RuntimeError(f"{func}: a list as index is sent to the device at once, which waits for it")
        copies = (_aten.copy_, _aten._to_copy, _aten.to, *_INDEXING)
        if not any_remote or func.overloadpacket in copies:
            return
        if any(x.dim() for x in plain):
            raise RuntimeError(f"{func}: expected all tensors on one device, got {DEVICE} and cpu")

    def _is_masking(self, func: Any, flat: list[Any]) -> bool:
        masks = [x for x in flat if isinstance(x, torch.Tensor) and x.dtype == torch.bool]
        return func.overloadpacket in _INDEXING and bool(masks)


def _local(x: Any) -> Any:
    return x.inner if isinstance(x, Remote) else torch.device("cpu") if isinstance(x, torch.device) else x


def _wrapped(x: torch.Tensor, same: dict[int, Remote]) -> Remote:
    with torch.inference_mode(x.is_inference()):
        return same[id(x)] if id(x) in same else Remote(x)
