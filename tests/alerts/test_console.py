"""The console: silences, dependencies, and why people were told of an alert."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.alerts.admin.silences import tomorrow_at_nine
from apps.alerts.models import Alert, Silence
from apps.alerts.services import evidence
from apps.monitors.models import Dependency
from apps.monitors.services.endpoints import update_endpoint
from tests.factories.accounts import make_user, principal
from tests.factories.alerts import make_alert, run_spine, server_offline
from tests.factories.fleet import make_server, push, snapshot
from tests.factories.monitors import make_endpoint
from tests.support.console import console_of

pytestmark = pytest.mark.django_db


def operator() -> Client:
    """Return the console of an operator."""
    return console_of(make_user("operator"))


def page(client: Client, url: str) -> str:
    """Return a page that must be there."""
    answer = client.get(url)
    assert answer.status_code == 200, url
    return answer.content.decode()


def test_page_of_an_alert_says_why_and_what_changed_before() -> None:
    evidence.forget()
    endpoint = make_endpoint()
    update_endpoint(endpoint=endpoint, actor=principal("operator"), values={"interval_s": 120})
    alert = make_alert("critical", subject_id=str(endpoint.id))
    text = page(operator(), reverse("admin:alerts_alert_detail", args=[alert.pk]))
    assert "Why (not)?" in text and "No silence matched." in text
    assert "What changed before" in text and "endpoint.updated" in text and "this thing" in text


@pytest.mark.parametrize("button", ["silence_1h", "silence_8h", "silence_morning"])
def test_button_on_an_alert_silences_its_thing(button: str) -> None:
    alert = make_alert(name="Shop")
    client = operator()
    answer = client.post(reverse("admin:alerts_alert_do", args=[alert.pk, button]), follow=True)
    assert "Shop is silent until" in answer.content.decode()
    alert.refresh_from_db()
    assert alert.is_silenced
    text = page(client, reverse("admin:alerts_alert_detail", args=[alert.pk]))
    assert "Nothing is told now" in text and "See the silence" in text
    assert "Silenced" in page(client, reverse("admin:alerts_alert_changelist"))


def test_tomorrow_at_nine_is_on_the_wall_clock_also_across_a_change_of_clocks() -> None:
    zone = ZoneInfo("Europe/Berlin")
    before_change = datetime(2027, 3, 27, 20, tzinfo=UTC)  # the clocks go forward in the night
    assert tomorrow_at_nine(zone, now=before_change).astimezone(UTC) == datetime(2027, 3, 28, 7, tzinfo=UTC)


def test_form_of_a_silence_demands_that_everything_is_meant() -> None:
    client = operator()
    url = reverse("admin:alerts_silence_add")
    answer = client.post(url, {"duration": "1h"})
    assert answer.status_code == 422 and "really everything" in answer.content.decode()
    assert client.post(url, {"duration": "1h", "all_alerts": "on"}).status_code == 302
    assert "EVERY ALERT" in page(client, reverse("admin:alerts_silence_changelist"))


def test_form_of_a_silence_takes_an_end_in_the_persons_zone() -> None:
    user = make_user("operator")
    user.timezone = "Europe/Berlin"
    user.save(update_fields=["timezone"])
    end = (timezone.now() + timedelta(days=2)).astimezone(ZoneInfo("Europe/Berlin")).replace(second=0, microsecond=0)
    body = {"entities": "web-*", "ends_at": f"{end:%Y-%m-%dT%H:%M}", "duration": "", "reason": "disks"}
    assert console_of(user).post(reverse("admin:alerts_silence_add"), body).status_code == 302
    assert Silence.objects.get().ends_at == end


def test_silence_lists_what_it_mutes_and_ends_by_a_button() -> None:
    alert = make_alert(name="web-1")
    client = operator()
    body = {"entities": "web-*", "duration": "1h", "reason": "disks"}
    assert client.post(reverse("admin:alerts_silence_add"), body).status_code == 302
    assert "1: web-1" in page(client, reverse("admin:alerts_silence_changelist"))
    silence = Silence.objects.get()
    detail = reverse("admin:alerts_silence_detail", args=[silence.pk])
    assert "web-1" in page(client, detail) and "End now" in page(client, detail)
    assert client.post(reverse("admin:alerts_silence_do", args=[silence.pk, "end"])).status_code == 302
    alert.refresh_from_db()
    assert not alert.is_silenced
    assert "Nothing is silenced" in page(client, reverse("admin:alerts_silence_changelist"))
    assert "disks" in page(client, reverse("admin:alerts_silence_changelist") + "?state=over")


def test_viewer_sees_silences_and_makes_none() -> None:
    client = console_of(make_user("viewer"))
    assert "Silence alerts" not in page(client, reverse("admin:alerts_silence_changelist"))
    assert client.get(reverse("admin:alerts_silence_add")).status_code == 403
    alert = make_alert()
    assert client.post(reverse("admin:alerts_alert_do", args=[alert.pk, "silence_1h"])).status_code == 403


def test_dependency_is_added_by_name_and_stands_on_both_pages() -> None:
    server = make_server("router")
    push(server, snapshot())
    endpoint = make_endpoint(name="Shop")
    client = operator()
    url = reverse("admin:monitors_dependency_add")
    assert str(endpoint.pk) in page(client, f"{url}?child_kind=endpoint&child_id={endpoint.pk}")
    body = {"child_kind": "endpoint", "child_id": "shop", "parent_kind": "server", "parent_id": "router"}
    wrong = client.post(url, {**body, "parent_id": "nowhere"})
    assert wrong.status_code == 422 and "There is no server" in wrong.content.decode()
    assert client.post(url, body).status_code == 302
    row = Dependency.objects.get()
    assert (row.child_id, row.parent_id) == (str(endpoint.pk), str(server.pk))
    assert "depends on" in page(client, reverse("admin:monitors_endpoint_detail", args=[endpoint.pk]))
    assert "needed by" in page(client, reverse("admin:fleet_server_detail", args=[server.pk]))
    assert "Shop" in page(client, reverse("admin:monitors_dependency_changelist"))
    removal = reverse("admin:monitors_dependency_delete", args=[row.pk])
    assert client.post(removal).status_code == 302
    assert not Dependency.objects.exists()


def test_name_that_several_things_bear_is_not_guessed() -> None:
    make_server("router")
    make_endpoint(name="Shop"), make_endpoint(name="Shop", target="http://127.0.0.1:9/other")
    body = {"child_kind": "endpoint", "child_id": "Shop", "parent_kind": "server", "parent_id": "router"}
    answer = operator().post(reverse("admin:monitors_dependency_add"), body)
    assert answer.status_code == 422 and "Several things" in answer.content.decode()


def test_silence_of_a_server_is_told_in_words() -> None:
    server = make_server("web-1")
    server_offline(server)
    run_spine()
    message = Alert.objects.get(source="server").message
    assert message == f"{server.name} is offline: silent since 2026-01-01 00:00:00 UTC"


def test_untold_alert_says_so_on_its_page() -> None:
    server = make_server("web-1", host="web-1.example.org")
    endpoint = make_endpoint(target="http://web-1.example.org/")
    make_alert("critical", source="server", kind="offline", subject_id=str(server.id), name="web-1")
    alert = make_alert("critical", subject_id=str(endpoint.id))
    assert Alert.objects.get(pk=alert.pk).muted_by == "dependency"
    text = page(operator(), reverse("admin:alerts_alert_detail", args=[alert.pk]))
    assert "Because of web-1" in text and "Nobody has been told of it" in text
