"""The API below /status: the contract's groups and components, and pages, notices, subscribers of ours."""

import base64
import zlib
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.core.errors import Invalid
from apps.statuspage.models import Component, Group, Notice, Page, PageLogo
from apps.statuspage.services.logos import clean_logo
from tests.factories.accounts import client_as
from tests.factories.monitors import facts, make_endpoint
from tests.factories.statuspage import make_component, make_notice, make_page, make_subscriber

pytestmark = pytest.mark.django_db

BASE = "/api/v1/status"


def test_group_and_component_are_made_without_naming_a_page() -> None:
    client = client_as("operator")
    group = client.post(f"{BASE}/groups", {"name": "Shop", "order": 2})
    assert group.status_code == 201, group.content
    body = {
        "name": "Checkout", "group_id": group.json()["id"], "source": "endpoint",
        "source_id": str(make_endpoint().pk), "visible": True, "order": 1,
    }  # fmt: skip
    component = client.post(f"{BASE}/components", body)
    assert component.status_code == 201, component.content
    assert component.json()["group_name"] == "Shop"
    page = Page.objects.get()
    assert (page.is_default, page.published) == (True, True)
    listed = client.get(f"{BASE}/groups").json()["results"]
    assert [(one["name"], one["order"], one["component_count"]) for one in listed] == [("Shop", 2, 1)]
    for name in ("status.group_created", "status.component_created", "status.page_created"):
        assert facts(name), name


def test_change_honours_the_etag_and_tells_what_changed() -> None:
    client = client_as("operator")
    component = make_component()
    path = f"{BASE}/components/{component.pk}"
    etag = client.get(path)["ETag"]
    assert client.put(path, {"name": "Till", "order": 5}, headers={"If-Match": etag}).json()["order"] == 5
    assert client.put(path, {"name": "Other"}, headers={"If-Match": etag}).status_code == 412
    assert facts("status.component_updated")[-1].audit["after"] == {"name": "Till", "position": 5}
    assert client.delete(path).status_code == 204
    assert not Component.objects.exists()
    assert facts("status.component_deleted")


def test_removed_group_leaves_its_components() -> None:
    client = client_as("operator")
    page = make_page()
    group = Group.objects.create(page=page, name="Shop")
    component = make_component(page, group=group)
    assert client.put(f"{BASE}/groups/{group.pk}", {"name": "Stores"}).json()["name"] == "Stores"
    assert client.delete(f"{BASE}/groups/{group.pk}").status_code == 204
    component.refresh_from_db()
    assert component.group is None
    assert facts("status.group_updated")
    assert facts("status.group_deleted")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "source": "endpoint", "source_id": "nonsense"}, "source_id"),
        ({"name": "x", "source": "moon", "source_id": "1"}, "source"),
        ({"source": "endpoint", "source_id": "1"}, "name"),
        ({"name": "x", "source": "endpoint", "source_id": "1", "group_id": "nonsense"}, "group_id"),
        ({"name": "x" * 101, "source": "endpoint", "source_id": "1"}, "name"),
    ],
)
def test_wrong_component_is_refused_at_its_field(body: dict[str, Any], field: str) -> None:
    answer = client_as("operator").post(f"{BASE}/components", body)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][1] == field


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"slug": "events"}, "slug"),
        ({"slug": "No Good"}, "slug"),
        ({"domain": "https://status.example.org/"}, "domain"),
        ({"accent_light": "red"}, "accent_light"),
        ({"allowed_networks": ["10.0.0.0/8", "nonsense"]}, "allowed_networks"),
        ({"home_url": "javascript:alert(1)"}, "home_url"),
        ({"theme": "pink"}, "theme"),
    ],
)
def test_wrong_page_is_refused_at_its_field(body: dict[str, Any], field: str) -> None:
    answer = client_as("operator").post(f"{BASE}/pages", {"name": "x", **body})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][1] == field


def test_one_page_is_always_the_default() -> None:
    client = client_as("operator")
    first, second = make_page(), make_page()
    assert client.put(f"{BASE}/pages/{first.pk}", {"is_default": False}).status_code == 409
    assert client.put(f"{BASE}/pages/{second.pk}", {"is_default": True}).json()["is_default"] is True
    assert list(Page.objects.filter(is_default=True)) == [second]
    assert client.delete(f"{BASE}/pages/{second.pk}").status_code == 204
    assert list(Page.objects.filter(is_default=True)) == [first]
    assert facts("status.page_updated")
    assert facts("status.page_deleted")


def test_taken_slug_and_domain_are_a_conflict() -> None:
    client = client_as("operator")
    make_page(slug="acme", domain="status.example.org")
    assert client.post(f"{BASE}/pages", {"name": "x", "slug": "acme"}).json()["code"] == "slug_taken"
    taken = client.post(f"{BASE}/pages", {"name": "x", "domain": "STATUS.example.org"})
    assert taken.json()["code"] == "domain_taken"


