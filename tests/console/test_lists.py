"""Lists cost the same number of queries whatever their length, and count no further than 10,000."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.admin.paginator import CappedPaginator
from apps.core.models import Event
from tests.factories.accounts import make_api_key, make_session, make_user
from tests.factories.agents import make_host, make_host_agent, make_token
from tests.factories.alerts import make_alert
from tests.factories.fleet import make_server
from tests.factories.heartbeats import make_heartbeat
from tests.factories.maintenance import make_window
from tests.factories.monitors import make_endpoint, record
from tests.factories.notifications import make_channel, make_fact, make_rule, make_webhook
from tests.support.console import console_of

pytestmark = pytest.mark.django_db


def _endpoint() -> None:
    record(make_endpoint(tags=["prod"]), "up")


def _key() -> None:
    make_api_key(make_user("operator"), role="viewer")


def _agent() -> None:
    make_host_agent()
    make_host().asks(make_token())


MAKERS: dict[str, Callable[[], object]] = {
    "monitors/endpoint": _endpoint,
    "monitors/heartbeat": lambda: make_heartbeat(name="job", tags=["nightly"]),
    "monitors/maintenancewindow": make_window,
    "fleet/server": lambda: make_server(tags=["prod"]),
    "agents/hostagent": _agent,
    "agents/enrolmentrequest": lambda: make_host().asks(make_token()),
    "agents/enrolmenttoken": make_token,
    "alerts/alert": make_alert,
    "notifications/channel": make_channel,
    "notifications/rule": lambda: make_rule(make_channel()),
    "notifications/webhook": make_webhook,
    "accounts/user": lambda: make_user("operator"),
    "accounts/apikey": _key,
    "accounts/session": lambda: make_session(make_user("viewer")),
    "core/event": lambda: make_fact("system.alert"),
}


@pytest.mark.parametrize("path", sorted(MAKERS))
def test_list_needs_no_more_queries_for_more_rows(path: str) -> None:
    client = console_of(make_user("admin"))
    counts = []
    for _ in range(2):
        for _ in range(4):
            MAKERS[path]()
        client.get(f"/admin/{path}/")  # what a process keeps for a while is kept now
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"/admin/{path}/").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1], [query["sql"] for query in queries]
    assert counts[1] <= 22, [query["sql"] for query in queries]


def test_overview_needs_no_more_queries_for_more_rows() -> None:
    client = console_of(make_user("admin"))
    counts = []
    for _ in range(2):
        for path in ("monitors/endpoint", "monitors/heartbeat", "fleet/server", "alerts/alert"):
            for _ in range(3):
                MAKERS[path]()
        client.get("/admin/")
        with CaptureQueriesContext(connection) as queries:
            assert client.get("/admin/").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert counts[1] <= 48, [query["sql"] for query in queries]


def test_paginator_counts_no_further_than_its_cap() -> None:
    make_fact("system.alert")
    paginator = CappedPaginator(Event.objects.order_by("-id"), 50)
    with CaptureQueriesContext(connection) as queries:
        assert paginator.count >= 1
    assert "LIMIT 10001" in queries[0]["sql"]


def test_worst_endpoint_comes_first() -> None:
    client = console_of(make_user("viewer"))
    record(make_endpoint(name="Alpha"), "up")
    record(make_endpoint(name="Zulu"), "down")
    page = client.get("/admin/monitors/endpoint/").content.decode()
    assert page.index("Zulu") < page.index("Alpha")


def test_search_and_filter_narrow_the_list_and_say_so_when_nothing_fits() -> None:
    client = console_of(make_user("viewer"))
    record(make_endpoint(name="Alpha", tags=["prod"]), "up")
    assert "Alpha" in client.get("/admin/monitors/endpoint/?q=alp").content.decode()
    assert "Alpha" in client.get("/admin/monitors/endpoint/?status=up&tag=prod").content.decode()
    page = client.get("/admin/monitors/endpoint/?status=down").content.decode()
    assert "Nothing matches" in page
    assert "Alpha" not in page


def test_empty_list_says_the_next_step() -> None:
    page = console_of(make_user("operator")).get("/admin/monitors/heartbeat/").content.decode()
    assert "No heartbeat yet" in page
    assert "/admin/monitors/heartbeat/add/" in page
    page = console_of(make_user("viewer")).get("/admin/monitors/heartbeat/").content.decode()
    assert "/admin/monitors/heartbeat/add/" not in page
