"""The router at many tasks: milliseconds an image, and what it keeps beside the prototypes."""

from __future__ import annotations

import statistics
import time

import torch

from moleflow_lib.routing.moments import RunningMoments
from moleflow_lib.routing.router import PrototypeRouter, TaskPrototype

__all__ = ["report_router"]

DIM, IMAGES, ROUNDS = 768, 50, 7


def report_router() -> None:
    """Print, for numbers of tasks and estimates, CPU seconds of the first route and ms an image.

    Simulated tasks share one scatter matrix, or a thousand of them would need 4.7 GB. `ridge` reads the
    axes of every task for every batch, (n − 1)·D numbers each, and is measured at fewer tasks.
    """
    for tasks, kinds in ((15, ("tied", "ridge")), (100, ("tied", "ridge")), (1000, ("tied", "euclidean"))):
        prototypes = _prototypes(tasks)
        for kind in kinds:
            router = PrototypeRouter(kind, prototypes=prototypes)
            start = time.process_time()
            router.route(torch.randn(1, DIM))
            first = time.process_time() - start
            speeds = ", ".join(f"{_ms(router, batch):.2f} at batch {batch}" for batch in (1, 8))
            print(
                f"router, {tasks} tasks, {kind}: ms an image {speeds}; first route {first:.2f} s; "
                f"{_kept(router) / 1e6:.0f} MB kept",
                flush=True,
            )


def _prototypes(tasks: int) -> list[TaskPrototype]:
    """Tasks of 50 images that differ in their means alone."""
    first = TaskPrototype.of(torch.randn(IMAGES, DIM, generator=torch.Generator().manual_seed(0)))
    found = [first]
    for _ in range(1, tasks):
        moments = RunningMoments(DIM)
        moments.count, moments.scatter = IMAGES, first.moments.scatter
        moments.mean = first.moments.mean + 0.1 * torch.randn(DIM).double()
        found.append(TaskPrototype(moments, first.shrinkage))
        if tasks <= 100:
            found[-1].__dict__["spectrum"] = first.spectrum
    return found


def _ms(router: PrototypeRouter, batch: int) -> float:
    images = torch.randn(batch, DIM)
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        router.route(images)
        times.append(time.process_time() - start)
    return 1e3 * statistics.median(times) / batch


def _kept(router: PrototypeRouter) -> int:
    """Bytes of the tensors that the router made of the prototypes."""
    if router.kind == "euclidean":
        return router._means.nbytes
    if router.kind == "tied":
        return sum(tensor.nbytes for tensor in router._tied(len(router.prototypes)))
    stacked = router._stacked(len(router.prototypes))
    return sum(value.nbytes for value in vars(stacked).values() if isinstance(value, torch.Tensor))
