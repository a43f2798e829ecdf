"""What people do with heartbeats: add, change, remove, pause, resume."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core import errors
from apps.core.principals import Principal
from apps.monitors.models.heartbeats import Heartbeat, HeartbeatState, HeartbeatWindow
from apps.monitors.services.heartbeat_creation import create_heartbeat, emit_change, set_tags, shown
from apps.monitors.services.heartbeat_rules import SCHEDULE, cleaned_tags, merged
from apps.monitors.services.pings import read_beats, write_beats
from apps.monitors.states.heartbeats import HEARTBEAT, LATE, NEW, PAUSED, UP

__all__ = ["create_heartbeat", "delete_heartbeat", "pause_heartbeat", "resume_heartbeat", "update_heartbeat"]


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
        before = shown(heartbeat)
        values = merged(heartbeat, changes)
        words = cleaned_tags(changes["tags"]) if "tags" in changes else None
        old_words = sorted(tag.name for tag in heartbeat.tags.all()) if words is not None else []
        for key, value in values.items():
            setattr(heartbeat, key, value)
        after = shown(heartbeat)
        changed = {key for key in after if after[key] != before[key]}
        if words is not None and words != old_words:
            set_tags(heartbeat, words)
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
            emit_change("updated", heartbeat, actor, {k: before[k] for k in changed}, {k: after[k] for k in changed})
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
        emit_change("deleted", heartbeat, actor, before=shown(heartbeat))
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
    emit_change("paused", state.heartbeat, actor, {"status": before}, {"status": PAUSED})


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
    emit_change("resumed", state.heartbeat, actor, {"status": PAUSED}, {"status": after})


def _expect(heartbeat_id: UUID, *, afresh: bool) -> None:
    """Compute due time and deadline again: from now on, or by a changed schedule from the last ping on."""
    now = timezone.now()
    beats = read_beats("h.id", [heartbeat_id])
    for beat in beats:
        beat.expect_afresh(now if afresh or beat.last_ping_at is None else beat.last_ping_at)
        if beat.deadline is not None and beat.deadline <= now:
            beat.expect_afresh(now)  # a shorter interval alone must not raise an alarm
        if beat.status == LATE and beat.next_due_at is not None and beat.next_due_at > now:
            beat.status, beat.since = UP, now  # a longer interval: it is not late any more
            beat.settle()
    write_beats(beats)
