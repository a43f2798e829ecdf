"""Forms call services, and show what those refuse where it belongs."""

import json
from typing import Any

import pytest
from django.urls import reverse

from apps.accounts.models import ApiKey, Role, User
from apps.alerts.models import Alert, Threshold
from apps.core import runtime_settings
from apps.core.models import Event
from apps.fleet.models import Server
from apps.monitors.models import Endpoint, Heartbeat
from apps.notifications.models import Channel, Rule, Webhook
from tests.factories.accounts import make_api_key, make_user
from tests.factories.alerts import make_alert
from tests.factories.console import one_of_everything
from tests.factories.monitors import make_endpoint
from tests.factories.notifications import make_channel, make_webhook
from tests.support.console import console_as, console_of

pytestmark = pytest.mark.django_db

ENDPOINT = {
    "endpoint_type": "http",
    "target": "http://127.0.0.1:9/health",
    "interval_s": "30s",
    "failure_threshold": "2",
    "recovery_threshold": "1",
    "method": "GET",
    "max_redirects": "5",
    "tls_verify": "on",
    "cert_warn_days": "30, 7",
    "expected_status": "2xx",
    "tags": "prod, shop",
    "headers": "Authorization: Bearer s3cret-value",
}


def wrong(answer: Any, field: str) -> str:
    """Return what the form says at a field."""
    assert answer.status_code == 422
    return " ".join(answer.context["form"].errors.get(field, []))


def test_endpoint_is_added_by_its_service_and_audited() -> None:
    user = make_user("operator")
    answer = console_of(user).post(reverse("admin:monitors_endpoint_add"), ENDPOINT)
    endpoint = Endpoint.objects.get()
    assert answer["Location"] == reverse("admin:monitors_endpoint_detail", args=[endpoint.pk])
    assert (endpoint.name, endpoint.interval_s, endpoint.failure_threshold) == ("127.0.0.1:9/health", 30, 2)
    assert sorted(endpoint.tags.values_list("name", flat=True)) == ["prod", "shop"]
    assert Event.objects.get(name="endpoint.created").actor_name == user.username


def test_stored_header_is_never_rendered_and_survives_an_edit() -> None:
    client = console_as("operator")
    client.post(reverse("admin:monitors_endpoint_add"), ENDPOINT)
    endpoint = Endpoint.objects.get()
    for view in ("detail", "change"):
        page = client.get(reverse(f"admin:monitors_endpoint_{view}", args=[endpoint.pk])).content.decode()
        assert "Authorization" in page
        assert "s3cret-value" not in page
    changed = {**ENDPOINT, "name": "Shop", "headers": "Authorization: ***"}
    answer = client.post(reverse("admin:monitors_endpoint_change", args=[endpoint.pk]), changed)
    assert answer.status_code == 302
    endpoint.refresh_from_db()
    assert endpoint.name == "Shop"
    assert json.loads(endpoint.headers) == {"Authorization": "Bearer s3cret-value"}


def test_wrong_endpoint_is_refused_at_its_fields() -> None:
    client = console_as("operator")
    url = reverse("admin:monitors_endpoint_add")
    assert "5..86400" in wrong(client.post(url, {**ENDPOINT, "interval_s": "1s"}), "interval_s")
    assert wrong(client.post(url, {**ENDPOINT, "target": "not a url"}), "target")
    assert "Name: value" in wrong(client.post(url, {**ENDPOINT, "headers": "no colon"}), "headers")
    assert wrong(client.post(url, {**ENDPOINT, "interval_s": "soon"}), "interval_s")
    assert not Endpoint.objects.exists()


def test_endpoint_is_paused_resumed_and_removed_by_its_buttons() -> None:
    client = console_as("operator")
    endpoint = make_endpoint()
    for name, enabled in (("pause", False), ("resume", True)):
        answer = client.post(reverse("admin:monitors_endpoint_do", args=[endpoint.pk, name]))
        assert answer.status_code == 302
        endpoint.refresh_from_db()
        assert endpoint.enabled is enabled
    assert client.post(reverse("admin:monitors_endpoint_delete", args=[endpoint.pk])).status_code == 302
    assert not Endpoint.objects.exists()


def test_refused_transition_is_told_not_raised() -> None:
    client = console_as("operator")
    alert = make_alert()
    url = reverse("admin:alerts_alert_do", args=[alert.pk, "resolve"])
    client.post(url)
    page = client.post(url, follow=True).content.decode()
    assert "resolved" in page
    assert Alert.objects.get().status == "resolved"


def test_acknowledge_keeps_the_note_and_leads_back() -> None:
    user = make_user("operator")
    client = console_of(user)
    alert = make_alert("critical")
    url = reverse("admin:alerts_alert_do", args=[alert.pk, "acknowledge"])
    answer = client.post(url, {"note": "on it", "back": "/admin/"})
    assert answer["Location"] == "/admin/"
    alert.refresh_from_db()
    assert (alert.status, alert.note, alert.acknowledged_by) == ("acknowledged", "on it", user.username)
    answer = client.post(url, {"back": "https://elsewhere.example.org/admin/"})
    assert answer["Location"] == reverse("admin:alerts_alert_detail", args=[alert.pk])


