"""Commands: prepare, ensure_admin, reset-password, permissions_doc."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from apps.accounts.models import LoginGuard, Role, User
from apps.accounts.permissions import CODES
from apps.core import crypto
from apps.core.models import Canary
from tests.accounts.support import enrol
from tests.factories.accounts import PASSWORD, client_of, make_user

pytestmark = pytest.mark.django_db


def run(name: str, *arguments: str) -> str:
    out = StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()


def answer_of(text: str) -> dict[str, object]:
    lines = text.strip().splitlines()
    assert len(lines) == 1
    found: dict[str, object] = json.loads(lines[0])
    return found


def test_first_prepare_makes_roles_and_admin_and_prints_the_password_once() -> None:
    Role.objects.all().delete()
    answer = answer_of(run("prepare", "--json"))
    admin = answer["admin"]
    assert answer["ready"] is True
    assert isinstance(admin, dict)
    assert (admin["created"], admin["username"]) == (True, "admin")
    user = User.objects.get()
    assert user.check_password(admin["password"])
    assert "*" in user.permission_codes()
    assert answer_of(run("prepare"))["admin"] is None
    assert User.objects.count() == 1


@override_settings(ADMIN_USERNAME="root", ADMIN_PASSWORD="given passphrase 12", ADMIN_EMAIL="root@example.org")
def test_given_admin_is_created_and_its_password_is_not_printed() -> None:
    admin = answer_of(run("ensure_admin"))["admin"]
    assert admin == {"created": True, "username": "root", "password": None}
    assert User.objects.get(email="root@example.org").check_password("given passphrase 12")


@override_settings(ADMIN_PASSWORD="short")
def test_admin_password_against_the_policy_is_one_sentence() -> None:
    with pytest.raises(SystemExit, match="ADMIN_PASSWORD"):
        run("ensure_admin")
    assert not User.objects.exists()


def test_existing_users_are_left_alone() -> None:
    make_user("viewer")
    assert answer_of(run("ensure_admin"))["admin"] is None


def test_wrong_vault_key_is_one_sentence_and_exit_code_1() -> None:
    run("prepare")
    assert Canary.objects.exists()
    with override_settings(VAULT_KEY=crypto.generate_key()), pytest.raises(SystemExit, match="vault key") as caught:
        run("prepare")
    assert "\n" not in str(caught.value)


def test_reset_password_lets_somebody_back_in() -> None:
    user = make_user(username="kim")
    client = client_of(user)
    enrol(user)
    LoginGuard.objects.create(key=f"user:{user.id}", failures=99)
    out = run("reset-password", "KIM@example.org")
    password = out.split("New password: ")[1].split()[0]
    user.refresh_from_db()
    assert user.check_password(password)
    assert user.must_change_password
    assert "--disable-mfa" in out
    assert client.get("/api/v1/auth/me").status_code == 401
    assert not LoginGuard.objects.exists()
    assert "removed" in run("reset-password", "kim", "--disable-mfa")
    assert not hasattr(User.objects.get(id=user.id), "totp_device")


def test_reset_password_enables_only_on_request() -> None:
    user = make_user(username="kim")
    User.objects.update(disabled=True)
    assert "--enable" in run("reset-password", "kim")
    run("reset-password", "kim", "--enable")
    assert not User.objects.get(id=user.id).disabled
    assert not User.objects.get(id=user.id).check_password(PASSWORD)


def test_reset_password_of_nobody_is_one_sentence() -> None:
    with pytest.raises(SystemExit, match="There is no user nobody."):
        run("reset-password", "nobody")


def test_document_of_permissions_is_fresh() -> None:
    document = Path(__file__).parent.parent.parent / "docs" / "permissions.md"
    assert document.read_text() == run("permissions_doc"), "run `manage.py permissions_doc > docs/permissions.md`"
    assert all(f"`{code}`" in document.read_text() for code in CODES)


def test_djangos_own_changepassword_minds_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    make_user(username="kim")
    monkeypatch.setattr("getpass.getpass", lambda prompt="": "short")
    with pytest.raises(CommandError):
        run("changepassword", "kim")
    assert User.objects.get().check_password(PASSWORD)
