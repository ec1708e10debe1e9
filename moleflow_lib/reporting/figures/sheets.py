"""Sheets of pictures for judging: tiles that wrap on a narrow page, grow when clicked, say what they show.

A sheet is HTML that needs neither a script nor plotly.js, so every viewer shows it: JupyterLab, plain
nbconvert, a report on a phone or on paper.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import unescape

import numpy as np
from PIL import Image

from moleflow_lib.reporting.escaping import html_text

__all__ = ["Case", "Sheet", "Tile", "data_address"]

_STYLE = """<style>
.mf-sheet h5 { font-size: 1rem; margin: 1rem 0 .3rem; }
.mf-cases { display: flex; flex-wrap: wrap; gap: 14px 22px; }
.mf-case { margin: 0; max-width: 100%; break-inside: avoid; }
.mf-tiles { display: flex; flex-wrap: wrap; gap: 6px; }
.mf-tile { margin: 0; width: 224px; max-width: 100%; }
.mf-tile label { display: block; cursor: zoom-in; }
.mf-tile img { display: block; width: 100%; height: auto; border-radius: 3px; }
.mf-tile span, .mf-case > figcaption { display: block; font-size: .8rem; line-height: 1.35;
  overflow-wrap: anywhere; }
.mf-tile input { position: absolute; opacity: 0; }
.mf-tile input:focus-visible + img { outline: 3px solid #0072b2; }
.mf-tile input:checked + img { position: fixed; inset: 0; z-index: 99; width: 100vw; height: 100vh;
  object-fit: contain; background: #000d; cursor: zoom-out; border-radius: 0; }
.mf-bar { display: flex; gap: 8px; align-items: center; font-size: .8rem; margin: .6rem 0; flex-wrap: wrap; }
.mf-bar img { width: 224px; height: 14px; }
@media (max-width: 600px) { .mf-tile { width: calc(50vw - 1rem - 3px); } }
@media print { .mf-tile { width: 150px; } }
</style>"""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One picture (S, S, 3) uint8 and the words below it; `exact` keeps every pixel as it is."""

    picture: np.ndarray
    label: str
    exact: bool = False


@dataclass(frozen=True, kw_only=True)
class Case:
    """Pictures of the same thing beside each other, with a line that names it."""

    tiles: Sequence[Tile]
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Named rows of cases under a title, above a caption.

    Attributes:
        title: of the sheet.
        caption: what to look for.
        rows: heading → its cases.
        scale: a colour bar (1, W, 3) uint8, where maps have one.
        ends: what the bar's left and right end mean.
    """

    title: str
    caption: str
    rows: Sequence[tuple[str, Sequence[Case]]]
    scale: np.ndarray | None = None
    ends: tuple[str, str] = ("", "")

    @property
    def tiles(self) -> list[Tile]:
        """All tiles, in order."""
        return [tile for _, cases in self.rows for case in cases for tile in case.tiles]

    def _repr_html_(self) -> str:
        rows = "".join(_row(name, cases) for name, cases in self.rows)
        return (
            f'{_STYLE}<figure class="mf-sheet"><h4>{html_text(self.title)}</h4>{self._bar()}{rows}'
            f"<figcaption>{html_text(self.caption)}</figcaption></figure>"
        )

    def __repr__(self) -> str:
        return f"{unescape(self.title)}: {len(self.tiles)} pictures. {self.caption}"

    def _bar(self) -> str:
        """The colour bar, where there is one."""
        if self.scale is None:
            return ""
        left, right = (html_text(end) for end in self.ends)
        picture = data_address(np.repeat(self.scale, 8, axis=0), exact=True)
        bar = f'<img src="{picture}" width="224" height="14" alt="colours from {left} to {right}">'
        return f'<div class="mf-bar">{left}{bar}{right}</div>'


def data_address(picture: np.ndarray, exact: bool = False, quality: int = 90) -> str:
    """A picture (H, W, 3) uint8 as the address of a WebP image: two thirds of a JPEG, half of a PNG.

    Args:
        picture: the pixels.
        exact: keep every pixel as it is, as a map's colours have to be.
        quality: of a picture that is not exact; the traces of 90 do not show.
    """
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="WEBP", lossless=exact, quality=100 if exact else quality)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def _row(name: str, cases: Sequence[Case]) -> str:
    return f'<h5>{html_text(name)}</h5><div class="mf-cases">{"".join(map(_case, cases))}</div>'


def _case(case: Case) -> str:
    tiles = "".join(_tile(tile, case.name) for tile in case.tiles)
    caption = f"<figcaption>{html_text(case.name)}</figcaption>" if case.name else ""
    return f'<figure class="mf-case"><div class="mf-tiles">{tiles}</div>{caption}</figure>'


def _tile(tile: Tile, of: str) -> str:
    words = html_text(f"{tile.label}: {of}" if of else tile.label)
    side = tile.picture.shape[1]
    return (
        f'<div class="mf-tile"><label><input type="checkbox" aria-label="enlarge {words}">'
        f'<img width="{side}" alt="{words}" src="{data_address(tile.picture, tile.exact)}"></label>'
        f"<span>{html_text(tile.label)}</span></div>"
    )