def test_heartbeat_by_cron_and_by_interval() -> None:
    client = console_as("operator")
    url = reverse("admin:monitors_heartbeat_add")
    client.post(url, {"name": "Backup", "kind": "cron", "cron": "30 2 * * *", "timezone": "Europe/Berlin"})
    client.post(url, {"name": "Queue", "kind": "interval", "interval_seconds": "5m", "timezone": "UTC"})
    assert Heartbeat.objects.get(name="Backup").timezone == "Europe/Berlin"
    assert Heartbeat.objects.get(name="Queue").interval_seconds == 300
    assert wrong(client.post(url, {"name": "x", "kind": "cron", "cron": "61 * * * *", "timezone": "UTC"}), "cron")
    assert wrong(client.post(url, {"name": "x", "kind": "cron", "cron": "* * * * *", "timezone": "Mars"}), "timezone")
    assert wrong(client.post(url, {"name": "x", "kind": "interval", "timezone": "UTC"}), "interval_seconds")


def test_heartbeat_page_offers_texts_to_paste() -> None:
    client = console_as("operator")
    client.post(
        reverse("admin:monitors_heartbeat_add"),
        {"name": "B", "kind": "interval", "interval_seconds": "1h", "timezone": "UTC"},
    )
    heartbeat = Heartbeat.objects.get()
    page = client.get(reverse("admin:monitors_heartbeat_detail", args=[heartbeat.pk])).content.decode()
    assert f"/ping/{heartbeat.uuid}" in page
    assert "crontab" in page


def test_api_key_is_shown_once() -> None:
    user = make_user("operator")
    client = console_of(user)
    answer = client.post(reverse("admin:accounts_apikey_add"), {"name": "script", "role": "viewer"})
    key = ApiKey.objects.get()
    secret = answer.context["secret"]
    assert secret in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    for url in (reverse("admin:accounts_apikey_changelist"), reverse("admin:accounts_apikey_detail", args=[key.pk])):
        assert secret not in client.get(url).content.decode()
    client.post(reverse("admin:accounts_apikey_delete", args=[key.pk]))
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_api_key_beyond_own_rights_is_refused() -> None:
    make_user("admin")
    answer = console_as("operator").post(reverse("admin:accounts_apikey_add"), {"name": "script", "role": "admin"})
    assert answer.status_code == 422
    assert not ApiKey.objects.exists()


def test_stranger_can_not_revoke_anothers_key() -> None:
    key, _ = make_api_key(make_user("operator"), role="viewer")
    assert console_as("operator").post(reverse("admin:accounts_apikey_delete", args=[key.pk])).status_code == 404
    key.refresh_from_db()
    assert key.revoked_at is None


def test_webhook_secret_is_shown_once(settings: Any) -> None:
    client = console_as("operator")
    answer = client.post(
        reverse("admin:notifications_webhook_add"), {"url": "https://hooks.example.org/x", "events": "alert.*"}
    )
    webhook = Webhook.objects.get()
    secret = answer.context["secret"]
    assert secret.startswith("whsec_")
    page = client.get(reverse("admin:notifications_webhook_detail", args=[webhook.pk])).content.decode()
    assert secret not in page
    rotated = client.post(reverse("admin:notifications_webhook_rotate", args=[webhook.pk]))
    assert rotated.context["secret"] not in ("", secret)


def test_webhook_to_a_private_address_is_refused_with_the_setting_that_allows_it() -> None:
    answer = console_as("operator").post(reverse("admin:notifications_webhook_add"), {"url": "http://10.1.2.3/x"})
    assert "OUTBOUND_ALLOW" in wrong(answer, "url")


def test_channel_credentials_are_masked_and_kept() -> None:
    client = console_as("admin")
    url = reverse("admin:notifications_channel_add") + "?type=email"
    values = {
        "name": "Ops mail",
        "enabled": "on",
        "config_host": "mail.example.org",
        "config_tls": "starttls",
        "config_username": "ops",
        "config_password": "p4ss-phrase",
        "config_from": "ops@example.org",
        "config_to": "a@example.org, b@example.org",
    }
    assert client.post(url, values).status_code == 302
    channel = Channel.objects.get()
    for view in ("detail", "change"):
        assert (
            "p4ss-phrase"
            not in client.get(reverse(f"admin:notifications_channel_{view}", args=[channel.pk])).content.decode()
        )
    changed = {**values, "config_password": "***", "name": "Mail"}
    assert client.post(reverse("admin:notifications_channel_change", args=[channel.pk]), changed).status_code == 302
    channel.refresh_from_db()
    assert (channel.name, json.loads(channel.config)["password"]) == ("Mail", "p4ss-phrase")


