"""The public stream of status pages: what is sent, what never is, how many may follow."""

import asyncio
import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from apps.core.events.sequencer import sequence_events
from apps.realtime.hub import hub
from apps.realtime.status_stream import StatusFan, fan
from apps.statuspage import boards, services
from apps.statuspage.events import STREAMED
from tests.factories.monitors import make_endpoint, record
from tests.factories.statuspage import ACTOR, make_component, make_notice, make_page

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def _clean(settings: Any, tmp_path: Any) -> Any:
    settings.DATA_DIR = tmp_path
    boards.store.forget()
    yield
    await hub.stop()
    boards.store.forget()


async def events_of(visitor: Any, count: int) -> list[tuple[str, dict[str, Any]]]:
    """Return the next events of a stream as (name, data)."""
    found = []
    async with asyncio.timeout(30):
        async for chunk in visitor:
            for block in chunk.decode().split("\n\n"):
                lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
                if "event" in lines:
                    assert "id" not in lines
                    found.append((lines["event"], json.loads(lines["data"])))
            if len(found) >= count:
                break
    return found


@sync_to_async
def _happen(page: Any) -> None:
    endpoint = make_endpoint(name="canary-monitor", target="http://127.0.0.1:9/canary-target")
    record(endpoint, "up")
    component = make_component(page, endpoint, name="Shop")
    make_component(page, name="canary-hidden", visible=False)
    record(endpoint, "down", error="canary-error")
    services.refresh_components()
    notice = make_notice(page, publish=True, title="Payments fail", components=[component])
    make_notice(page, title="canary-draft")
    services.add_update(notice_id=notice.id, state="identified", message="Found.", actor=ACTOR)
    services.add_update(notice_id=notice.id, state="resolved", message="Fixed.", actor=ACTOR)
    sequence_events()
    boards.store.refresh()


async def test_visitor_hears_what_changes_in_public_names_alone() -> None:
    page = await sync_to_async(make_page)(slug="acme")
    await sync_to_async(boards.store.refresh)()
    visitor = fan.seat("acme")
    assert visitor is not None
    stream = visitor.__aiter__()
    assert (await anext(stream)).startswith(b"retry:")
    other = fan.seat("other")
    assert other is not None
    await fan.join(other)
    await _happen(page)
    heard = await events_of(stream, 7)
    names = [name for name, _ in heard]
    assert set(names) <= set(STREAMED.values())
    for name in ("component_changed", "global_changed", "incident_created", "incident_updated", "incident_resolved"):
        assert name in names, name
    assert "canary" not in json.dumps(heard)
    assert str(page.pk) not in json.dumps(heard)
    down = [data for name, data in heard if name == "component_changed" and data["status"] == "major_outage"]
    assert [data["name"] for data in down] == ["Shop"]
    assert other._queue.empty()  # who follows another page hears nothing of this one
    await stream.aclose()
    other.close()
    assert fan.taken == 0


async def test_maintenance_that_begins_and_ends_is_told() -> None:
    from datetime import timedelta

    from django.utils import timezone

    page = await sync_to_async(make_page)(slug="acme")
    await sync_to_async(boards.store.refresh)()
    visitor = fan.seat("acme")
    assert visitor is not None
    stream = visitor.__aiter__()
    await anext(stream)

    def pass_by() -> None:
        now = timezone.now()
        start = now + timedelta(hours=1)
        make_notice(page, publish=True, kind="maintenance", starts_at=start, ends_at=start + timedelta(hours=1))
        services.keep_times(now=start + timedelta(minutes=1))
        services.keep_times(now=start + timedelta(hours=2))
        sequence_events()

    await sync_to_async(pass_by)()
    assert [name for name, _ in await events_of(stream, 2)] == ["maintenance_started", "maintenance_ended"]
    await stream.aclose()


def test_stream_over_the_limit_is_told_to_come_again(client: Any, settings: Any) -> None:
    make_page()
    settings.STATUS_STREAMS_MAX = 1
    first = client.get("/status/events")
    assert (first.status_code, first["Content-Type"]) == (200, "text/event-stream")
    second = client.get("/status/events")
    assert (second.status_code, second["Retry-After"]) == (503, "30")
    assert second.json()["code"] == "unavailable"
    first.close()  # whoever goes away before the first byte gives his place back too
    third = client.get("/status/events")
    assert third.status_code == 200
    third.close()
    assert fan.taken == 0


def test_stream_of_no_page_or_a_private_one_is_404(client: Any) -> None:
    assert client.get("/status/events").status_code == 404
    make_page(slug="inside", allowed_networks=["10.0.0.0/8"])
    boards.store.forget()
    assert client.get("/status/events?page=inside").status_code == 404


async def test_visitor_who_does_not_read_loses_events_and_keeps_nobody_waiting() -> None:
    crowd = StatusFan()
    visitor = crowd.seat("acme")
    assert visitor is not None
    for number in range(1000):
        visitor.offer(b"%d" % number)
    assert visitor._queue.qsize() == 64
    visitor.close()
    visitor.close()
    assert crowd.taken == 0
