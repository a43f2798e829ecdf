"""The settings page, the health of the parts, and where the bytes are."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.core import disk, runtime_settings, storage
from apps.core.admin.access import may, require
from apps.core.admin.navigation import ADMINISTER, navigate
from apps.core.admin.pages import page, render
from apps.core.admin.panels import SIDE, Panel, panels
from apps.core.admin.settings_forms import TITLES, changed_values, form_of, values_now
from apps.core.errors import DomainError
from apps.core.health import all_parts

#: Categories that have a page of their own.
ELSEWHERE = ("security", "password_policy")


def _categories() -> list[str]:
    found = {setting.category for _, setting in runtime_settings.declared.items()} - set(ELSEWHERE)
    known = [category for category in TITLES if category in found]
    return known + sorted(found - set(known))


@page("settings/", "settings", code="settings:view")
def settings_view(request: HttpRequest) -> HttpResponse:
    """Show and change the runtime settings."""
    form_class = form_of(_categories())
    may_change = may(request, "settings:update")
    form = form_class(request.POST or None, initial=values_now(form_class))
    if request.method == "POST":
        actor = require(request, "settings:update")
        if form.is_valid():
            values = changed_values(form.cleaned_data)
            try:
                runtime_settings.change_settings(values=values, actor=actor)
            except DomainError as error:
                form.refuse(error)
            else:
                messages.success(
                    request, f"{len(values)} settings changed." if len(values) != 1 else "One setting changed."
                )
                return HttpResponseRedirect(reverse("admin:settings"))
    if not may_change:
        for field in form.fields.values():
            field.disabled = True
    return render(
        request,
        "console/settings.html",
        "Settings",
        status=422 if form.errors else 200,
        form=form,
        may_change=may_change,
        parts=[{"name": name.replace("_", " ").capitalize(), "health": part} for name, part in all_parts().items()],
        storage=_storage(),
    )


def _storage() -> dict[str, Any]:
    usage, limit = storage.usage(), runtime_settings.get("retention.disk_full_percent")
    used = disk.usage()
    shown = [
        {"table": table, "bytes": size, "share": 100 * size / usage.total if usage.total else 0}
        for table, size in usage.tables[:10]
    ]
    rest = sum(size for _, size in usage.tables[10:])
    return {
        "usage": usage,
        "disk": used,
        "tables": shown,
        "rest": rest,
        "limit": limit,
        "refusing": not disk.telemetry_allowed(),
    }


def _storage_panel(request: HttpRequest) -> dict[str, Any] | None:
    return _storage()


panels.register("storage", Panel(SIDE, 90, "console/panels/storage.html", _storage_panel, "settings:view"))
navigate(ADMINISTER, 70, "Settings", icon="tune", url="admin:settings", code="settings:view")
