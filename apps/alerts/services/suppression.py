"""Muted alerts: looked at again when what mutes them may be over, and told if they still stand."""

import math
import time
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from apps.alerts.models import Alert, Flap, Silence
from apps.alerts.services import flapping
from apps.alerts.services.alerts import emit_alert, emit_muted
from apps.alerts.services.verdicts import DOWN, MUTE_FIELDS, apply_verdict, judge, wanted_silent
from apps.alerts.services.verdicts import note as note_decision
from apps.core import runtime_settings
from apps.core.principals import Principal, system
from apps.core.registries import delivery_holds

ACTOR = system("alerts")
PORTION = 100
BUDGET_S = 0.05  # a write transaction on SQLite keeps everybody else waiting

#: What wakes people; recoveries and what people did themselves are never held back.
ALARMS = frozenset(
    {"alert.opened", "alert.escalated", "alert.unsilenced", "alert.step_reached", "alert.reminded", "alert.flapping"}
)
#: What is there for programs and open pages.
QUIET = {
    "alert.silenced": "It is silenced: kept and shown, and nobody is told.",
    "alert.suppressed": "It is kept and shown, and nobody is told for now.",
}
#: Told of only where people know of the alert.
FOLLOW_UPS = frozenset({"alert.resolved", "alert.acknowledged", "alert.unacknowledged"})


def review_due(*, now: datetime | None = None, limit: int = 500, for_s: float = math.inf) -> int:
    """Look again at muted alerts whose time has come; tell of those that nothing mutes any more.

    Short transactions, whatever the number. Returns how many were looked at.

    Args:
        for_s: stop after so many seconds; the next sweep goes on.

    Emits: alert.opened, alert.escalated or alert.unsilenced for what is told; alert.silenced, alert.suppressed.
    """
    moment = now or timezone.now()
    due = Alert.objects.unresolved().filter(review_at__lte=moment).order_by("review_at", "id")
    ids = list(due.values_list("id", flat=True)[:limit])
    done, started = 0, time.monotonic()
    while done < len(ids) and time.monotonic() - started < for_s:
        began = time.monotonic()
        with transaction.atomic():
            running = list(Silence.objects.running(moment))
            for number in ids[done : done + PORTION]:
                _review(number, moment, running)
                done += 1
                if time.monotonic() - began > BUDGET_S:
                    break
    return done


def _review(alert_id: UUID, now: datetime, running: Collection[Silence]) -> None:
    alert = Alert.objects.select_for_update().unresolved().filter(id=alert_id, review_at__lte=now).first()
    if alert is None:
        return
    # Flaps begin with openings alone, so what waits for a parent has none.
    may_flap = not alert.is_told and alert.muted_by not in (Alert.Mute.WAITING, Alert.Mute.DEPENDENCY)
    flap = flapping.running_flap(alert) if may_flap else None
    verdict = judge(alert, now=now, running=running, flap=flap)
    if verdict is None:
        if alert.muted_by:
            release(alert, actor=ACTOR, now=now)
        else:
            alert.review_at = None
            alert.save(update_fields=["review_at"])
        return
    is_news = (alert.muted_by, alert.cause_kind, alert.cause_id) != (verdict.by, *verdict.cause[:2])
    apply_verdict(alert, verdict)
    alert.save(update_fields=MUTE_FIELDS)
    if is_news:
        note_decision(alert, about="repetition" if alert.is_told else "opening", verdict=verdict, at=now)
        emit_muted(alert, actor=ACTOR)


def release(alert: Alert, *, actor: Principal, now: datetime) -> None:
    """Tell of an alert that nothing mutes any more. The caller has locked it.

    Emits: alert.opened where nobody was told of it before; alert.escalated where it got worse meanwhile;
        alert.unsilenced where people knew of it.
    """
    name = "alert.opened"
    if alert.is_told:
        name = "alert.escalated" if alert.owes_escalation else "alert.unsilenced"
    former = alert.muted_reason
    apply_verdict(alert, None)
    alert.is_told, alert.owes_escalation = True, False
    alert.told_at = alert.told_at or now
    alert.save(update_fields=MUTE_FIELDS)
    about = {"alert.opened": "opening", "alert.escalated": "escalation"}.get(name, "repetition")
    note_decision(alert, about=about, verdict=None, reason=f"Over, and it still stands: {former}", at=now)
    emit_alert(name, alert, actor=actor)


