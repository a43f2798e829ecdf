"""Events of the accounts: each is emitted, and only those see it who may."""

import threading

import pytest
from django.db import connection

from apps.accounts.lockout import begin_attempt
from apps.accounts.models import Session
from apps.accounts.services import api_keys, login, mfa, passwords, resets, roles, security, sessions, users
from apps.core.errors import DomainError, TooMany
from apps.core.events.audience import may_see
from apps.core.models import Event
from apps.core.principals import system
from apps.core.registries import mailers
from tests.accounts.support import code_of, signed_in
from tests.factories.accounts import PASSWORD, make_user, principal

NEW = "a fresh passphrase 77"
OWN = {
    "api_key.created",
    "api_key.revoked",
    "ip_rules.changed",
    "role.created",
    "role.deleted",
    "role.updated",
    "session.ended",
    "user.created",
    "user.disabled",
    "user.logged_in",
    "user.login_refused",
    "user.mfa_disabled",
    "user.mfa_enabled",
    "user.password_changed",
    "user.password_reset_requested",
    "user.recovery_code_used",
    "user.updated",
}


def play_everything() -> None:
    """Let each thing happen once."""
    boss = system("test")
    user = users.create_user(username="kim", email="kim@example.org", password=PASSWORD, roles=["operator"], actor=boss)
    with pytest.raises(DomainError):
        login.log_in(name="kim", password="wrong")
    session, _ = login.log_in(name="kim", password=PASSWORD)
    actor = signed_in(user)
    users.update_own_profile(changes={"full_name": "Kim"}, actor=actor)
    secret = mfa.begin_enrolment(actor=actor).secret
    codes = mfa.confirm_enrolment(code=code_of(secret), address="", actor=actor)
    assert Session.objects.get(id=session.id).ended_at
    assert mfa.accept_code(user, codes[0])
    mfa.remove_device(user=user, actor=actor)
    key, _ = api_keys.create_api_key(name="x", role="viewer", actor=actor)
    api_keys.revoke_api_key(key_id=key.id, actor=actor)
    passwords.set_password_of(user_id=user.id, new_password=NEW, actor=boss)
    resets.request_reset(email="kim@example.org")
    sessions.end_sessions_of(user=user, reason="test", actor=boss)
    roles.create_role(name="night", permissions=["alerts:view"], actor=boss)
    roles.update_role(name="night", permissions=["alerts:*"], actor=boss)
    roles.delete_role(name="night", actor=boss)
    security.replace_ip_rules(rules=[{"cidr": "203.0.113.0/24", "action": "block"}], address="", actor=boss)
    make_user("admin")
    users.disable_user(user_id=user.id, actor=boss)


@pytest.mark.django_db
def test_every_declared_event_is_emitted_and_only_admins_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailers, "_items", {"test": lambda to, subject, text: None})
    play_everything()
    emitted = {event.name: event for event in Event.objects.all()}
    assert set(emitted) >= OWN
    viewer, operator, admin = principal("viewer"), principal("operator"), principal("admin")
    for name in OWN:
        audience = emitted[name].audience
        assert may_see(admin, audience), name
        assert not may_see(viewer, audience), name
        assert not may_see(operator, audience), name
        text = str(emitted[name].data) + str(emitted[name].audit)
        assert PASSWORD not in text
        assert NEW not in text


@pytest.mark.django_db(transaction=True)
def test_guesses_made_at_once_do_not_slip_through_the_lockout() -> None:
    user = make_user()
    outcomes: list[str] = []

    def guess() -> None:
        try:
            begin_attempt(user=user, name=user.username, address="198.51.100.7")
            outcomes.append("counted")
        except TooMany:
            outcomes.append("refused")
        finally:
            connection.close()

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == ["counted"] * 5 + ["refused"] * 7
