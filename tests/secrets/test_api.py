"""The vault over the API."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.models import Event, IdempotencyRecord
from apps.secrets import references
from apps.secrets.models import Secret
from tests.factories.accounts import client_as, client_of, client_with_key, make_api_key, make_user
from tests.factories.fleet import make_server
from tests.factories.secrets import make_secret

pytestmark = pytest.mark.django_db
URL = "/api/v1/secrets"


def add(client: Any, **values: Any) -> Any:
    return client.post(URL, {"name": "db password", "value": "correct horse", **values}, format="json")


def test_secret_is_added_revealed_changed_rotated_and_removed() -> None:
    client = client_as("admin")
    made = add(client, category="password", expires_at="2031-01-31T10:00:00Z")
    assert made.status_code == 201
    assert (made.data["value"], made.data["version"], made.data["generator"]) == ("***", 1, {})
    url = f"{URL}/{made.data['id']}"
    read = client.get(url)
    assert (read.data["value"], read.data["revealed_version"]) == ("***", None)
    shown = client.get(f"{url}?reveal=true")
    assert (shown.data["value"], shown.data["revealed_version"]) == ("correct horse", 1)
    assert shown["Cache-Control"] == "no-store"
    assert Event.objects.filter(name="secret.revealed").count() == 1
    changed = client.put(url, {"description": "of the shop", "grace_s": "2h"}, format="json")
    assert (changed.data["description"], changed.data["grace_s"], changed.data["version"]) == ("of the shop", 7200, 1)
    stale = client.put(url, {"description": "x"}, format="json", headers={"If-Match": read["ETag"]})
    assert stale.status_code == 412
    rotated = client.post(f"{url}/rotate", {"value": "battery staple"}, format="json")
    assert [(one["number"], one["current"]) for one in rotated.data["versions"]] == [(2, True), (1, False)]
    assert client.get(f"{url}?reveal=true&version=1").data["value"] == "correct horse"
    made_up = client.post(f"{url}/rotate", {"generate": {"length": 20, "alphabet": "hex"}}, format="json")
    assert made_up.data["generator"] == {"kind": "random", "length": 20, "alphabet": "hex"}
    value = client.get(f"{url}?reveal=true").data["value"]
    assert len(value) == 20 and set(value) <= set("0123456789abcdef")
    assert client.put(url, {"value": "typed again"}, format="json").data["version"] == 4
    assert client.get(f"{url}?reveal=true&version=9").status_code == 404
    assert client.delete(url).status_code == 204
    assert not Secret.objects.exists()


def test_key_pair_is_made_and_only_its_public_part_shown() -> None:
    made = client_as("admin").post(
        URL, {"name": "deploy", "category": "ssh_key", "generate": {"kind": "rsa", "bits": 2048}}, format="json"
    )
    assert made.data["public_part"].startswith("ssh-rsa ")
    assert "PRIVATE" not in made.content.decode()


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"name": ""}, "name", "one line of 1 to 100"),
        ({"value": "abc"}, "value", "at least 4 characters"),
        ({"category": "x"}, "category", "give one of general"),
        ({"expires_at": "soon"}, "expires_at", "give a time such as"),
        ({"expires_at": "2001-01-01"}, "expires_at", "lies in the past"),
        ({"grace_s": "a year"}, "grace_s", ""),
        ({"generate": {}}, "value", "not both"),
        ({"value": None, "generate": {"kind": "dsa"}}, "generate.kind", "give one of random"),
        ({"value": None, "generate": {"length": 7}}, "generate.length", "from 8 to 1024"),
        ({"value": None, "generate": {"alphabet": "aab"}}, "generate.alphabet", "10 to 200 different"),
        ({"value": None, "generate": {"kind": "rsa", "bits": 512}}, "generate.bits", "2048"),
        ({"value": None, "generate": {"kind": "ed25519", "length": 9}}, "generate.length", "nothing that ed25519"),
        ({"version": 2}, "version", "is not a field"),
    ],
)
def test_wrong_values_are_refused_by_name(values: dict[str, Any], field: str, words: str) -> None:
    answer = add(client_as("admin"), **values)
    assert answer.status_code == 422
    found = {".".join(map(str, row["loc"][1:])): row["msg"] for row in answer.data["detail"]}
    assert words in found[field]
    assert "correct horse" not in answer.content.decode()
    assert not Secret.objects.exists()


def test_names_are_unique_and_a_repeated_key_of_idempotency_adds_nothing() -> None:
    client = client_as("admin")
    first = client.post(URL, {"name": "a", "value": "wxyz"}, format="json", headers={"Idempotency-Key": "1"})
    again = client.post(URL, {"name": "a", "value": "wxyz"}, format="json", headers={"Idempotency-Key": "1"})
    assert (again.data["id"], again["Idempotent-Replayed"]) == (first.data["id"], "true")
    assert "wxyz" not in str(IdempotencyRecord.objects.values())
    assert "another secret has this name" in add(client, name="a").data["detail"][0]["msg"]


def test_rights_are_three_and_bound_keys_see_nothing() -> None:
    secret = make_secret()
    viewer = client_of(make_user("vault readers", permissions=["secrets:view"]))
    assert viewer.get(f"{URL}/{secret.pk}").status_code == 200
    refused = viewer.get(f"{URL}/{secret.pk}?reveal=true")
    assert (refused.status_code, b"secrets:reveal" in refused.content) == (403, True)
    assert viewer.post(f"{URL}/{secret.pk}/rotate").status_code == 403
    assert client_as("operator").get(URL).status_code == 403
    bound = client_with_key(make_api_key(make_user("admin"), server_id=str(make_server().id))[1])
    assert bound.get(URL).status_code == 403


def test_removal_names_users_and_expiring_sorts_by_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    later, soon = make_secret("later", expires_at=now + timedelta(days=20)), make_secret("soon")
    Secret.objects.filter(pk=soon.pk).update(expires_at=now - timedelta(hours=1))
    make_secret("far", expires_at=now + timedelta(days=90))
    monkeypatch.setattr(references.finders, "_items", {})
    references.register("job", lambda ids: [(key, "job", "1", "nightly") for key in ids if key == later.pk])
    client = client_as("admin")
    found = client.get(f"{URL}/expiring").data["results"]
    assert [(row["name"], row["days_until_expiry"]) for row in found] == [("soon", -1), ("later", 19)]
    assert [row["used_by"] for row in found] == [[], [{"kind": "job", "id": "1", "name": "nightly"}]]
    assert client.get(f"{URL}/expiring?days=365").data["count"] == 3
    refused = client.delete(f"{URL}/{later.pk}")
    assert (refused.status_code, b"nightly (job)" in refused.content) == (409, True)


def test_list_is_filtered_and_costs_the_same_for_many() -> None:
    for number in range(3):
        make_secret(f"a {number}", category="token")
    client = client_as("admin")
    client.get(URL)
    with CaptureQueriesContext(connection) as few:
        assert client.get(URL).data["count"] == 3
    for number in range(9):
        make_secret(f"b {number}", description="of the shop")
    with CaptureQueriesContext(connection) as many:
        assert client.get(URL).data["count"] == 12
    assert len(many) == len(few)
    assert client.get(f"{URL}?category=token").data["count"] == 3
    assert client.get(f"{URL}?search=SHOP").data["count"] == 9
    assert client.get(f"{URL}?category=nothing").status_code == 422
