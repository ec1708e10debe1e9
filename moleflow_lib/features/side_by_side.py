"""Images through a network one by one, several at a time on the cores of a CPU."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

__all__ = ["each_alone"]


def each_alone(network: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """What a network makes of each image, with one thread an image and as many images at a time as torch has
    threads.

    So the result for an image depends neither on the images beside it nor on the number of threads, and
    several cores are used better than by one image on all of them.

    Args:
        network: from (1, …) to (1, …); called from several threads at once.
        images: (B, …).

    Returns:
        (B, …), equal to the bit to that of one image after another on one thread.

    >>> each_alone(lambda image: 2 * image, torch.tensor([[1], [2]])).tolist()
    [[2], [4]]
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return torch.cat([network(image) for image in images.split(1)])
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return torch.cat(list(pool.map(network, images.split(1))))
    finally:
        torch.set_num_threads(threads)  # what the workers set is the default of threads to come
