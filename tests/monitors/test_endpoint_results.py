"""Results of checks: states, thresholds, alerts, certificates, the grid."""

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.core import bell
from apps.core.net import PeerCertificate
from apps.core.net.certificates import read_certificate
from apps.core.principals import system
from apps.monitors.checks import CertificateSeen, CheckOutcome
from apps.monitors.models import CertificateMonitor, CheckResult, DirtyBucket, Endpoint, EndpointState
from apps.monitors.services.endpoint_configs import config_of, configs_of
from apps.monitors.services.endpoint_results import CheckRun, next_on_grid, record_results, release_checks
from apps.monitors.services.endpoints import pause_endpoint, resume_endpoint, update_endpoint
from tests.factories.monitors import facts, make_endpoint, record, record_all
from tests.support.servers import CertificateAuthority

pytestmark = pytest.mark.django_db
CA = CertificateAuthority()


def told() -> list[tuple[str, str]]:
    """Return what was told about endpoints: (status, level) of alerts, ("recovered", "") of recoveries."""
    names = {"endpoint.alert", "endpoint.recovery"}
    events = sorted((event for name in names for event in facts(name)), key=lambda event: event.id)
    return [
        (event.data["status"], event.data["level"]) if event.name == "endpoint.alert" else ("recovered", "")
        for event in events
    ]


# --- thresholds --------------------------------------------------------------------------------------------------


def test_new_endpoint_is_unknown_until_its_first_check() -> None:
    endpoint = make_endpoint()
    state = EndpointState.objects.get(num=endpoint.num)
    assert (state.status, state.last_check_at) == ("unknown", None)
    assert state.next_check_at is not None and state.next_check_at <= timezone.now()
    assert record(endpoint, "up").status == "up"


def test_failure_at_threshold_one_flips_and_tells_at_once() -> None:
    endpoint = make_endpoint(tags=["shop"])
    state = record(endpoint, "down", error="It answered 500.")
    assert (state.status, state.alert_level, state.consecutive_failures) == ("down", "critical", 1)
    [alert] = facts("endpoint.alert")
    assert alert.data["last_error"] == "It answered 500."
    assert (alert.level, alert.tags, alert.subject_kind, alert.subject_id) == (
        "critical", ["shop"], "endpoint", str(endpoint.pk),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("results", "wanted"),
    [
        ("udd", []),
        ("uddu", []),
        ("udduddudd", []),
        ("uddd", [("down", "critical")]),
        ("uddddd", [("down", "critical")]),
        ("udddu", [("down", "critical")]),
        ("udddudu", [("down", "critical")]),
        ("udddudddd", [("down", "critical")]),
        ("udddudduu", [("down", "critical"), ("recovered", "")]),
        ("udddunnu", [("down", "critical"), ("recovered", "")]),
        ("udddnuu", [("down", "critical"), ("recovered", "")]),
        ("ddnd", [("down", "critical")]),
        ("ggg", [("degraded", "warning")]),
        ("gggddd", [("degraded", "warning"), ("down", "critical")]),
        ("ggguu", [("degraded", "warning"), ("recovered", "")]),
        ("dddggguu", [("down", "critical"), ("recovered", "")]),
        ("nnnn", []),
    ],
)
def test_results_against_thresholds_tell_what_they_should(results: str, wanted: list[tuple[str, str]]) -> None:
    endpoint = make_endpoint(failure_threshold=3, recovery_threshold=2)
    record_all(endpoint, results)
    assert told() == wanted


def test_recovery_tells_the_downtime_from_the_first_failure_to_the_first_success() -> None:
    endpoint = make_endpoint(failure_threshold=2, recovery_threshold=2)
    start = timezone.now() - timedelta(hours=1)
    record_all(endpoint, "udddduu", start=start, step_s=60)
    [recovery] = facts("endpoint.recovery")
    assert recovery.data["downtime_s"] == 240
    assert datetime.fromisoformat(recovery.data["since"]) == start + timedelta(seconds=60)


def test_unknown_result_shows_but_moves_no_counter() -> None:
    endpoint = make_endpoint(failure_threshold=2)
    record(endpoint, "down")
    state = record(endpoint, "unknown", error="The platform can't check now.")
    assert (state.status, state.consecutive_failures, state.last_error) == (
        "unknown", 1, "The platform can't check now.",
    )  # fmt: skip
    assert not told()


def test_state_keeps_the_last_thirty_results() -> None:
    endpoint = make_endpoint()
    state = record_all(endpoint, "u" * 33 + "dng", step_s=10)
    parts = state.recent.split(",")
    assert len(parts) == 30
    assert parts[-4:] == ["u20", "d", "n", "g20"]


# --- storing -----------------------------------------------------------------------------------------------------


def run_of(endpoint: Endpoint, status: str = "up", at: datetime | None = None) -> CheckRun:
    return CheckRun(config_of(Endpoint.objects.get(pk=endpoint.pk)), at or timezone.now(), CheckOutcome(status, 12.0))


