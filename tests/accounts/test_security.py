"""Security settings, password policy, sessions, IP rules, allowed origins, password reset."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts import addresses
from apps.accounts.addresses import RuleSet, is_address_allowed
from apps.accounts.models import IpRule, LoginGuard, PasswordReset, Session
from apps.accounts.services import resets
from apps.accounts.tasks import prune_credentials, prune_sessions
from apps.core.models import Event
from apps.core.registries import mailers
from tests.accounts.support import enrol, problems, secure
from tests.factories.accounts import client_as, client_of, make_session, make_user

pytestmark = pytest.mark.django_db
NEW = "a fresh passphrase 77"


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Collect what a mailer is given; mail itself belongs to a higher app."""
    mails: list[tuple[str, str, str]] = []
    monkeypatch.setattr(mailers, "_items", {"test": lambda to, subject, text: mails.append((to, subject, text))})
    return mails


def test_security_settings_are_read_and_changed_together() -> None:
    client = client_as("admin")
    assert client.get("/api/v1/security").json()["registration"] is False
    body = {"lockout_after": 3, "session_lifetime_s": "12h", "allowed_origins": ["https://app.example.org"]}
    changed = client.put("/api/v1/security", body)
    assert changed.status_code == 200
    assert Event.objects.filter(name="setting.changed").count() == 3


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"nonsense": 1}, "nonsense"),
        ({"lockout_after": "many"}, "lockout_after"),
        ({"lockout_after": 0}, "lockout_after"),
        ({"mfa_required_roles": ["none"]}, "mfa_required_roles"),
        ({"mfa_required_roles": "admin"}, "mfa_required_roles"),
        ({"default_role": "none"}, "default_role"),
        ({"allowed_origins": ["https://app.example.org/path"]}, "allowed_origins"),
        ({"registration": "yes"}, "registration"),
    ],
)
def test_wrong_security_settings_are_422_and_change_nothing(body: dict[str, object], field: str) -> None:
    client = client_as("admin")
    assert field in problems(client.put("/api/v1/security", {"lockout_first_s": 5, **body}))
    assert not Event.objects.filter(name="setting.changed").exists()


def test_password_policy_has_its_defaults_and_refuses_unknown_fields() -> None:
    client = client_as("admin")
    policy = client.get("/api/v1/security/password-policy").json()
    assert (policy["min_length"], policy["history"], policy["max_age_days"]) == (10, 5, 0)
    assert client.put("/api/v1/security/password-policy", {"min_length": 12}).status_code == 200
    assert "colour" in problems(client.put("/api/v1/security/password-policy", {"colour": True}))


# --- sessions ----------------------------------------------------------------------------------------------------


def test_admin_sees_and_ends_sessions() -> None:
    user, admin = make_user(), client_as("admin")
    client = client_of(user)
    rows = admin.get(f"/api/v1/security/sessions?user_id={user.id}").json()["results"]
    assert [row["user"] for row in rows] == [user.username]
    url = f"/api/v1/security/sessions/{rows[0]['id']}"
    assert admin.delete(url).status_code == 204
    assert client.get("/api/v1/auth/me").status_code == 401
    assert admin.delete(url).status_code == 404
    assert admin.delete("/api/v1/security/sessions/nonsense").status_code == 404


def test_list_of_sessions_leaves_out_what_counts_no_more() -> None:
    user = make_user()
    ended, expired, unverified = (make_session(user) for _ in range(3))
    Session.objects.filter(id=ended.id).update(ended_at=timezone.now())
    Session.objects.filter(id=expired.id).update(expires_at=timezone.now())
    enrol(user)
    Session.objects.filter(id=unverified.id).update(mfa_verified=False)
    assert client_as("admin").get(f"/api/v1/security/sessions?user_id={user.id}").json()["count"] == 0


def test_pruning_keeps_live_sessions() -> None:
    user = make_user()
    live, old = make_session(user), make_session(user)
    Session.objects.filter(id=old.id).update(ended_at=timezone.now() - timedelta(days=91))
    assert prune_sessions(500) == 1
    assert list(Session.objects.all()) == [live]
    LoginGuard.objects.create(key="old", last_failed_at=timezone.now() - timedelta(days=2))
    assert prune_credentials(500) == 1


# --- IP rules ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "address", "admitted"),
    [
        ([], "203.0.113.9", True),
        ([("203.0.113.0/24", "block")], "203.0.113.9", False),
        ([("203.0.113.0/24", "block")], "::ffff:203.0.113.9", False),
        ([("::ffff:203.0.113.0/120", "block")], "203.0.113.9", False),
        ([("203.0.113.0/24", "block")], "203.0.114.9", True),
        ([("10.0.0.0/8", "allow")], "203.0.113.9", False),
        ([("10.0.0.0/8", "allow")], "10.1.2.3", True),
        ([("10.0.0.0/8", "allow"), ("10.1.0.0/16", "block")], "10.1.2.3", False),
        ([("2001:db8::/32", "block")], "2001:db8::1", False),
        ([("2001:db8::/32", "block")], "203.0.113.9", True),
        ([("0.0.0.0/0", "block")], "2001:db8::1", True),
        ([("203.0.113.9", "block")], "203.0.113.9", False),
    ],
)
def test_rules_admit_and_refuse(rules: list[tuple[str, str]], address: str, admitted: bool) -> None:
    assert RuleSet(rules).admits(address) is admitted


