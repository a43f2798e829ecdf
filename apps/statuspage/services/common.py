"""What the services of the status pages share."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model
from django.utils import timezone

from apps.core.errors import Invalid, NotFound, PreconditionFailed
from apps.core.ids import new_id
from apps.statuspage.models import StatusVersion

M = TypeVar("M", bound=Model)

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+\Z")


def touch_pages() -> None:
    """Have every web process draw its pages anew; call it in the transaction of the change."""
    now = timezone.now()
    if not StatusVersion.objects.filter(id=1).update(token=new_id(), touched_at=now):
        StatusVersion.objects.get_or_create(id=1, defaults={"touched_at": now})


def locked(model: type[M], row_id: UUID | str, revision: int | None = None) -> M:
    """Return the row, locked until the end of the transaction.

    Raises:
        NotFound: it is gone (404).
        PreconditionFailed: its revision differs from the one the caller read (412).
    """
    row = model._default_manager.select_for_update().filter(pk=row_id).first()
    if row is None:
        raise NotFound("There is no such thing, or you may not see it.")
    if revision is not None and row.revision != revision:  # type: ignore[attr-defined]
        raise PreconditionFailed("Somebody changed this since you read it; read it again and repeat your change.")
    return row


def clean_line(field: str, value: Any, *, most: int, required: bool = True) -> str:
    """Return one line of text without outer space.

    Raises:
        Invalid: empty though required, too long, of several lines (422).
    """
    text = value.strip() if isinstance(value, str) else ""
    if (required and not text) or len(text) > most or any(ord(letter) < 32 for letter in text):
        raise Invalid({field: f"give one line of {1 if required else 0} to {most} characters"})
    return text


def clean_text(field: str, value: Any, *, most: int = 10_000) -> str:
    """Return a text that may have several lines.

    Raises:
        Invalid: it is no text, or too long (422).
    """
    if not isinstance(value, str) or len(value) > most or "\x00" in value:
        raise Invalid({field: f"give a text of at most {most} characters"})
    return value.strip().replace("\r\n", "\n")


def clean_domain(value: Any) -> str:
    """Return a host name in lower case, "" for none.

    Raises:
        Invalid: it is no host name (422).
    """
    text = str(value or "").strip().lower().rstrip(".")
    if text and not _HOST.match(text):
        raise Invalid({"domain": "give a host name such as status.example.org, without https:// and path"})
    return text


def put_changes(row: Model, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Set the fields that differ; returns what was before and what is after, fit for the audit trail."""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for name, value in values.items():
        old = getattr(row, name)
        if old != value:
            before[name], after[name] = plain(old), plain(value)
            setattr(row, name, value)
    return before, after


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Model):
        return str(value)
    if isinstance(value, UUID):
        return str(value)
    return value
