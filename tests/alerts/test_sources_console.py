"""Sources of alerts in the console."""

from typing import Any

import pytest
from django.urls import reverse

from apps.alerts.models import Alert, AlertSource
from tests.factories.alert_posts import alertmanager, make_source, post, prom_alert
from tests.support.console import console_as

pytestmark = pytest.mark.django_db

LIST = "admin:alerts_alertsource_changelist"


def page(answer: Any) -> str:
    return answer.content.decode()


def test_source_is_added_and_its_address_shown_once_with_the_text_to_paste() -> None:
    operator = console_as("operator")
    assert "No source yet" in page(operator.get(reverse(LIST)))
    add = reverse("admin:alerts_alertsource_add")
    assert "Prometheus Alertmanager" in page(operator.get(add))
    form = {"name": "Prometheus", "kind": "alertmanager", "enabled": "on", "tags": "berlin", "tag_labels": "team"}
    shown = operator.post(add, form)
    source = AlertSource.objects.get()
    text = page(shown)
    token = text.partition("/alerts/in/")[2].partition("<")[0].strip()
    assert f"credentials: {token}" in text
    assert "no-store" in shown["Cache-Control"]
    assert (source.tags, source.tag_labels, source.default_level) == (["berlin"], ["team"], "warning")
    post(token, {**alertmanager(), "alerts": [prom_alert(team="<b>blue</b>"), 7]})
    detail = page(operator.get(reverse("admin:alerts_alertsource_detail", args=[source.pk])))
    assert token not in detail
    assert "credentials: &lt;token&gt;" in detail
    assert "1: 1 opened" in detail
    assert "Not taken: alert 2: is not an object" in detail
    alert = Alert.objects.get()
    about = page(operator.get(reverse("admin:alerts_alert_detail", args=[alert.pk])))
    assert "&lt;b&gt;blue&lt;/b&gt;" in about
    assert "<b>blue</b>" not in about
    assert 'href="http://prometheus.example.org:9090/graph?g0.expr=latency" rel="noopener noreferrer"' in about
    back = operator.get(f"/admin/alerts/alertsource/of/{alert.subject_id}/")
    assert back.url == reverse("admin:alerts_alertsource_detail", args=[source.pk])
    assert operator.get("/admin/alerts/alertsource/of/nothing/").status_code == 404
    listed = page(operator.get(reverse(LIST)))
    assert "1 opened, 0 resolved in 1 posts" in listed
    assert 'data-state="failing"' in listed
    assert "Put the token in place of <code>&lt;token&gt;</code>" in detail


def test_mapping_is_filled_in_field_by_field_and_read_back() -> None:
    operator = console_as("operator")
    add = reverse("admin:alerts_alertsource_add")
    form = {"name": "Backups", "kind": "generic", "enabled": "on", "map_name": "job..title"}
    wrong = operator.post(add, form)
    assert wrong.status_code == 422
    assert "is not a JSON path" in page(wrong)
    operator.post(add, {**form, "map_name": "job.title", "map_resolved": "done, fine"})
    source = AlertSource.objects.get()
    assert source.mapping == {"name": "job.title", "resolved": ["done", "fine"]}
    assert source.resolve_after_s == 86_400
    change = reverse("admin:alerts_alertsource_change", args=[source.pk])
    text = page(operator.get(change))
    assert 'value="job.title"' in text
    assert 'value="done, fine"' in text
    assert 'value="1d"' in text
    operator.post(change, {**form, "map_name": "title", "resolve_after_s": "", "default_level": "info"})
    source.refresh_from_db()
    assert (source.mapping, source.resolve_after_s, source.default_level) == ({"name": "title"}, None, "info")


def test_buttons_try_and_renew_and_a_viewer_has_none() -> None:
    source, token = make_source()
    operator, viewer = console_as("operator"), console_as("viewer")

    def do(name: str) -> str:
        return reverse("admin:alerts_alertsource_do", args=[source.pk, name])

    answer = operator.post(do("test"), follow=True)
    assert "A test alert, warning, was opened and resolved; people were told as the rules say." in page(answer)
    assert f"/alerts/in/{token}" not in page(operator.post(do("rotate")))
    assert post(token, alertmanager()).status_code == 404
    detail = reverse("admin:alerts_alertsource_detail", args=[source.pk])
    assert "New token" in page(operator.get(detail))
    assert viewer.get(detail).status_code == 200
    assert "New token" not in page(viewer.get(detail))
    assert viewer.post(do("rotate")).status_code == 403
    operator.post(reverse("admin:alerts_alertsource_delete", args=[source.pk]))
    assert not AlertSource.objects.exists()
