"""Ping keys: one credential for many jobs that name themselves."""

import secrets
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.accounts.hashing import hash_secret
from apps.core import errors
from apps.core.events import Subject, emit
from apps.core.fields import MASK
from apps.core.principals import Principal
from apps.monitors.models import PingKey
from apps.monitors.services.heartbeat_rules import cleaned_tags, preview

LIMIT_MOST = 10_000
#: Where a key says nothing of when its jobs run.
DEFAULT_INTERVAL_S = 86_400
_FIELDS = (
    "name", "enabled", "create_limit", "interval_seconds", "cron", "timezone", "grace_seconds", "tags",
)  # fmt: skip


def create_ping_key(
    *,
    actor: Principal,
    name: str,
    enabled: bool = True,
    create_limit: int = 100,
    interval_seconds: int | None = None,
    cron: str = "",
    timezone_name: str = "UTC",
    grace_seconds: int | None = None,
    tags: Iterable[str] = (),
) -> PingKey:
    """Add a key.

    Args:
        create_limit: how many heartbeats may belong to it before a ping adds no more; 0: pings never add one.
        interval_seconds, cron, timezone_name, grace_seconds, tags: of heartbeats added by their first ping; once a day
            where neither interval nor cron is given.

    Raises:
        Invalid: a value is wrong, or the name is taken (422).

    Emits: ping_key.created.

    Source: POST /api/v1/ping-keys.
    """
    values = _cleaned(
        {
            "name": name, "enabled": enabled, "create_limit": create_limit, "interval_seconds": interval_seconds,
            "cron": cron, "timezone": timezone_name, "grace_seconds": grace_seconds, "tags": list(tags),
        },
        None,
    )  # fmt: skip
    secret = _make()
    key = PingKey(key=secret, digest=hash_secret(secret), **values)
    with transaction.atomic():
        key.save(force_insert=True)
        _emit("created", key, actor, after={**_shown(key), "key": MASK})
    return key


def update_ping_key(
    *, ping_key_id: UUID, actor: Principal, changes: Mapping[str, Any], expected_revision: int | None = None
) -> PingKey:
    """Change what `changes` names (the columns of `PingKey`); the rest stays. Giving `cron` drops the interval and the
    other way round.

    Raises:
        NotFound: there is no such key (404).
        Invalid: a value is wrong (422).
        PreconditionFailed: the row has another revision (412).

    Emits: ping_key.updated.

    Source: PUT /api/v1/ping-keys/{id}.
    """
    with transaction.atomic():
        key = _locked(ping_key_id, expected_revision)
        before = _shown(key)
        values: dict[str, Any] = {**before}
        if changes.get("cron") or changes.get("interval_seconds"):
            values.update(cron="", interval_seconds=None)
        values.update({name: changes[name] for name in _FIELDS if name in changes})
        for name, value in _cleaned(values, key).items():
            setattr(key, name, value)
        after = _shown(key)
        changed = {name for name in _FIELDS if before[name] != after[name]}
        if changed:
            key.revision += 1
            key.save()
            _emit("updated", key, actor, {n: before[n] for n in changed}, {n: after[n] for n in changed})
    return key


def renew_ping_key(*, ping_key_id: UUID, actor: Principal) -> PingKey:
    """Give a key another secret; addresses with the old one answer 404 at once.

    Raises:
        NotFound: there is no such key (404).

    Emits: ping_key.renewed.

    Source: POST /api/v1/ping-keys/{id}/renew.
    """
    with transaction.atomic():
        key = _locked(ping_key_id, None)
        secret = _make()
        key.key, key.digest, key.revision = secret, hash_secret(secret), key.revision + 1
        key.save(update_fields=["key", "digest", "revision", "updated_at"])
        _emit("renewed", key, actor, {"key": MASK}, {"key": MASK})
    return key


def delete_ping_key(*, ping_key_id: UUID, actor: Principal, expected_revision: int | None = None) -> None:
    """Remove a key. Its heartbeats stay and keep their own addresses.

    Raises:
        NotFound: there is no such key (404).
        PreconditionFailed: the row has another revision (412).

    Emits: ping_key.deleted.

    Source: DELETE /api/v1/ping-keys/{id}.
    """
    with transaction.atomic():
        key = _locked(ping_key_id, expected_revision)
        _emit("deleted", key, actor, before=_shown(key))
        key.delete()


def schedule_for_new(key: PingKey) -> dict[str, Any]:
    """Return the schedule of a heartbeat that is added by its first ping."""
    is_given = key.cron or key.interval_seconds
    return {
        "cron": key.cron,
        "interval_seconds": key.interval_seconds if is_given else DEFAULT_INTERVAL_S,
        "timezone_name": key.timezone,
        "grace_seconds": key.grace_seconds,
    }


def _make() -> str:
    return f"wkp_{secrets.token_urlsafe(24)}"


def _locked(ping_key_id: UUID, expected_revision: int | None) -> PingKey:
    key: PingKey | None = PingKey.objects.select_for_update().filter(pk=ping_key_id).first()
    if key is None:
        raise errors.NotFound("There is no such ping key.")
    if expected_revision is not None and key.revision != expected_revision:
        raise errors.PreconditionFailed(
            "Somebody changed this since you read it; read it again and repeat your change."
        )
    return key


def _cleaned(values: Mapping[str, Any], key: PingKey | None) -> dict[str, Any]:
    problems: dict[str, Any] = {}
    found = {**values, "name": str(values["name"] or "").strip(), "cron": values["cron"] or ""}
    if not 1 <= len(found["name"]) <= 100:
        problems["name"] = "give a name of 1 to 100 characters"
    else:
        others = PingKey.objects.filter(name=found["name"])
        if (others.exclude(pk=key.pk) if key else others).exists():
            problems["name"] = "another ping key has this name"
    if not 0 <= found["create_limit"] <= LIMIT_MOST:
        problems["create_limit"] = f"must lie in 0..{LIMIT_MOST}"
    try:
        found["tags"] = cleaned_tags(found["tags"] or ())
    except errors.Invalid as error:
        problems.update(error.problems)
    interval = found["interval_seconds"]
    if not interval and not found["cron"]:
        interval = DEFAULT_INTERVAL_S
    schedule = {name: found[name] for name in ("cron", "timezone", "grace_seconds")}
    try:
        found["cron"] = preview({**schedule, "interval_seconds": interval})[0].cron
    except errors.Invalid as error:
        problems.update(error.problems)
    if problems:
        raise errors.Invalid(problems)
    return found


def _shown(key: PingKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in _FIELDS}


def _emit(
    verb: str,
    key: PingKey,
    actor: Principal,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    emit(
        f"ping_key.{verb}",
        subject=Subject("ping_key", str(key.pk), key.name),
        actor=actor,
        data={"ping_key_id": str(key.pk), "name": key.name},
        before=before,
        after=after,
    )
