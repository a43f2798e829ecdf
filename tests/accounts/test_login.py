"""Logging in by API, refreshing, logging out, lockout."""

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from apps.accounts.models import LoginGuard, Session, User
from apps.core.api.throttling import windows
from apps.core.models import Event
from tests.accounts.support import code_of, enrol
from tests.factories.accounts import PASSWORD, client_of, make_user

pytestmark = pytest.mark.django_db


def log_in(body: dict[str, str], address: str = "198.51.100.7"):
    windows.clear()
    return APIClient().post("/api/v1/auth/login", body, REMOTE_ADDR=address)


def bearer(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return client


@pytest.mark.parametrize("field", ["username", "email"])
def test_login_by_name_or_email_answers_tokens_and_user(field: str) -> None:
    user = make_user("operator", "Kim")
    answer = log_in({field: "KIM@example.org" if field == "email" else "kim", "password": PASSWORD})
    assert answer.status_code == 200
    body = answer.json()
    assert body["token"] == body["access"]
    assert body["user"]["id"] == str(user.id)
    assert body["user"]["roles"] == ["operator"]
    assert "alerts:acknowledge" in body["user"]["permissions"]
    assert bearer(body["token"]).get("/api/v1/auth/me").json()["username"] == "Kim"
    session = Session.objects.get(user=user)
    assert (session.kind, session.address) == ("jwt", "198.51.100.7")
    assert Event.objects.filter(name="user.logged_in", subject_id=str(user.id)).count() == 1


def test_wrong_password_unknown_name_and_disabled_user_look_alike() -> None:
    make_user(username="kim")
    User.objects.filter(username=make_user(username="gone").username).update(disabled=True)
    answers = [
        log_in({"username": name, "password": password})
        for name, password in (("kim", "wrong"), ("nobody", PASSWORD), ("gone", PASSWORD))
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].json()["code"] == "bad_credentials"


def test_refused_login_is_audited_without_a_name_that_nobody_has() -> None:
    make_user(username="kim")
    log_in({"username": "kim", "password": "wrong"})
    log_in({"username": "my-secret-password", "password": "wrong"})
    events = Event.objects.filter(name="user.login_refused").order_by("id")
    assert [event.data["username"] for event in events] == ["kim", ""]


def test_missing_name_is_422() -> None:
    assert log_in({"password": "x"}).status_code == 422


def test_failures_make_further_logins_wait_ever_longer() -> None:
    user = make_user(username="kim")
    statuses = [log_in({"username": "kim", "password": "wrong"}).status_code for _ in range(6)]
    assert statuses == [401, 401, 401, 401, 401, 429]
    blocked = log_in({"username": "kim", "password": PASSWORD})
    assert blocked.status_code == 429
    assert 0 < int(blocked["Retry-After"]) <= 30
    waits = []
    for _ in range(8):
        LoginGuard.objects.update(blocked_until=timezone.now())
        log_in({"username": "kim", "password": "wrong"})
        guard = LoginGuard.objects.get(key__startswith=f"user:{user.id}|")
        assert guard.blocked_until is not None
        waits.append(round((guard.blocked_until - guard.last_failed_at).total_seconds()))
    assert waits == [60, 120, 240, 480, 900, 900, 900, 900]


def test_lockout_does_not_tell_whether_the_name_exists() -> None:
    statuses = [log_in({"username": "nobody", "password": "wrong"}).status_code for _ in range(6)]
    assert statuses == [401, 401, 401, 401, 401, 429]


def test_stranger_does_not_lock_the_user_out_of_a_known_network() -> None:
    make_user(username="kim")
    assert log_in({"username": "kim", "password": PASSWORD}, "203.0.113.5").status_code == 200
    for number in range(30):
        log_in({"username": "kim", "password": "wrong"}, f"198.51.100.{number // 4}")
    assert log_in({"username": "kim", "password": PASSWORD}, "192.0.2.77").status_code == 429  # the account, elsewhere
    assert log_in({"username": "kim", "password": PASSWORD}, "203.0.113.5").status_code == 200


def test_wait_ends_by_itself_and_a_good_login_forgets_the_failures() -> None:
    make_user(username="kim")
    for _ in range(6):
        log_in({"username": "kim", "password": "wrong"})
    LoginGuard.objects.update(blocked_until=timezone.now() - timedelta(seconds=1))
    assert log_in({"username": "kim", "password": PASSWORD}).status_code == 200
    assert not LoginGuard.objects.exists()


def test_addresses_of_one_ipv6_network_count_together() -> None:
    make_user(username="kim")
    statuses = [log_in({"username": "kim", "password": "x"}, f"2001:db8::{n:x}").status_code for n in range(1, 7)]
    assert statuses[-1] == 429


def test_login_with_second_factor_asks_for_the_code_then_takes_it_once() -> None:
    user = make_user(username="kim")
    seed, _ = enrol(user)
    asked = log_in({"username": "kim", "password": PASSWORD})
    assert (asked.status_code, asked.json()["code"]) == (403, "mfa_required")
    wrong = log_in(
        {"username": "kim", "password": PASSWORD, "otp": "000000" if code_of(seed) != "000000" else "111111"}
    )
    assert (wrong.status_code, wrong.json()["code"]) == (401, "bad_otp")
    code = code_of(seed)
    assert log_in({"username": "kim", "password": PASSWORD, "otp": code}).status_code == 200
    assert log_in({"username": "kim", "password": PASSWORD, "otp": code}).status_code == 401
    assert Session.objects.get(user=user).mfa_verified


def test_right_password_without_code_neither_counts_nor_clears_failures() -> None:
    user = make_user(username="kim")
    enrol(user)
    for _ in range(8):
        assert log_in({"username": "kim", "password": PASSWORD}).status_code == 403
    for _ in range(4):
        log_in({"username": "kim", "password": PASSWORD, "otp": "1"})
        log_in({"username": "kim", "password": PASSWORD})
    assert log_in({"username": "kim", "password": PASSWORD, "otp": "1"}).status_code == 401
    assert log_in({"username": "kim", "password": PASSWORD, "otp": "1"}).status_code == 429


def test_recovery_code_counts_once() -> None:
    user = make_user(username="kim")
    _, codes = enrol(user)
    assert log_in({"username": "kim", "password": PASSWORD, "otp": codes[3].upper()}).status_code == 200
    assert log_in({"username": "kim", "password": PASSWORD, "otp": codes[3]}).status_code == 401
    assert Event.objects.get(name="user.recovery_code_used").data["left"] == 9


def test_refresh_rotates_and_a_second_use_ends_the_session() -> None:
    make_user(username="kim")
    first = log_in({"username": "kim", "password": PASSWORD}).json()
    answer = APIClient().post("/api/v1/auth/refresh", {"refresh": first["refresh"]})
    assert answer.status_code == 200
    second = answer.json()
    assert bearer(second["access"]).get("/api/v1/auth/me").status_code == 200
    reused = APIClient().post("/api/v1/auth/refresh", {"refresh": first["refresh"]})
    assert (reused.status_code, reused.json()["code"]) == (401, "token_reused")
    assert bearer(second["access"]).get("/api/v1/auth/me").status_code == 401
    assert APIClient().post("/api/v1/auth/refresh", {"refresh": second["refresh"]}).status_code == 401
    assert Event.objects.get(name="session.ended").data["reason"] == "refresh_reused"


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c"])
def test_forged_refresh_token_is_refused(token: str) -> None:
    assert APIClient().post("/api/v1/auth/refresh", {"refresh": token}).status_code in (401, 422)


def test_access_token_is_no_refresh_token_and_the_reverse() -> None:
    make_user(username="kim")
    body = log_in({"username": "kim", "password": PASSWORD}).json()
    assert APIClient().post("/api/v1/auth/refresh", {"refresh": body["access"]}).status_code == 401
    assert bearer(body["refresh"]).get("/api/v1/auth/me").status_code == 401


def test_logout_ends_both_tokens() -> None:
    make_user(username="kim")
    body = log_in({"username": "kim", "password": PASSWORD}).json()
    assert bearer(body["access"]).post("/api/v1/auth/logout", {"refresh": body["refresh"]}).status_code == 204
    assert bearer(body["access"]).get("/api/v1/auth/me").status_code == 401
    assert APIClient().post("/api/v1/auth/refresh", {"refresh": body["refresh"]}).status_code == 401


def test_session_past_its_lifetime_is_refused() -> None:
    client = client_of(make_user())
    Session.objects.update(expires_at=timezone.now())
    answer = client.get("/api/v1/auth/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "session_ended")


def test_session_of_a_user_with_a_second_factor_that_was_not_asked_for_it_is_none() -> None:
    user = make_user()
    client = client_of(user)
    enrol(user)
    Session.objects.update(mfa_verified=False)
    assert client.get("/api/v1/auth/me").status_code == 401


def test_request_reads_user_and_session_in_two_queries(django_assert_max_num_queries) -> None:
    user = make_user("admin")
    client = client_of(user)
    client.get("/api/v1/security/password-policy")  # the settings are in the process's copy from here on
    with django_assert_max_num_queries(2):
        assert client.get("/api/v1/security/password-policy").status_code == 200
