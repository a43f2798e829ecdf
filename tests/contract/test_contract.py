"""Route = contract row, both ways; and every persona gets what the row's access column says."""

import re

import pytest
from django.db import transaction
from django.urls import Resolver404, resolve
from rest_framework.test import APIClient

from apps.core.api.throttling import windows
from tests.contract.routes import routes
from tests.contract.rows import GIVEN_SHA256, Row, given, given_digest, owed, own
from tests.factories.accounts import client_of, client_with_key, make_api_key, make_user
from tests.factories.fleet import make_server

SOCKETS = {"WS"}
PERSONAS = ("anonymous", "viewer", "operator", "admin", "server_key")
RANK = {"viewer": 1, "operator": 2, "admin": 3}


def _rows() -> list[Row]:
    return [*given(), *own()]


def test_given_rows_are_unchanged() -> None:
    assert given_digest() == GIVEN_SHA256


def test_own_rows_name_their_source_and_repeat_no_given_row() -> None:
    assert all(row.source == "own" for row in own())
    assert not {row.key for row in own()} & {row.key for row in given()}


def test_every_row_that_is_not_owed_has_a_route() -> None:
    offered = set(routes())
    missing = {row.key for row in _rows()} - offered - owed()
    assert not missing, sorted(missing)


def test_owed_list_shrinks_with_every_route() -> None:
    offered = set(routes())
    assert not owed() & offered, "these are offered now: take them off the list"
    assert owed() <= {row.key for row in given()}


def test_every_route_has_a_row() -> None:
    known = {row.key for row in _rows()}
    unknown = {key for key in routes() if key not in known}
    assert not unknown, sorted(unknown)


def test_every_path_answers_with_and_without_trailing_slash() -> None:
    for method, path in routes():
        if method in SOCKETS:
            continue
        concrete = path.replace("{}", "0190a3c4-0000-7000-8000-000000000000")
        for variant in (concrete, f"{concrete}/"):
            try:
                resolve(variant)
            except Resolver404:
                pytest.fail(f"{variant} has no route")


BUILT = [row for row in _rows() if row.method not in SOCKETS and row.key not in owed()]


def _call(client: APIClient, row: Row) -> int:
    path = re.sub(r"\{[^}]+\}", "0190a3c4-0000-7000-8000-000000000000", row.path)
    kwargs = {} if row.method == "GET" else {"data": {}, "format": "json"}
    # Streams are not read: some never end. Closing one would close the test's own connection.
    return int(getattr(client, row.method.lower())(path, **kwargs).status_code)


def _wrong(row: Row, persona: str, status: int) -> bool:
    """Return whether the answer's status contradicts the row's access column."""
    if status == 500:
        return True
    if row.access in ("public", "ping"):
        # Registration is off at first and says so.
        return status == 401 and "/auth/" not in row.path or status == 403 and "register" not in row.path
    if persona == "anonymous":
        return status != 401
    if persona == "server_key":
        # Its binding cuts it to one server: it never gets what only admins get.
        return row.access == "admin" and status != 403
    if row.access == "agent":
        return (status != 403) != (persona in ("operator", "admin"))
    return (status not in (401, 403)) != (RANK[persona] >= RANK[row.access])


@pytest.mark.django_db
@pytest.mark.parametrize("app", sorted({row.app for row in BUILT}))
def test_each_persona_gets_what_the_access_column_says(app: str) -> None:
    key = make_api_key(make_user("admin"), server_id=str(make_server().id))[1]
    users = {role: make_user(role) for role in RANK}
    wrong = []
    for row in BUILT:
        if row.app != app:
            continue
        for persona in PERSONAS:
            if persona == "server_key":
                client = client_with_key(key)
            else:
                # A fresh login a call: logging out is one of the rows. What it does to its user is rolled back.
                client = client_of(users[persona]) if persona in users else APIClient()
            windows.clear()
            with transaction.atomic():
                status = _call(client, row)
                transaction.set_rollback(True)
            if _wrong(row, persona, status):
                wrong.append((row.method, row.path, row.access, persona, status))
    assert not wrong, wrong


def test_rule_about_access_bites() -> None:
    row = next(row for row in BUILT if row.access == "admin")
    assert _wrong(row, "operator", 200)
    assert _wrong(row, "admin", 403)
    assert _wrong(row, "anonymous", 200)
    assert not _wrong(row, "admin", 404)


@pytest.mark.django_db
def test_head_is_answered_to_whom_get_is() -> None:
    public, viewer = ("/healthz", "/agent/install.sh"), ("/api/v1/servers", "/api/v1/commands")
    client = client_of(make_user("viewer"))
    for path in (*public, *viewer):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b""), path
        assert APIClient().head(path).status_code == (200 if path in public else 401), path
    assert client.head("/api/v1/admin/audit").status_code == 403
