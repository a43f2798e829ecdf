"""What people do by the API leaves its one fact, with the actor, and never a secret."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from apps.accounts.models import User
from apps.core.models import Event
from apps.core.registries import mailers
from tests.factories.accounts import PASSWORD, client_of, make_user

pytestmark = pytest.mark.django_db

NEW_PASSWORD = "another horse, another battery 7!B"
SECRET = "whsec_" + "c2VjcmV0LXRoYXQtbXVzdC1ub3QtbGVhay0xMjM0NTY="
Step = Callable[["Actor"], Any]


class Actor:
    """An admin with a client; remembers the ids that steps made."""

    def __init__(self) -> None:
        self.user: User = make_user("admin")
        self.other: User = make_user("viewer")
        self.client: APIClient = client_of(self.user)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the API; the call must succeed."""
        response = getattr(self.client, method)(f"/api/v1{path}", body or {})
        assert response.status_code < 300, (path, response.status_code, response.content[:300])
        return response.json() if response.content else {}


def _threshold(actor: Actor) -> str:
    return str(actor.call("post", "/alerts/thresholds", {"metric_type": "swap", "threshold_value": 50})["id"])


def _webhook(actor: Actor) -> str:
    return str(
        actor.call("post", "/webhooks", {"url": "https://93.184.216.34/x", "events": ["*"], "secret": SECRET})["id"]
    )


def _channel(actor: Actor) -> str:
    config = {"url": "https://93.184.216.34/x"}
    return str(
        actor.call("post", "/notifications/channels", {"name": "chat", "type": "webhook", "config": config})["id"]
    )


def _rule(actor: Actor) -> str:
    body = {"name": "all", "events": ["alert.*"], "channel_ids": [_channel(actor)]}
    return str(actor.call("post", "/notifications/rules", body)["id"])


def _key(actor: Actor) -> str:
    return str(actor.call("post", "/api-keys", {"name": "ci", "role": "viewer"})["id"])


def _role(actor: Actor) -> str:
    return str(actor.call("post", "/roles", {"name": "auditor", "permissions": ["audit:view"]})["id"])


STEPS: list[tuple[str, Step]] = [
    ("threshold.created", _threshold),
    ("threshold.updated", lambda a: a.call("put", f"/alerts/thresholds/{_threshold(a)}", {"threshold_value": 60})),
    ("threshold.deleted", lambda a: a.call("delete", f"/alerts/thresholds/{_threshold(a)}")),
    ("webhook.created", _webhook),
    ("webhook.updated", lambda a: a.call("put", f"/webhooks/{_webhook(a)}", {"events": ["alert.*"]})),
    ("webhook.deleted", lambda a: a.call("delete", f"/webhooks/{_webhook(a)}")),
    ("channel.created", _channel),
    ("channel.updated", lambda a: a.call("put", f"/notifications/channels/{_channel(a)}", {"name": "talk"})),
    ("channel.deleted", lambda a: a.call("delete", f"/notifications/channels/{_channel(a)}")),
    ("rule.created", _rule),
    ("rule.updated", lambda a: a.call("put", f"/notifications/rules/{_rule(a)}", {"name": "some"})),
    ("rule.deleted", lambda a: a.call("delete", f"/notifications/rules/{_rule(a)}")),
    ("api_key.created", _key),
    ("api_key.revoked", lambda a: a.call("delete", f"/api-keys/{_key(a)}")),
    ("role.created", _role),
    ("role.updated", lambda a: a.call("put", f"/roles/{_role(a)}", {"permissions": ["audit:view", "users:view"]})),
    ("role.deleted", lambda a: a.call("delete", f"/roles/{_role(a)}")),
    ("user.updated", lambda a: a.call("put", f"/users/{a.other.id}", {"full_name": "Ada"})),
    ("user.disabled", lambda a: a.call("delete", f"/users/{a.other.id}")),
    (
        "user.password_changed",
        lambda a: a.call("put", "/auth/me/password", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}),
    ),
    ("setting.changed", lambda a: a.call("put", "/settings/metrics/interval_s", {"value": 7})),
    (
        "heartbeat.created",
        lambda a: a.call("post", "/heartbeats", {"name": "b", "interval_seconds": 60, "grace_seconds": 10}),
    ),
    ("server.created", lambda a: a.call("post", "/servers", {"name": "web-1"})),
    (
        "endpoint.created",
        lambda a: a.call("post", "/endpoints", {"name": "s", "endpoint_type": "tcp", "target": "127.0.0.1:9"}),
    ),
]


@pytest.mark.parametrize(("name", "step"), STEPS, ids=[name for name, _ in STEPS])
def test_change_by_the_api_leaves_its_one_fact(name: str, step: Step) -> None:
    actor = Actor()
    step(actor)
    facts = list(Event.objects.filter(name=name))
    assert len(facts) == 1
    assert facts[0].actor["id"] == str(actor.user.id)
    everything = json.dumps([[row.data, row.audit, row.actor] for row in Event.objects.all()], default=str)
    for secret in (PASSWORD, NEW_PASSWORD, SECRET):
        assert secret not in everything


def test_export_of_the_trail_is_itself_recorded() -> None:
    actor = Actor()
    answer = actor.client.get("/api/v1/audit/export?format=csv&severity=info")
    assert b"".join(answer.streaming_content).startswith(b"timestamp,eventType")  # type: ignore[attr-defined]
    fact = Event.objects.get(name="audit.exported")
    assert fact.data == {"format": "csv", "filters": {"severity": "info"}}


def test_trail_is_filtered_and_shown_in_both_manners() -> None:
    actor = Actor()
    _threshold(actor)
    plain = actor.client.get("/api/v1/admin/audit?action=threshold.*").json()
    assert [row["action"] for row in plain["results"]] == ["threshold.created"]
    assert plain["results"][0]["after"]["value"] == 50
    kubernetes = actor.client.get(f"/api/v1/audit?eventType=threshold.created&actor={actor.user.username}").json()
    assert (kubernetes["kind"], kubernetes["metadata"]["totalCount"]) == ("AuditEventList", 1)
    assert kubernetes["items"][0]["actorName"] == actor.user.username


def test_csv_cell_that_a_spreadsheet_would_run_is_made_harmless() -> None:
    actor = Actor()
    actor.call("post", "/servers", {"name": '=HYPERLINK("http://x")'})
    answer = actor.client.get("/api/v1/audit/export?format=csv")
    body = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert "'=HYPERLINK" in body


def test_reset_of_a_password_is_recorded_and_its_link_is_in_the_mail_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str, str]] = []
    monkeypatch.setitem(mailers._items, "email", lambda *mail: sent.append(mail))
    actor = Actor()
    actor.call("post", "/auth/password/reset", {"email": actor.other.email})
    actor.call("post", "/auth/password/reset", {"email": "nobody@example.org"})
    assert [to for to, _, _ in sent] == [actor.other.email]
    token = sent[0][2].partition("/admin/reset/")[2].partition("/")[0]
    facts = Event.objects.filter(name="user.password_reset_requested")
    assert len(facts) == 1
    assert token
    assert token not in json.dumps([facts[0].data, facts[0].audit])