def test_batch_of_results_is_stored_with_its_marks_and_gives_claims_back() -> None:
    endpoints = [make_endpoint(name=str(number)) for number in range(3)]
    EndpointState.objects.update(lease_owner="me", lease_until=timezone.now() + timedelta(minutes=1))
    assert record_results([run_of(endpoint) for endpoint in endpoints]) == 3
    assert CheckResult.objects.count() == DirtyBucket.objects.count() == 3
    assert not EndpointState.objects.exclude(lease_owner="", lease_until=None).exists()


def test_batch_repeated_counts_once() -> None:
    endpoint = make_endpoint(failure_threshold=2)
    runs = [run_of(endpoint, "down")]
    record_results(runs)
    record_results(runs)
    state = EndpointState.objects.get(num=endpoint.num)
    assert (CheckResult.objects.count(), state.consecutive_failures, told()) == (1, 1, [])


def test_late_result_is_stored_but_moves_nothing() -> None:
    endpoint = make_endpoint()
    record(endpoint, "up")
    state = record(endpoint, "down", at=timezone.now() - timedelta(minutes=5))
    assert (state.status, CheckResult.objects.count(), told()) == ("up", 2, [])


def test_result_of_an_endpoint_changed_meanwhile_is_dropped() -> None:
    endpoint = make_endpoint()
    run = run_of(endpoint, "down")
    EndpointState.objects.update(lease_owner="me")
    update_endpoint(endpoint=endpoint, actor=system("test"), values={"target": "http://127.0.0.1:10/"})
    assert record_results([run]) == 0
    state = EndpointState.objects.get(num=endpoint.num)
    assert (state.status, state.lease_owner, CheckResult.objects.exists()) == ("unknown", "", False)
    assert state.next_check_at is not None and state.next_check_at <= timezone.now()


def test_result_of_an_endpoint_paused_or_removed_meanwhile_is_dropped() -> None:
    paused, removed = make_endpoint(name="paused"), make_endpoint(name="removed")
    runs = [run_of(paused, "down"), run_of(removed, "down")]
    pause_endpoint(endpoint=paused, actor=system("test"))
    removed.delete()
    assert record_results(runs) == 0
    assert EndpointState.objects.get(num=paused.num).status == "paused"
    assert not told()


def test_resumed_endpoint_starts_unknown_and_tells_again_while_down() -> None:
    endpoint = make_endpoint()
    record(endpoint, "down")
    pause_endpoint(endpoint=endpoint, actor=system("test"))
    resume_endpoint(endpoint=endpoint, actor=system("test"))
    state = EndpointState.objects.get(num=endpoint.num)
    assert (state.status, state.alert_level, state.failing_since) == ("unknown", "", None)
    record(endpoint, "down")
    assert told() == [("down", "critical"), ("down", "critical")]


def test_claim_given_back_is_free_for_others() -> None:
    endpoint = make_endpoint()
    EndpointState.objects.update(lease_owner="me", lease_until=timezone.now() + timedelta(minutes=1))
    release_checks([endpoint.num])
    assert EndpointState.objects.get(num=endpoint.num).lease_until is None


@pytest.mark.django_db(transaction=True)
def test_stored_result_is_published_live() -> None:
    heard: list[dict[str, Any]] = []
    endpoint = make_endpoint()

    def listen(_: str, batch: list[dict[str, Any]]) -> None:
        # Batches leave later: those of other tests may still be on their way.
        heard.extend(message for message in batch if message["subject"]["id"] == str(endpoint.pk))

    bell.listen(bell.LIVE, listen)
    try:
        record(endpoint, "degraded", latency_ms=950.4)
        deadline = timezone.now() + timedelta(seconds=10)
        while not heard and timezone.now() < deadline:
            time.sleep(0.02)
    finally:
        bell.unlisten(bell.LIVE, listen)
    [message] = heard
    assert message["event"] == "endpoint.check_result"
    data = message["data"]
    assert isinstance(data, dict)
    assert (data["endpoint_id"], data["status"], data["up"], data["latency_ms"]) == (
        str(endpoint.pk), "degraded", True, 950.4,
    )  # fmt: skip


def test_unreadable_endpoint_is_checked_as_unknown_and_stops_no_other() -> None:
    broken, good = make_endpoint(name="broken"), make_endpoint(name="good")
    Endpoint.objects.filter(pk=broken.pk).update(json_path="a[")
    configs = configs_of([(broken.pk, 1), (good.pk, 1)])
    assert "can't be read" in configs[broken.pk].fault
    assert configs[good.pk].fault == ""


def test_configs_seen_before_need_no_query(django_assert_num_queries) -> None:  # type: ignore[no-untyped-def]
    endpoints = [make_endpoint(name=str(number)) for number in range(5)]
    pairs = [(endpoint.pk, endpoint.revision) for endpoint in endpoints]
    with django_assert_num_queries(1):
        configs_of(pairs)
    with django_assert_num_queries(0):
        assert len(configs_of(pairs)) == 5


# --- the grid ----------------------------------------------------------------------------------------------------


