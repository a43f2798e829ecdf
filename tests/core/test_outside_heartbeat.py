"""The outside heartbeat: pings go out while alerting works, stop when it does not, and say why."""

import ipaddress
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from apps.core import pulse, runtime_settings
from apps.core import runner as runner_module
from apps.core.care.doctor import examine
from apps.core.events import Subject, emit, sequencer
from apps.core.events.readers import dispatch_all, readers
from apps.core.fields import MASK
from apps.core.models import Condition, Event, Lease, OutsideHeartbeat, ReaderCursor, StoredSetting
from apps.core.principals import system
from apps.core.registries import Registry
from apps.core.runner import Runner
from apps.core.services import outside_heartbeat
from apps.core.tasks import ping_outside
from apps.notifications.models import Attempt, Delivery
from tests.factories.accounts import client_as
from tests.factories.monitors import facts
from tests.support.console import console_as
from tests.support.servers import RecordingReceiver, Reply

pytestmark = pytest.mark.django_db(transaction=True)
URL = "https://hc.example.org/ping/0b3f8a-token"


@pytest.fixture
def own_runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    """Give the test a runner of its own, stopped before the tables are emptied."""
    one = Runner(threads=2)
    monkeypatch.setattr(runner_module, "_runner", one)
    yield one
    one.stop()


@pytest.fixture
def outside(own_runner: Runner, settings: Settings) -> Iterator[RecordingReceiver]:
    """A service outside, whose address is set."""
    settings.OUTBOUND_ALLOW = [ipaddress.ip_network("127.0.0.1/32")]
    with RecordingReceiver() as receiver:
        put(f"{receiver.url}/ping/t0ken")
        yield receiver


def put(url: str) -> None:
    runtime_settings.change_settings(values={"outside_heartbeat.url": url}, actor=system("test"))


def row() -> OutsideHeartbeat:
    return OutsideHeartbeat.objects.get(id=1)


def wait_for(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, row().reason
        time.sleep(0.02)


def pass_time(seconds: float) -> None:
    """Let the setting, the last try and the failures lie further back."""
    found = row()
    by = timedelta(seconds=seconds)
    StoredSetting.objects.update(updated_at=F("updated_at") - by)
    OutsideHeartbeat.objects.update(
        tried_at=found.tried_at and found.tried_at - by, failing_since=found.failing_since and found.failing_since - by
    )


def ping_and_wait(outside: RecordingReceiver) -> None:
    """Let a ping that is due go out, and its result be written."""
    before = len(outside.requests)
    ping_outside()
    outside.wait_for(before + 1)
    tried = row().tried_at
    wait_for(lambda: (found := row()).failing_since or (found.sent_at and found.sent_at >= tried))


# --- the setting -----------------------------------------------------------------------------------------------------


def test_address_is_sealed_masked_and_kept_when_the_mask_comes_back() -> None:
    client = client_as("admin")
    path = "/api/v1/settings/outside_heartbeat/url"
    answer = client.put(path, {"value": URL}, format="json")
    assert (answer.status_code, answer.json()["value"]) == (200, MASK)
    with connection.cursor() as cursor:
        cursor.execute("SELECT value, secret FROM core_storedsetting WHERE name = %s", ["outside_heartbeat.url"])
        kept = cursor.fetchone()
    assert "token" not in str(kept) and StoredSetting.objects.get().secret == URL
    [fact] = Event.objects.filter(name="setting.changed")
    assert "token" not in f"{fact.data}{fact.audit}" and fact.data["value"] == MASK
    assert client.put(path, {"value": MASK}, format="json").json()["value"] == MASK
    assert outside_heartbeat.address() == URL
    client.put("/api/v1/settings/bulk", {"settings": {"outside_heartbeat.url": ""}}, format="json")
    assert (
        outside_heartbeat.address() == ""
        and client.get("/api/v1/settings").json()["outside_heartbeat"]["url"]["is_default"]
    )


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("url", "hc.example.org/x", "https://"),
        ("url", "http://10.0.0.7/t0ken", "OUTBOUND_ALLOW"),
        ("interval", 5, "30..3600"),
    ],
)
def test_wrong_value_is_refused_with_what_to_do(name: str, value: Any, words: str) -> None:
    answer = client_as("admin").put(f"/api/v1/settings/outside_heartbeat/{name}", {"value": value}, format="json")
    assert answer.status_code == 422
    assert words in str(answer.json()["detail"]) and "t0ken" not in answer.content.decode()


def test_console_never_shows_the_address_and_can_remove_it() -> None:
    put(URL)
    browser = console_as("admin")
    page = browser.get("/admin/settings/")
    text = page.content.decode()
    assert "0b3f8a" not in text and "Remove the stored ping address" in text
    form = page.context["form"]
    values = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False, "")}
    values = {name: ", ".join(value) if isinstance(value, list) else value for name, value in values.items()}
    assert browser.post("/admin/settings/", values).status_code == 302
    assert outside_heartbeat.address() == URL
    assert browser.post("/admin/settings/", {**values, "outside_heartbeat__url__remove": "on"}).status_code == 302
    assert outside_heartbeat.address() == ""


# --- pings -----------------------------------------------------------------------------------------------------------


def test_ping_goes_out_once_an_interval_while_all_is_well(outside: RecordingReceiver) -> None:
    ping_and_wait(outside)
    assert (outside.requests[0].method, outside.requests[0].target) == ("GET", "/ping/t0ken")
    assert outside_heartbeat.health().status == "ok"
    ping_outside()
    pass_time(59)
    ping_outside()
    pass_time(2)
    ping_and_wait(outside)
    assert len(outside.requests) == 2
    put("")
    pass_time(100)
    ping_outside()
    assert len(outside.requests) == 2 and outside_heartbeat.health().status == "off"


