"""A full disk: telemetry is refused, state and alerts go on."""

from collections.abc import Iterator

import pytest

from apps.core import disk
from apps.monitors.models import CheckResult, Ping
from tests.factories.heartbeats import make_heartbeat, ping, state_of
from tests.factories.monitors import facts, make_endpoint, record

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    full = disk.DiskUsage(total=100, used=97, free=3, percent=97.0)
    monkeypatch.setattr(disk, "_read", lambda: full)
    disk.forget()
    yield
    disk.forget()


def test_check_on_a_full_disk_changes_the_state_and_alerts_but_stores_no_result() -> None:
    endpoint = make_endpoint()
    record(endpoint, "down")
    endpoint.state.refresh_from_db()
    assert endpoint.state.status == "down"
    assert len(facts("endpoint.alert")) == 1
    assert not CheckResult.objects.exists()


def test_ping_on_a_full_disk_is_accepted_and_counted_but_not_logged() -> None:
    heartbeat = make_heartbeat()
    assert ping(heartbeat).status == 200
    assert state_of(heartbeat).ping_count == 1
    assert not Ping.objects.exists()
