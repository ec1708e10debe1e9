"""Kernels started ahead: ready for their notebook, replaced where they died, and none outlives the run."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from pathlib import Path

import nbformat
import papermill
import pytest
from jupyter_core.utils import ensure_event_loop, run_sync

from moleflow_lib.reporting.running.kernels import Kernels, imported_modules, warm

_CELL = "import os, sys\nfound = [os.getpid(), 'colorsys' in sys.modules, 'warm' in globals()]\nprint(*found)"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A notebook that says its process and whether the last cell's import was made before the first cell."""
    cells = [nbformat.v4.new_code_cell(source) for source in (_CELL, "import colorsys")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    path = tmp_path / "book.ipynb"
    nbformat.write(notebook, path)
    return path


def _run(book: Path, kernels: Kernels) -> list[str]:
    """Process of the kernel, whether the import was made ahead, whether anything of ours is left."""
    into = book.with_name("executed.ipynb")
    with kernels.kernel(book) as kernel:
        papermill.execute_notebook(book, into, kernel_name="python3", progress_bar=False, km=kernel)
    return nbformat.read(into, as_version=4).cells[0].outputs[0].text.split()


def _gone(process: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_a_kernel_started_ahead_has_imported_what_its_notebook_needs(book: Path) -> None:
    with Kernels() as kernels:
        kernels.start_ahead(book)
        process, ahead, left = _run(book, kernels)
    assert (ahead, left) == ("True", "False")
    assert _gone(int(process))


def test_without_a_start_ahead_it_starts_when_it_is_asked_for(book: Path) -> None:
    with Kernels() as kernels:
        first, second = _run(book, kernels), _run(book, kernels)
    assert first[0] != second[0] and _gone(int(first[0])) and _gone(int(second[0]))


def test_one_that_died_is_replaced(book: Path) -> None:
    with Kernels() as kernels:
        kernels.start_ahead(book)
        process = _process(kernels, book)
        os.kill(process, signal.SIGKILL)
        time.sleep(0.2)
        assert int(_run(book, kernels)[0]) != process


def test_none_outlives_the_run_whatever_ends_it(book: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Kernels() as kernels:
        kernels.start_ahead(book)
        process = _process(kernels, book)
        raise KeyboardInterrupt
    assert _gone(process)


def test_what_an_interrupted_notebook_left_waiting_is_ended_without_a_word(
    book: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def cell() -> None:
        """Waits for a reply, as nbclient does, and fails when that is called off."""
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise RuntimeError("the kernel died") from None

    with pytest.raises(KeyboardInterrupt), Kernels() as kernels, kernels.kernel(book):
        left = ensure_event_loop().create_task(cell())
        run_sync(asyncio.sleep)(0)
        raise KeyboardInterrupt
    assert left.done()
    del left
    gc.collect()
    assert "never retrieved" not in caplog.text


def _process(kernels: Kernels, book: Path) -> int:
    provisioner = kernels._ahead[book].manager.provisioner
    assert provisioner is not None
    return provisioner.pid  # type: ignore[attr-defined]


def test_the_modules_of_a_notebook_in_order_and_none_of_a_cell_that_does_not_parse(tmp_path: Path) -> None:
    sources = ["import b, a.c", "import x; %magic", "from d import e\nif True:\n    import later", "import b"]
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    path = tmp_path / "book.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("import m"), *cells]), path)
    assert imported_modules(path) == ["b", "a.c", "d", "d.e"]


def test_what_cannot_be_imported_is_left_to_the_notebook() -> None:
    warm(["no.such.module", "colorsys"])
