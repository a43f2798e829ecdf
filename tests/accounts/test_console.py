"""The console's sign-in pages, without a browser."""

import re
from html import unescape
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.test import Client
from django.utils import timezone

from apps.accounts.authentication import BROWSER_SESSION_ID
from apps.accounts.console import PENDING, STRICT_POLICY
from apps.accounts.models import Session, User
from apps.core.registries import mailers
from tests.accounts.support import code_of, enrol, secure
from tests.factories.accounts import PASSWORD, make_user

pytestmark = pytest.mark.django_db
LOGIN, CODE, MFA = "/admin/login/", "/admin/login/code/", "/admin/mfa/"
NEW = "a fresh passphrase 77"


def pass_first(client: Client, name: str, password: str = PASSWORD, **more: str) -> Any:
    return client.post(LOGIN, {"username": name, "password": password, **more})


def is_in(client: Client) -> bool:
    return client.get("/admin/login/").status_code == 302


def text_of(answer: Any) -> str:
    return unescape(answer.content.decode())


def test_sign_in_opens_a_session_row_and_leads_where_one_wanted() -> None:
    user, client = make_user("viewer", "kim"), Client()
    answer = pass_first(client, "KIM@example.org", next="/admin/mfa/?x=1")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/mfa/?x=1")
    session = Session.objects.get(user=user)
    assert (session.kind, str(session.id)) == ("browser", client.session[BROWSER_SESSION_ID])
    assert client.get("/api/v1/auth/me").json()["username"] == "kim"


@pytest.mark.parametrize("target", ["https://evil.example.org/", "//evil.example.org", "javascript:alert(1)", "evil"])
def test_sign_in_leads_nowhere_else(target: str) -> None:
    make_user(username="kim")
    assert pass_first(Client(), "kim", next=target)["Location"] == "/admin/"


def test_wrong_password_says_so_and_is_no_session() -> None:
    make_user(username="kim")
    client = Client()
    answer = pass_first(client, "kim", "wrong")
    assert answer.status_code == 401
    assert "User name or password is wrong." in text_of(answer)
    assert not Session.objects.exists()
    assert not is_in(client)


def test_lockout_says_how_long_to_wait() -> None:
    make_user(username="kim")
    for _ in range(5):
        pass_first(Client(), "kim", "wrong")
    answer = pass_first(Client(), "kim")
    assert answer.status_code == 429
    assert "try again in" in text_of(answer)
    assert answer["Retry-After"]


def test_every_page_has_the_strict_policy_and_no_script() -> None:
    client = Client()
    for path in (LOGIN, "/admin/reset/"):
        answer = client.get(path)
        assert answer["Content-Security-Policy"] == STRICT_POLICY
        assert "no-store" in answer["Cache-Control"]
        assert "<script" not in text_of(answer)
        assert " style=" not in text_of(answer)
        assert not re.search(r'(?:src|href)="https?://', text_of(answer))


def test_second_step_comes_before_any_session_and_the_key_is_cycled_twice() -> None:
    user, client = make_user(username="kim"), Client()
    seed, _ = enrol(user)
    client.get(LOGIN)
    assert pass_first(client, "kim")["Location"] == CODE
    assert not Session.objects.exists()
    assert client.get("/api/v1/auth/me").status_code == 401
    assert client.get("/admin/")["Location"].startswith(LOGIN)
    between = client.session.session_key
    answer = client.post(CODE, {"code": code_of(seed)})
    assert answer["Location"] == "/admin/"
    assert client.session.session_key != between
    assert Session.objects.get().mfa_verified
    assert client.get("/api/v1/auth/me").status_code == 200


def test_code_used_before_is_refused_and_a_recovery_code_counts_once() -> None:
    user = make_user(username="kim")
    seed, codes = enrol(user)
    code = code_of(seed)
    for value, accepted in ((code, True), (code, False), (codes[0], True), (codes[0], False)):
        client = Client()
        pass_first(client, "kim")
        assert (client.post(CODE, {"code": value}).status_code == 302) is accepted


def test_second_step_runs_out_after_five_minutes_and_with_a_changed_password() -> None:
    user = make_user(username="kim")
    seed, _ = enrol(user)
    late, changed = Client(), Client()
    for client in (late, changed):
        pass_first(client, "kim")
    session = late.session
    session[PENDING] = {**session[PENDING], "at": session[PENDING]["at"] - 301}
    session.save()
    assert late.post(CODE, {"code": code_of(seed)})["Location"] == LOGIN
    user.set_password(NEW)
    user.save()
    assert changed.post(CODE, {"code": code_of(seed)})["Location"] == LOGIN
    assert Client().get(CODE)["Location"] == LOGIN


def test_sign_out_ends_the_row_and_needs_a_form() -> None:
    make_user(username="kim")
    client = Client()
    pass_first(client, "kim")
    assert client.get("/admin/logout/").status_code == 302
    assert is_in(client)
    client.post("/admin/logout/")
    assert not is_in(client)
    assert Session.objects.get().end_reason == "logged_out"


def test_row_ended_elsewhere_signs_the_browser_out() -> None:
    make_user(username="kim")
    client = Client()
    pass_first(client, "kim")
    Session.objects.update(ended_at=timezone.now())
    assert client.get("/admin/")["Location"].startswith(LOGIN)
    assert BROWSER_SESSION_ID not in client.session


