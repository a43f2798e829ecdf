"""Alerts open once, escalate, are acknowledged and resolved."""

import pytest
from django.db import IntegrityError, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.alerts import services
from apps.alerts.models import Alert
from apps.core.errors import Conflict
from apps.core.ids import new_id
from apps.core.models import Event
from tests.factories.accounts import principal
from tests.factories.alerts import endpoint_alert, endpoint_recovery, make_alert, run_spine

pytestmark = pytest.mark.django_db


def names(alert: Alert) -> list[str]:
    return list(
        Event.objects.filter(subject_kind="alert", subject_id=str(alert.id))
        .order_by("id")
        .values_list("name", flat=True)
    )


def test_second_report_of_the_same_fault_opens_no_second_alert() -> None:
    subject = str(new_id())
    first = make_alert("warning", subject_id=subject)
    second = make_alert("warning", subject_id=subject, message="still down")
    assert first.id == second.id
    assert second.message == "still down"
    assert names(first) == ["alert.opened"]


def test_higher_level_escalates_and_wakes_an_acknowledged_alert() -> None:
    subject = str(new_id())
    alert = make_alert("warning", subject_id=subject)
    services.acknowledge_alert(alert_id=alert.id, actor=principal())
    worse = make_alert("critical", subject_id=subject)
    assert (worse.level, worse.status) == ("critical", "active")
    assert names(alert) == ["alert.opened", "alert.acknowledged", "alert.escalated"]


def test_lower_level_keeps_the_worst_until_resolved() -> None:
    subject = str(new_id())
    make_alert("critical", subject_id=subject)
    assert make_alert("warning", subject_id=subject).level == "critical"


def test_resolved_alert_can_be_neither_acknowledged_nor_resolved_again() -> None:
    alert = make_alert()
    actor = principal()
    services.resolve_alert(alert_id=alert.id, actor=actor)
    with pytest.raises(Conflict):
        services.acknowledge_alert(alert_id=alert.id, actor=actor)
    with pytest.raises(Conflict):
        services.resolve_alert(alert_id=alert.id, actor=actor)


def test_database_holds_one_open_alert_a_subject() -> None:
    alert = make_alert()
    with pytest.raises(IntegrityError), transaction.atomic():
        Alert.objects.create(
            source=alert.source,
            kind=alert.kind,
            subject_kind="endpoint",
            subject_id=alert.subject_id,
            subject_name="x",
            level="info",
            message="x",
        )


def test_down_then_recovery_makes_one_alert_that_is_resolved() -> None:
    endpoint = str(new_id())
    endpoint_alert(endpoint, status="degraded")
    endpoint_alert(endpoint, status="down")
    endpoint_recovery(endpoint)
    run_spine()
    alert = Alert.objects.get(subject_id=endpoint)
    assert (alert.status, alert.level) == ("resolved", "critical")
    assert names(alert) == ["alert.opened", "alert.escalated", "alert.resolved"]
    assert alert.evidence["target"] == "http://127.0.0.1:9/"


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["down", "degraded", "up", "resolve", "acknowledge"]), max_size=9))
def test_any_sequence_leaves_an_alert_open_only_while_something_is_wrong(steps: list[str]) -> None:
    endpoint, actor, is_wrong = str(new_id()), principal(), False
    for step in steps:
        found = Alert.objects.unresolved().filter(subject_id=endpoint).first()
        if step in ("down", "degraded"):
            endpoint_alert(endpoint, status=step)
            is_wrong = True
        elif step == "up":
            endpoint_recovery(endpoint)
            is_wrong = False
        elif found and step == "resolve":
            services.resolve_alert(alert_id=found.id, actor=actor)
            is_wrong = False
        elif found:
            services.acknowledge_alert(alert_id=found.id, actor=actor)
        run_spine()
    assert Alert.objects.unresolved().filter(subject_id=endpoint).count() == int(is_wrong)
    for alert in Alert.objects.filter(subject_id=endpoint):
        told = names(alert)
        assert told[0] == "alert.opened"
        assert told.count("alert.opened") == 1
        assert told.count("alert.resolved") == int(alert.status == "resolved")
