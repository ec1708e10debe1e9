"""Jobs on a Dask cluster. A worker that is lost costs the job it was at, which another worker then takes.

Start a cluster with `dask scheduler --host 127.0.0.1` (or with TLS: whoever reaches the port of an open one
runs code on the workers) and, on each machine or GPU (`CUDA_VISIBLE_DEVICES` set for each), `dask worker
ADDRESS
--nthreads 1`, in the same environment, under the same paths.
"""

from __future__ import annotations

import ipaddress
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Protocol, cast

from moleflow_lib.errors import ConfigError
from moleflow_lib.studies.ablation.jobs import carry_out

__all__ = ["Cluster", "Work", "is_exposed"]

_ANSWER = 5  # seconds a scheduler has to answer
_PATIENCE = 60.0  # seconds without any worker before the rest is given up
_POLL = 0.2  # seconds between looks


class Work(Protocol):
    """What a worker can be given: anything that can be pickled and has a name for people and a key."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str: ...


class Cluster:
    """A connection to a Dask scheduler.

    Args:
        address: tcp://host:port.
        patience: seconds without any worker before what is left counts as failed.

    Raises:
        ConfigError: Dask is not installed, nothing answers at the address, or no worker is there.
    """

    def __init__(self, address: str, patience: float = _PATIENCE) -> None:
        self.dask, self.address, self.patience = _dask(), address, patience
        if not re.fullmatch(r"\w+://[^/]+:\d+", address):
            raise ConfigError(
                f"scheduler: no Dask scheduler answers at {address}: expected an address like tcp://host:8786"
            )
        try:
            self.client = self.dask.Client(address, timeout=_ANSWER, set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"scheduler: no Dask scheduler answers at {address} ({error}); start one with `dask "
                "scheduler` and give its address as tcp://host:port"
            ) from error
        if is_exposed(address):
            print(
                f"[moleflow] {address} is neither on this machine nor encrypted: a Dask scheduler runs "
                "whatever code reaches its port; use TLS (tls://, dask scheduler --tls-ca-file …) or a "
                "network that nobody else is on",
                file=sys.stderr,
                flush=True,
            )
        threads = self._threads()
        if not threads:
            self.close()
            raise ConfigError(
                f"scheduler: {address} has no workers; start some with `dask worker {address} --nthreads 1`"
            )
        if max(threads) > 1:
            print(
                "[moleflow] a worker does one job at a time, however many threads it has; start one a core "
                f"with `dask worker {address} --nthreads 1 --nworkers N`",
                file=sys.stderr,
                flush=True,
            )

    def outcomes(
        self, jobs: Sequence[Work], act: Callable[..., tuple[str, str]] = carry_out
    ) -> Iterator[tuple[str, str]]:
        """Carry out jobs; yields each one's key and what went wrong, as they end.

        Args:
            jobs: what to do.
            act: what does one; gives its key and what went wrong, empty if nothing.
        """
        if self.client.status == "closed":  # it was lost in an earlier wave
            yield from (
                (job.key, f"the scheduler at {self.address} was lost; start it and run again") for job in jobs
            )
            return
        left = {self._submit(job, act): job for job in jobs}
        ended = self.dask.as_completed(list(left), loop=self.client.loop, with_results=True)
        seen = time.monotonic()
        while left and time.monotonic() - seen < self.patience:
            batch = ended.next_batch(block=False)
            for future, result in batch:
                yield _outcome(left.pop(future), future.status, result)
            if batch or self._threads():
                seen = time.monotonic()
            if not batch:
                time.sleep(_POLL)
        alone = f"no worker was left at {self.address} for {self.patience:.0f} s; start workers and run again"
        yield from ((job.key, alone) for job in left.values())

    def close(self) -> None:
        """Give up what is not finished and disconnect."""
        self.client.close()

    def _submit(self, job: Work, act: Callable[..., tuple[str, str]]) -> object:
        name = f"{job.name}-{job.key[:12]}-{uuid.uuid4().hex[:8]}"  # a name used once: Dask remembers names
        return self.client.submit(act, job, key=name, pure=False)

    def _threads(self) -> list[int]:
        return [
            worker["nthreads"]
            for worker in self.client.scheduler_info(n_workers=-1).get("workers", {}).values()
        ]


def is_exposed(address: str) -> bool:
    """Whether a scheduler's address is plain TCP to another machine.

    >>> is_exposed("tcp://10.0.0.7:8786"), is_exposed("tcp://127.0.0.1:8786"), is_exposed("tls://host:8786")
    (True, False, False)
    """
    scheme, _, place = address.partition("://")
    host = place.rpartition(":")[0].strip("[]")
    if scheme != "tcp" or host == "localhost":
        return False
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return True


def _outcome(job: Work, status: str, result: object) -> tuple[str, str]:
    """A job's key and what went wrong, from how its future ended."""
    if status == "finished":
        return cast("tuple[str, str]", result)
    error = result[1] if isinstance(result, tuple) else result  # Dask gives (type, error, traceback)
    return job.key, f"{type(error).__name__}: {error}"


def _dask() -> ModuleType:
    try:
        import distributed
    except ImportError as error:
        raise ConfigError(
            "scheduler: work on a cluster needs Dask, which is not installed; pip install "
            "'moleflow-notebooks[distributed]'"
        ) from error
    return distributed
