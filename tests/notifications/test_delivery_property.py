"""No state change without a message: random ups, downs, failures and deaths of the sender."""

import json
from collections import defaultdict
from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.net import run_sync
from apps.notifications.models import Delivery
from apps.notifications.services import sending
from apps.notifications.transports import Message, Outcome, transports
from tests.factories.notifications import make_channel, make_fact, make_webhook
from tests.notifications.driving import let_time_pass, lose_leases, tell

ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("flip"), st.sampled_from(["web", "db"])),
        st.tuples(st.just("send"), st.sampled_from(["ok", "fail", "hang up after receiving", "die after sending"])),
        st.tuples(st.just("wait"), st.just("")),
    ),
    max_size=20,
)


#: No two examples speak of the same alert, so that they can share destinations and leave their rows behind.
ALERTS = count(1)
WEBHOOK_URL, CHANNEL_URL = "https://93.184.215.14/webhook", "https://93.184.215.14/channel"


class Receiver:
    """Stands in for the network alone: what arrives where, and what is answered."""

    def __init__(self) -> None:
        self.arrived: list[tuple[str, Message]] = []
        self.mood = "ok"

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        if self.mood == "fail":
            return Outcome(False, status_code=503, error="busy")
        self.arrived.append((config["url"], message))
        return (
            Outcome(False, error="no answer")
            if self.mood == "hang up after receiving"
            else Outcome(True, status_code=200)
        )


def run(actions: list[tuple[str, str]], receiver: Receiver) -> list[tuple[str, str, str]]:
    """Play the actions, then let everything come to its end; returns what happened as (id, event, alert)."""
    happened: list[tuple[str, str, str]] = []
    open_alerts: dict[str, str] = {}

    def send() -> int:
        jobs = sending.claim_due(64)
        results = [run_sync(sending.send(job)) for job in jobs]
        if receiver.mood == "die after sending":
            lose_leases()
        elif results:
            sending.record_results(results)
        return len(jobs)

    for action, value in actions:
        if action == "flip":
            is_open = value in open_alerts
            alert = open_alerts.pop(value) if is_open else f"{value}-{next(ALERTS)}"
            if not is_open:
                open_alerts[value] = alert
            fact = make_fact("alert.resolved" if is_open else "alert.opened", alert, thing=value)
            happened.append((str(fact.uid), fact.name, alert))
            tell(fact)
        elif action == "send":
            receiver.mood = value
            send()
        else:
            let_time_pass()
    receiver.mood = "ok"
    lose_leases()
    let_time_pass()
    while send():
        let_time_pass()
    return happened


@pytest.fixture
def destinations(db: None) -> None:
    """Make a webhook and a channel, once for all examples."""
    make_webhook(WEBHOOK_URL, events=["alert.*"])
    make_channel(CHANNEL_URL)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_every_change_arrives_in_order_and_repeats_carry_the_same_id(
    destinations: None, monkeypatch: pytest.MonkeyPatch, actions: list[tuple[str, str]]
) -> None:
    receiver = Receiver()
    with monkeypatch.context() as patch:
        patch.setattr(transports["webhook"], "send", receiver.send)
        happened = run(actions, receiver)
    assert not Delivery.objects.filter(next_attempt_at__isnull=False).exists()
    for destination in (WEBHOOK_URL, CHANNEL_URL):
        check([message for url, message in receiver.arrived if url == destination], happened)


def check(messages: list[Message], happened: list[tuple[str, str, str]]) -> None:
    """Compare what arrived at one destination with what happened."""
    arrived = [
        (message.id, body["type"], body["subject"]["id"]) for message in messages for body in [json.loads(message.body)]
    ]
    # Every change arrives, each under its one id, and nothing else does.
    assert set(arrived) == set(happened)
    # "Resolved" never comes before "opened", and no repeat of "opened" after it.
    order: defaultdict[str, list[str]] = defaultdict(list)
    for _, name, alert in arrived:
        if order[alert][-1:] != [name]:
            order[alert].append(name)
    assert all(seen in (["alert.opened"], ["alert.opened", "alert.resolved"]) for seen in order.values())
