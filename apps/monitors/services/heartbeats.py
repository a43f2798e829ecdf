"""What people do with heartbeats: add, change, remove, pause, resume."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core import errors, leases
from apps.core.events import Subject, emit
from apps.core.models import Tag
from apps.core.principals import Principal
from apps.monitors.models.heartbeats import Heartbeat, HeartbeatState, HeartbeatWindow
from apps.monitors.services.heartbeat_rules import FIELDS, SCHEDULE, cleaned, cleaned_tags, merged
from apps.monitors.services.pings import read_beats, write_beats
from apps.monitors.states.heartbeats import HEARTBEAT, NEW, PAUSED, UP


def create_heartbeat(
    *,
    actor: Principal,
    name: str,
    interval_seconds: int | None = None,
    cron: str = "",
    on_calendar: str = "",
    timezone_name: str = "UTC",
    grace_seconds: int | None = None,
    early_seconds: int | None = None,
    max_runtime_seconds: int | None = None,
    resume_on_ping: bool = False,
    description: str = "",
    slug: str = "",
    ping_key_id: UUID | None = None,
    expected_pings: int = 0,
    expected_sources: Iterable[str] = (),
    failure_keywords: Iterable[str] = (),
    success_keywords: Iterable[str] = (),
    start_keywords: Iterable[str] = (),
    otherwise: str = Heartbeat.AS_SUCCESS,
    tags: Iterable[str] = (),
    ping_uuid: UUID | None = None,
) -> Heartbeat:
    """Add a heartbeat. It waits for nothing until its first ping.

    Args:
        interval_seconds: 10 or more; this or `cron`.
        cron: five fields or @daily and the like, in `timezone_name` (IANA).
        on_calendar: a systemd calendar expression in place of `cron`.
        grace_seconds: how long after the due time it is only late; a fifth of the period within 1 min and 1 h.
        early_seconds: a cron run this early counts for the coming slot; a tenth of the period, at most 5 min.
        max_runtime_seconds: a run that takes longer is down; no limit where None.
        resume_on_ping: a ping resumes it where it is paused.
        slug, ping_key_id: its name below a ping key; made of `name` where only the key is given.
        expected_pings: successes that make a run complete; as many as there are sources where 0.
        expected_sources: names of those that must each report a success.
        failure_keywords, success_keywords, start_keywords: what a success whose body contains one becomes, in this
            order; case counts.
        otherwise: what a success becomes whose body contains none: "success", "fail" or "log".
        ping_uuid: of its ping address, for a job that has one already; a random one where None.

    Raises:
        Invalid: a value is wrong (422).

    Emits: heartbeat.created.

    Source: POST /api/v1/heartbeats.
    """
    values = cleaned(
        {
            "name": name,
            "description": description,
            "interval_seconds": interval_seconds,
            "cron": cron,
            "on_calendar": on_calendar,
            "timezone": timezone_name,
            "grace_seconds": grace_seconds,
            "early_seconds": early_seconds,
            "max_runtime_seconds": max_runtime_seconds,
            "resume_on_ping": resume_on_ping,
            "slug": slug,
            "ping_key_id": ping_key_id,
            "expected_pings": expected_pings,
            "expected_sources": list(expected_sources),
            "failure_keywords": list(failure_keywords),
            "success_keywords": list(success_keywords),
            "start_keywords": list(start_keywords),
            "otherwise": otherwise,
        }
    )
    words = cleaned_tags(tags)
    if ping_uuid is not None:
        values["uuid"] = ping_uuid
    with transaction.atomic():
        heartbeat = Heartbeat.objects.create(num=leases.next_value("heartbeats"), **values)
        heartbeat.state = HeartbeatState.objects.create(heartbeat=heartbeat, since=timezone.now())
        _set_tags(heartbeat, words)
        _emit("created", heartbeat, actor, after={**_shown(heartbeat), "tags": words})
    return heartbeat


def update_heartbeat(
    *, heartbeat_id: UUID, actor: Principal, changes: Mapping[str, Any], expected_revision: int | None = None
) -> Heartbeat:
    """Change what `changes` names (the arguments of `create_heartbeat`, `timezone`, `tags`, `paused`); the rest stays.

    A new schedule counts from the last ping on. Giving `cron`, `on_calendar` or
    an interval drops the others.

    Raises:
        NotFound: there is no such heartbeat (404).
        Invalid: a value is wrong (422).
        PreconditionFailed: the row has another revision (412).

    Emits: heartbeat.updated; heartbeat.paused or heartbeat.resumed where `paused` changes.

    Source: PUT /api/v1/heartbeats/{id}.
    """
    with transaction.atomic():
        state = _locked(heartbeat_id)
        heartbeat = state.heartbeat
        if expected_revision is not None and heartbeat.revision != expected_revision:
            raise errors.PreconditionFailed(
                "Somebody changed this since you read it; read it again and repeat your change."
            )
        before = _shown(heartbeat)
        values = merged(heartbeat, changes)
        words = cleaned_tags(changes["tags"]) if "tags" in changes else None
        old_words = sorted(tag.name for tag in heartbeat.tags.all()) if words is not None else []
        for key, value in values.items():
            setattr(heartbeat, key, value)
        after = _shown(heartbeat)
        changed = {key for key in after if after[key] != before[key]}
        if words is not None and words != old_words:
            _set_tags(heartbeat, words)
            before["tags"], after["tags"] = old_words, words
            changed.add("tags")
        if changed:
            heartbeat.revision += 1
            heartbeat.save()
            HeartbeatState.objects.filter(heartbeat=heartbeat).update(config_revision=heartbeat.revision)
            if changed & {"expected_pings", "expected_sources"}:
                HeartbeatWindow.objects.filter(heartbeat=heartbeat).delete()
            if changed & SCHEDULE and state.status not in (NEW, PAUSED) and state.deadline is not None:
                _expect(heartbeat_id, afresh=False)
            _emit("updated", heartbeat, actor, {k: before[k] for k in changed}, {k: after[k] for k in changed})
        if "paused" in changes and bool(changes["paused"]) != (state.status == PAUSED):
            (_pause if changes["paused"] else _resume)(state, actor)
    return Heartbeat.objects.with_state().get(id=heartbeat_id)


def delete_heartbeat(*, heartbeat_id: UUID, actor: Principal, expected_revision: int | None = None) -> None:
    """Remove a heartbeat; its address answers 404 at once. What it sent leaves with the retention.

    Raises:
        NotFound: there is no such heartbeat (404).
        PreconditionFailed: the row has another revision (412).

    Emits: heartbeat.deleted.

    Source: DELETE /api/v1/heartbeats/{id}.
    """
    with transaction.atomic():
        heartbeat = _locked(heartbeat_id).heartbeat
        if expected_revision is not None and heartbeat.revision != expected_revision:
            raise errors.PreconditionFailed(
                "Somebody changed this since you read it; read it again and repeat your call."
            )
        _emit("deleted", heartbeat, actor, before=_shown(heartbeat))
        heartbeat.delete()


def pause_heartbeat(*, heartbeat_id: UUID, actor: Principal) -> Heartbeat:
    """Stop waiting for its pings: no alert, whatever passes.

    Raises:
        NotFound: there is no such heartbeat (404).
        Conflict: it is paused already (409).

    Emits: heartbeat.paused.

    Source: POST /api/v1/heartbeats/{id}/pause.
    """
    with transaction.atomic():
        _pause(_locked(heartbeat_id), actor)
    return Heartbeat.objects.with_state().get(id=heartbeat_id)


def resume_heartbeat(*, heartbeat_id: UUID, actor: Principal) -> Heartbeat:
    """Wait for its pings again, with a fresh deadline; one that never pinged is new again.

    Raises:
        NotFound: there is no such heartbeat (404).
        Conflict: it is not paused (409).

    Emits: heartbeat.resumed.

    Source: POST /api/v1/heartbeats/{id}/resume.
    """
    with transaction.atomic():
        _resume(_locked(heartbeat_id), actor)
    return Heartbeat.objects.with_state().get(id=heartbeat_id)


# --- transitions, with the state locked --------------------------------------------------------------------------


def _locked(heartbeat_id: UUID) -> HeartbeatState:
    try:
        state = HeartbeatState.objects.select_for_update(of=("self",)).get(heartbeat_id=heartbeat_id)
    except HeartbeatState.DoesNotExist:
        raise errors.NotFound("There is no such heartbeat.") from None
    # Read after the lock is held, so that no other change lies between the two.
    state.heartbeat = Heartbeat.objects.get(id=heartbeat_id)
    return state


def _pause(state: HeartbeatState, actor: Principal) -> None:
    HEARTBEAT.check(state.status, PAUSED)
    before = state.status
    state.status, state.since, state.alerting, state.down_since = PAUSED, timezone.now(), False, None
    state.next_due_at = state.deadline = state.run_deadline = state.wake_at = state.missed_until = None
    state.save(
        update_fields=[
            "status",
            "since",
            "alerting",
            "down_since",
            "next_due_at",
            "deadline",
            "run_deadline",
            "wake_at",
            "missed_until",
        ]  # fmt: skip
    )
    _emit("paused", state.heartbeat, actor, {"status": before}, {"status": PAUSED})


def _resume(state: HeartbeatState, actor: Principal) -> None:
    if state.status != PAUSED:
        raise errors.Conflict(
            f"This heartbeat is {state.status}; only a paused one can be resumed.", code="wrong_state",
            details={"state": state.status, "wanted": UP},
        )  # fmt: skip
    after = UP if state.last_ping_at else NEW
    HEARTBEAT.check(state.status, after)
    HeartbeatState.objects.filter(heartbeat_id=state.heartbeat_id).update(
        status=after, since=timezone.now(), consecutive_failures=0
    )
    if after == UP:
        _expect(state.heartbeat_id, afresh=True)
    _emit("resumed", state.heartbeat, actor, {"status": PAUSED}, {"status": after})


def _expect(heartbeat_id: UUID, *, afresh: bool) -> None:
    """Compute due time and deadline again: from now on, or by a changed schedule from the last ping on."""
    now = timezone.now()
    beats = read_beats("h.id", [heartbeat_id])
    for beat in beats:
        beat.expect_afresh(now if afresh or beat.last_ping_at is None else beat.last_ping_at)
        if beat.deadline is not None and beat.deadline <= now:
            beat.expect_afresh(now)  # a shorter interval alone must not raise an alarm
    write_beats(beats)


# --- parts -----------------------------------------------------------------------------------------------------------


def _set_tags(heartbeat: Heartbeat, words: list[str]) -> None:
    if words:
        Tag.objects.bulk_create([Tag(name=word) for word in words], ignore_conflicts=True)
    heartbeat.tags.set(Tag.objects.filter(name__in=words))


def _shown(heartbeat: Heartbeat) -> dict[str, Any]:
    shown = {key: getattr(heartbeat, key) for key in (*FIELDS, "kind")}
    shown["ping_key_id"] = str(heartbeat.ping_key_id) if heartbeat.ping_key_id else None
    return shown


def _emit(
    verb: str,
    heartbeat: Heartbeat,
    actor: Principal,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    emit(
        f"heartbeat.{verb}",
        subject=Subject("heartbeat", str(heartbeat.id), heartbeat.name),
        actor=actor,
        data={"heartbeat_id": str(heartbeat.id), "name": heartbeat.name},
        tags=[tag.name for tag in heartbeat.tags.all()],
        before=before,
        after=after,
    )
