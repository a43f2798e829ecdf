"""The page of a server."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.fleet.models import ServerState
from tests.factories.fleet import make_server, push, snapshot
from tests.support.console import console_as

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("age", "shown"),
    [({"seconds": 5}, "10m"), ({"minutes": 30}, "1h"), ({"days": 3}, "7d"), ({"days": 400}, "90d")],
)
def test_charts_of_a_silent_server_begin_where_its_last_samples_are_seen(age: dict[str, int], shown: str) -> None:
    server = make_server("web")
    push(server, snapshot())
    seen_at = timezone.now() - timedelta(**age)
    ServerState.objects.filter(server=server).update(last_seen_at=seen_at, status="offline")
    page = console_as("viewer").get(f"/admin/fleet/server/{server.pk}/").content.decode()
    assert f'data-range="{shown}">' in page.split('aria-label="Range"')[1][:40]
