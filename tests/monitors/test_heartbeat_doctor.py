"""The heartbeat doctor and the preview of a schedule, by the API."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from apps.monitors.models import Heartbeat
from apps.monitors.services.heartbeat_sweep import expire_due
from tests.factories.accounts import client_as, make_user
from tests.factories.heartbeats import make_heartbeat, ping, state_of
from tests.support.console import console_of

pytestmark = pytest.mark.django_db

URL = "/api/v1/heartbeats"


@pytest.fixture
def operator() -> APIClient:
    return client_as("operator")


def doctor(client: APIClient, heartbeat: Any) -> dict[str, Any]:
    response = client.get(f"{URL}/{heartbeat.id}/doctor")
    assert response.status_code == 200, response.content
    body: dict[str, Any] = response.json()
    return body


def test_next_runs_are_told_in_the_jobs_own_zone(operator: APIClient) -> None:
    heartbeat = make_heartbeat(cron="30 6 * * *", timezone_name="Asia/Kolkata")
    found = doctor(operator, heartbeat)
    assert len(found["next_runs"]) == 10
    assert all(run["local"].endswith("T06:30:00+05:30") for run in found["next_runs"])
    assert all(run["at"].endswith("T01:00:00Z") for run in found["next_runs"])
    assert (found["schedule"], found["timezone"]) == ("At 06:30 every day, Asia/Kolkata", "Asia/Kolkata")
    assert found["summary"].startswith("Waiting for the first ping.")


def test_job_in_another_zone_is_recognised_and_the_zone_named(operator: APIClient) -> None:
    heartbeat = make_heartbeat(cron="0 2 * * *", timezone_name="Europe/Berlin", grace_seconds=600)
    tokyo = ZoneInfo("Asia/Tokyo")
    for day in (10, 11, 12):
        began = datetime(2026, 1, day, 2, 0, 5, tzinfo=tokyo).astimezone(UTC)
        ping(heartbeat, "start", began)
        ping(heartbeat, at=began + timedelta(minutes=20))
    offset = doctor(operator, heartbeat)["offset"]
    assert (offset["seconds"], offset["runs"]) == (-8 * 3600, 3)
    assert "Asia/Tokyo" in offset["zones"]
    assert operator.put(f"{URL}/{heartbeat.id}", {"timezone": "Asia/Tokyo"}).status_code == 200
    assert doctor(operator, heartbeat)["offset"] is None


def test_runs_before_another_expression_say_nothing(operator: APIClient) -> None:
    heartbeat = make_heartbeat(cron="0 2 * * *")
    for day in (10, 11, 12):
        ping(heartbeat, at=datetime(2026, 1, day, 2, tzinfo=UTC))
    assert operator.put(f"{URL}/{heartbeat.id}", {"cron": "0 4 * * *"}).status_code == 200
    assert doctor(operator, heartbeat)["offset"] is None


def test_each_down_is_explained_by_one_sentence(operator: APIClient) -> None:
    heartbeat = make_heartbeat(name="backup", interval_seconds=60, grace_seconds=30)
    first = timezone.now() - timedelta(hours=2)
    ping(heartbeat, at=first)
    expire_due(now=first + timedelta(seconds=91))
    ping(heartbeat, at=first + timedelta(seconds=120))
    ping(heartbeat, "fail", first + timedelta(seconds=150), 7)
    found = doctor(operator, heartbeat)
    failed, missed = found["downs"]
    assert (failed["reason"], failed["until"], missed["reason"]) == ("failed", None, "missed")
    assert missed["until"] is not None
    assert "was expected at" in missed["sentence"]
    assert "every 1 min, 30 s grace" in missed["sentence"]
    assert "exit code 7" in failed["sentence"]
    assert found["summary"] == failed["sentence"]


def test_suggestion_follows_the_recorded_runs(operator: APIClient) -> None:
    heartbeat = make_heartbeat(interval_seconds=3600, grace_seconds=60)
    first = timezone.now() - timedelta(hours=1)
    for n in range(5):
        ping(heartbeat, at=first + timedelta(minutes=10 * n))
    suggestion = doctor(operator, heartbeat)["suggestion"]
    assert (suggestion["interval_seconds"], suggestion["grace_seconds"]) == (600, 120)


def test_ping_sixty_seconds_early_counts_for_the_coming_run(operator: APIClient) -> None:
    heartbeat = make_heartbeat(cron="0 2 * * *", early_seconds=60, grace_seconds=600)
    ping(heartbeat, at=datetime(2026, 1, 10, 2, tzinfo=UTC))
    ping(heartbeat, at=datetime(2026, 1, 11, 1, 59, tzinfo=UTC))
    assert state_of(heartbeat).next_due_at == datetime(2026, 1, 12, 2, tzinfo=UTC)
    ping(heartbeat, at=datetime(2026, 1, 12, 1, 58, 59, tzinfo=UTC))
    assert state_of(heartbeat).next_due_at == datetime(2026, 1, 12, 2, tzinfo=UTC)


def test_doctor_costs_the_same_for_few_runs_and_for_many(operator: APIClient) -> None:
    heartbeat = make_heartbeat(cron="0 * * * *")
    counts = []
    for n in range(2):
        for hour in range(3 + n * 40):
            at = datetime(2026, 1, 10 + n, tzinfo=UTC) + timedelta(hours=hour, minutes=1)
            ping(heartbeat, "start", at)
            ping(heartbeat, "fail" if hour % 2 else "success", at + timedelta(seconds=9), hour % 2)
        with CaptureQueriesContext(connection) as queries:
            doctor(operator, heartbeat)
        counts.append(len([query for query in queries if "monitors_" in query["sql"] or "core_event" in query["sql"]]))
    assert counts[0] == counts[1] <= 10


@pytest.mark.parametrize("broken", [{"cron": "99 99 * * *"}, {"timezone": "Mars/Base"}])
def test_schedule_that_was_broken_behind_our_back_is_named_and_the_page_still_shown(
    operator: APIClient, broken: dict[str, str]
) -> None:
    heartbeat = make_heartbeat(cron="0 2 * * *")
    Heartbeat.objects.filter(pk=heartbeat.pk).update(**broken)
    found = doctor(operator, heartbeat)
    assert "can't be worked out" in found["warnings"][0]
    assert found["next_runs"] == []
    assert operator.get(f"{URL}/{heartbeat.id}").status_code == 200
    assert console_of(make_user("viewer")).get(f"/admin/monitors/heartbeat/{heartbeat.pk}/").status_code == 200


def test_doctor_of_an_unknown_heartbeat_is_404(operator: APIClient) -> None:
    assert operator.get(f"{URL}/nonsense/doctor").status_code == 404


# --- preview -------------------------------------------------------------------------------------------------------


def test_preview_shows_runs_words_and_warnings_and_saves_nothing(operator: APIClient) -> None:
    response = operator.post(f"{URL}/preview", {"cron": "30 2 31 * *", "timezone": "Europe/Berlin"}, format="json")
    body = response.json()
    assert response.status_code == 200
    assert len(body["next_runs"]) == 10
    assert "02:30" in body["schedule"]
    assert any("does not run in" in text for text in body["warnings"])
    assert (body["grace_seconds"], body["early_seconds"]) == (3600, 300)
    assert operator.get(URL).json()["count"] == 0


def test_preview_of_a_calendar_and_of_an_interval(operator: APIClient) -> None:
    weekdays = operator.post(f"{URL}/preview", {"on_calendar": "Mon..Fri 09:00", "timezone": "Asia/Tokyo"}).json()
    assert all(run["local"].endswith("T09:00:00+09:00") for run in weekdays["next_runs"])
    often = operator.post(f"{URL}/preview", {"interval_seconds": "5m", "grace_seconds": 400}).json()
    assert often["period_seconds"] == 300
    assert "noticed only after" in often["warnings"][0]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"cron": "0 25 * * *"}, "cron"), ({}, "interval_seconds"), ({"interval_seconds": 5}, "interval_seconds"),
        ({"on_calendar": "Mon..Foo"}, "on_calendar"), ({"cron": "@daily", "timezone": "Mars/Base"}, "timezone"),
        ({"cron": "0 1 * * *", "on_calendar": "weekly"}, "on_calendar"), ({"on_calendar": "*:*:*"}, "on_calendar"),
    ],
)  # fmt: skip
def test_wrong_schedule_is_refused_at_its_field(operator: APIClient, body: dict[str, Any], field: str) -> None:
    response = operator.post(f"{URL}/preview", body, format="json")
    assert response.status_code == 422
    assert field in [row["loc"][-1] for row in response.json()["detail"]]


def test_calendar_heartbeat_is_made_changed_and_waited_for(operator: APIClient) -> None:
    body = operator.post(URL, {"name": "weekly report", "on_calendar": "Mon *-*-* 09:00"}, format="json").json()
    assert (body["schedule"], body["on_calendar"], body["cron"]) == ("calendar", "Mon *-*-* 09:00", "")
    path = f"{URL}/{body['id']}"
    assert operator.put(path, {"name": "report"}, format="json").json()["on_calendar"] == "Mon *-*-* 09:00"
    changed = operator.put(path, {"cron": "0 9 * * 1"}, format="json").json()
    assert (changed["schedule"], changed["on_calendar"], changed["cron"]) == ("cron", "", "0 9 * * 1")
    assert operator.put(path, {"interval_seconds": 60}, format="json").json()["schedule"] == "interval"
    assert operator.put(path, {"on_calendar": "daily"}, format="json").json()["schedule"] == "calendar"
    assert operator.put(path, {"on_calendar": ""}, format="json").status_code == 422
