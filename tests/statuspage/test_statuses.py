"""What components and pages show: derived, overridden, under maintenance, unknown."""

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.alerts.services import open_alert
from apps.core.errors import Conflict, Invalid
from apps.core.events import Subject
from apps.core.events.readers import read_once, readers
from apps.core.events.sequencer import sequence_events
from apps.core.principals import system
from apps.fleet.models import ServerState
from apps.monitors.models import (
    CertificateMonitor,
    CertificateMonitorState,
    EndpointState,
    HeartbeatState,
    MaintenanceWindow,
)
from apps.monitors.services import maintenance
from apps.statuspage import services
from apps.statuspage.models import Component, ComponentState, PageState, StatusChange
from apps.statuspage.states import combined, worst
from tests.factories.accounts import principal
from tests.factories.fleet import make_server, push, snapshot
from tests.factories.heartbeats import make_heartbeat, ping
from tests.factories.monitors import facts, make_endpoint, record
from tests.factories.statuspage import ACTOR, make_component, make_notice, make_page

pytestmark = pytest.mark.django_db


def status_of(component: Component) -> str:
    """Return what is shown now."""
    services.refresh_components()
    return ComponentState.objects.get(component=component).status


def test_endpoint_shows_what_its_checks_found() -> None:
    endpoint = make_endpoint()
    component = make_component(endpoint=endpoint)
    assert status_of(component) == "no_data"
    record(endpoint, "up")
    assert status_of(component) == "operational"
    record(endpoint, "down")
    assert status_of(component) == "major_outage"
    record(endpoint, "up")
    assert status_of(component) == "operational"
    record(endpoint, "degraded")
    assert status_of(component) == "degraded"


def test_failure_under_the_threshold_is_no_outage_yet() -> None:
    endpoint = make_endpoint(failure_threshold=3)
    component = make_component(endpoint=endpoint)
    record(endpoint, "up")
    record(endpoint, "down")
    assert status_of(component) == "operational"
    record(endpoint, "down")
    record(endpoint, "down")
    assert status_of(component) == "major_outage"


def test_our_own_blindness_is_no_data_and_never_an_outage() -> None:
    endpoint = make_endpoint()
    component = make_component(endpoint=endpoint)
    record(endpoint, "up")
    record(endpoint, "unknown")
    assert status_of(component) == "no_data"


def test_endpoint_that_nobody_checks_any_more_has_no_data() -> None:
    endpoint = make_endpoint()
    component = make_component(endpoint=endpoint)
    record(endpoint, "up")
    EndpointState.objects.update(next_check_at=timezone.now() - timedelta(hours=1))
    assert status_of(component) == "no_data"


def test_heartbeat_shows_its_runs() -> None:
    heartbeat = make_heartbeat()
    component = make_component(source="heartbeat", source_id=str(heartbeat.pk))
    assert status_of(component) == "no_data"
    ping(heartbeat)
    assert status_of(component) == "operational"
    HeartbeatState.objects.filter(heartbeat=heartbeat).update(status="late")
    assert status_of(component) == "degraded"
    ping(heartbeat, "fail")
    assert status_of(component) == "major_outage"


def test_server_shows_whether_it_is_there_and_is_found_by_its_slug() -> None:
    server = make_server("web-1")
    component = make_component(source="server", source_id=server.slug)
    assert component.source_id == str(server.pk)
    push(server, snapshot())
    assert status_of(component) == "operational"
    ServerState.objects.filter(server=server).update(status="offline")
    assert status_of(component) == "major_outage"


def test_certificate_shows_how_it_was_found() -> None:
    monitor = CertificateMonitor.objects.create(num=900, hostname="internal.example")
    CertificateMonitorState.objects.create(certificate=monitor, num=900)
    component = make_component(source="certificate", source_id=str(monitor.pk))
    expected = {
        "unknown": "no_data", "valid": "operational", "expiring": "degraded", "expired": "major_outage",
        "error": "major_outage",
    }  # fmt: skip
    for found, shown in expected.items():
        CertificateMonitorState.objects.update(status=found)
        assert status_of(component) == shown


def test_fact_about_a_thing_moves_its_component_and_the_whole_page() -> None:
    endpoint = make_endpoint()
    page = make_page(slug="acme")
    make_component(page, endpoint, name="Shop")
    record(endpoint, "up")
    services.refresh_components()
    record(endpoint, "down")
    sequence_events()
    while read_once(readers["statuspage.things"]):
        pass
    assert PageState.objects.get(page=page).status == "major_outage"
    changed = facts("status.component_changed")[-1].data
    assert changed["public"] == {
        "page": "acme",
        "name": "Shop",
        "group": None,
        "status": "major_outage",
        "previous_status": "operational",
        "at": changed["public"]["at"],
    }
    whole = facts("status.global_changed")[-1].data["public"]
    assert (whole["status"], whole["message"]) == ("major_outage", "Major System Outage")


def test_status_set_by_hand_shows_with_author_and_ends_by_itself() -> None:
    endpoint = make_endpoint()
    component = make_component(endpoint=endpoint)
    record(endpoint, "up")
    until = timezone.now() + timedelta(hours=1)
    actor = principal("operator")
    changed = services.update_component(
        component_id=component.id, actor=actor,
        values={"override_status": "partial_outage", "override_until": until, "override_note": "Half of it"},
    )  # fmt: skip
    assert (changed.override_by, status_of(component)) == (actor.name, "partial_outage")
    assert facts("status.component_overridden")[-1].data["status"] == "partial_outage"
    assert services.end_overrides(now=timezone.now()) == 0
    assert services.end_overrides(now=until + timedelta(seconds=1)) == 1
    component.refresh_from_db()
    assert (component.override_status, component.override_by, status_of(component)) == ("", "", "operational")
    assert facts("status.override_ended")[-1].data["component_id"] == str(component.id)


