"""Channels, webhooks, rules and facts for tests."""

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.principals import principal_of_user
from apps.core.events.sequencer import sequence_events
from apps.core.ids import new_id
from apps.core.models import Event
from apps.core.principals import Principal
from apps.notifications import services
from apps.notifications.models import Channel, Rule, Webhook
from tests.factories.accounts import make_user

_numbers = count(1)
PUBLIC_URL = "https://93.184.215.14/hook"  # an address, so that nothing is looked up


def make_admin() -> Principal:
    """Return the principal of a new admin."""
    return principal_of_user(make_user("admin"))


def make_channel(
    url: str = PUBLIC_URL, *, name: str = "", actor: Principal | None = None, type: str = "webhook", **config: Any
) -> Channel:
    """Return an enabled channel."""
    return services.create_channel(
        actor=actor or make_admin(),
        name=name or f"channel {next(_numbers)}",
        type=type,
        config={"url": url, **config} if type == "webhook" or url != PUBLIC_URL else config,
    )


def make_webhook(
    url: str = PUBLIC_URL, *, owner: User | None = None, events: Iterable[str] = ("*",), **rest: Any
) -> Webhook:
    """Return an enabled webhook of an admin, or of the owner given."""
    actor = principal_of_user(owner or make_user("admin"))
    return services.create_webhook(actor=actor, url=url, events=list(events), **rest)[0]


def make_rule(*channels: Channel, actor: Principal | None = None, **values: Any) -> Rule:
    """Return an enabled rule that routes to the channels."""
    values.setdefault("name", f"rule {next(_numbers)}")
    ids = [channel.id for channel in channels]
    return services.create_rule(actor=actor or make_admin(), values={**values, "channel_ids": ids})


def make_fact(
    name: str = "alert.opened",
    alert: str = "a1",
    *,
    level: str = "critical",
    thing: str = "web-1",
    permission: str = "alerts:view",
    tags: Iterable[str] = (),
    audience: Mapping[str, Any] | None = None,
    actor: Principal | None = None,
    **data: Any,
) -> Event:
    """Return a numbered fact, by default about the alert `alert` on the endpoint `thing`."""
    payload: dict[str, Any] = {"level": level, **data}
    if name.startswith("alert."):
        payload = {
            "source": "endpoint",
            "subject_kind": "endpoint",
            "subject_id": thing,
            "subject_name": thing,
            "message": f"{thing} does not answer",
            "value": None,
            "threshold": None,
            "by": None,
            "note": None,
            **payload,
        }
    elif name == "system.alert":
        payload = {"title": "Something is wrong", "message": "Look at it", **payload}
    event = Event.objects.create(
        name=name,
        uid=new_id(),
        subject_kind="alert" if name.startswith("alert.") else "thing",
        subject_id=alert,
        subject_name=thing,
        level=level,
        tags=list(tags),
        audience={"permission": permission} if audience is None else dict(audience),
        data=payload,
        actor=actor.snapshot() if actor else {"kind": "system", "id": "test", "name": "test"},
        at=timezone.now(),
    )
    sequence_events()
    event.refresh_from_db()
    return event
