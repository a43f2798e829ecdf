"""Groups and components: add, change, remove, set a status by hand."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core.errors import Conflict, Invalid
from apps.core.events import Subject, emit
from apps.core.principals import Principal, system
from apps.core.registries import subjects
from apps.statuspage.models import Component, ComponentState, Group, Page, StatusChange
from apps.statuspage.services.common import clean_line, clean_text, locked, plain, put_changes, touch_pages
from apps.statuspage.services.derivation import refresh_components
from apps.statuspage.services.pages import default_page
from apps.statuspage.states import NO_DATA, ComponentStatus, Source

ACTOR = system("status pages")
_OVERRIDE = ("override_status", "override_until", "override_note")


def create_group(*, name: str, actor: Principal, page: Page | None = None, position: int = 0) -> Group:
    """Add a group to a page, the default one where none is named.

    Raises:
        Invalid (422). Conflict: the page has a group of that name (409).

    Emits: status.group_created.

    Source: contract row POST /status/groups.
    """
    name = clean_line("name", name, most=100)
    with transaction.atomic():
        page = page or default_page(actor=actor)
        if Group.objects.filter(page=page, name=name).exists():
            raise Conflict("This page has a group of that name.", code="name_taken")
        group = Group.objects.create(page=page, name=name, position=position)
        touch_pages()
        _emit_group("status.group_created", group, actor, after={"name": name, "position": position})
    return group


def update_group(
    *, group_id: UUID | str, values: Mapping[str, Any], actor: Principal, expected_revision: int | None = None
) -> Group:
    """Change name or position.

    Raises:
        NotFound (404), Invalid (422), PreconditionFailed (412). Conflict: the name is taken (409).

    Emits: status.group_updated, where something changed.
    """
    cleaned = {name: value for name, value in values.items() if name in ("name", "position")}
    if "name" in cleaned:
        cleaned["name"] = clean_line("name", cleaned["name"], most=100)
    with transaction.atomic():
        group = locked(Group, group_id, expected_revision)
        taken = Group.objects.filter(page_id=group.page_id, name=cleaned.get("name")).exclude(pk=group.pk)
        if "name" in cleaned and taken.exists():
            raise Conflict("This page has a group of that name.", code="name_taken")
        before, after = put_changes(group, cleaned)
        if after:
            group.revision += 1
            group.save()
            touch_pages()
            _emit_group("status.group_updated", group, actor, before=before, after=after)
    return group


def delete_group(*, group_id: UUID | str, actor: Principal) -> None:
    """Remove a group; its components stay, without a group.

    Raises:
        NotFound (404).

    Emits: status.group_deleted.
    """
    with transaction.atomic():
        group = locked(Group, group_id)
        _emit_group("status.group_deleted", group, actor, before={"name": group.name})
        group.delete()
        touch_pages()


def _emit_group(name: str, group: Group, actor: Principal, **more: Any) -> None:
    emit(
        name, subject=Subject("status_group", str(group.id), group.name), actor=actor,
        data={"group_id": str(group.id), "name": group.name}, **more,
    )  # fmt: skip


def subject_of(component: Component) -> Subject:
    """Return the component as an event's subject."""
    return Subject("status_component", str(component.id), component.name)


def create_component(*, values: Mapping[str, Any], actor: Principal) -> Component:
    """Add a component; what it stands for is looked up by `core.registries.subjects`.

    Args:
        values: name, source, source_id; page or group, else the default page; description, visible, position,
            show_history, drafts_notices, and an override.

    Raises:
        Invalid: there is no such thing, a field is wrong (422).
        Conflict: name or thing stands on the page already (409).

    Emits: status.component_created.

    Source: contract row POST /status/components.
    """
    cleaned = _clean(values)
    missing = {name: "is required" for name in ("name", "source", "source_id") if not cleaned.get(name)}
    if missing:
        raise Invalid(missing)
    with transaction.atomic():
        group: Group | None = cleaned.get("group")
        page = cleaned.get("page") or (group.page if group else default_page(actor=actor))
        override = {name: cleaned.pop(name) for name in _OVERRIDE if name in cleaned}
        component = Component(**{**cleaned, "page": page})
        _require_fitting(component)
        component.save(force_insert=True)
        ComponentState.objects.create(component=component)
        StatusChange.objects.create(component=component, status=NO_DATA)
        touch_pages()
        shown = {name: plain(value) for name, value in cleaned.items()}
        _emit("status.component_created", component, actor, after=shown)
        if override.get("override_status"):
            _override(component, override, actor)
        refresh_components([component.id])
    component.refresh_from_db()
    return component