def test_address_that_is_new_is_pinged_at_once(outside: RecordingReceiver) -> None:
    ping_and_wait(outside)
    put(f"{outside.url}/ping/other")
    ping_and_wait(outside)
    ping_outside()
    assert [one.target for one in outside.requests] == ["/ping/t0ken", "/ping/other"]


def test_pulse_of_a_worker_sends_the_pings(outside: RecordingReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    only: Registry[pulse.Sweep] = Registry("sweep")
    only.register("core.outside_heartbeat", pulse.sweeps["core.outside_heartbeat"])
    monkeypatch.setattr(pulse, "sweeps", only)
    one = pulse.Pulse()
    one.start()
    try:
        outside.wait_for(1)
        wait_for(lambda: row().sent_at)
    finally:
        one.stop()
        one.join(10)


def overdue_sweep() -> Callable[[], object]:
    long_ago = timezone.now() - timedelta(minutes=5)
    Lease.objects.create(name="ran:notifications.deliveries", owner="x", until=long_ago, last_run_at=long_ago)
    return Lease.objects.filter(name="ran:notifications.deliveries").delete


def stuck_reader() -> Callable[[], object]:
    name = next(iter(readers))
    emit("system.alert", subject=Subject("platform", "x", "x"), actor=system("test"),
         data={"title": "x", "message": "x", "level": "info"})  # fmt: skip
    while sequencer.sequence_events() or dispatch_all():
        pass
    Event.objects.update(at=timezone.now() - timedelta(minutes=3))
    ReaderCursor.objects.filter(name=name).update(seq=0)
    return lambda: dispatch_all() + 1


def unnumbered_fact() -> Callable[[], object]:
    emit("system.alert", subject=Subject("platform", "x", "x"), actor=system("test"),
         data={"title": "x", "message": "x", "level": "info"})  # fmt: skip
    Event.objects.update(at=timezone.now() - timedelta(minutes=3))
    return sequencer_and_readers


def sequencer_and_readers() -> None:
    while sequencer.sequence_events() or dispatch_all():
        pass


def delivery(minutes: float) -> Delivery:
    at = timezone.now() - timedelta(minutes=minutes)
    return Delivery.objects.create(
        kind=Delivery.Kind.WEBHOOK, destination_id="0190f3e2-7c1e-7b4a-9d0e-2f6a8c1b5d3e", lane="x", message_id="x",
        event_name="alert.opened", event_at=at, subject_kind="endpoint", subject_id="x", payload={}, next_attempt_at=at,
    )  # fmt: skip


def stuck_delivery() -> Callable[[], object]:
    delivery(3)
    return Delivery.objects.all().delete


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        (overdue_sweep, "Not looked at: 1 of its sweeps (notifications.deliveries)"),
        (stuck_reader, "Facts older than two minutes are not read by"),
        (unnumbered_fact, "Facts older than two minutes have no number yet."),
        (stuck_delivery, "have not been sent."),
    ],
)
def test_ping_stays_out_while_alerting_does_not_work_and_says_why(
    outside: RecordingReceiver, breaks: Callable[[], Callable[[], object]], words: str
) -> None:
    mend = breaks()
    ping_outside()
    assert words in row().reason and row().is_held and not outside.requests
    assert words in outside_heartbeat.health().detail
    assert not Condition.objects.exists()
    pass_time(301)
    ping_outside()
    ping_outside()
    mend()
    told = Condition.objects.get()
    assert (told.title, told.ended_at) == ("The outside heartbeat is held back", None) and words in told.message
    ping_and_wait(outside)
    wait_for(lambda: Condition.objects.get().ended_at)
    assert [one.data["level"] for one in facts("system.alert") if one.data["title"] != "x"] == ["warning", "info"]


def test_receiver_that_hangs_or_refuses_does_not_hold_the_ping_back(outside: RecordingReceiver) -> None:
    late = delivery(3)
    Attempt.objects.create(delivery=late, error="It answered 500.")
    delivery(1)
    ping_and_wait(outside)
    assert row().reason == ""


def test_ping_that_is_not_taken_is_tried_again_soon_and_told_when_it_lasts(outside: RecordingReceiver) -> None:
    with RecordingReceiver() as elsewhere:
        outside.answer(Reply(302, b"", {"Location": f"{elsewhere.url}/ping/t0ken"}))
        ping_and_wait(outside)
        assert not elsewhere.requests and "redirects (302)" in row().reason
    outside.answer(Reply(503, b""))
    pass_time(301)
    ping_outside()
    outside.wait_for(2)
    wait_for(lambda: Condition.objects.filter(title="The outside heartbeat does not arrive").exists())
    assert "t0ken" not in Condition.objects.get().message and "It answered 503" in row().reason
    outside.answer(Reply(200))
    pass_time(31)
    ping_outside()
    wait_for(lambda: Condition.objects.get().ended_at)


def test_doctor_tells_that_the_pings_stopped_although_a_worker_should_send_them(outside: RecordingReceiver) -> None:
    ping_and_wait(outside)
    Lease.objects.update_or_create(
        name="sequencer", defaults={"owner": "host:1:abc", "until": timezone.now() + timedelta(seconds=10)}
    )

    def said() -> tuple[str, str]:
        return next((one.status, one.sentence) for one in examine() if one.check == "outside heartbeat")

    assert said()[0] == "ok"
    OutsideHeartbeat.objects.update(sent_at=timezone.now() - timedelta(minutes=4))
    assert said() == ("failed", "The worker sends no pings. The last one was accepted 4 min ago.")
