"""Route = contract row, both ways; and every persona gets what the row's access column says."""

import re

import pytest
from rest_framework.test import APIClient

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
    missing = {row.key for row in _rows() if row.method not in SOCKETS} - offered - owed()
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
    from django.urls import Resolver404, resolve

    for _, path in routes():
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
    response = getattr(client, row.method.lower())(path, **kwargs)
    if getattr(response, "streaming", False):
        response.close()
    return int(response.status_code)


@pytest.mark.django_db
@pytest.mark.parametrize("row", BUILT, ids=lambda row: f"{row.method} {row.path}")
def test_each_persona_gets_what_the_access_column_says(row: Row) -> None:
    server = make_server()
    owner = make_user("admin")
    clients = {
        "anonymous": APIClient(),
        "viewer": client_of(make_user("viewer")),
        "operator": client_of(make_user("operator")),
        "admin": client_of(make_user("admin")),
        "server_key": client_with_key(make_api_key(owner, server_id=str(server.id))[1]),
    }
    for persona in PERSONAS:
        status = _call(clients[persona], row)
        assert status != 500, (persona, status)
        if row.access in ("public", "ping"):
            assert status not in (403,) or "register" in row.path, (persona, status)
            continue
        if persona == "anonymous":
            assert status == 401, (persona, status)
        elif persona == "server_key":
            # Its binding cuts it to one server: it never gets more than an operator would.
            if row.access == "admin":
                assert status == 403, (persona, status)
        elif row.access == "agent":
            allowed = persona in ("operator", "admin")
            assert (status != 403) == allowed, (persona, status)
        else:
            allowed = RANK[persona] >= RANK[row.access]
            assert (status not in (401, 403)) == allowed, (persona, status)
