"""What the public may know of a page, as plain data: public names alone, no id, no target, no word of an error."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from apps.monitors.selectors.bars import DayBar
from apps.statuspage.models import Component, Group, Notice, Page
from apps.statuspage.selectors.sources import DAYS, day_statuses, status_of_day
from apps.statuspage.services.derivation import shown_statuses
from apps.statuspage.states import SENTENCES, ComponentStatus, NoticeState, Severity, combined, worst

#: A notice stays on the front page so long after its end.
RECENT = timedelta(days=7)
HISTORY = timedelta(days=90)

LABELS = dict(ComponentStatus.choices)
_STATE_LABELS = dict(NoticeState.choices)
_SEVERITY_LABELS = dict(Severity.choices)


def pages_facts(now: datetime, *, only: UUID | None = None) -> list[tuple[Page, dict[str, Any]]]:
    """Return every published page with all that the public may know of it; a fixed number of queries.

    Args:
        only: just this page, published or not: for its preview.
    """
    rows = Page.objects.filter(pk=only) if only else Page.objects.filter(published=True)
    pages = list(rows.select_related("logo").order_by("id"))
    if not pages:
        return []
    components = list(
        Component.objects.filter(page__in=pages, visible=True)
        .select_related("group", "state")
        .order_by("position", "name", "id")
    )
    shown = shown_statuses(components, now)
    bars = day_statuses([component for component in components if component.show_history], now)
    groups: dict[UUID, list[Group]] = defaultdict(list)
    for group in Group.objects.filter(page__in=pages):
        groups[group.page_id].append(group)
    of_page: dict[UUID, list[Component]] = defaultdict(list)
    for component in components:
        of_page[component.page_id].append(component)
    notices: dict[UUID, list[Notice]] = defaultdict(list)
    published = Notice.objects.published().filter(page__in=pages).prefetch_related("updates", "components")
    for notice in published.filter(starts_at__gte=now - HISTORY) | published.unfinished():
        notices[notice.page_id].append(notice)
    return [
        (page, _page_facts(page, groups[page.id], of_page[page.id], shown, bars, notices[page.id], now))
        for page in pages
    ]


def _page_facts(
    page: Page,
    groups: Iterable[Group],
    components: Iterable[Component],
    shown: dict[UUID, tuple[str, str]],
    bars: dict[UUID, list[DayBar]],
    notices: Iterable[Notice],
    now: datetime,
) -> dict[str, Any]:
    described = {
        component.id: _component_facts(component, shown[component.id][1], bars.get(component.id))
        for component in components
    }
    grouped: dict[UUID | None, list[dict[str, Any]]] = defaultdict(list)
    for component in components:
        grouped[component.group_id].append(described[component.id])
    sections: list[dict[str, Any]] = [
        {
            "name": group.name,
            "status": combined([one["status"] for one in grouped[group.id]]),
            "components": grouped[group.id],
        }
        for group in groups
        if grouped[group.id]
    ]
    if grouped[None]:
        sections.append(
            {
                "name": None,
                "status": combined([one["status"] for one in grouped[None]]),
                "components": grouped[None],
            }
        )
    for section in sections:
        section["label"] = LABELS[section["status"]]
    told = sorted((_notice_facts(notice) for notice in notices), key=lambda one: one["starts_at"], reverse=True)
    status = worst([one["status"] for one in described.values()])
    recent = (now - RECENT).isoformat()
    return {
        "page": {"name": page.name, "slug": page.slug, "intro": page.intro, "home_url": page.home_url or None},
        "global_status": status,
        "global_message": SENTENCES[status],
        "groups": sections,
        "active_incidents": [one for one in told if one["kind"] == "incident" and not one["ended_at"]],
        "active_maintenance": [one for one in told if one["state"] == "in_progress"],
        "upcoming_maintenance": [one for one in reversed(told) if one["state"] == "scheduled"],
        "recent_notices": [one for one in told if one["ended_at"] and one["ended_at"] >= recent],
        "history": told,
    }


def _component_facts(component: Component, status: str, bars: list[DayBar] | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "name": component.name,
        "description": component.description,
        "group": component.group.name if component.group else None,
        "status": status,
        "label": LABELS[status],
        "uptime_percent": None,
        "days": [],
    }
    if bars:
        good = sum(bar.up + bar.degraded for bar in bars)
        counted = sum(bar.counted for bar in bars)
        # Rounded down: 100 % is said of what never failed alone.
        facts["uptime_percent"] = int(good * 100_000 / counted) / 1000 if counted else None
        facts["days"] = [
            {"date": bar.date.isoformat(), "status": status_of_day(bar), "uptime_percent": _share(bar)}
            for bar in bars[-DAYS:]
        ]
    return facts


def _share(bar: DayBar) -> float | None:
    return int((bar.up + bar.degraded) * 100_000 / bar.counted) / 1000 if bar.counted else None


def _notice_facts(notice: Notice) -> dict[str, Any]:
    return {
        "reference": notice.reference,
        "kind": notice.kind,
        "title": notice.title,
        "severity": notice.severity,
        "severity_label": _SEVERITY_LABELS[notice.severity],
        "state": notice.state,
        "label": _STATE_LABELS[notice.state],
        "components": sorted(component.name for component in notice.components.all() if component.visible),
        "starts_at": notice.starts_at.isoformat(),
        "ends_at": notice.ends_at.isoformat() if notice.ends_at else None,
        "published_at": notice.published_at.isoformat() if notice.published_at else None,
        "ended_at": notice.ended_at.isoformat() if notice.ended_at else None,
        "updates": [
            {
                "state": update.state,
                "label": _STATE_LABELS[update.state],
                "message": update.message,
                "at": update.at.isoformat(),
                "edited_at": update.edited_at.isoformat() if update.edited_at else None,
            }
            for update in notice.updates.all()
            if update.message or update.state != notice.state
        ],
    }