def test_rules_are_replaced_and_the_gate_follows() -> None:
    client = client_as("admin")
    rules = [{"cidr": "203.0.113.9/24", "action": "block", "note": "noise"}]
    answer = client.put("/api/v1/security/ip-rules", {"rules": rules})
    assert answer.json()["rules"] == [{"cidr": "203.0.113.0/24", "action": "block", "note": "noise"}]
    assert client.get("/api/v1/security/ip-rules").json() == answer.json()
    addresses.forget()
    assert not is_address_allowed("203.0.113.9")
    assert is_address_allowed("198.51.100.1")
    assert is_address_allowed("127.0.0.1")
    assert Event.objects.get(name="ip_rules.changed").audit["after"] == {"rules": ["block 203.0.113.0/24"]}
    addresses.forget()


@pytest.mark.parametrize(
    "rules",
    [
        [{"cidr": "127.0.0.0/8", "action": "block"}],
        [{"cidr": "10.0.0.0/8", "action": "allow"}],
        [{"cidr": "::ffff:127.0.0.1/128", "action": "block"}],
    ],
)
def test_rules_that_would_lock_out_their_author_are_422(rules: list[dict[str, str]]) -> None:
    answer = client_as("admin").put("/api/v1/security/ip-rules", {"rules": rules})
    assert "own address" in problems(answer)["rules"]
    assert not IpRule.objects.exists()


@pytest.mark.parametrize("rule", [{"cidr": "nonsense", "action": "block"}, {"cidr": "10.0.0.0/8", "action": "maybe"}])
def test_wrong_rule_is_422(rule: dict[str, str]) -> None:
    assert client_as("admin").put("/api/v1/security/ip-rules", {"rules": [rule]}).status_code == 422


# --- allowed origins ---------------------------------------------------------------------------------------------


def test_only_pages_of_allowed_origins_may_call_the_api() -> None:
    client = client_as("viewer")
    origin = "https://app.example.org"
    assert "Access-Control-Allow-Origin" not in client.get("/api/v1/auth/me", HTTP_ORIGIN=origin)
    secure(allowed_origins=[origin])
    answer = client.get("/api/v1/auth/me", HTTP_ORIGIN=origin)
    assert answer["Access-Control-Allow-Origin"] == origin
    assert "Access-Control-Allow-Credentials" not in answer
    preflight = client_as("anonymous").options(
        "/api/v1/users", HTTP_ORIGIN=origin, HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST"
    )
    assert preflight.status_code == 204
    assert "Authorization" in preflight["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Origin" not in client.get("/api/v1/auth/me", HTTP_ORIGIN="https://evil.example.org")


# --- password reset ----------------------------------------------------------------------------------------------


def ask(email: str):  # type: ignore[no-untyped-def]
    return client_as("anonymous").post("/api/v1/auth/password/reset", {"email": email})


def test_answer_is_the_same_whether_or_not_the_user_exists(sent: list[tuple[str, str, str]]) -> None:
    make_user(username="kim")
    known, unknown = ask("Kim@example.org"), ask("nobody@example.org")
    assert (known.status_code, unknown.status_code) == (202, 202)
    assert known.content == unknown.content
    assert [mail[0] for mail in sent] == ["kim@example.org"]


def test_link_sets_the_password_once_and_lifts_the_lockout(sent: list[tuple[str, str, str]]) -> None:
    user = make_user(username="kim")
    client = client_of(user)
    for _ in range(6):
        client_as("anonymous").post("/api/v1/auth/login", {"username": "kim", "password": "wrong"})
    ask("kim@example.org")
    found = re.search(r"/admin/reset/([\w-]+)/", sent[0][2])
    assert found
    token = found[1]
    assert token not in str(list(PasswordReset.objects.values())) + str(list(Event.objects.values()))
    resets.complete_reset(token=token, new_password=NEW, address="127.0.0.1")
    assert not resets.is_good_token(token)
    assert client.get("/api/v1/auth/me").status_code == 401
    login = client_as("anonymous").post("/api/v1/auth/login", {"username": "kim", "password": NEW})
    assert login.status_code == 200


def test_link_past_its_hour_is_refused(sent: list[tuple[str, str, str]]) -> None:
    make_user(username="kim")
    ask("kim@example.org")
    PasswordReset.objects.update(expires_at=timezone.now())
    assert not resets.is_good_token(sent[0][2].split("/admin/reset/")[1].split("/")[0])


def test_no_more_than_three_links_an_hour_are_sent(sent: list[tuple[str, str, str]]) -> None:
    make_user(username="kim")
    for _ in range(5):
        resets.request_reset(email="kim@example.org")
    assert len(sent) == 3


def test_without_mail_nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailers, "_items", {})
    make_user(username="kim")
    assert ask("kim@example.org").status_code == 202
    assert not PasswordReset.objects.exists()
