"""The hub that timm fetches weights from: where nobody knows its name, nothing waits for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from urllib.request import getproxies

__all__ = ["hub_asked_once"]


@contextmanager
def hub_asked_once() -> Iterator[str]:
    """Inside the block an unknown hub is not asked again and again, which takes the better part of a minute.

    What was fetched before is found there all the same, and at once. Behind a proxy the name means nothing,
    and the hub's own client decides.

    Yields:
        Why the hub cannot be reached; empty if it was not looked at or can be.
    """
    from huggingface_hub import constants  # as late as timm, which brings it

    host = urlsplit(constants.ENDPOINT).hostname or ""
    if constants.HF_HUB_OFFLINE or getproxies() or _is_known(host):
        yield ""
        return
    constants.HF_HUB_OFFLINE = True
    try:
        yield f"{host} cannot be found from this machine"
    finally:
        constants.HF_HUB_OFFLINE = False


def _is_known(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, 443))
    except OSError:
        return False
