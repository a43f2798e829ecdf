"""Status pages in the core's registries: what their things are called, figures."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from django.db.models import Count

from apps.core import runtime_settings
from apps.core.registries import SubjectKind, metric_collectors, subjects
from apps.statuspage.models import Component, ComponentState, Group, Notice, Page, Subscriber
from apps.statuspage.states import ComponentStatus

runtime_settings.declare(
    "limits", "status_subscribe_per_minute", "int", 5,
    "Subscriptions to status pages that one address may ask for in a minute.", least=1, most=10_000,
)  # fmt: skip


def _finder(model: type[Any], field: str) -> Callable[[str], str | None]:
    def find(identifier: str) -> str | None:
        try:
            row = model.objects.filter(pk=UUID(identifier)).first()
        except ValueError:
            return None
        return str(getattr(row, field)) if row is not None else None

    return find


def _pages(name: str | None) -> Callable[[str], str]:
    return lambda pk: f"/admin/statuspage/{name}/{pk}/"


for _kind, _model, _field in (
    ("status_page", Page, "name"),
    ("status_group", Group, "name"),
    ("status_component", Component, "name"),
    ("status_notice", Notice, "title"),
    ("status_subscriber", Subscriber, "masked"),
):
    subjects.register(
        _kind,
        SubjectKind(
            find=_finder(_model, _field),
            url=_pages(_model._meta.model_name),
        ),
    )


def _metrics(per_object: bool) -> Iterator[Any]:
    counted = dict(ComponentState.objects.values_list("status").annotate(count=Count("pk")).order_by())
    yield (
        "watchkeeper_status_components",
        "gauge",
        "Components of status pages by the status they are shown in.",
        [({"status": status}, counted.get(status, 0)) for status in ComponentStatus.values],
    )


metric_collectors.register("status components", _metrics)
