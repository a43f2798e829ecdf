"""The statuses that pages show: worked out from what was seen, written where they changed."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core.events import Subject, emit
from apps.core.principals import system
from apps.statuspage.models import Component, ComponentState, Notice, Page, PageState, StatusChange
from apps.statuspage.selectors.sources import derived_statuses, under_maintenance
from apps.statuspage.services.common import touch_pages
from apps.statuspage.states import MAINTENANCE, NO_DATA, SENTENCES, worst

ACTOR = system("status pages")
AT_ONCE = 100


def shown_statuses(components: Sequence[Component], now: datetime) -> dict[UUID, tuple[str, str]]:
    """Return (what was seen, what is shown) of each component, by its id.

    A person's word goes over a maintenance, a maintenance over what was seen.
    """
    seen = derived_statuses(components, now)
    maintained = under_maintenance(components, now) | announced_maintenance()
    found = {}
    for component in components:
        status = derived = seen[component.id]
        if component.id in maintained:
            status = MAINTENANCE
        if component.is_overridden(now):
            status = component.override_status
        found[component.id] = (derived, status)
    return found


def announced_maintenance() -> set[UUID]:
    """Return the components that a published maintenance is about right now."""
    rows = Notice.objects.published().filter(kind="maintenance", state="in_progress")
    return {pk for pk in rows.values_list("components", flat=True) if pk}


def refresh_components(ids: Collection[UUID] | None = None, *, now: datetime | None = None) -> int:
    """Work out the components' statuses anew, all of them or those named.

    Returns:
        How many changed.

    Emits: status.component_changed, one a component that is shown in another status; status.global_changed.
    """
    now = now or timezone.now()
    rows = Component.objects.select_related("state", "page", "group")
    components = list(rows if ids is None else rows.filter(pk__in=ids))
    shown = shown_statuses(components, now)
    changed = [
        component
        for component in components
        if not hasattr(component, "state") or (component.state.derived, component.state.status) != shown[component.id]
    ]
    for start in range(0, len(changed), AT_ONCE):
        with transaction.atomic():
            for component in changed[start : start + AT_ONCE]:
                _write(component, *shown[component.id], now)
            touch_pages()
    # A component that was hidden, moved or removed changes its page too.
    refresh_globals(now=now)
    return len(changed)


def _write(component: Component, derived: str, status: str, now: datetime) -> None:
    state, _ = ComponentState.objects.select_for_update().get_or_create(component_id=component.id)
    before = state.status
    state.derived, state.status = derived, status
    if before == status:
        state.save(update_fields=["derived"])
        return
    state.since = now
    state.save(update_fields=["derived", "status", "since"])
    StatusChange.objects.create(component_id=component.id, status=status, at=now)
    public: dict[str, Any] = {
        "page": component.page.slug,
        "name": component.name,
        "group": component.group.name if component.group else None,
        "status": status,
        "previous_status": before,
        "at": now.isoformat(),
    }
    emit(
        "status.component_changed",
        subject=Subject("status_component", str(component.id), component.name),
        actor=ACTOR,
        data={
            "component_id": str(component.id),
            "page_id": str(component.page_id),
            "visible": component.visible,
            "public": public if component.visible else {},
        },
        at=now,
    )


def refresh_globals(*, now: datetime | None = None) -> None:
    """Bring the statuses of whole pages up to date: the worst of their visible components.

    Emits: status.global_changed, one a page that changed.
    """
    now = now or timezone.now()
    statuses: dict[UUID, list[str]] = {}
    for page_id, status in Component.objects.filter(visible=True).values_list("page_id", "state__status"):
        statuses.setdefault(page_id, []).append(status or NO_DATA)
    known = dict(PageState.objects.values_list("page_id", "status"))
    for page in Page.objects.all():
        status = worst(statuses.get(page.id, []))
        if known.get(page.id) == status:
            continue
        with transaction.atomic():
            state, _ = PageState.objects.select_for_update().get_or_create(page=page)
            if state.status == status:
                continue
            before, state.status, state.since = state.status, status, now
            state.save(update_fields=["status", "since"])
            touch_pages()
            emit(
                "status.global_changed",
                subject=Subject("status_page", str(page.id), page.name),
                actor=ACTOR,
                data={
                    "page_id": str(page.id),
                    "name": page.name,
                    "public": {
                        "page": page.slug,
                        "status": status,
                        "message": SENTENCES[status],
                        "previous_status": before,
                        "at": now.isoformat(),
                    },
                },
                at=now,
            )
