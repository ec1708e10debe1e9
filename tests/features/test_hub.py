"""Without a network the hub is asked once, and advice fits who reads it."""

from __future__ import annotations

import socket

import pytest
import timm
from huggingface_hub import constants

from moleflow_lib.errors import MissingWeightsError
from moleflow_lib.features import hub
from moleflow_lib.features.extractor import ViTPatchCoreExtractor


def _nobody_knows(*_: object, **__: object) -> None:
    raise socket.gaierror(-2, "Name or service not known")


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "getproxies", dict)


def test_a_hub_that_nobody_knows_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def created(*_: object, **__: object) -> None:
        seen.append(constants.is_offline_mode())
        raise OSError("not in the cache")

    monkeypatch.setattr(socket, "getaddrinfo", _nobody_knows)
    monkeypatch.setattr(timm, "create_model", created)
    with pytest.raises(MissingWeightsError, match="cannot be found from this machine") as caught:
        ViTPatchCoreExtractor("vit_tiny_patch16_224")
    assert seen == [True] and not constants.is_offline_mode(), "and later calls are free again"
    assert "use --backbone filterbank" in str(caught.value) and "filterbank" not in caught.value.told


def test_a_known_hub_and_one_behind_a_proxy_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: [object()])
    with hub.hub_asked_once() as why:
        assert why == "" and not constants.is_offline_mode()
    monkeypatch.setattr(socket, "getaddrinfo", _nobody_knows)
    monkeypatch.setattr(hub, "getproxies", lambda: {"https": "http://proxy:3128"})
    with hub.hub_asked_once() as why:
        assert why == "" and not constants.is_offline_mode()
