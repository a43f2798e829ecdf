"""The second factor by API, and roles that demand it."""

import pytest
from django.db import connection
from django.test import override_settings

from apps.accounts.authentication import principal_of_session
from apps.accounts.models import RecoveryCode, Session, TotpDevice
from apps.accounts.principals import principal_of_key
from apps.accounts.services import mfa
from apps.core.errors import Unauthenticated
from tests.accounts.support import code_of, enrol, problems, secure, signed_in
from tests.factories.accounts import PASSWORD, client_of, client_with_key, make_api_key, make_session, make_user

pytestmark = pytest.mark.django_db


def test_enrolment_gives_ten_codes_and_ends_the_other_sessions() -> None:
    user = make_user()
    client, other = client_of(user), client_of(user)
    setup = client.post("/api/v1/auth/mfa/setup").json()
    assert setup["otpauth_uri"].startswith("otpauth://totp/")
    assert setup["secret"] in setup["otpauth_uri"]
    assert setup["qr_code"].startswith("data:image/svg+xml")
    assert not client.get("/api/v1/auth/me").json()["mfa_enabled"]
    codes = client.post("/api/v1/auth/mfa/verify", {"token": code_of(setup["secret"])}).json()["recovery_codes"]
    assert len(set(codes)) == 10
    assert client.get("/api/v1/auth/me").json()["mfa_enabled"]
    assert other.get("/api/v1/auth/me").status_code == 401


def test_seed_is_sealed_and_codes_are_hashed_in_the_database() -> None:
    user = make_user()
    seed, codes = enrol(user)
    with connection.cursor() as cursor:
        cursor.execute("SELECT seed FROM accounts_totpdevice")
        assert cursor.fetchone()[0].startswith("wk1.")
    stored = set(RecoveryCode.objects.values_list("code_hash", flat=True))
    assert not stored & {code.replace("-", "") for code in codes}
    assert TotpDevice.objects.get().seed == seed


def test_wrong_first_code_activates_nothing() -> None:
    client = client_of(make_user())
    secret = client.post("/api/v1/auth/mfa/setup").json()["secret"]
    wrong = "000000" if code_of(secret) not in ("000000",) else "111111"
    assert "token" in problems(client.post("/api/v1/auth/mfa/verify", {"token": wrong}))
    assert not client.get("/api/v1/auth/me").json()["mfa_enabled"]


def test_verify_without_setup_and_setup_twice_are_409() -> None:
    user = make_user()
    client = client_of(user)
    assert client.post("/api/v1/auth/mfa/verify", {"token": "123456"}).status_code == 409
    enrol(user)
    assert client.post("/api/v1/auth/mfa/setup").status_code == 409


def test_code_of_a_neighbouring_step_is_accepted_and_a_farther_one_is_not() -> None:
    user = make_user()
    seed, _ = enrol(user)
    device = TotpDevice.objects.get()
    assert not device.verify_token(code_of(seed, -3))
    assert device.verify_token(code_of(seed, -1))
    assert not device.verify_token(code_of(seed, -1))
    assert device.verify_token(code_of(seed, 1))
    assert not TotpDevice.objects.get().verify_token(code_of(seed))  # older than one that was accepted


def test_same_code_used_twice_at_once_is_accepted_once() -> None:
    user = make_user()
    seed, _ = enrol(user)
    one, other = TotpDevice.objects.get(), TotpDevice.objects.get()
    code = code_of(seed)
    assert [one.verify_token(code), other.verify_token(code)] == [True, False]


def test_disable_needs_password_and_code() -> None:
    user = make_user()
    client = client_of(user)
    seed, codes = enrol(user)
    assert "password" in problems(client.post("/api/v1/auth/mfa/disable", {"password": "no", "token": codes[0]}))
    assert "token" in problems(client.post("/api/v1/auth/mfa/disable", {"password": PASSWORD, "token": "abc"}))
    assert client.post("/api/v1/auth/mfa/disable", {"password": PASSWORD, "token": code_of(seed)}).status_code == 204
    assert not client.get("/api/v1/auth/me").json()["mfa_enabled"]
    assert not RecoveryCode.objects.exists()


def test_guessing_codes_runs_into_the_lockout() -> None:
    user = make_user()
    client = client_of(user)
    enrol(user)
    bodies = [{"password": PASSWORD, "token": "zzzz"}] * 6
    assert [client.post("/api/v1/auth/mfa/disable", body).status_code for body in bodies] == [422] * 5 + [429]


def test_api_key_can_not_touch_the_second_factor() -> None:
    _, secret = make_api_key(make_user("admin"), role="admin")
    answer = client_with_key(secret).post("/api/v1/auth/mfa/setup")
    assert (answer.status_code, answer.json()["code"]) == (403, "person_required")


def test_role_that_demands_a_second_factor_leaves_only_enrolment_and_logout() -> None:
    user = make_user("admin")
    client = client_of(user)
    secure(mfa_required_roles=["admin"])
    refused = client.get("/api/v1/users")
    assert (refused.status_code, refused.json()["code"]) == (403, "mfa_enrolment_required")
    assert client.get("/api/v1/auth/me").json()["restriction"] == "mfa_enrolment_required"
    secret = client.post("/api/v1/auth/mfa/setup").json()["secret"]
    assert client.post("/api/v1/auth/mfa/verify", {"token": code_of(secret)}).status_code == 200
    assert client.get("/api/v1/users").status_code == 200
    assert client_of(make_user("viewer")).get("/api/v1/roles").status_code == 200


def test_key_of_somebody_who_owes_a_second_factor_has_no_rights_but_a_servers_key_pushes_on() -> None:
    owner = make_user("admin")
    _, secret = make_api_key(owner, role="viewer")
    key, _ = make_api_key(owner, server_id="0198f000-0000-7000-8000-000000000001")
    secure(mfa_required_roles=["admin"])
    refused = client_with_key(secret).get("/api/v1/roles")
    assert (refused.status_code, refused.json()["code"]) == (403, "mfa_enrolment_required")
    assert principal_of_key(key).can("samples:push")


def test_removing_the_device_makes_no_old_session_verified() -> None:
    user = make_user()
    enrol(user)
    session = make_session(user)
    Session.objects.filter(id=session.id).update(mfa_verified=True)
    mfa.remove_device(user=user)
    enrol_again = TotpDevice.objects.create(user=user, name="app", confirmed=True, seed="JBSWY3DPEHPK3PXP")
    assert enrol_again.confirmed
    with pytest.raises(Unauthenticated):
        principal_of_session(session.id)


@override_settings(PUBLIC_HOST="watch.example.org")
def test_key_uri_names_the_installation() -> None:
    enrolment = mfa.begin_enrolment(actor=signed_in(make_user(username="kim")))
    assert "watch.example.org" in enrolment.otpauth_uri
    assert "kim" in enrolment.otpauth_uri