def test_empty_override_takes_it_back_and_one_in_the_past_is_refused() -> None:
    component = make_component()
    services.update_component(component_id=component.id, values={"override_status": "degraded"}, actor=ACTOR)
    assert status_of(component) == "degraded"
    services.update_component(component_id=component.id, values={"override_status": ""}, actor=ACTOR)
    assert status_of(component) == "no_data"
    with pytest.raises(Invalid) as refused:
        services.update_component(
            component_id=component.id, actor=ACTOR,
            values={"override_status": "degraded", "override_until": timezone.now() - timedelta(hours=1)},
        )  # fmt: skip
    assert list(refused.value.problems) == ["override_until"]


def test_component_of_a_running_maintenance_is_under_maintenance() -> None:
    component = make_component()
    now = timezone.now()
    notice = make_notice(
        component.page, kind="maintenance", publish=True, components=[component],
        starts_at=now + timedelta(hours=1), ends_at=now + timedelta(hours=2),
    )  # fmt: skip
    assert status_of(component) == "no_data"
    assert services.keep_times(now=now + timedelta(minutes=61)) == 1
    assert status_of(component) == "under_maintenance"
    assert services.keep_times(now=now + timedelta(minutes=121)) == 1
    notice.refresh_from_db()
    assert (notice.state, status_of(component)) == ("completed", "no_data")
    assert facts("status.maintenance_started")
    assert facts("status.maintenance_ended")


def test_maintenance_window_of_a_monitor_shows_as_maintenance() -> None:
    endpoint = make_endpoint()
    component = make_component(endpoint=endpoint)
    record(endpoint, "up")
    now = timezone.now()
    MaintenanceWindow.objects.create(
        title="secret-window", kind="once", starts_at=now - timedelta(minutes=5), ends_at=now + timedelta(hours=1),
        targets=[["endpoint", str(endpoint.pk)]], next_change_at=now + timedelta(hours=1),
    )  # fmt: skip
    maintenance.forget()
    assert status_of(component) == "under_maintenance"


def test_every_change_is_kept_in_order() -> None:
    endpoint = make_endpoint()
    component = make_component(endpoint=endpoint)
    for found in ("up", "down", "up"):
        record(endpoint, found)
        services.refresh_components()
    kept = list(StatusChange.objects.filter(component=component).values_list("status", flat=True))
    assert kept == ["no_data", "operational", "major_outage", "operational"]


@pytest.mark.parametrize(
    ("statuses", "one", "many"),
    [
        ([], "no_data", "no_data"),
        (["no_data", "operational"], "operational", "operational"),
        (["operational", "under_maintenance"], "under_maintenance", "under_maintenance"),
        (["operational", "degraded"], "degraded", "degraded"),
        (["operational", "partial_outage"], "partial_outage", "partial_outage"),
        (["operational", "major_outage"], "major_outage", "partial_outage"),
        (["major_outage", "no_data", "major_outage"], "major_outage", "major_outage"),
    ],
)
def test_page_shows_its_worst_and_a_group_what_its_members_are_together(
    statuses: list[str], one: str, many: str
) -> None:
    assert (worst(statuses), combined(statuses)) == (one, many)


def test_thing_that_does_not_exist_or_stands_there_already_is_refused() -> None:
    component = make_component()
    with pytest.raises(Invalid, match="no such endpoint"):
        make_component(source="endpoint", source_id="0190a3c4-0000-7000-8000-000000000000")
    with pytest.raises(Invalid, match="no containers"):
        make_component(source="container", source_id="web")
    with pytest.raises(Conflict, match="already"):
        make_component(source="endpoint", source_id=component.source_id)
    with pytest.raises(Conflict, match="of that name"):
        make_component(name=component.name)


def test_component_of_a_removed_thing_has_no_data() -> None:
    endpoint = make_endpoint()
    component = make_component(endpoint=endpoint)
    record(endpoint, "up")
    assert status_of(component) == "operational"
    endpoint.delete()
    assert status_of(component) == "no_data"


def test_alert_that_lasts_drafts_a_notice_and_a_blip_none() -> None:
    endpoint = make_endpoint(name="secret-host", target="http://127.0.0.1:9/secret-path")
    component = make_component(endpoint=endpoint, drafts_notices=True, name="Shop")
    subject = Subject("endpoint", str(endpoint.pk), "secret-host")
    alert = open_alert(
        source="endpoint", kind="availability", subject=subject, level="critical", message="secret-host is down",
        actor=system("test"),
    )  # fmt: skip
    assert services.draft_from_alerts(now=alert.opened_at + timedelta(seconds=90)) == 0
    assert services.draft_from_alerts(now=alert.opened_at + timedelta(seconds=121)) == 1
    assert services.draft_from_alerts(now=alert.opened_at + timedelta(seconds=150)) == 0
    notice = component.notices.get()
    assert (notice.is_draft, notice.title, notice.drafted_from) == (True, "Shop is not available", alert.id)
    assert facts("status.notice_drafted")
    assert not facts("status.incident_created")
    assert "secret" not in str(list(notice.updates.values()))


def test_alert_of_a_component_that_asks_for_no_draft_makes_none() -> None:
    endpoint = make_endpoint()
    make_component(endpoint=endpoint)
    subject = Subject("endpoint", str(endpoint.pk), "x")
    alert = open_alert(
        source="endpoint", kind="availability", subject=subject, level="critical", message="m", actor=system("test")
    )
    assert services.draft_from_alerts(now=alert.opened_at + timedelta(hours=1)) == 0
