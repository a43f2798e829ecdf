"""Enrolment tokens: made, shown once, removed."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.accounts.hashing import hash_secret
from apps.agents.models import EnrolmentToken, HostAgent
from apps.core.errors import Invalid, NotFound
from apps.core.events import Subject, emit
from apps.core.ids import new_secret
from apps.core.principals import Principal

PREFIX = "wke_"
HINT = len(PREFIX) + 6
LIFE = timedelta(hours=24)
LIFE_MOST = timedelta(days=366)
USES_MOST = 10_000
TAGS_MOST = 20


def create_token(
    *,
    actor: Principal,
    name: str,
    expires_at: datetime | None = None,
    max_uses: int = 1,
    pre_approved: bool = False,
    tags: Iterable[str] = (),
    agent: HostAgent | None = None,
) -> tuple[EnrolmentToken, str]:
    """Make a token with which hosts may ask to be enrolled.

    Args:
        expires_at: its end; None: in 24 hours.
        max_uses: how many hosts. One that repeats its request counts once.
        pre_approved: hosts are let in at once, without anybody looking at their fingerprint.
        tags: of the servers that come with it.
        agent: it enrols this agent alone.

    Returns:
        The row, and the token: it is not kept and can't be shown again.

    Raises:
        Invalid: a value is wrong (422).

    Emits: enrolment_token.created

    Source: contract row POST /agents/enrolment-tokens.
    """
    now = timezone.now()
    words = sorted({word.strip() for word in tags if word.strip()})
    ends = expires_at or now + LIFE
    problems: dict[str, str] = {}
    if not name.strip():
        problems["name"] = "must not be empty"
    elif len(name.strip()) > 100:
        problems["name"] = "use at most 100 characters"
    if ends <= now:
        problems["expires_at"] = "must lie ahead"
    elif ends > now + LIFE_MOST:
        problems["expires_at"] = "must lie within a year"
    if not 1 <= max_uses <= USES_MOST:
        problems["max_uses"] = f"must lie between 1 and {USES_MOST}"
    if len(words) > TAGS_MOST or any(len(word) > 64 for word in words):
        problems["tags"] = f"give at most {TAGS_MOST} tags of at most 64 characters"
    if problems:
        raise Invalid(problems)
    token = PREFIX + new_secret()
    row = EnrolmentToken(
        name=name.strip(),
        token_hash=hash_secret(token),
        hint=token[:HINT],
        expires_at=ends,
        max_uses=max_uses,
        pre_approved=pre_approved,
        tags=words,
        agent=agent,
        created_by=actor.name[:255],
    )
    with transaction.atomic():
        row.save(force_insert=True)
        emit(
            "enrolment_token.created",
            subject=subject_of(row),
            actor=actor,
            data={
                **_facts(row),
                "expires_at": ends.isoformat(),
                "max_uses": max_uses,
                "pre_approved": pre_approved,
                "agent_id": agent.slug if agent else "",
            },
            after={"name": row.name, "tags": words, "token": "***"},
        )
    return row, token


def delete_token(*, actor: Principal, token_id: UUID | str) -> None:
    """Remove a token: nobody can ask with it any more. Hosts that asked before stay.

    Raises:
        NotFound: no such token (404).

    Emits: enrolment_token.deleted
    """
    with transaction.atomic():
        row = EnrolmentToken.objects.select_for_update().filter(pk=token_id).first()
        if row is None:
            raise NotFound("There is no such enrolment token.")
        emit("enrolment_token.deleted", subject=subject_of(row), actor=actor, data=_facts(row))
        row.delete()


def subject_of(row: EnrolmentToken) -> Subject:
    """Return the token as the subject of an event."""
    return Subject("enrolment_token", str(row.pk), row.name)


def _facts(row: EnrolmentToken) -> dict[str, str]:
    return {"token_id": str(row.pk), "name": row.name, "hint": row.hint}
