"""What the tests of the accounts share."""

import base64
import time
from typing import Any

from django_otp.oath import TOTP

from apps.accounts.authentication import principal_of_session
from apps.accounts.models import Session, TotpDevice, User
from apps.accounts.services import mfa, security
from apps.core import runtime_settings
from apps.core.principals import Principal, system
from tests.factories.accounts import make_session


def signed_in(user: User, kind: str = "jwt") -> Principal:
    """Return the user as a caller with a live session."""
    return principal_of_session(make_session(user, kind).id)


def code_of(seed: str, steps: int = 0) -> str:
    """Return the code of a seed, `steps` half minutes from now."""
    totp = TOTP(base64.b32decode(seed), 30)
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06d}"


def enrol(user: User) -> tuple[str, list[str]]:
    """Give the user a second factor; returns its seed and the recovery codes. The code of now is not spent."""
    codes = mfa._make_recovery_codes(user)
    device = TotpDevice.objects.create(user=user, name="app", confirmed=True, seed="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    Session.objects.filter(user=user).update(mfa_verified=True)
    return device.seed, codes


def problems(answer: Any) -> dict[str, str]:
    """Return the refused fields of a 422 and why."""
    assert answer.status_code == 422, answer.content
    return {".".join(str(part) for part in row["loc"][1:]): row["msg"] for row in answer.json()["detail"]}


def secure(**changes: Any) -> None:
    """Change security settings, in force at once although the test's transaction never commits."""
    security.update_security(changes=changes, actor=system("test"))
    runtime_settings.forget()


def demand(**changes: Any) -> None:
    """Change the password policy, in force at once."""
    security.update_password_policy(changes=changes, actor=system("test"))
    runtime_settings.forget()