def update_component(
    *, component_id: UUID | str, values: Mapping[str, Any], actor: Principal, expected_revision: int | None = None
) -> Component:
    """Change the named fields; `override_status` "" takes a status set by hand back.

    Raises:
        NotFound (404), Invalid (422), PreconditionFailed (412). Conflict: name or thing is taken (409).

    Emits: status.component_updated, .component_overridden, .override_ended, where something changed.

    Source: contract row PUT /status/components/{id}.
    """
    cleaned = _clean(values)
    with transaction.atomic():
        component = locked(Component, component_id, expected_revision)
        override = {name: cleaned.pop(name) for name in _OVERRIDE if name in cleaned}
        cleaned.pop("page", None)
        before, after = put_changes(component, cleaned)
        if after:
            _require_fitting(component)
            component.revision += 1
            component.save()
            touch_pages()
            _emit("status.component_updated", component, actor, before=before, after=after)
        if override:
            _override(component, override, actor)
        refresh_components([component.id])
    component.refresh_from_db()
    return component


def delete_component(*, component_id: UUID | str, actor: Principal) -> None:
    """Remove a component with its history; what it stands for stays.

    Raises:
        NotFound (404).

    Emits: status.component_deleted.
    """
    with transaction.atomic():
        component = locked(Component, component_id)
        _emit("status.component_deleted", component, actor, before={"name": component.name})
        component.delete()
        touch_pages()


def end_overrides(*, now: datetime | None = None) -> int:
    """Take back the statuses set by hand whose time is over; returns how many.

    Emits: status.override_ended, one a component.
    """
    now = now or timezone.now()
    due = list(
        Component.objects.exclude(override_status="").filter(override_until__lte=now).values_list("id", flat=True)[:100]
    )
    for component_id in due:
        with transaction.atomic():
            component = Component.objects.select_for_update().filter(pk=component_id).first()
            if component and component.override_status and not component.is_overridden(now):
                _override(component, {"override_status": ""}, ACTOR)
                refresh_components([component.id], now=now)
    return len(due)


def _override(component: Component, given: Mapping[str, Any], actor: Principal) -> None:
    status = given.get("override_status", component.override_status)
    if not status:
        if component.override_status:
            ended = component.override_status
            component.override_status = component.override_by = component.override_note = ""
            component.override_until = component.override_at = None
            _save_override(component)
            _emit_override("status.override_ended", component, ended, actor)
        return
    until: datetime | None = given.get("override_until", component.override_until)
    if until is not None and until <= timezone.now():
        raise Invalid({"override_until": "must lie in the future"})
    values = {
        "override_status": status,
        "override_until": until,
        "override_note": given.get("override_note", component.override_note),
    }
    _, after = put_changes(component, values)
    if after:
        component.override_by, component.override_at = actor.name, timezone.now()
        _save_override(component)
        _emit_override("status.component_overridden", component, status, actor)


def _save_override(component: Component) -> None:
    component.revision += 1
    component.save(update_fields=[*_OVERRIDE, "override_by", "override_at", "revision", "updated_at"])
    touch_pages()


def _emit_override(name: str, component: Component, status: str, actor: Principal) -> None:
    emit(
        name, subject=subject_of(component), actor=actor,
        data={
            "component_id": str(component.id),
            "name": component.name,
            "status": status,
            "until": component.override_until.isoformat() if component.override_until else None,
        },
    )  # fmt: skip


def _emit(name: str, component: Component, actor: Principal, **more: Any) -> None:
    data = {"component_id": str(component.id), "name": component.name}
    emit(name, subject=subject_of(component), actor=actor, data=data, **more)


def _require_fitting(component: Component) -> None:
    if component.group is not None and component.group.page_id != component.page_id:
        raise Invalid({"group_id": "this group stands on another page"})
    kind = subjects.get(component.source)
    if kind is None:
        raise Invalid({"source": f"there are no {component.get_source_display().lower()}s in this installation"})
    found = kind.resolve(component.source_id) if kind.resolve else component.source_id
    if not found or kind.find(found) is None:
        raise Invalid({"source_id": f"there is no such {component.get_source_display().lower()}"})
    component.source_id = found
    others = Component.objects.filter(page_id=component.page_id).exclude(pk=component.pk)
    if others.filter(name=component.name).exists():
        raise Conflict("This page has a component of that name.", code="name_taken")
    if others.filter(source=component.source, source_id=found).exists():
        raise Conflict("This thing stands on the page already.", code="source_taken")


def _clean(values: Mapping[str, Any]) -> dict[str, Any]:
    cleaned = dict(values)
    if "name" in cleaned:
        cleaned["name"] = clean_line("name", cleaned["name"], most=100)
    if "description" in cleaned:
        cleaned["description"] = clean_text("description", cleaned["description"] or "", most=300)
    if "source" in cleaned and cleaned["source"] not in Source.values:
        raise Invalid({"source": f"must be one of {', '.join(Source.values)}"})
    if "source_id" in cleaned:
        cleaned["source_id"] = clean_line("source_id", str(cleaned["source_id"] or ""), most=64)
    if cleaned.get("override_status") and cleaned["override_status"] not in ComponentStatus.values:
        raise Invalid({"override_status": f"must be one of {', '.join(ComponentStatus.values)}, or empty"})
    if "override_note" in cleaned:
        cleaned["override_note"] = clean_line("override_note", cleaned["override_note"] or "", most=300, required=False)
    return cleaned
