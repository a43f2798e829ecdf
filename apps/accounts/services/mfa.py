"""The second factor: set up, confirm, use, switch off."""

import base64
import os
import secrets
from dataclasses import dataclass
from urllib.parse import quote, urlencode

import segno
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from apps.accounts import lockout
from apps.accounts.hashing import hash_secret
from apps.accounts.models import RecoveryCode, Session, TotpDevice, User
from apps.accounts.services import sessions
from apps.accounts.services.common import announce_rights, facts_of, require_person, subject_of
from apps.core import runtime_settings
from apps.core.errors import Conflict, Invalid
from apps.core.events import emit
from apps.core.principals import Principal, system

RECOVERY_CODES = 10
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is read for something else
_GROUPS, _GROUP = 4, 4  # 31^16: about 79 bits, so that a plain hash is enough


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app needs, shown while the device is not confirmed."""

    secret: str
    otpauth_uri: str
    qr_code: str  # data URI of an SVG


def is_enabled(user: User) -> bool:
    """Return whether the user has a confirmed second factor."""
    return TotpDevice.objects.filter(user=user, confirmed=True).exists()


def codes_left(user: User) -> int:
    """Return how many recovery codes are unused."""
    return RecoveryCode.objects.filter(user=user, used_at__isnull=True).count()


def begin_enrolment(*, actor: Principal) -> Enrolment:
    """Make a new seed; it counts once a code of it is confirmed. An unconfirmed one before it is replaced.

    Raises:
        Conflict: a second factor is set up already (409). Forbidden: the caller is an API key (403).

    Source: contract, POST /auth/mfa/setup.
    """
    user = User.objects.get(id=require_person(actor))
    with transaction.atomic():
        User.objects.select_for_update().get(id=user.id)
        if is_enabled(user):
            raise Conflict("A second factor is set up already; switch it off first.", code="mfa_enabled")
        TotpDevice.objects.filter(user=user).delete()
        device = TotpDevice.objects.create(
            user=user, name="Authenticator app", confirmed=False, seed=base64.b32encode(os.urandom(20)).decode()
        )
    return enrolment_of(device)


def pending_enrolment(user: User) -> Enrolment | None:
    """Return the enrolment that waits for its first code, None where there is none."""
    device = TotpDevice.objects.select_related("user").filter(user=user, confirmed=False).first()
    return enrolment_of(device) if device else None


def enrolment_of(device: TotpDevice) -> Enrolment:
    """Return what the app needs of a device.

    Source: the key URI format of authenticator apps, otpauth://totp/ISSUER:ACCOUNT.
    """
    issuer = runtime_settings.get("general.installation_name") or "Watchkeeper"
    label = quote(f"{issuer} ({settings.PUBLIC_HOST}):{device.user.username}", safe="")
    uri = f"otpauth://totp/{label}?{urlencode({'secret': device.seed, 'issuer': issuer, 'period': 30, 'digits': 6})}"
    # Black on white with its quiet zone, whatever the theme: cameras want it so.
    svg = segno.make(uri, error="l").svg_data_uri(scale=5, border=3, dark="#000", light="#fff")
    return Enrolment(device.seed, uri, svg)


def confirm_enrolment(*, code: str, address: str, actor: Principal) -> list[str]:
    """Switch the second factor on. The caller's session counts as verified; all their other sessions end.

    Returns:
        Ten recovery codes; they are not shown again.

    Raises:
        Conflict: nothing waits for its first code (409). Invalid: the code is wrong (422).
        TooMany: after repeated failures (429).

    Emits: user.mfa_enabled, session.ended.
    Source: contract, POST /auth/mfa/verify.
    """
    user = User.objects.get(id=require_person(actor))
    device = TotpDevice.objects.filter(user=user, confirmed=False).first()
    if device is None:
        raise Conflict("Nothing waits for a code; set up a second factor first.", code="no_enrolment")
    attempt = lockout.begin_attempt(user=user, name=user.username, address=address)
    if not device.verify_token(_compact(code)):
        raise Invalid({"token": "This code is wrong; check the clock of your device."}, code="bad_otp")
    attempt.succeed()
    with transaction.atomic():
        if not TotpDevice.objects.filter(id=device.id, confirmed=False).update(confirmed=True):
            raise Conflict("Nothing waits for a code; set up a second factor first.", code="no_enrolment")
        codes = _make_recovery_codes(user)
        if actor.session_id:
            Session.objects.filter(id=actor.session_id).update(mfa_verified=True)
        sessions.end_sessions_of(user=user, reason="mfa_enabled", actor=actor, but=actor.session_id)
        emit("user.mfa_enabled", subject=subject_of(user), actor=actor, data=facts_of(user))
        announce_rights()
    return codes


def _make_recovery_codes(user: User) -> list[str]:
    RecoveryCode.objects.filter(user=user).delete()
    codes = [
        "-".join("".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS))
        for _ in range(RECOVERY_CODES)
    ]
    RecoveryCode.objects.bulk_create(RecoveryCode(user=user, code_hash=hash_secret(_compact(code))) for code in codes)
    return codes


def _compact(code: str) -> str:
    return "".join(code.split()).replace("-", "").lower()


def accept_code(user: User, code: str) -> bool:
    """Return whether `code` is the authenticator's now or an unused recovery code; either is spent by it.

    Emits: user.recovery_code_used.
    """
    compact = _compact(code)
    # Told apart by their shape, so that a wrong code is not tried against both.
    if compact.isdigit():
        device = TotpDevice.objects.filter(user=user, confirmed=True).first()
        return device is not None and device.verify_token(compact)
    with transaction.atomic():
        unused = RecoveryCode.objects.filter(user=user, code_hash=hash_secret(compact), used_at__isnull=True)
        if not unused.update(used_at=timezone.now()):
            return False
        emit(
            "user.recovery_code_used",
            subject=subject_of(user),
            actor=Principal(kind="user", id=str(user.id), name=user.username, user_id=user.id),
            level="warning",
            data={**facts_of(user), "left": codes_left(user)},
        )
    return True


def disable(*, password: str, code: str, address: str, actor: Principal) -> None:
    """Switch the caller's second factor off.

    Raises:
        Conflict: there is none (409). Invalid: password or code are wrong (422).
        TooMany: after repeated failures (429).

    Emits: user.mfa_disabled.
    Source: contract, POST /auth/mfa/disable.
    """
    user = User.objects.get(id=require_person(actor))
    if not is_enabled(user):
        raise Conflict("There is no second factor to switch off.", code="mfa_not_enabled")
    attempt = lockout.begin_attempt(user=user, name=user.username, address=address)
    if not user.check_password(password):
        raise Invalid({"password": "This is not your password."}, code="wrong_password")
    if not accept_code(user, code):
        raise Invalid({"token": "This code is wrong or was used before."}, code="bad_otp")
    attempt.succeed()
    remove_device(user=user, actor=actor)


def remove_device(*, user: User, actor: Principal | None = None, note: str = "") -> bool:
    """Remove a user's second factor without asking for a code; `reset-password --disable-mfa` does it.

    Returns:
        Whether there was one.

    Emits: user.mfa_disabled.
    """
    with transaction.atomic():
        had = TotpDevice.objects.filter(user=user, confirmed=True).exists()
        TotpDevice.objects.filter(user=user).delete()
        RecoveryCode.objects.filter(user=user).delete()
        # They were verified by a factor that is no more; a new one has to be passed anew.
        Session.objects.filter(user=user, ended_at__isnull=True).update(mfa_verified=False)
        if had:
            emit(
                "user.mfa_disabled",
                subject=subject_of(user),
                actor=actor or system("accounts"),
                data=facts_of(user),
                note=note,
            )
        announce_rights()
    return had


def renew_recovery_codes(*, code: str, address: str, actor: Principal) -> list[str]:
    """Replace the recovery codes.

    Raises:
        Conflict: there is no second factor (409). Invalid: the code is wrong (422). TooMany: repeated failures (429).

    Emits: user.updated.
    """
    user = User.objects.get(id=require_person(actor))
    if not is_enabled(user):
        raise Conflict("There is no second factor.", code="mfa_not_enabled")
    attempt = lockout.begin_attempt(user=user, name=user.username, address=address)
    if not accept_code(user, code):
        raise Invalid({"token": "This code is wrong or was used before."}, code="bad_otp")
    attempt.succeed()
    with transaction.atomic():
        codes = _make_recovery_codes(user)
        emit(
            "user.updated",
            subject=subject_of(user),
            actor=actor,
            data={**facts_of(user), "changed": ["recovery_codes"]},
        )
    return codes