def test_rule_with_quiet_hours() -> None:
    client = console_as("admin")
    channel = make_channel()
    url = reverse("admin:notifications_rule_add")
    values = {
        "name": "Nights",
        "events": "alert.*",
        "levels": ["critical"],
        "channels": [str(channel.pk)],
        "inbox": "on",
        "enabled": "on",
        "throttle_s": "10m",
        "quiet_start": "22:00",
        "quiet_end": "07:00",
        "quiet_zone": "Europe/Berlin",
        "quiet_except": ["critical"],
    }
    assert client.post(url, values).status_code == 302
    rule = Rule.objects.get(name="Nights")
    assert rule.quiet_hours["start"] == "22:00"
    assert rule.throttle_s == 600
    assert client.get(reverse("admin:notifications_rule_change", args=[rule.pk])).status_code == 200
    assert "times" in wrong(client.post(url, {**values, "quiet_end": ""}), "quiet_end")


def test_threshold_is_added_and_its_contradiction_refused() -> None:
    client = console_as("operator")
    Threshold.objects.all().delete()
    url = reverse("admin:alerts_threshold_add")
    values = {"metric": "cpu", "comparison": "gte", "value": "90", "level": "critical", "for_s": "2m", "enabled": "on"}
    assert client.post(url, values).status_code == 302
    assert Threshold.objects.get().for_s == 120
    assert client.post(url, values).status_code == 422  # one a metric and level
    assert wrong(client.post(url, {**values, "level": "info", "value": "190"}), "value")


def test_role_matrix_saves_what_is_ticked_and_leaves_the_built_in_alone() -> None:
    client = console_as("admin")
    url = reverse("admin:accounts_role_add")
    assert client.post(url, {"name": "office", "permissions": ["dashboard:view", "endpoints:view"]}).status_code == 302
    assert Role.objects.get(name="office").permissions == ["dashboard:view", "endpoints:view"]
    client.post(reverse("admin:accounts_role_change", args=["office"]), {"permissions": ["alerts:view"]})
    assert Role.objects.get(name="office").permissions == ["alerts:view"]
    assert client.post(reverse("admin:accounts_role_change", args=["admin"]), {"permissions": []}).status_code == 403
    assert client.post(reverse("admin:accounts_role_delete", args=["admin"])).status_code == 403


def test_last_admin_can_not_be_disabled() -> None:
    user = make_user("admin")
    answer = console_of(user).post(reverse("admin:accounts_user_delete", args=[user.pk]))
    assert answer.status_code == 409
    user.refresh_from_db()
    assert not user.disabled


def test_user_is_added_with_roles_and_weak_password_refused() -> None:
    make_user("viewer")
    client = console_as("admin")
    url = reverse("admin:accounts_user_add")
    values = {"username": "mara", "email": "mara@example.org", "roles": ["viewer"], "password": "short"}
    assert wrong(client.post(url, values), "password")
    client.post(url, {**values, "password": "a long enough phrase"})
    assert User.objects.get(username="mara").role_names() == ["viewer"]


def test_settings_are_changed_by_their_form_and_bad_values_named() -> None:
    client = console_as("admin")
    form = client.get(reverse("admin:settings")).context["form"]
    values = {name: form[name].value() for name in form.fields if form[name].value() not in (None, False)}
    values = {name: form.fields[name].prepare_value(value) for name, value in values.items()}
    assert client.post(reverse("admin:settings"), {**values, "retention__events": "400d"}).status_code == 302
    runtime_settings.forget()
    assert runtime_settings.get("retention.events") == 400 * 86400
    assert Event.objects.filter(name="setting.changed").count() == 1
    assert wrong(client.post(reverse("admin:settings"), {**values, "retention__events": "1s"}), "retention__events")


def test_address_rules_that_lock_out_their_author_are_refused() -> None:
    client = console_as("admin")
    answer = client.post(reverse("admin:security"), {"form": "rules", "rules": "block 127.0.0.0/8"})
    assert answer.status_code == 422
    assert "127.0.0.1" in " ".join(answer.context["rules_form"].errors["rules"])
    answer = client.post(reverse("admin:security"), {"form": "rules", "rules": "block 203.0.113.7 scanner"})
    assert answer.status_code == 302


def test_server_is_added_and_waits_for_its_first_sample() -> None:
    client = console_as("operator")
    client.post(reverse("admin:fleet_server_add"), {"name": "web-1", "port": "22", "tags": "web"})
    server = Server.objects.get(name="web-1")
    page = client.get(reverse("admin:fleet_server_detail", args=[server.pk])).content.decode()
    assert "Waiting for the first sample" in page
    assert f"/api/v1/metrics/{server.slug}" in page


def test_inbox_belongs_to_its_owner() -> None:
    owner, other = make_user("viewer"), make_user("viewer")
    rows = one_of_everything(owner)
    notification = next(row for model, row in rows.items() if model.__name__ == "Notification")
    url = reverse("admin:notifications_notification_detail", args=[notification.pk])
    assert console_of(other).get(url).status_code == 404
    assert console_of(owner).get(url).status_code == 302
    notification.refresh_from_db()
    assert notification.read_at is not None


def test_webhook_of_a_higher_owner_is_not_redirected_by_a_lower_one() -> None:
    webhook = make_webhook()
    client = console_as("viewer")
    url = reverse("admin:notifications_webhook_change", args=[webhook.pk])
    assert client.post(url, {"url": "https://elsewhere.example.org/"}).status_code == 403
