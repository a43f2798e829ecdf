"""Host agents in the console: a person adds a host, compares its fingerprint, lets it in, revokes it."""

import re
from typing import Any

import pytest
from django.urls import reverse

from apps.agents.keys import grouped
from apps.agents.models import EnrolmentRequest, EnrolmentToken, HostAgent
from apps.agents.services import connected, enrolment_status
from tests.factories.accounts import make_user
from tests.factories.agents import make_host, make_host_agent, make_token
from tests.factories.fleet import make_server
from tests.support.console import console_as, console_of

pytestmark = pytest.mark.django_db
LIST = "/admin/agents/hostagent/"


def _page(view: str, *args: Any) -> str:
    return reverse(f"admin:agents_{view}", args=args)


def _token(page: str) -> str:
    found = re.search(r"wke_[\w-]{20,}", page)
    assert found
    return found[0]


def test_person_adds_a_host_compares_and_lets_it_in() -> None:
    console = console_as("admin")
    assert "No host agent yet" in console.get(LIST).content.decode()
    shown = console.post(_page("hostagent_add"), {"server": "", "name": "web 1", "tags": "web, prod"})
    page = shown.content.decode()
    assert shown.status_code == 200 and "no-store" in shown["Cache-Control"]
    assert "/agent/install.sh" in page and "--token-stdin" in page
    agent = HostAgent.objects.get()
    assert "Its host has yet to ask" in console.get(_page("hostagent_detail", agent.pk)).content.decode()
    host = make_host("web-1.example")
    enrolled = host.asks(_token(page))
    fingerprint = grouped(enrolled.request.fingerprint)
    assert "to be let in" in console.get("/admin/").content.decode()
    listed = console.get(LIST).content.decode()
    assert "Waiting to be let in" in listed and fingerprint in listed
    asked = console.get(_page("enrolmentrequest_detail", enrolled.request.pk)).content.decode()
    assert fingerprint in asked and "web-1.example" in asked
    approve = _page("enrolmentrequest_do", enrolled.request.pk, "approve")
    answer: Any = console.post(approve)
    assert answer.url == _page("hostagent_detail", agent.pk)
    assert "BEGIN CERTIFICATE" in enrolment_status(poll_token=enrolled.poll_token).certificate
    detail = console.get(answer.url).content.decode()
    assert fingerprint in detail and "Let in" in detail and "wke_" not in detail
    agent.refresh_from_db()  # with the key it was let in with, as the proof reads it
    connected(agent=agent, owner="web:1", token="t", said={"version": "1.0"})
    assert "Online" in console.get(LIST).content.decode()
    revoked = console.post(_page("hostagent_do", agent.pk, "revoke"), {"note": "sold"}, follow=True).content.decode()
    assert "is revoked" in revoked and "Nothing that this agent sends is taken" in revoked
    again = console.post(_page("hostagent_token", agent.pk)).content.decode()
    assert _token(again) and EnrolmentToken.objects.get().agent_id == agent.pk


def test_token_for_many_hosts_is_made_shown_once_and_removed() -> None:
    console = console_as("admin")
    add = _page("enrolmenttoken_add")
    wrong = console.post(add, {"name": "", "max_uses": 0, "lasts": "2y"})
    assert wrong.status_code == 422
    page = console.post(add, {"name": "rack 4", "max_uses": 3, "lasts": "2h", "tags": "batch"}).content.decode()
    row = EnrolmentToken.objects.get()
    assert (row.max_uses, row.tags, row.pre_approved) == (3, ["batch"], False) and _token(page)
    detail = _page("enrolmenttoken_detail", row.pk)
    assert "0 of 3" in console.get(detail).content.decode()
    assert not re.search(r"wke_[\w-]{20,}", console.get(detail).content.decode())
    assert console.get(_page("enrolmenttoken_change", row.pk)).status_code in (302, 403)
    assert console.post(_page("enrolmenttoken_delete", row.pk)).status_code == 302
    assert not EnrolmentToken.objects.exists()


def test_refusal_is_noted_and_a_namesake_is_pointed_out() -> None:
    console = console_as("admin")
    make_host_agent("web-1")
    request = make_host("web-1").asks(make_token()).request
    page = console.get(_page("enrolmentrequest_detail", request.pk)).content.decode()
    assert "has the same host name" in page
    reject = _page("enrolmentrequest_do", request.pk, "reject")
    shown = console.post(reject, {"note": "a copy", "back": LIST}, follow=True).content.decode()
    assert "is refused" in shown and "Waiting to be let in" not in shown
    request.refresh_from_db()
    assert (request.status, request.reason) == ("rejected", "a copy")
    assert "can&#x27;t become" in console.post(reject, follow=True).content.decode()


def test_operator_adds_hosts_but_only_admins_let_them_in() -> None:
    operator = console_of(make_user("operator"))
    request = make_host().asks(make_token()).request
    page = operator.get(LIST).content.decode()
    assert "An admin lets it in" in page and "Let it in</span>" not in page
    assert operator.post(_page("enrolmentrequest_do", request.pk, "approve")).status_code == 403
    assert operator.get(_page("enrolmenttoken_changelist")).status_code == 403
    assert operator.post(_page("hostagent_add"), {"server": "", "name": "later"}).status_code == 200
    viewer = console_as("viewer")
    assert "Waiting to be let in" not in viewer.get(LIST).content.decode()
    assert viewer.get(_page("hostagent_add")).status_code == 403
    assert viewer.get(_page("enrolmentrequest_changelist")).status_code == 403
    assert EnrolmentRequest.objects.get().status == "pending"


def test_form_offers_servers_without_an_agent_and_their_page_leads_to_it() -> None:
    console = console_as("operator")
    make_host_agent("taken")
    free = make_server("db 1", slug="db-1")
    form = console.get(_page("hostagent_add") + "?server=db-1").content.decode()
    assert 'value="db-1" selected' in form and 'value="taken"' not in form
    page = console.get(f"/admin/fleet/server/{free.pk}/").content.decode()
    assert "Install the agent" in page
    assert console.post(_page("hostagent_add"), {"server": "db-1", "name": ""}).status_code == 200
    agent = HostAgent.objects.get(server=free)
    assert _page("hostagent_detail", agent.pk) in console.get(f"/admin/fleet/server/{free.pk}/").content.decode()
    changed = console.post(_page("hostagent_change", agent.pk), {"name": "db one", "group": "g", "max_agents": 2})
    assert changed.status_code == 302
    free.refresh_from_db()
    assert free.name == "db one"
    assert console.post(_page("hostagent_add"), {"server": "", "name": " "}).status_code == 422
    assert console.post(_page("hostagent_delete", agent.pk)).status_code == 302
    assert HostAgent.objects.current().filter(server=free).count() == 0