def mend_orphans(*, now: datetime | None = None) -> int:
    """Have alerts looked at again that wait for something which will not come. Returns how many.

    A safety net: a parent whose alert is gone, a flap that has ended. One statement each.
    """
    moment = now or timezone.now()
    waiting = Alert.objects.unresolved().filter(review_at__isnull=True)
    parent = Alert.objects.unresolved().filter(
        DOWN, subject_kind=OuterRef("cause_kind"), subject_id=OuterRef("cause_id")
    )
    flap = Flap.objects.filter(
        source=OuterRef("source"), kind=OuterRef("kind"), subject_id=OuterRef("subject_id"), ended_at__isnull=True
    )
    return (
        waiting.filter(~Exists(parent), muted_by=Alert.Mute.DEPENDENCY).update(review_at=moment)
        + waiting.filter(~Exists(flap), muted_by=Alert.Mute.FLAPPING).update(review_at=moment)
        + waiting.filter(
            muted_by__in=(Alert.Mute.WAITING, Alert.Mute.SILENCE, Alert.Mute.MAINTENANCE)
        ).update(review_at=moment)
    )  # fmt: skip


def review_all_open(*, now: datetime | None = None) -> int:
    """Have every open alert that people may be told of looked at again, as a silence or a window has changed."""
    return Alert.objects.unresolved().filter(
        Q(muted_by="") | Q(muted_by__in=(Alert.Mute.SILENCE, Alert.Mute.MAINTENANCE))
    ).update(review_at=now or timezone.now())  # fmt: skip


# --- what flaps ----------------------------------------------------------------------------------------------------


def settle_flaps(*, now: datetime | None = None) -> int:
    """End the flaps of what has been stable long enough, with one summary each. Returns how many.

    Emits: alert.settled where it is well; where it is not, its open alert is told, with the summary in its note.
    """
    moment = now or timezone.now()
    border = moment - timedelta(seconds=runtime_settings.get("alerts.flap_stable_s"))
    ids = list(
        Flap.objects.filter(ended_at__isnull=True, last_flip_at__lte=border)
        .order_by("last_flip_at")
        .values_list("id", flat=True)[:PORTION]
    )
    for number in ids:
        with transaction.atomic():
            _settle(number, border, moment)
    return len(ids)


def _settle(flap_id: int, border: datetime, now: datetime) -> None:
    rows = Flap.objects.select_for_update().filter(id=flap_id, ended_at__isnull=True, last_flip_at__lte=border)
    flap = rows.first()
    if flap is None:
        return
    flap.ended_at = now
    flap.save(update_fields=["ended_at"])
    about = Alert.objects.filter(source=flap.source, kind=flap.kind, subject_id=flap.subject_id)
    alert = about.select_for_update().unresolved().first()
    summary = f"It changed {flap.flips} times since {flap.began_at:%Y-%m-%d %H:%M} UTC and is stable now."
    if alert is not None:
        alert.note = f"{alert.note}\n{summary}".strip()
        alert.review_at = now
        alert.save(update_fields=["note", "review_at"])
        return
    last = about.order_by("-id").first()
    if last is not None:
        more = {
            "flips": flap.flips,
            "since": flap.began_at.isoformat(),
            "note": summary,
            "message": f"{last.subject_name} has been well since {flap.last_flip_at:%H:%M} UTC.",
            "level": "info",
            "told": True,
        }
        emit_alert("alert.settled", last, actor=ACTOR, more=more)


# --- the moment of sending -----------------------------------------------------------------------------------------

Fact = tuple[str, str, str]


def hold_back(facts: Collection[Fact]) -> Mapping[Fact, str]:
    """Answer which of these facts (event, subject kind, subject id) nobody is to be told of now, and why.

    Silences and maintenance are looked up anew, so what began after a message was queued counts; the sweep marks the
    alert, so that it is told when that is over. Two queries for any number of facts; writes nothing.
    """
    held: dict[Fact, str] = {fact: QUIET[fact[0]] for fact in facts if fact[0] in QUIET}
    asked = [fact for fact in facts if fact[1] == "alert" and (fact[0] in ALARMS or fact[0] in FOLLOW_UPS)]
    if not asked:
        return held
    alerts = {str(row.id): row for row in Alert.objects.filter(id__in=_ids(asked))}
    now = timezone.now()
    running = list(Silence.objects.running(now))
    for fact in asked:
        alert = alerts.get(fact[2])
        if alert is None:
            continue
        if fact[0] in FOLLOW_UPS:
            if not alert.is_told:
                why = f" ({alert.muted_reason})" if alert.muted_reason else ""
                held[fact] = f"Nobody was told that it opened{why}."[:300]
            continue
        verdict = wanted_silent(alert, now=now, running=running) if alert.is_open else None
        if verdict is not None:
            held[fact] = verdict.reason
    return held


def _ids(facts: Iterable[Fact]) -> set[UUID]:
    found = set()
    for _, _, number in facts:
        try:
            found.add(UUID(number))
        except ValueError:
            continue
    return found


delivery_holds.register("alerts", hold_back)
