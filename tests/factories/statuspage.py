"""Status pages for tests."""

from itertools import count
from typing import Any

from django.utils import timezone

from apps.core.principals import system
from apps.monitors.models import Endpoint
from apps.statuspage import services
from apps.statuspage.models import Component, Group, Notice, Page, Subscriber
from tests.factories.monitors import make_endpoint

ACTOR = system("test")
_numbers = count(1)


def make_page(**values: Any) -> Page:
    """Return a published page; the first one is the default."""
    return services.create_page(actor=ACTOR, values={"name": f"Page {next(_numbers)}", **values})


def make_group(page: Page, name: str = "") -> Group:
    """Return a group of the page."""
    return services.create_group(name=name or f"Group {next(_numbers)}", page=page, actor=ACTOR)


def make_component(page: Page | None = None, endpoint: Endpoint | None = None, **values: Any) -> Component:
    """Return a component that stands for an endpoint, a new one where none is given."""
    number = next(_numbers)
    if "source" not in values:
        endpoint = endpoint or make_endpoint(name=f"internal-{number}", target=f"http://127.0.0.1:9/{number}")
        values |= {"source": "endpoint", "source_id": str(endpoint.pk)}
    if page is not None:
        values["page"] = page
    return services.create_component(actor=ACTOR, values={"name": f"Component {number}", **values})


def make_notice(page: Page | None = None, *, publish: bool = False, **values: Any) -> Notice:
    """Return an incident, or what the values say; a draft unless `publish`."""
    if page is not None:
        values["page"] = page
    return services.create_notice(
        actor=ACTOR, values={"title": "Payments fail", "message": "We look into it.", **values}, publish=publish
    )


def make_subscriber(page: Page, email: str = "", components: tuple[Component, ...] = ()) -> Subscriber:
    """Return a confirmed subscriber."""
    row = Subscriber.objects.create(
        page=page, email=email or f"reader-{next(_numbers)}@example.org", state="confirmed", confirmed_at=timezone.now()
    )
    row.components.set(components)
    return row
