"""Runs on a Dask cluster. A worker that is lost costs the run it was at, which another worker then takes.

Start a cluster with `dask scheduler` and, on each machine or GPU (`CUDA_VISIBLE_DEVICES` set for each),
`dask worker tcp://host:port --nthreads 1`, in the same environment, under the same paths.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from types import ModuleType

from moleflow_lib.ablation.jobs import Job, carry_out
from moleflow_lib.errors import ConfigError

__all__ = ["Cluster"]

_PATIENCE = 60.0  # seconds without any worker before the rest is given up


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
        try:
            self.client = self.dask.Client(address, timeout="10s", set_as_default=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"scheduler: no Dask scheduler answers at {address} ({error}); start one with `dask scheduler` and give "
                "its address as tcp://host:port"
            ) from error
        threads = self._threads()
        if not threads:
            self.close()
            raise ConfigError(f"scheduler: {address} has no workers; start some with `dask worker {address} --nthreads 1`")
        if max(threads) > 1:
            print(
                "[moleflow] a worker does one run at a time, however many threads it has; start one a core with "
                f"`dask worker {address} --nthreads 1 --nworkers N`", file=sys.stderr, flush=True,
            )

    def outcomes(self, parcels: Sequence[Job]) -> Iterator[tuple[str, str]]:
        """Carry out runs; yields each one's key and what went wrong, as they end."""
        left = {self._submit(job): job for job in parcels}
        seen = time.monotonic()
        while left:
            ended = self._ended(list(left))
            seen = time.monotonic() if ended or self._threads() else seen
            for future in ended:
                yield self._outcome(future, left.pop(future))
            if time.monotonic() - seen > self.patience:
                alone = f"no worker has been left at {self.address} for {self.patience:.0f} s; start workers and run again"
                yield from ((job.key, alone) for job in left.values())
                return

    def close(self) -> None:
        """Give up what is not finished and disconnect."""
        self.client.close()

    def _submit(self, job: Job) -> object:
        name = f"{job.run.name}-{job.key[:12]}-{uuid.uuid4().hex[:8]}"  # a name used once: Dask remembers names
        return self.client.submit(carry_out, job, key=name, pure=False)

    def _ended(self, futures: list) -> set:
        try:
            return self.dask.wait(futures, timeout=2, return_when="FIRST_COMPLETED").done
        except self.dask.TimeoutError:
            return set()
        except self.dask.CancelledError:
            return {future for future in futures if future.done()}

    @staticmethod
    def _outcome(future: object, job: Job) -> tuple[str, str]:
        if future.status == "finished":
            return future.result()
        error = future.exception() if future.status == "error" else None
        return job.key, f"{type(error).__name__}: {error}" if error else "the scheduler gave it up; is it still running?"

    def _threads(self) -> list[int]:
        return [worker["nthreads"] for worker in self.client.scheduler_info(n_workers=-1)["workers"].values()]


def _dask() -> ModuleType:
    try:
        import distributed
    except ImportError as error:
        raise ConfigError(
            "scheduler: runs on a cluster need Dask, which is not installed; pip install 'moleflow-notebooks[distributed]'"
        ) from error
    return distributed
