"""Kernels started ahead: while one notebook runs, the next one's kernel starts and imports what it needs."""

from __future__ import annotations

import ast
import asyncio
import importlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
from jupyter_client.client import KernelClient
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

from moleflow_lib.stages import STAGE_LINES

__all__ = ["Kernels", "imported_modules", "warm"]


class Kernels:
    """Python kernels, one for the notebook that runs and one for the notebook behind it.

    Use as a context manager; on leaving, whatever was started is stopped.
    """

    def __init__(self) -> None:
        self._ahead: dict[Path, _Kernel] = {}
        self._leaving: list[_Kernel] = []  # told to end, while the next notebook runs

    def __enter__(self) -> Kernels:
        return self

    def __exit__(self, *_: object) -> None:
        for kernel in self._leaving:
            kernel.stop(now=False)
        for kernel in self._ahead.values():
            kernel.stop()
        self._leaving.clear()
        self._ahead.clear()

    def start_ahead(self, book: Path) -> None:
        """Start a kernel for a notebook that runs later; returns at once."""
        if book not in self._ahead:
            self._ahead[book] = _Kernel(book)

    @contextmanager
    def kernel(self, book: Path) -> Iterator[AsyncKernelManager]:
        """The kernel of a notebook, started ahead or now; told to end on leaving, killed on an exception."""
        kernel = self._ahead.pop(book, None)
        if kernel and not kernel.is_alive():
            kernel.stop()
            kernel = None
        kernel = kernel or _Kernel(book)
        try:
            yield kernel.manager
        except BaseException:
            run_sync(_cancel_tasks)()
            kernel.stop()
            raise
        for done in self._leaving:
            done.stop()
        self._leaving = [kernel] if kernel.dismissed() else []


async def _cancel_tasks() -> None:
    """End what an interrupted notebook left waiting: it would find its kernel dead, and nobody would hear."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class _Kernel:
    """A kernel process that imports a notebook's modules before it takes work, and tells stages in lines."""

    def __init__(self, book: Path) -> None:
        self.manager = _Manager(kernel_name="python3")
        modules = imported_modules(book)
        lines = f"from {__name__} import warm; warm({modules!r}); del warm"
        arguments = ["--HistoryManager.hist_file=:memory:", f"--IPKernelApp.exec_lines={lines}"]
        told = {**os.environ, STAGE_LINES: "1"}
        run_sync(self.manager.start_kernel)(extra_arguments=arguments, env=told)

    def is_alive(self) -> bool:
        return bool(run_sync(self.manager.is_alive)())

    def dismissed(self) -> bool:
        """Ask it to end, which takes it a second: its worker processes and temporary files go first. One
        that ran nothing has none, and may still be starting: it is stopped, and False returned.
        """
        if not self.manager.clients:
            self.stop()
            return False
        for client in self.manager.clients:
            client.stop_channels()
        run_sync(self.manager.request_shutdown)()
        return True

    def stop(self, now: bool = True) -> None:
        for client in self.manager.clients:
            client.stop_channels()
        run_sync(self.manager.shutdown_kernel)(now=now)


class _Manager(AsyncKernelManager):
    """Knows the clients it made: who runs the notebook leaves closing them to the kernel's owner."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.clients: list[KernelClient] = []

    def client(self, **options: object) -> KernelClient:
        """A further client, remembered."""
        made = super().client(**options)
        self.clients.append(made)
        return made


def imported_modules(book: Path) -> list[str]:
    """Names of the modules that a notebook's cells import at their top, in order; a cell that does not parse
    has none.
    """
    found: dict[str, None] = {}
    for cell in nbformat.read(book, as_version=4).cells:
        if cell.cell_type == "code":
            with suppress(SyntaxError):
                for node in ast.parse(cell.source).body:
                    found |= dict.fromkeys(_modules(node))
    return list(found)


def _modules(node: ast.stmt) -> list[str]:
    """What a statement imports; a name that is taken from a module may be a module itself.

    >>> [_modules(node) for node in ast.parse("import a.b, c; from d.e import f; g = 1").body]
    [['a.b', 'c'], ['d.e', 'd.e.f'], []]
    """
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
    return []


def warm(modules: Iterable[str]) -> None:
    """Import modules; what cannot be imported is left for the notebook to say."""
    for module in modules:
        with suppress(Exception):
            importlib.import_module(module)
