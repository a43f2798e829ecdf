"""Long random sequences: no alert is stuck or open twice, and an end is told only where the opening was."""

import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.utils import timezone

from apps.alerts import services
from apps.alerts.models import Alert, Silence
from apps.alerts.services.silences import begin_and_end, create_silence
from apps.core import runtime_settings
from apps.core.models import Event
from apps.core.principals import system
from apps.fleet.models import Server
from apps.monitors.models import Endpoint
from apps.monitors.services.endpoints import create_endpoint
from apps.notifications.models import Delivery
from apps.notifications.services import sending
from apps.notifications.transports import Outcome
from tests.factories.accounts import principal
from tests.factories.alerts import endpoint_alert, endpoint_recovery, run_spine, server_offline, server_online
from tests.factories.fleet import make_server
from tests.factories.notifications import make_channel

pytestmark = pytest.mark.django_db

TELLING = ("alert.opened", "alert.escalated", "alert.unsilenced")
STEPS = 40


class World:
    """Two endpoints on one server and one elsewhere, with a clock that the test moves."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.actor = principal()
        self.server: Server = make_server("host", host="host.example.org")
        hosts = ("host.example.org", "host.example.org", "else.example.org")
        self.endpoints: list[Endpoint] = [
            create_endpoint(
                actor=system("test"), values={"name": f"e{n}", "endpoint_type": "tcp", "target": f"{host}:{n + 1}"}
            )
            for n, host in enumerate(hosts)
        ]
        self.is_down = [False, False, False]
        self.resolved_by_hand: set[int] = set()
        self.host_down = False
        self.now = timezone.now()

    def step(self) -> None:
        """Let something happen, and the readers and the sweep follow."""
        kind = self.dice.choice(
            [
                "fail",
                "fail",
                "fail",
                "recover",
                "recover",
                "host",
                "ack",
                "resolve",
                "silence",
                "cancel",
                "wait",
                "send",
            ]
        )
        getattr(self, f"_{kind}")()
        self.now += timedelta(seconds=1)
        run_spine()
        self.sweep()

    def sweep(self) -> None:
        """Do what the sweeps do."""
        begin_and_end(now=self.now)
        services.review_due(now=self.now)
        services.settle_flaps(now=self.now)
        run_spine()

    def _fail(self) -> None:
        number = self.dice.randrange(3)
        status = self.dice.choice(["down", "degraded"])
        # As the monitors do: told once a level, and degraded is no news behind down.
        if not self.is_down[number] or status == "down":
            endpoint_alert(str(self.endpoints[number].id), status=status, name=f"e{number}")
            self.is_down[number] = True
            self.resolved_by_hand.discard(number)

    def _recover(self) -> None:
        number = self.dice.randrange(3)
        endpoint_recovery(str(self.endpoints[number].id), name=f"e{number}")
        self.is_down[number] = False
        self.resolved_by_hand.discard(number)

    def _host(self) -> None:
        (server_online if self.host_down else server_offline)(self.server)
        self.host_down = not self.host_down

    def _open(self) -> Alert | None:
        rows = list(Alert.objects.unresolved().exclude(source="server"))
        return self.dice.choice(rows) if rows else None

    def _ack(self) -> None:
        if alert := self._open():
            services.acknowledge_alert(alert_id=alert.id, actor=self.actor)

    def _resolve(self) -> None:
        if alert := self._open():
            services.resolve_alert(alert_id=alert.id, actor=self.actor)
            self.resolved_by_hand.add([str(one.id) for one in self.endpoints].index(alert.subject_id))

    def _silence(self) -> None:
        matchers: dict[str, Any] = self.dice.choice([{}, {"level": "warning"}, {"entity": "e1"}, {"source": "server"}])
        create_silence(
            actor=self.actor, matchers=matchers, duration_s=self.dice.choice([30, 120, 900]), starts_at=self.now
        )

    def _cancel(self) -> None:
        found = Silence.objects.filter(ended_at__isnull=True).first()
        if found is not None and found.state in ("active", "scheduled"):
            services.cancel_silence(silence_id=found.id, actor=self.actor)

    def _wait(self) -> None:
        self.now += timedelta(seconds=self.dice.choice([5, 31, 200, 1000]))

    def _send(self) -> None:
        """Send what is due; some of it fails for now, some for good."""
        if self.dice.random() < 0.2:
            Delivery.objects.filter(state="pending").update(attempts=sending.MOST_ATTEMPTS - 1)
        results = [
            sending.Result(job.delivery.id, Outcome(self.dice.random() < 0.6, error="busy"), self.now)
            for job in sending.claim_due(4)
        ]
        sending.record_results(results)

    def send_all(self) -> None:
        """Send until nothing is left; all of it arrives."""
        while Delivery.objects.filter(state="pending").exists():
            self.now += timedelta(days=1)
            done = [sending.Result(job.delivery.id, Outcome(True), self.now) for job in sending.claim_due(64)]
            sending.record_results(done)


def run(seed: int, steps: int = STEPS) -> World:
    """Play a sequence with the clock of the services moved along."""
    world = World(seed)

    def clock() -> datetime:
        return world.now

    with patch("django.utils.timezone.now", clock):
        for _ in range(steps):
            world.step()
            check_open(world)
        world.now += timedelta(days=2)
        for _ in range(4):  # silences, waits and flaps are over by then
            world.sweep()
            world.now += timedelta(seconds=700)
        check_open(world)
        check_told(world)
        world.send_all()
    return world


def check_open(world: World) -> None:
    """An alert is open exactly where something is wrong that nobody resolved by hand."""
    for number, endpoint in enumerate(world.endpoints):
        is_open = Alert.objects.unresolved().filter(source="endpoint", subject_id=str(endpoint.id)).count()
        wanted = world.is_down[number] and number not in world.resolved_by_hand
        assert is_open == int(wanted), f"e{number}: {is_open} open"


def check_told(world: World) -> None:
    """What still stands is told, unless its parent is down; nothing waits for ever."""
    for alert in Alert.objects.unresolved():
        if alert.muted_by:
            assert alert.muted_by == "dependency" and world.host_down, f"{alert} is stuck: {alert.muted_reason}"
        else:
            assert alert.is_told
    for alert in Alert.objects.all():
        names = Counter(
            Event.objects.filter(subject_kind="alert", subject_id=str(alert.id)).values_list("name", flat=True)
        )
        assert names["alert.opened"] == int(alert.is_told)
        assert names["alert.resolved"] == int(alert.status == "resolved")
        assert alert.is_told or alert.decisions.exists(), "nobody was told and nothing says why"


@pytest.mark.parametrize("seed", range(4))
def test_random_sequence_leaves_nothing_stuck_and_nothing_open_twice(seed: int) -> None:
    run(seed)


@pytest.mark.parametrize("seed", range(100, 104))
def test_end_is_told_only_where_the_opening_was(seed: int) -> None:
    runtime_settings.change_settings(values={"notifications.disable_after": 1000}, actor=principal("admin"))
    make_channel()
    run(seed)
    for alert in Alert.objects.all():
        rows = list(Delivery.objects.filter(subject_kind="alert", subject_id=str(alert.id)).order_by("id"))
        arrived = [row.event_name for row in rows if row.state == "delivered"]
        opened = [name for name in arrived if name in TELLING]
        if "alert.resolved" in arrived:
            assert alert.is_told and opened, "an end without an opening"
            assert arrived.index(opened[0]) < arrived.index("alert.resolved")
        if opened and alert.status == "resolved":
            end = [row for row in rows if row.event_name == "alert.resolved"]
            assert [row.state for row in end] in (["delivered"], ["failed"]), "an opening without an end"
        assert all(row.reason for row in rows if row.state == "suppressed"), "suppressed without a reason"