def test_cookie_needs_the_csrf_token_on_unsafe_methods() -> None:
    make_user(username="kim")
    client = Client(enforce_csrf_checks=True)
    client.get(LOGIN)
    token = client.cookies["wk_csrf"].value
    client.post(LOGIN, {"username": "kim", "password": PASSWORD, "csrfmiddlewaretoken": token})
    body = {"full_name": "Kim"}
    assert client.get("/api/v1/auth/me").status_code == 200
    assert client.put("/api/v1/auth/me", body, content_type="application/json").status_code == 403
    token = client.cookies["wk_csrf"].value
    answer = client.put("/api/v1/auth/me", body, content_type="application/json", headers={"X-CSRFToken": token})
    assert answer.status_code == 200


def test_user_without_a_role_is_told_to_ask_for_one() -> None:
    user, client = make_user(username="kim"), Client()
    user.roles.clear()
    assert "no role yet" in text_of(pass_first(client, "kim"))
    assert not is_in(client)


def test_enrolment_shows_qr_and_key_then_ten_codes_once() -> None:
    make_user(username="kim")
    client, other = Client(), Client()
    pass_first(other, "kim")
    pass_first(client, "kim")
    client.post(MFA, {"action": "begin"})
    shown = text_of(client.get(MFA))
    assert "data:image/svg+xml" in shown
    secret = "".join(re.findall(r"<span>(\w{4})</span>", shown))
    assert "wrong" in text_of(client.post(MFA, {"action": "confirm", "code": "zzz"}))
    codes = re.findall(
        r"<li>([\w-]{19})</li>", text_of(client.post(MFA, {"action": "confirm", "code": code_of(secret)}))
    )
    assert len(codes) == 10
    after = text_of(client.get(MFA))
    assert "10 of 10 left" in after
    assert codes[0] not in after
    assert not is_in(other)
    body = {"action": "disable", "password": PASSWORD, "code": codes[0]}
    assert client.post(MFA, body)["Location"] == MFA
    assert "Set it up" in text_of(client.get(MFA))


def test_role_that_demands_a_second_factor_leads_to_enrolment_first() -> None:
    make_user("admin", "kim")
    secure(mfa_required_roles=["admin"])
    client = Client()
    assert pass_first(client, "kim")["Location"] == MFA
    assert client.get("/admin/")["Location"].startswith(LOGIN)
    assert client.get("/admin/login/?next=/admin/")["Location"] == MFA
    client.post(MFA, {"action": "begin"})
    secret = "".join(re.findall(r"<span>(\w{4})</span>", text_of(client.get(MFA))))
    client.post(MFA, {"action": "confirm", "code": code_of(secret)})
    assert client.get("/admin/login/?next=/admin/")["Location"] == "/admin/"


def test_password_that_must_be_changed_is_changed_first() -> None:
    make_user("admin", "kim")
    User.objects.update(must_change_password=True)
    client = Client()
    assert pass_first(client, "kim", next="/admin/mfa/")["Location"] == "/admin/password_change/?next=%2Fadmin%2Fmfa%2F"
    body = {"current_password": PASSWORD, "new_password": "short", "repeated": "short", "next": "/admin/mfa/"}
    assert "at least 10 characters" in text_of(client.post("/admin/password_change/", body))
    body |= {"new_password": NEW, "repeated": NEW + "x"}
    assert "differ" in text_of(client.post("/admin/password_change/", body))
    answer = client.post("/admin/password_change/", body | {"repeated": NEW})
    assert answer["Location"] == "/admin/mfa/"
    assert client.get("/api/v1/auth/me").json()["restriction"] == ""


def test_link_of_a_mail_sets_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    mails: list[str] = []
    monkeypatch.setattr(mailers, "_items", {"test": lambda to, subject, text: mails.append(text)})
    make_user(username="kim")
    client = Client()
    assert "Forgotten your password?" in text_of(client.get(LOGIN))
    client.post("/admin/reset/", {"email": "kim@example.org"})
    link = re.search(r"http\S+(/admin/reset/\S+)", mails[0])
    assert link
    assert client.get(link[1])["Location"] == "/admin/reset/new/"
    body = {"new_password": NEW, "repeated": NEW}
    assert "is set" in text_of(client.post("/admin/reset/new/", body))
    assert pass_first(Client(), "kim", NEW).status_code == 302
    assert client.get(link[1], follow=True).context["title"] == "Forgotten password"


def test_page_without_mail_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailers, "_items", {})
    client = Client()
    assert "Forgotten your password?" not in text_of(client.get(LOGIN))
    assert "reset-password" in text_of(client.get("/admin/reset/"))


def test_djangos_own_ways_in_are_closed() -> None:
    user = make_user("admin", "kim")
    assert authenticate(username="kim", password=PASSWORD) is None
    client = Client()
    client.force_login(user, backend="apps.accounts.backends.AccountBackend")  # no session row of ours
    assert client.get("/admin/")["Location"].startswith(LOGIN)
    assert client.get("/api/v1/auth/me").status_code == 401
