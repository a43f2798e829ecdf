"""The form of an endpoint monitor: every type, its options, the trial, and the push address."""

import re
from typing import Any

import pytest
from django.urls import reverse

from apps.core.fields import MASK
from apps.monitors.admin.endpoint_form import EndpointForm, ordered_types
from apps.monitors.checks import check_types
from apps.monitors.models import CheckResult, Endpoint
from apps.monitors.services.endpoint_configs import options_of
from tests.console.test_forms import ENDPOINT, wrong
from tests.factories.monitors import make_endpoint, record
from tests.monitors.check_targets import MODULES
from tests.support.console import console_as
from tests.support.servers import http_server

pytestmark = pytest.mark.django_db

ADD = "admin:monitors_endpoint_add"


def posted(kind: str, **more: Any) -> dict[str, Any]:
    """Return what a browser sends for the type's sample values."""
    values = {**ENDPOINT, "headers": "", "name": "Shop", "endpoint_type": kind, "target": ""}
    sample = MODULES[kind].VALUES
    values["target"] = sample.get("target", "")
    for name, value in sample.get("options", {}).items():
        if value == "{member}":
            value = [str(make_endpoint().pk)]
        if value is True:
            value = "on"
        is_lines = next(one for one in check_types[kind].fields if one.name == name).kind == "texts"
        values[f"opt_{kind}_{name}"] = "\n".join(value) if is_lines else value
    for one in check_types[kind].fields:
        if one.kind == "choice":
            values.setdefault(f"opt_{kind}_{one.name}", one.default)
    return {**values, **more}


def test_form_offers_every_type_and_each_field_belongs_to_a_part() -> None:
    form = EndpointForm()
    assert {kind for kind, _ in ordered_types()} == set(check_types)
    for kind, check in check_types.items():
        for one in check.fields:
            shown = f"endpoint_type={kind}" + (f"&opt_{kind}_{one.when}" if one.when else "")
            assert form.fields[f"opt_{kind}_{one.name}"].when == shown  # type: ignore[attr-defined]
    assert sum(len(part["fields"]) for part in form.parts()) == len(form.fields)
    asked = next(part for part in form.parts() if part["title"] == "What is asked")
    assert "push" not in asked["when"] and "dns" in asked["when"]
    slow = form.fields["degraded_over_ms"].when  # type: ignore[attr-defined]
    assert set(check_types) - set(slow.removeprefix("endpoint_type=").split("|")) == {"push", "group", "domain"}


@pytest.mark.parametrize("kind", list(check_types))
def test_type_is_added_by_the_form_and_an_edit_changes_nothing(kind: str) -> None:
    client = console_as("operator")
    answer = client.post(reverse(ADD), posted(kind))
    assert answer.status_code == (200 if kind == "push" else 302), wrong_fields(answer)
    endpoint = Endpoint.objects.get(endpoint_type=kind, name="Shop")
    for name, value in MODULES[kind].VALUES.get("options", {}).items():
        if value != "{member}":
            assert options_of(endpoint)[name] == value
    change = reverse("admin:monitors_endpoint_change", args=[endpoint.pk])
    form = client.get(change).context["form"]
    again = {name: browser_value(form[name]) for name in form.fields}
    assert client.post(change, {name: value for name, value in again.items() if value is not None}).status_code == 302
    after = Endpoint.objects.get(pk=endpoint.pk)
    assert after.revision == endpoint.revision
    assert client.get(reverse("admin:monitors_endpoint_detail", args=[endpoint.pk])).status_code == 200


def browser_value(field: Any) -> Any:
    """Return what a browser sends for a field that nobody touched; None where it sends nothing."""
    value = field.value()
    if field.field.__class__.__name__ == "BooleanField":
        return "on" if value else None
    if isinstance(value, list | tuple):
        return list(value)
    return "" if value is None else value


def wrong_fields(answer: Any) -> Any:
    return answer.context["form"].errors if answer.context and "form" in answer.context else answer.content[:500]


def test_wrong_option_is_refused_at_its_field() -> None:
    client = console_as("operator")
    answer = client.post(reverse(ADD), posted("tcp", opt_tcp_expect="a(b"))
    assert "not a regular expression" in wrong(answer, "opt_tcp_expect")
    answer = client.post(reverse(ADD), posted("tcp", target="nowhere"))
    assert "names no port" in wrong(answer, "target")
    assert not Endpoint.objects.exists()


def test_secret_option_is_masked_in_form_and_page_and_kept() -> None:
    endpoint = make_endpoint(options={"auth": "bearer", "token": "t0ken-s3cret"})
    client = console_as("operator")
    change = reverse("admin:monitors_endpoint_change", args=[endpoint.pk])
    detail = reverse("admin:monitors_endpoint_detail", args=[endpoint.pk])
    shown = client.get(change).content.decode() + client.get(detail).content.decode()
    assert "t0ken-s3cret" not in shown and MASK in shown
    body = posted("http", target=endpoint.target, name=endpoint.name, opt_http_auth="bearer", opt_http_token=MASK)
    for name in ("client_cert", "client_key", "proxy", "proxy_password", "username", "password"):
        body.pop(f"opt_http_{name}", None)
    assert client.post(change, body).status_code == 302
    assert options_of(Endpoint.objects.get())["token"] == "t0ken-s3cret"


def test_trial_shows_its_result_and_saves_nothing() -> None:
    client = console_as("operator")
    with http_server() as server:
        body = {**ENDPOINT, "target": server.url, "_test": "1"}
        answer = client.post(reverse(ADD), body)
    page = answer.content.decode()
    assert answer.status_code == 200 and not Endpoint.objects.exists()
    assert "Nothing was saved or counted" in page and re.search(r"Connecting</dt>", page)
    assert f'value="{server.url}"' in page  # what was typed stays


def test_trial_of_a_saved_monitor_stores_no_result() -> None:
    with http_server() as server:
        endpoint = make_endpoint(target=server.url)
        change = reverse("admin:monitors_endpoint_change", args=[endpoint.pk])
        answer = console_as("operator").post(change, {**ENDPOINT, "target": f"{server.url}/other", "_test": "1"})
    assert answer.status_code == 200 and answer.context["form"].trial.outcome.status == "up"
    endpoint.refresh_from_db()
    assert endpoint.target == server.url and not CheckResult.objects.exists()


def test_push_address_is_shown_once_and_renewed_by_its_button() -> None:
    client = console_as("operator")
    page = client.post(reverse(ADD), posted("push")).content.decode()
    token = re.search(r"/api/v1/push/([\w-]{20,})", page)
    assert token and client.get(f"/api/v1/push/{token[1]}").status_code == 200
    endpoint = Endpoint.objects.get()
    detail = client.get(reverse("admin:monitors_endpoint_detail", args=[endpoint.pk])).content.decode()
    assert token[1] not in detail and "New push address" in detail and "Check now" not in detail
    renewed = client.post(reverse("admin:monitors_endpoint_do", args=[endpoint.pk, "renew"])).content.decode()
    assert token[1] not in renewed and "/api/v1/push/" in renewed


def test_group_shows_its_members() -> None:
    member = make_endpoint(name="Member of it")
    record(member, "down")
    group = make_endpoint(name="All", endpoint_type="group", target="", options={"members": [str(member.pk)]})
    client = console_as("viewer")
    assert "Member of it" in client.get(reverse("admin:monitors_endpoint_detail", args=[group.pk])).content.decode()
    assert "Member of" in client.get(reverse("admin:monitors_endpoint_detail", args=[member.pk])).content.decode()
