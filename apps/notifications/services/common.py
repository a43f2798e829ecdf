"""What the services of channels, rules and webhooks share."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model

from apps.core.errors import Invalid, NotFound, PreconditionFailed
from apps.core.ids import new_id
from apps.core.runtime_settings import parse_duration
from apps.notifications.models import RoutesVersion

M = TypeVar("M", bound=Model)


def touch_routes() -> None:
    """Make every router drop its copy of the routes; call it in the transaction of the change."""
    if not RoutesVersion.objects.filter(id=1).update(token=new_id()):
        RoutesVersion.objects.get_or_create(id=1)


def locked(model: type[M], row_id: UUID, revision: int | None) -> M:
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


def clean_name(value: Any, *, most: int = 100) -> str:
    """Return a name without outer space.

    Raises:
        Invalid: empty, too long or of several lines (422).
    """
    name = value.strip() if isinstance(value, str) else ""
    if not name or len(name) > most or any(ord(letter) < 32 for letter in name):
        raise Invalid({"name": f"give one line of 1 to {most} characters"})
    return name


def clean_flag(changes: Mapping[str, Any], field: str) -> bool:
    """Return a boolean field.

    Raises:
        Invalid: it is not true or false (422).
    """
    if not isinstance(changes[field], bool):
        raise Invalid({field: "give true or false"})
    return bool(changes[field])


def clean_seconds(field: str, value: Any, *, least: int = 0, most: int = 7 * 86400) -> int:
    """Return a duration in whole seconds, given as such or as "30m".

    Raises:
        Invalid: it is none, or out of bounds (422).
    """
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise Invalid({field: str(error)}) from error
    if not least <= seconds <= most:
        raise Invalid({field: f"must lie between {least} s and {most // 86400} days"})
    return int(seconds)