def test_grid_has_no_drift_whatever_the_start() -> None:
    at = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    points = []
    for delay in (0.0, 0.9, 0.2, 0.5, 0.0):
        at = next_on_grid(num=7, interval_s=30, after=at + timedelta(seconds=delay))
        points.append(at)
    steps = {(later - earlier).total_seconds() for earlier, later in zip(points, points[1:], strict=False)}
    assert {round(step, 3) for step in steps} == {30.0}


def test_grid_spreads_endpoints_evenly_over_the_interval() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    seconds = [int((next_on_grid(num=num, interval_s=60, after=at) - at).total_seconds()) for num in range(1, 5001)]
    loads = [seconds.count(second) for second in range(60)]
    assert sum(loads) == 5000
    assert max(loads) <= 2 * 5000 / 60


# --- certificates ------------------------------------------------------------------------------------------------


def certificate(days: float, now: datetime) -> PeerCertificate:
    import ssl

    issued = CA.issue(not_before=now - timedelta(days=60), not_after=now + timedelta(days=days))
    found = read_certificate(ssl.PEM_cert_to_DER_cert(issued.pem))
    assert found is not None
    return found


def test_certificate_tells_once_for_every_warning_day_it_crosses() -> None:
    endpoint = make_endpoint(target="https://shop.example.org/")
    now = timezone.now().replace(microsecond=0)
    seen = CertificateSeen(certificate(31, now))
    for hours in range(0, 33 * 24, 12):
        record(endpoint, "up", at=now + timedelta(hours=hours), certificate=seen)
    alerts = facts("certificate.alert")
    assert [(alert.data["reason"], alert.data["level"]) for alert in alerts] == [
        ("expiring", "warning"),
        ("expiring", "warning"),
        ("expiring", "warning"),
        ("expiring", "critical"),
        ("expiring", "critical"),
        ("expired", "critical"),
    ]
    assert [int(alert.data["days_left"]) for alert in alerts[:5]] == [30, 14, 7, 3, 1]
    monitor = CertificateMonitor.objects.get(endpoint=endpoint)
    assert (alerts[0].subject_kind, alerts[0].subject_id) == ("certificate", str(monitor.pk))
    assert (alerts[0].data["hostname"], alerts[0].data["port"]) == ("shop.example.org", 443)
    assert not facts("certificate.recovery")


def test_certificate_renewed_recovers_once() -> None:
    endpoint = make_endpoint(target="https://shop.example.org/")
    now = timezone.now().replace(microsecond=0)
    record(endpoint, "up", at=now, certificate=CertificateSeen(certificate(5, now)))
    fresh = CertificateSeen(certificate(90, now))
    state = record(endpoint, "up", at=now + timedelta(minutes=1), certificate=fresh)
    record(endpoint, "up", at=now + timedelta(minutes=2), certificate=fresh)
    assert (len(facts("certificate.alert")), len(facts("certificate.recovery"))) == (1, 1)
    assert state.certificate_alert == ""
    assert state.certificate is not None
    assert fresh.certificate is not None
    assert state.certificate["fingerprint_sha256"] == fresh.certificate.fingerprint_sha256


def test_certificate_in_order_is_kept_and_tells_nothing() -> None:
    endpoint = make_endpoint(target="https://shop.example.org/")
    now = timezone.now()
    state = record(endpoint, "up", certificate=CertificateSeen(certificate(90, now)))
    assert state.certificate is not None and "CN=localhost" in state.certificate["subject"]
    assert not facts("certificate.alert")


def test_certificate_that_is_not_trusted_is_told_with_its_reason() -> None:
    endpoint = make_endpoint(target="https://shop.example.org/")
    bad = CertificateSeen(certificate(90, timezone.now()), "name_mismatch", "It is for another name.")
    record(endpoint, "down", certificate=bad)
    record(endpoint, "down", certificate=bad)
    [alert] = facts("certificate.alert")
    assert (alert.data["reason"], alert.data["message"]) == ("name_mismatch", "It is for another name.")


def test_certificate_is_forgotten_when_the_target_changes() -> None:
    endpoint = make_endpoint(target="https://shop.example.org/")
    now = timezone.now().replace(microsecond=0)
    record(endpoint, "up", certificate=CertificateSeen(certificate(5, now)))
    update_endpoint(endpoint=endpoint, actor=system("test"), values={"target": "http://127.0.0.1:10/"})
    state = EndpointState.objects.get(num=endpoint.num)
    assert (state.certificate, state.certificate_alert) == (None, "")
    [recovery] = facts("certificate.recovery")
    assert (recovery.data["hostname"], recovery.data["port"]) == ("shop.example.org", 443)


def test_certificate_is_told_again_after_a_pause() -> None:
    endpoint = make_endpoint(target="https://shop.example.org/")
    now = timezone.now().replace(microsecond=0)
    seen = CertificateSeen(certificate(5, now))
    record(endpoint, "up", at=now, certificate=seen)
    pause_endpoint(endpoint=endpoint, actor=system("test"))
    resume_endpoint(endpoint=endpoint, actor=system("test"))
    record(endpoint, "up", at=now + timedelta(minutes=1), certificate=seen)
    assert len(facts("certificate.alert")) == 2
