"""What of a page a reader cannot see whole: on a phone, on a wide screen, on paper."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import unescape
from pathlib import Path

from tests.reporting.pages.test_report import _dom

__all__ = ["cut_texts"]

_SCRIPT = Path(__file__).with_suffix(".js").read_text()
_PLACES = {"390": 390, "1440": 1440, "paper": 703}  # pixels; A4 between its margins
_SIDEWAYS = ".scroll.wide { max-width: none; width: 1047px }"  # a sheet turned, as @page says


def cut_texts(pages: Sequence[Path], folder: Path) -> list[str]:
    """Texts and pictures that are cut, each with its page, where it is read, and what cuts it.

    On a screen nothing is cut that can be scrolled to, by keyboard too, in a place whose shade is seen.

    Args:
        pages: HTML files of one folder.
        folder: for the browser's files.
    """
    frames = [(f"{page.name} {place}", page, place) for page in pages for place in _PLACES]
    shown = [[name, _PLACES[place], place == "paper", _as_read(page, place)] for name, page, place in frames]
    script = """
      const found = [];
      const shown = Promise.all(PAGES.map(([name, width, paper, html]) => new Promise((done) => {
        const frame = document.createElement("iframe");
        frame.style = `width:${width}px;height:900px;border:0`;
        const look = () => {
          found.push(...cutTexts(frame.contentDocument, paper).map((text) => `${name}: ${text}`)); done(); };
        frame.onload = () => setTimeout(look, 500);
        frame.srcdoc = html; document.body.append(frame); })));
      shown.then(() => { document.documentElement.dataset.seen = JSON.stringify(found); });"""
    script = script.replace("PAGES", json.dumps(shown).replace("<", "\\u003c"))
    frame = pages[0].with_name("framed.htm")  # beside it lies plotly.min.js
    frame.write_text(f"<!DOCTYPE html><body><script>{_SCRIPT}{script}</script>")
    dom = _dom(frame, folder)
    frame.unlink()
    return json.loads(unescape(re.search(r'data-seen="([^"]*)"', dom).group(1)))


def _as_read(page: Path, place: str) -> str:
    html = page.read_text().replace("<style>", "<style>html { scrollbar-width: none } ", 1)  # as a phone's
    if place != "paper":
        return html
    by_day = html.replace("(prefers-color-scheme: dark)", "not all").replace("not all and screen", "not all")
    return by_day.replace("@media print {", f"@media all {{ {_SIDEWAYS}")
