"""Notices: write, publish, say something new, correct, remove. Nothing is published but by a person."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.alerts.models import Alert
from apps.core.errors import Conflict, Invalid, NotFound
from apps.core.events import Subject, emit
from apps.core.principals import Principal, system
from apps.statuspage.models import Component, Notice, NoticeEdit, NoticeUpdate, Page
from apps.statuspage.services.common import clean_line, clean_text, locked, plain, put_changes, touch_pages
from apps.statuspage.services.derivation import refresh_components
from apps.statuspage.services.mailings import tell_subscribers
from apps.statuspage.services.pages import default_page
from apps.statuspage.states import FIRST, LAST, NOTICE, NoticeKind, NoticeState, Severity

ACTOR = system("status pages")
#: An alert shorter than this makes no draft: most of them are over before anybody has read it.
DRAFT_AFTER_S = 120
_SEVERITY = {"critical": "critical", "warning": "major"}


def create_notice(*, values: Mapping[str, Any], actor: Principal, publish: bool = False) -> Notice:
    """Write a notice: a draft, or published at once.

    Args:
        values: kind, title; page, severity, state, message, components, starts_at, ends_at. A maintenance needs its
            times.

    Raises:
        Invalid (422).

    Emits: status.notice_drafted; with `publish` what `publish_notice` emits.
    """
    given = dict(values)
    kind = given.get("kind", "incident")
    if kind not in NoticeKind.values:
        raise Invalid({"kind": f"must be one of {', '.join(NoticeKind.values)}"})
    message = clean_text("message", given.pop("message", "") or "")
    components = given.pop("components", None)
    cleaned = _clean(given, kind)
    if "title" not in cleaned:
        raise Invalid({"title": "is required"})
    with transaction.atomic():
        cleaned["page"] = cleaned.get("page") or default_page(actor=actor)
        notice = Notice(**{"state": FIRST[kind], **cleaned, "kind": kind, "created_by": actor.name})
        if notice.state in LAST:
            raise Invalid({"state": f"a notice does not begin as {notice.state}"})
        _require_times(notice)
        notice.save(force_insert=True)
        if components is not None:
            notice.components.set(_on_page(components, notice.page))
        NoticeUpdate.objects.create(notice=notice, state=notice.state, message=message, by=actor.name)
        _emit("status.notice_drafted", notice, actor, after={name: plain(value) for name, value in cleaned.items()})
        if publish:
            notice = _publish(notice, actor)
    return notice


def update_notice(
    *, notice_id: UUID | str, values: Mapping[str, Any], actor: Principal, expected_revision: int | None = None
) -> Notice:
    """Change title, severity, components or times. Subscribers are told once that a published maintenance was moved.

    Raises:
        NotFound (404), Invalid (422), PreconditionFailed (412).
        Conflict: the times of a maintenance that has begun are not moved (409).

    Emits: status.notice_changed; status.maintenance_updated where a published maintenance was moved.
    """
    given = dict(values)
    components = given.pop("components", None)
    with transaction.atomic():
        notice = locked(Notice, notice_id, expected_revision)
        cleaned = _clean({key: value for key, value in given.items() if key in _EDITED}, notice.kind)
        old = (notice.starts_at, notice.ends_at)
        before, after = put_changes(notice, cleaned)
        _require_times(notice)
        moved = (notice.starts_at, notice.ends_at) != old
        has_begun = notice.state in LAST or (notice.state != "scheduled" and notice.starts_at != old[0])
        if moved and notice.kind == "maintenance" and has_begun:
            raise Conflict(f"This maintenance is {notice.state}; only its end can be moved.", code="wrong_state")
        if components is not None:
            rows = _on_page(components, notice.page)
            names = sorted(notice.components.values_list("name", flat=True))
            if names != sorted(row.name for row in rows):
                before["components"], after["components"] = names, sorted(row.name for row in rows)
                notice.components.set(rows)
        if not after:
            return notice
        notice.revision += 1
        notice.save()
        _emit("status.notice_changed", notice, actor, before=before, after=after)
        if not notice.is_draft:
            touch_pages()
            if moved and notice.kind == "maintenance":
                text = f"It was {_span(*old)}; now it is {_span(notice.starts_at, notice.ends_at)}."
                _say(notice, notice.state, text, actor, event="status.maintenance_updated", moved=True)
        refresh_components(list(notice.components.values_list("id", flat=True)))
    return notice


def publish_notice(*, notice_id: UUID | str, actor: Principal) -> Notice:
    """Show a draft to the public and tell the subscribers.

    Raises:
        NotFound (404). Conflict: it is published already, or has ended (409).

    Emits: status.incident_created or status.maintenance_scheduled.
    """
    with transaction.atomic():
        return _publish(locked(Notice, notice_id), actor)


def _publish(notice: Notice, actor: Principal) -> Notice:
    if not notice.is_draft:
        raise Conflict("This notice is published already.", code="wrong_state")
    if notice.state in LAST:
        raise Conflict(f"This notice is {notice.state}; there is nothing to tell any more.", code="wrong_state")
    now = timezone.now()
    notice.published_at, notice.published_by = now, actor.name
    if notice.kind == "incident":
        notice.starts_at = min(notice.starts_at, now)
    notice.revision += 1
    notice.save()
    touch_pages()
    name = "status.incident_created" if notice.kind == "incident" else "status.maintenance_scheduled"
    first = notice.updates.order_by("id").last()
    message = first.message if first else ""
    public = _emit_public(name, notice, actor, message)
    tell_subscribers(notice, message, event=name, public=public, is_new=True)
    refresh_components(list(notice.components.values_list("id", flat=True)), now=now)
    return notice


def add_update(*, notice_id: UUID | str, state: str, message: str, actor: Principal) -> NoticeUpdate:
    """Say something new about a notice; its state stays or goes on, never back.

    Raises:
        NotFound (404), Invalid (422). Conflict: this state can't follow (409).

    Emits: status.incident_updated, .incident_resolved, .maintenance_updated, .maintenance_started or
        .maintenance_ended where it is published, else status.notice_changed.
    """
    message = clean_text("message", message)
    if state and state not in NoticeState.values:
        raise Invalid({"state": f"must be one of {', '.join(NoticeState.values)}"})
    with transaction.atomic():
        notice = locked(Notice, notice_id)
        state = state or notice.state
        if not message and state == notice.state:
            raise Invalid({"message": "say something, or choose another state"})
        return _move(notice, state, message, actor)


def _move(notice: Notice, state: str, message: str, actor: Principal) -> NoticeUpdate:
    NOTICE[notice.kind].check(notice.state, state)
    before = notice.state
    now = timezone.now()
    notice.state = state
    if state in LAST:
        notice.ended_at = now
        if notice.kind == "maintenance":
            notice.ends_at = min(notice.ends_at or now, now) if notice.starts_at < now else notice.ends_at
    elif state == "in_progress" and before == "scheduled":
        notice.starts_at = min(notice.starts_at, now)
    notice.revision += 1
    notice.save()
    event = {
        ("incident", True): "status.incident_resolved",
        ("incident", False): "status.incident_updated",
    }.get((notice.kind, state in LAST), "status.maintenance_updated")
    if notice.kind == "maintenance" and state != before:
        event = "status.maintenance_ended" if state in LAST else "status.maintenance_started"
    update = _say(notice, state, message, actor, event=event)
    refresh_components(list(notice.components.values_list("id", flat=True)), now=now)
    return update


def _say(
    notice: Notice, state: str, message: str, actor: Principal, *, event: str, moved: bool = False
) -> NoticeUpdate:
    update = NoticeUpdate.objects.create(notice=notice, state=state, message=message, by=actor.name)
    if notice.is_draft:
        _emit("status.notice_changed", notice, actor, after={"state": state, "message": message})
        return update
    touch_pages()
    public = _emit_public(event, notice, actor, message)
    tell_subscribers(notice, message, event=event, public=public, moved=moved)
    return update


def edit_update(*, update_id: UUID | str, message: str, actor: Principal) -> NoticeUpdate:
    """Correct the words of an update; what it said before is kept. Nobody is told anew.

    Raises:
        NotFound (404), Invalid (422).

    Emits: status.update_edited, where something changed.
    """
    message = clean_text("message", message)
    if not message:
        raise Invalid({"message": "is required"})
    with transaction.atomic():
        update = locked(NoticeUpdate, update_id)
        if update.message == message:
            return update
        NoticeEdit.objects.create(update=update, message=update.message, by=actor.name)
        before, update.message, update.edited_at = update.message, message, timezone.now()
        update.save(update_fields=["message", "edited_at"])
        notice = update.notice
        _emit("status.update_edited", notice, actor, before={"message": before}, after={"message": message})
        if not notice.is_draft:
            touch_pages()
    return update


def delete_notice(*, notice_id: UUID | str, actor: Principal) -> None:
    """Remove a notice and all that was said about it.

    Raises:
        NotFound (404).

    Emits: status.notice_deleted.
    """
    with transaction.atomic():
        notice = locked(Notice, notice_id)
        ids = list(notice.components.values_list("id", flat=True))
        _emit("status.notice_deleted", notice, actor, before={"title": notice.title})
        notice.delete()
        touch_pages()
        refresh_components(ids)


def keep_times(*, now: datetime | None = None) -> int:
    """Begin and end the announced maintenances whose time has come; returns how many.

    Emits: status.maintenance_started, status.maintenance_ended.
    """
    now = now or timezone.now()
    published = Notice.objects.published().filter(kind="maintenance")
    moves = [
        ("scheduled", "in_progress", "The maintenance has begun.", published.filter(starts_at__lte=now)),
        ("in_progress", "completed", "The maintenance is over.", published.filter(ends_at__lte=now)),
    ]
    count = 0
    for before, after, words, due in moves:
        for notice_id in list(due.filter(state=before).values_list("id", flat=True)[:50]):
            with transaction.atomic():
                notice = Notice.objects.select_for_update().filter(pk=notice_id, state=before).first()
                if notice is not None:
                    _move(notice, after, words, ACTOR)
                    count += 1
    return count


def draft_from_alerts(*, now: datetime | None = None) -> int:
    """Draft a notice for every alert that lasts and whose component asks for it; returns how many were drafted.

    A draft waits for a person: nothing here is public.

    Emits: status.notice_drafted.
    """
    now = now or timezone.now()
    asking = list(Component.objects.filter(drafts_notices=True).select_related("page"))
    if not asking:
        return 0
    lasting = Alert.objects.unresolved().filter(
        opened_at__lte=now - timedelta(seconds=DRAFT_AFTER_S),
        subject_id__in={component.source_id for component in asking},
        is_silenced=False,
    )
    alerts = list(lasting[:200])
    known = set(
        Notice.objects.filter(drafted_from__in=[alert.id for alert in alerts]).values_list("page_id", "drafted_from")
    )
    count = 0
    for alert in alerts:
        for component in asking:
            if (component.source, component.source_id) != (alert.source, alert.subject_id):
                continue
            if (component.page_id, alert.id) not in known:
                count += _draft(component, alert)
    return count


def _draft(component: Component, alert: Alert) -> int:
    try:
        with transaction.atomic():
            notice = Notice.objects.create(
                page=component.page,
                kind="incident",
                # Public words alone: the alert's own message names what is inside.
                title=f"{component.name} is not available"
                if alert.level == "critical"
                else f"{component.name} is impaired",
                severity=_SEVERITY.get(alert.level, "minor"),
                state="investigating",
                starts_at=alert.opened_at,
                drafted_from=alert.id,
                created_by=ACTOR.name,
            )
            notice.components.set([component])
            NoticeUpdate.objects.create(
                notice=notice, state=notice.state, message="We are looking into a problem.", by=ACTOR.name
            )
            _emit("status.notice_drafted", notice, ACTOR, after={"drafted_from": str(alert.id)})
    except IntegrityError:  # another worker was faster; the constraint decided
        return 0
    return 1


def _emit(name: str, notice: Notice, actor: Principal, **more: Any) -> None:
    emit(name, subject=_subject(notice), actor=actor, data=_facts(notice), **more)


def _emit_public(name: str, notice: Notice, actor: Principal, message: str) -> dict[str, Any]:
    public: dict[str, Any] = {
        "page": notice.page.slug,
        "reference": notice.reference,
        "kind": notice.kind,
        "title": notice.title,
        "severity": notice.severity,
        "state": notice.state,
        "message": message,
        "components": sorted(notice.components.filter(visible=True).values_list("name", flat=True)),
        "starts_at": plain(notice.starts_at),
        "ends_at": plain(notice.ends_at),
        "at": timezone.now().isoformat(),
    }
    data = {**_facts(notice), "page_id": str(notice.page_id), "public": public}
    emit(name, subject=_subject(notice), actor=actor, data=data, after={"state": notice.state, "message": message})
    return public


def _subject(notice: Notice) -> Subject:
    return Subject("status_notice", str(notice.id), notice.title)


def _facts(notice: Notice) -> dict[str, Any]:
    return {"notice_id": str(notice.id), "title": notice.title, "kind": notice.kind, "state": notice.state}


#: What is changed without an update; the state moves with one alone.
_EDITED = ("title", "severity", "starts_at", "ends_at")


def _clean(values: Mapping[str, Any], kind: str) -> dict[str, Any]:
    cleaned = dict(values)
    if "title" in cleaned:
        cleaned["title"] = clean_line("title", cleaned["title"], most=200)
    if "severity" in cleaned and cleaned["severity"] not in Severity.values:
        raise Invalid({"severity": f"must be one of {', '.join(Severity.values)}"})
    if "state" in cleaned and cleaned["state"] not in NOTICE[kind].moves:
        raise Invalid({"state": f"must be one of {', '.join(NOTICE[kind].moves)}"})
    if cleaned.get("starts_at", ...) is None:
        cleaned.pop("starts_at")
    return cleaned


def _require_times(notice: Notice) -> None:
    if notice.kind == "maintenance" and notice.ends_at is None:
        raise Invalid({"ends_at": "say when the maintenance ends"})
    if notice.ends_at is not None and notice.ends_at <= notice.starts_at:
        raise Invalid({"ends_at": "must lie after starts_at"})


def _on_page(components: Iterable[Component], page: Page) -> list[Component]:
    rows = list(components)
    if any(row.page_id != page.id for row in rows):
        raise Invalid({"components": "a component stands on another page"})
    return rows


def _span(start: datetime, end: datetime | None) -> str:
    text = f"from {start:%Y-%m-%d %H:%M} UTC"
    return f"{text} to {end:%Y-%m-%d %H:%M} UTC" if end else text


def find_update(notice: Notice, update_id: str) -> NoticeUpdate:
    """Return an update of this notice.

    Raises:
        NotFound: it has none of that id (404).
    """
    try:
        return NoticeUpdate.objects.get(notice=notice, pk=UUID(update_id))
    except (ValueError, NoticeUpdate.DoesNotExist):
        raise NotFound("This notice has no such update.") from None
