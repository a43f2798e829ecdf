"""Fixtures of the notifications' tests."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from tests.support.servers import RecordingReceiver


@pytest.fixture
def loopback_allowed(settings: Any) -> None:
    """Let deliveries go to this machine."""
    settings.OUTBOUND_ALLOW = [ip_network("127.0.0.0/8")]


@pytest.fixture
def receiver(loopback_allowed: None) -> Iterator[RecordingReceiver]:
    """Return a receiver that deliveries may reach."""
    with RecordingReceiver() as running:
        yield running
