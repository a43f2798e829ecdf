"""The console's pages: forms over services, drafts, the preview, the logo, who may do what."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from apps.alerts.services import open_alert
from apps.core.events import Subject
from apps.statuspage import services
from apps.statuspage.models import Component, Group, Notice, Page, PageLogo
from tests.factories.monitors import make_endpoint, record
from tests.factories.statuspage import ACTOR, make_component, make_group, make_notice, make_page, make_subscriber
from tests.support.console import console_as, inline_scripts

pytestmark = pytest.mark.django_db


def url(model: str, view: str, *args: Any) -> str:
    """Return the path of a console page."""
    return reverse(f"admin:statuspage_{model}_{view}", args=args)


@pytest.fixture
def operator() -> Client:
    """A browser of an operator."""
    return console_as("operator")


def everything() -> dict[str, Any]:
    """Return a row of each kind."""
    page = make_page(name="ACME", domain="status.example.org")
    group = make_group(page, "Shops")
    endpoint = make_endpoint(name="inner-name")
    record(endpoint, "up")
    component = make_component(page, endpoint, name="Web shop", group=group)
    notice = make_notice(page, publish=True, components=[component])
    services.add_update(notice_id=notice.id, state="identified", message="Found.", actor=ACTOR)
    return {
        "page": page, "group": group, "component": component, "notice": notice, "subscriber": make_subscriber(page)
    }  # fmt: skip


def test_every_page_is_drawn_without_inline_scripts(operator: Client) -> None:
    for model, row in everything().items():
        views = [url(model, "changelist"), url(model, "detail", row.pk), url(model, "delete", row.pk)]
        if model != "subscriber":
            views += [url(model, "add"), url(model, "change", row.pk)]
        for path in views:
            answer = operator.get(path)
            assert answer.status_code == 200, path
            assert inline_scripts(answer.content.decode()) == [], path


def test_empty_lists_say_what_to_do(operator: Client) -> None:
    for model in ("page", "group", "component", "notice", "subscriber"):
        assert "wk-empty" in operator.get(url(model, "changelist")).content.decode(), model
        if model != "subscriber":
            assert operator.get(url(model, "add")).status_code == 200


def test_viewer_reads_but_changes_nothing() -> None:
    viewer = console_as("viewer")
    rows = everything()
    notice = rows["notice"]
    assert viewer.get(url("notice", "detail", notice.pk)).status_code == 200
    assert viewer.get(url("subscriber", "changelist")).status_code == 403
    for path in (
        url("notice", "say", notice.pk),
        url("notice", "do", notice.pk, "publish"),
        url("page", "logo", rows["page"].pk),
        url("component", "change", rows["component"].pk),
        url("group", "delete", rows["group"].pk),
    ):
        assert viewer.post(path, {"message": "x"}).status_code == 403, path
    notice.refresh_from_db()
    assert notice.updates.count() == 2


def page_form(**values: Any) -> dict[str, Any]:
    """Return what the form of a page sends."""
    return {"name": "ACME", "theme": "auto", "published": "on", "allowed_networks": "", **values}


def test_page_is_added_and_a_wrong_one_is_refused_at_its_field(operator: Client) -> None:
    refused = operator.post(url("page", "add"), page_form(domain="https://x.example/"))
    assert refused.status_code == 422
    assert "without https://" in refused.content.decode()
    assert operator.post(url("page", "add"), page_form(allowed_networks="10.0.0.0/8\n192.0.2.7")).status_code == 302
    page = Page.objects.get()
    assert (page.slug, page.allowed_networks) == ("acme", ["10.0.0.0/8", "192.0.2.7/32"])


def test_component_is_added_by_choosing_what_stands_behind_it(operator: Client) -> None:
    page, endpoint = make_page(), make_endpoint(name="inner-name")
    form = operator.get(url("component", "add")).content.decode()
    assert f"endpoint:{endpoint.pk}" in form
    values = {
        "name": "Shop",
        "page": str(page.pk),
        "position": "3",
        "visible": "on",
        "thing": f"endpoint:{endpoint.pk}",
    }
    assert operator.post(url("component", "add"), values).status_code == 302
    component = Component.objects.get()
    assert (component.position, component.source_id, component.visible) == (3, str(endpoint.pk), True)
    by_hand = {**values, "override_status": "degraded", "override_until": "2199-01-01T10:00"}
    assert operator.post(url("component", "change", component.pk), by_hand).status_code == 302
    component.refresh_from_db()
    assert component.override_status == "degraded"
    assert "Set by hand" in operator.get(url("component", "detail", component.pk)).content.decode()
    assert operator.post(url("component", "do", component.pk, "follow")).status_code == 302
    component.refresh_from_db()
    assert component.override_status == ""


def test_thing_that_stands_there_already_is_refused_in_the_form(operator: Client) -> None:
    component = make_component()
    values = {"name": "Again", "page": str(component.page_id), "thing": f"endpoint:{component.source_id}"}
    answer = operator.post(url("component", "add"), values)
    assert answer.status_code == 422
    assert "on the page already" in answer.content.decode()


def test_notice_is_written_published_continued_and_corrected(operator: Client) -> None:
    component = make_component()
    values = {
        "kind": "incident", "page": str(component.page_id), "title": "Payments fail", "severity": "major",
        "message": "We look.", "components": [str(component.pk)],
    }  # fmt: skip
    assert operator.post(url("notice", "add"), values).status_code == 302
    notice = Notice.objects.get()
    assert (notice.is_draft, list(notice.components.all())) == (True, [component])
    operator.post(url("notice", "do", notice.pk, "publish"))
    operator.post(url("notice", "say", notice.pk), {"state": "identified", "message": "Fuond."})
    update = notice.updates.first()
    operator.post(url("notice", "edit_update", notice.pk, update.pk), {"message": "Found."})
    notice.refresh_from_db()
    assert (notice.is_draft, notice.state) == (False, "identified")
    page = operator.get(url("notice", "detail", notice.pk)).content.decode()
    assert "Fuond." in page
    refused = operator.post(url("notice", "say", notice.pk), {"state": "investigating", "message": "x"}, follow=True)
    assert "can&#x27;t become investigating" in refused.content.decode()
    change = {"title": "Cards fail", "severity": "critical", "components": []}
    assert operator.post(url("notice", "change", notice.pk), change).status_code == 302
    notice.refresh_from_db()
    assert (notice.title, notice.components.count()) == ("Cards fail", 0)


def test_draft_of_an_alert_leads_to_it(operator: Client) -> None:
    endpoint = make_endpoint()
    make_component(endpoint=endpoint, drafts_notices=True)
    alert = open_alert(
        source="endpoint", kind="availability", subject=Subject("endpoint", str(endpoint.pk), "x"), level="critical",
        message="m", actor=ACTOR,
    )  # fmt: skip
    type(alert).objects.update(opened_at="2020-01-01T00:00:00Z")
    services.draft_from_alerts()
    notice = Notice.objects.get()
    assert str(alert.pk) in operator.get(url("notice", "detail", notice.pk)).content.decode()
    assert 'class="wk-badge' in operator.get(url("notice", "changelist")).content.decode()


def test_preview_shows_a_page_that_is_not_published(operator: Client, client: Client) -> None:
    page = make_page(name="Soon", published=False)
    answer = operator.get(url("page", "preview", page.pk))
    assert answer.status_code == 200
    assert "Soon" in answer.content.decode()
    assert client.get(f"/status/{page.slug}").status_code == 404
    assert client.get(url("page", "preview", page.pk)).status_code == 302


def test_logo_is_uploaded_and_removed(operator: Client) -> None:
    page = make_page()
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>'
    operator.post(url("page", "logo", page.pk), {"logo": SimpleUploadedFile("logo.svg", drawing)})
    assert PageLogo.objects.get().content_type == "image/svg+xml"
    wrong = {"logo": SimpleUploadedFile("logo.gif", b"GIF89a")}
    refused = operator.post(url("page", "logo", page.pk), wrong, follow=True)
    assert "neither a PNG nor an SVG" in refused.content.decode()
    operator.post(url("page", "logo", page.pk), {"remove": "1"})
    assert not PageLogo.objects.exists()


def test_page_tells_where_its_domain_is_not_let_in(operator: Client, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["testserver"]
    page = make_page(domain="status.example.org")
    assert "ALLOWED_HOSTS" in operator.get(url("page", "detail", page.pk)).content.decode()


def test_group_is_added_and_removed(operator: Client) -> None:
    page = make_page()
    assert (
        operator.post(url("group", "add"), {"page": str(page.pk), "name": "Shops", "position": "1"}).status_code == 302
    )
    group = Group.objects.get()
    assert operator.post(url("group", "delete", group.pk)).status_code == 302
    assert not Group.objects.exists()