def test_notice_is_a_draft_until_it_is_published() -> None:
    client = client_as("operator")
    component = make_component()
    made = client.post(
        f"{BASE}/notices",
        {"title": "Slow", "message": "We look.", "severity": "major", "component_ids": [str(component.pk)]},
    )
    assert (made.status_code, made.json()["is_draft"]) == (201, True)
    path = f"{BASE}/notices/{made.json()['id']}"
    assert client.post(f"{path}/publish").json()["published_by"]
    assert client.post(f"{path}/publish").status_code == 409
    said = client.post(f"{path}/updates", {"state": "monitoring", "message": "Bettr."})
    assert said.status_code == 201, said.content
    assert client.post(f"{path}/updates", {"state": "identified", "message": "x"}).status_code == 409
    corrected = client.put(f"{path}/updates/{said.json()['id']}", {"message": "Better."}).json()
    assert (corrected["message"], [one["message"] for one in corrected["edits"]]) == ("Better.", ["Bettr."])
    whole = client.get(path).json()
    assert (whole["state"], [one["message"] for one in whole["updates"]]) == ("monitoring", ["Better.", "We look."])
    assert whole["component_ids"] == [str(component.pk)]
    assert client.put(path, {"state": "resolved"}).status_code == 422
    assert client.put(path, {"title": "Slower"}).json()["title"] == "Slower"
    assert client.delete(path).status_code == 204


def test_notices_are_filtered() -> None:
    client = client_as("viewer")
    make_notice(title="draft")
    make_notice(title="open", publish=True)
    names = lambda query: [one["title"] for one in client.get(f"{BASE}/notices?{query}").json()["results"]]  # noqa: E731
    assert names("") == ["open", "draft"]
    assert names("draft=true") == ["draft"]
    assert names("kind=maintenance") == []
    assert names("state=investigating&draft=false") == ["open"]
    assert client.get(f"{BASE}/notices?state=nonsense").status_code == 422
    assert client.get(f"{BASE}/notices?page_id=nonsense").status_code == 422


def test_subscribers_are_listed_masked_and_removed() -> None:
    client = client_as("operator")
    row = make_subscriber(make_page(), "somebody@example.org")
    listed = client.get(f"{BASE}/subscribers")
    assert listed.json()["results"][0]["address"] == "s…@example.org"
    assert b"somebody@" not in listed.content
    assert client_as("viewer").get(f"{BASE}/subscribers").status_code == 403
    assert client.delete(f"{BASE}/subscribers/{row.pk}").status_code == 204


@pytest.mark.parametrize("kind", ["groups", "components", "notices", "subscribers", "pages"])
def test_list_takes_as_many_queries_for_many_rows_as_for_few(kind: str) -> None:
    client = client_as("operator")

    def add() -> None:
        page = make_page()
        group = Group.objects.create(page=page, name="g")
        component = make_component(page, group=group)
        make_notice(page, publish=True, components=[component])
        make_subscriber(page, components=(component,))

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(f"{BASE}/{kind}").status_code == 200
        return len(captured)

    add()
    count()
    few = count()
    for _ in range(4):
        add()
    assert count() == few


def png(width: int = 2, height: int = 2, extra: bytes = b"") -> bytes:
    """Return a PNG picture."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x08\x02\x00\x00\x00"
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra
        + chunk(b"IDAT", zlib.compress(b"\x00" * (width * 3 + 1) * height)) + chunk(b"IEND", b"")
    )  # fmt: skip


def test_logo_is_served_as_a_picture_that_runs_nothing() -> None:
    client = client_as("operator")
    page = make_page()
    drawing = b"""<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)" viewBox="0 0 9 9"><script>alert(1)</script>
        <a href="https://example.org"><path d="M0 0"/></a><path d="M1 1" onclick="x()" fill="url(https://x)"/>
        <image href="https://example.org/x.png"/><use href="#a"/><foreignObject><p>hi</p></foreignObject></svg>"""
    content = base64.b64encode(drawing).decode()
    assert client.put(f"{BASE}/pages/{page.pk}/logo", {"content": content}).json()["has_logo"] is True
    answer = client.get("/status/logo")
    kept = answer.content.decode()
    for banned in ("script", "onload", "onclick", "https:", "foreignObject", "image", "alert"):
        assert banned not in kept, banned
    assert 'd="M1 1"' in kept
    assert 'href="#a"' in kept
    assert answer["Content-Type"] == "image/svg+xml"
    assert "sandbox" in answer["Content-Security-Policy"]
    assert client.delete(f"{BASE}/pages/{page.pk}/logo").status_code == 204
    assert not PageLogo.objects.exists()


def test_png_keeps_what_draws_alone() -> None:
    text = b"Comment\x00secret place"
    comment = len(text).to_bytes(4, "big") + b"tEXt" + text + zlib.crc32(b"tEXt" + text).to_bytes(4, "big")
    kind, kept = clean_logo(png(extra=comment))
    assert (kind, kept) == ("image/png", png())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"GIF89a",
        b"x" * 300_000,
        png(3000, 2),
        png()[:-8],
        b'<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
        b"<svg><path></svg>",
        b'<svg xmlns="http://example.org/other"/>',
    ],
)
def test_what_is_no_good_picture_is_refused(body: bytes) -> None:
    with pytest.raises(Invalid):
        clean_logo(body)


def test_creating_a_page_twice_with_one_key_makes_one() -> None:
    client = client_as("operator")
    for _ in range(2):
        answer = client.post(f"{BASE}/pages", {"name": "Once"}, headers={"Idempotency-Key": "k1"})
        assert answer.status_code == 201
    assert Page.objects.count() == 1


def test_publishing_needs_its_own_right() -> None:
    from tests.factories.accounts import client_of, make_user

    writer = client_of(make_user("writer", permissions=["status:view", "status:create"]))
    assert writer.post(f"{BASE}/notices", {"title": "x", "publish": True}).status_code == 403
    assert writer.post(f"{BASE}/notices", {"title": "x"}).status_code == 201
    notice = Notice.objects.get()
    assert writer.post(f"{BASE}/notices/{notice.pk}/publish").status_code == 403
