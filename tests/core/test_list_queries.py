"""First pages cost the same number of queries whatever the number of rows; the numbers are pinned here."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.events.emit import Subject, emit
from apps.core.principals import system
from tests.factories.accounts import client_as
from tests.factories.alerts import make_alert
from tests.factories.fleet import make_server
from tests.factories.monitors import make_endpoint

pytestmark = pytest.mark.django_db


def make_fact(number: int) -> None:
    """Emit a fact of the audit trail."""
    data = {"title": f"n {number}", "message": "", "level": "info"}
    emit("system.alert", subject=Subject("test", str(number)), actor=system("test"), data=data)


@pytest.mark.parametrize(
    ("path", "make", "queries"),
    [
        ("/api/v1/endpoints", lambda n: make_endpoint(name=f"site {n}", tags=["a", f"t{n}"]), 7),
        ("/api/v1/alerts", lambda n: make_alert(subject_id=f"s{n}"), 5),
        ("/api/v1/servers", lambda n: make_server(f"server {n}", tags=["a", f"t{n}"]), 5),
        ("/api/v1/admin/audit", make_fact, 4),
    ],
)
def test_first_page_takes_the_same_queries_for_any_number_of_rows(
    path: str, make: Callable[[int], object], queries: int
) -> None:
    client = client_as("admin")

    def count() -> int:
        client.get(path)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path).status_code == 200
        # The runtime settings are read once a second, whoever asks.
        return len([query for query in captured if "core_storedsetting" not in query["sql"]])

    for number in range(2):
        make(number)
    few = count()
    for number in range(2, 12):
        make(number)
    assert (few, count()) == (queries, queries)
