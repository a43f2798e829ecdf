"""Thresholds against the latest figures: duration, hysteresis, own before global, offline is not recovery."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.alerts import services
from apps.alerts.models import Alert, Breach, Threshold
from apps.fleet.models import Server, ServerState
from tests.factories.accounts import principal
from tests.factories.fleet import make_server

pytestmark = pytest.mark.django_db
NOW = timezone.now()


def measure(server: Server, *, at_s: float = 0, status: str = "online", mounts: str = "[]", **values: float) -> None:
    """Set the server's latest figures and evaluate, `at_s` seconds from the start."""
    ServerState.objects.update_or_create(
        server=server, defaults={"sample_at": 1, "last_seen_at": NOW, "status": status, "mounts": mounts, **values}
    )
    services.evaluate_thresholds(now=NOW + timedelta(seconds=at_s))


def open_alerts(server: Server) -> list[tuple[str, str]]:
    return sorted(Alert.objects.unresolved().filter(subject_id=str(server.id)).values_list("kind", "level"))


def test_breach_opens_an_alert_only_after_it_has_lasted() -> None:
    server = make_server()
    measure(server, cpu=99)
    measure(server, at_s=119, cpu=99)
    assert open_alerts(server) == []
    measure(server, at_s=121, cpu=99)
    assert open_alerts(server) == [("cpu", "critical")]


def test_breach_that_ends_too_early_starts_its_clock_anew() -> None:
    server = make_server()
    measure(server, cpu=85)
    measure(server, at_s=60, cpu=79.9)
    measure(server, at_s=70, cpu=85)
    measure(server, at_s=130, cpu=85)
    assert open_alerts(server) == []


def test_value_flapping_around_the_limit_is_one_alert() -> None:
    server = make_server()
    for second in range(0, 600, 10):
        measure(
            server,
            at_s=second,
            mounts='[["/", 80.1, 100, 80, null]]' if second % 20 else '[["/", 79.9, 100, 80, null]]',
            disk=80,
        )
    assert Alert.objects.filter(subject_id=str(server.id)).count() == 1
    assert open_alerts(server) == [("disk:/", "warning")]


def test_warning_escalates_to_critical_and_clears_when_both_are_over() -> None:
    server = make_server()
    Threshold.objects.update(for_s=0)
    measure(server, memory=86)
    measure(server, at_s=5, memory=97)
    assert open_alerts(server) == [("memory", "critical")]
    measure(server, at_s=10, memory=86)
    assert open_alerts(server) == [("memory", "critical")]
    measure(server, at_s=15, memory=50)
    assert open_alerts(server) == []
    assert not Breach.objects.exists()


def test_own_threshold_replaces_the_global_of_its_metric_and_level() -> None:
    server, other = make_server(), make_server()
    services.create_threshold(
        actor=principal(), values={"server": server, "metric": "cpu", "level": "warning", "value": 99.0}
    )
    Threshold.objects.update(for_s=0)
    for one in (server, other):
        measure(one, cpu=90)
    assert open_alerts(server) == []
    assert open_alerts(other) == [("cpu", "warning")]


def test_offline_server_neither_recovers_nor_alerts() -> None:
    server = make_server()
    Threshold.objects.update(for_s=0)
    measure(server, cpu=90)
    measure(server, at_s=5, status="offline", cpu=1)
    assert open_alerts(server) == [("cpu", "warning")]


def test_alert_resolved_by_hand_stays_resolved_until_the_breach_has_cleared_once() -> None:
    server = make_server()
    Threshold.objects.update(for_s=0)
    measure(server, cpu=90)
    services.resolve_alert(alert_id=Alert.objects.get(subject_id=str(server.id)).id, actor=principal())
    measure(server, at_s=5, cpu=90)
    assert open_alerts(server) == []
    measure(server, at_s=10, cpu=10)
    measure(server, at_s=15, cpu=90)
    assert open_alerts(server) == [("cpu", "warning")]


def test_removed_threshold_clears_what_it_had_opened() -> None:
    server = make_server()
    Threshold.objects.update(for_s=0)
    measure(server, cpu=90)
    services.delete_threshold(threshold_id=Threshold.objects.get(metric="cpu", level="warning").id, actor=principal())
    measure(server, at_s=5, cpu=90)
    assert open_alerts(server) == []


def test_evidence_holds_the_values_and_the_top_processes() -> None:
    server = make_server()
    Threshold.objects.update(for_s=0)
    measure(server, cpu=90)
    evidence = Alert.objects.get(subject_id=str(server.id)).evidence
    assert evidence["metric"] == "cpu"
    assert isinstance(evidence["values"], list)
    assert isinstance(evidence["top_processes"], list)
