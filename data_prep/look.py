"""One record decoded: its faults, how it is stored, and what is needed to compare it with others."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageCms

from moleflow_lib.datasets.faults import Fault, FaultLog
from moleflow_lib.datasets.headers import Header
from moleflow_lib.datasets.image_files import ImageFault
from moleflow_lib.datasets.images import grey_values, read_header, read_image, read_mask, require_same_size
from moleflow_lib.datasets.records import Record

__all__ = ["Look", "look_at"]

_PLAIN_MODES = ("RGB", "L", "1")
_MANY_GREYS = 32  # more values than class indices have in any public set: soft edges, or noise


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a check keeps of one record."""

    record: Record
    faults: tuple[Fault, ...]
    content: str = ""  # SHA-256 of size and RGB values, or "" if unreadable
    flat: bool = False  # whether the image is one colour throughout
    profile: str = ""  # name of its colour profile, if it has one that is not sRGB
    marked: float | None = None  # share of the image that its mask marks; None without a sound mask
    lossy_mask: bool = False
    greys: int = 0  # values of a mask that has more of them than classes have


def look_at(record: Record, log: FaultLog) -> Look:
    """Decode one image and its mask; whatever is wrong with them goes to `log`."""
    facts: dict[str, Any] = {}
    header = None
    try:
        header = read_header(record.image)
        image = read_image(record.image)
        pixels = image.tobytes()
        facts["content"] = hashlib.sha256(repr(image.size).encode() + pixels).hexdigest()
        facts["flat"] = all(low == high for low, high in np.reshape(image.getextrema(), (-1, 2)))
        facts["profile"] = _profile_name(header.profile)
        _storage_notes(record, header, log)
    except ImageFault as fault:
        log.error(fault.kind, record.image, fault.what, fault.todo)
        header = None
    if record.mask is not None:
        facts |= _look_at_mask(record.mask, header, log)
    return Look(record=record, faults=tuple(log.faults), **facts)


def _look_at_mask(path: Path, image: Header | None, log: FaultLog) -> dict[str, Any]:
    try:
        header = read_header(path, mask=True)
        mask = read_mask(path)
        if image is not None:
            require_same_size(path, header.size, image.size, image.stored)
    except ImageFault as fault:
        log.error(fault.kind, path, fault.what, fault.todo)
        return {}
    if not mask.any():
        what = "is black by value: it marks no pixel (class indices would count, whatever they look like)"
        log.error("mask-black", path, what, "mark the defect, or move its image to test/good")
        return {}
    greys = 0 if header.lossy else grey_values(path)
    return {
        "marked": float(np.mean(mask)),
        "lossy_mask": header.lossy,
        "greys": greys if greys > _MANY_GREYS else 0,
    }


def _storage_notes(record: Record, header: Header, log: FaultLog) -> None:
    """Ways of storing an image that are read rightly, and often not meant."""
    path = record.image
    if header.mode in ("P", "PA"):
        log.note("palette", path, "is a palette image", "nothing, it is read as its colours")
    elif header.alpha:
        log.note("alpha", path, "has an alpha channel, opaque everywhere", "nothing, the channel is dropped")
    elif header.mode not in _PLAIN_MODES:
        log.note("mode", path, f"has the colour mode {header.mode}", "nothing, it is read as RGB")
    if header.turned != 1:
        what = f"is turned for viewing (EXIF orientation {header.turned})"
        beside = "; its mask must be drawn on it as viewers show it" if record.mask else ""
        log.note("orientation", path, what, f"nothing, it is read as every viewer shows it{beside}")


def _profile_name(profile: bytes) -> str:
    """What a colour profile calls itself; "" for sRGB and for none."""
    if not profile:
        return ""
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except (OSError, ImageCms.PyCMSError):
        name = "damaged"
    return "" if "srgb" in name.casefold() else name
