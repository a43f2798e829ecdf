"""What all forms of the console have in common: whose clock they speak, what they keep, what they show when."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.alerts.models import Silence
from apps.monitors.models import CheckResult, Endpoint
from tests.factories.alerts import make_alert
from tests.factories.monitors import make_endpoint
from tests.factories.notifications import make_channel
from tests.support.console import console_as
from tests.support.servers import http_server

pytestmark = pytest.mark.django_db
KEEPS = "*** keeps"


def page_of(client: Client, name: str, *args: Any, **query: str) -> str:
    """Return a page of the console."""
    return client.get(reverse(f"admin:{name}", args=args), query).content.decode()


def silence_until(client: Client, wall: datetime, **more: str) -> Silence:
    """Silence everything until a moment as the form's box holds it."""
    given = {"all_alerts": "on", "duration": "1h", "ends_at": f"{wall:%Y-%m-%dT%H:%M}", **more}
    answer = client.post(reverse("admin:alerts_silence_add"), given)
    assert answer.status_code == 302, answer.context["form"].errors
    return Silence.objects.latest("id")


def test_moments_are_written_and_shown_by_the_clock_of_the_browser() -> None:
    client = console_as("operator")
    client.cookies["wk_zone"] = "America%2FNew_York"
    wall = (timezone.now() + timedelta(days=1)).replace(tzinfo=None, second=0, microsecond=0)
    meant = wall.replace(tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)
    page = page_of(client, "alerts_silence_add")
    assert 'name="_zone" value="America/New_York"' in page
    assert "Time of America/New_York." in page
    assert silence_until(client, wall).ends_at == meant
    # What the form was drawn with counts, not what the browser says by then.
    client.cookies["wk_zone"] = "Asia%2FTokyo"
    assert silence_until(client, wall, _zone="America/New_York").ends_at == meant


def test_zone_that_does_not_exist_is_passed_over() -> None:
    client = console_as("operator")
    client.cookies["wk_zone"] = "..%2F..%2Fetc%2Fpasswd"
    assert 'name="_zone" value="UTC"' in page_of(client, "alerts_silence_add")


def test_form_says_that_it_keeps_a_secret_only_where_one_is_stored() -> None:
    client = console_as("operator")
    for name in ("monitors_endpoint_add", "notifications_channel_add"):
        assert KEEPS not in page_of(client, name), name
    channel = make_channel(secret="whsec_" + base64.b64encode(bytes(32)).decode())
    assert page_of(console_as("admin"), "notifications_channel_change", channel.pk).count(KEEPS) == 1


def test_check_by_hand_shows_its_result_on_the_page_and_counts_nothing() -> None:
    client = console_as("operator")
    with http_server() as server:
        endpoint: Endpoint = make_endpoint(target=server.url)
        answer = client.post(reverse("admin:monitors_endpoint_do", args=[endpoint.pk, "check"]))
        page = client.get(answer["Location"]).content.decode()
    assert 'id="check-made"' in page and 'data-state="up"' in page.split('id="check-made"')[1][:600]
    endpoint.state.refresh_from_db()
    assert endpoint.state.last_check_at is None
    assert CheckResult.objects.get(num=endpoint.num).manual
    for nonsense in ("0", "x", "9" * 30, "-1"):
        assert 'id="check-made"' not in page_of(client, "monitors_endpoint_detail", endpoint.pk, made=nonsense)


def test_window_offers_the_fields_of_its_kind_and_the_zone_of_the_reader() -> None:
    client = console_as("operator")
    client.cookies["wk_zone"] = "Europe%2FBerlin"
    page = page_of(client, "monitors_maintenancewindow_add")
    for condition in ("kind=weekly", "kind=cron", "kind=weekly|cron"):
        assert f'data-when="{condition}"' in page
    assert 'value="Europe/Berlin"' in page


def test_boxes_to_tick_are_one_group_with_a_name() -> None:
    page = page_of(console_as("operator"), "alerts_silence_add")
    assert page.count("<fieldset") == page.count("</fieldset>") == page.count("<legend>") == 2


def test_silence_of_one_thing_is_called_by_its_name() -> None:
    client = console_as("operator")
    alert = make_alert("critical")
    client.post(reverse("admin:alerts_alert_do", args=[alert.pk, "silence_1h"]))
    silence = Silence.objects.get()
    assert silence.entities == [alert.subject_id]
    for page in (page_of(client, "alerts_silence_changelist"), page_of(client, "alerts_silence_detail", silence.pk)):
        assert f"of {alert.subject_name}" in page
        assert f"of {alert.subject_id}" not in page
