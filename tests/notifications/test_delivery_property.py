"""No state change without a message: random ups, downs, failures and deaths of the sender."""

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core.net import run_sync
from apps.notifications.models import Attempt, Channel, Delivery, Webhook
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
    max_size=25,
)


class Receiver:
    """Stands in for the network alone: what arrives, and what is answered."""

    def __init__(self) -> None:
        self.arrived: list[Message] = []
        self.mood = "ok"

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        if self.mood == "fail":
            return Outcome(False, status_code=503, error="busy")
        self.arrived.append(message)
        return (
            Outcome(False, error="no answer")
            if self.mood == "hang up after receiving"
            else Outcome(True, status_code=200)
        )


def run(actions: list[tuple[str, str]], receiver: Receiver) -> list[tuple[str, str, str]]:
    """Play the actions, then let everything come to its end; returns what happened as (id, event, subject)."""
    happened: list[tuple[str, str, str]] = []
    alerts: dict[str, tuple[int, bool]] = {"web": (0, False), "db": (0, False)}

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
            number, is_open = alerts[value]
            number += 0 if is_open else 1
            alerts[value] = (number, not is_open)
            fact = make_fact("alert.resolved" if is_open else "alert.opened", f"{value}-{number}", thing=value)
            happened.append((str(fact.uid), fact.name, fact.subject_id))
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


@pytest.mark.django_db
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS, kind=st.sampled_from(["webhook", "channel"]))
def test_every_change_arrives_in_order_and_repeats_carry_the_same_id(
    monkeypatch: pytest.MonkeyPatch, actions: list[tuple[str, str]], kind: str
) -> None:
    for model in (Attempt, Delivery, Channel, Webhook):
        model._default_manager.all().delete()
    receiver = Receiver()
    with monkeypatch.context() as patch:
        patch.setattr(transports["webhook"], "send", receiver.send)
        if kind == "webhook":
            make_webhook(events=["alert.*"])
        else:
            make_channel()
        happened = run(actions, receiver)
    arrived = [
        (message.id, body["type"], body["subject"]["id"])
        for message in receiver.arrived
        for body in [json.loads(message.body)]
    ]
    # Every change arrives, and nothing else.
    assert set(arrived) == set(happened)
    # What belongs together arrives in the order in which it happened; a repeat never comes after its successor.
    of_subject: defaultdict[str, list[str]] = defaultdict(list)
    for _, name, subject in arrived:
        if not of_subject[subject] or of_subject[subject][-1] != name:
            of_subject[subject].append(name)
    assert all(seen in (["alert.opened"], ["alert.opened", "alert.resolved"]) for seen in of_subject.values())
    # One id per change.
    ids: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for message_id, name, subject in arrived:
        ids[name, subject].add(message_id)
    assert all(len(found) == 1 for found in ids.values())
    assert not Delivery.objects.filter(next_attempt_at__isnull=False).exists()
