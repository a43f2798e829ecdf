"""Domain registrations: asked rarely, judged by the last answer, and never down because a registry is."""

import asyncio
import ipaddress
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.alerts.models import Alert, Reminder
from apps.core.net import InvalidTarget, Phases
from apps.monitors import rdap
from apps.monitors.checks import CheckOutcome, run_check
from apps.monitors.checks.domain import judge
from apps.monitors.models import DomainRegistration, Endpoint, EndpointState, RdapDirectory
from apps.monitors.services.domains import is_due
from apps.monitors.services.endpoint_configs import config_of
from apps.monitors.services.endpoint_results import CheckRun, record_results
from apps.monitors.services.endpoints import update_endpoint
from tests.factories.accounts import client_as, principal
from tests.factories.alerts import run_spine
from tests.factories.monitors import facts, make_config, make_endpoint
from tests.monitors.check_targets.domain import domain_answer, registry
from tests.support.console import console_as
from tests.support.servers import Reply, unused_port

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
DAYS = (30, 14, 7, 1)


def kept(**values: Any) -> DomainRegistration:
    given = {"domain": "example.org", "asked_at": NOW, "answered_at": NOW, "is_registered": True,
             "expires_at": NOW + timedelta(days=200), "registrar": "Names & Co.", **values}  # fmt: skip
    return DomainRegistration(pk=1, **given)


# --- what an answer means --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "status", "words"),
    [
        ({}, "up", ""),
        ({"expires_at": NOW + timedelta(days=30, hours=1)}, "up", ""),
        ({"expires_at": NOW + timedelta(days=29, hours=1)}, "degraded", "ends in 29 days, on 2026-05-30"),
        ({"expires_at": NOW + timedelta(hours=3)}, "degraded", "ends within a day"),
        ({"expires_at": NOW - timedelta(days=2)}, "down", "ended on 2026-04-29; renew it at Names & Co."),
        ({"is_registered": False, "expires_at": None}, "down", "example.org is not registered."),
        ({"is_registered": False, "parent": "example.org", "domain": "www.example.org"}, "down",
         "Registered is example.org: watch that name."),
        ({"statuses": ["active", "client hold"]}, "down", "by its registrar (client hold)"),
        ({"statuses": ["serverHold"]}, "down", "by its registry (server hold)"),
        ({"statuses": ["pending delete", "redemption period"]}, "down", "redemption period"),
        ({"statuses": ["pending delete"]}, "down", "about to be deleted"),
        ({"expires_at": None}, "unknown", "does not tell when example.org ends"),
        ({"answered_at": None, "error": "It answered 500."}, "unknown", "It answered 500."),
        ({"answered_at": NOW - timedelta(days=2), "failures": 9, "error": "It answered 500."}, "up", ""),
        ({"answered_at": NOW - timedelta(days=4), "error": "It answered 500."}, "unknown",
         "not answered for 4 days: It answered 500. By its last answer example.org ends on 2026-11-17."),
    ],
)  # fmt: skip
def test_last_answer_gives_status_and_words(values: dict[str, Any], status: str, words: str) -> None:
    outcome = judge(kept(**values), DAYS, NOW)
    assert outcome.status == status
    assert words in outcome.error and bool(words) == bool(outcome.error)


def test_question_is_due_twice_a_day_sooner_when_asked_for_and_never_while_the_server_rests() -> None:
    def due(after: timedelta, newer_than: timedelta | None = None, **values: Any) -> bool:
        return is_due(kept(**values), NOW + newer_than if newer_than is not None else None, NOW + after)

    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    assert not due(12 * hour - minute) and due(12 * hour + 30 * minute)
    assert not due(minute / 2, newer_than=minute / 2) and due(minute, newer_than=minute / 2)
    assert not due(hour, newer_than=-minute)  # it was asked since
    assert [due(after, failures=1) for after in (4 * minute, 5 * minute)] == [False, True]
    assert [due(after, failures=30) for after in (2 * hour, 3 * hour)] == [False, True]
    assert not due(20 * hour, newer_than=hour, rest_until=NOW + 21 * hour)


@pytest.mark.parametrize(
    ("text", "name"),
    [("Example.ORG.", "example.org"), ("straße.de", "xn--strae-oqa.de"), ("münchen.example", "xn--mnchen-3ya.example")],
)
def test_name_is_written_as_registries_write_it(text: str, name: str) -> None:
    assert rdap.domain_name(text) == name


@pytest.mark.parametrize("text", ["", "org", "https://example.org", "example.org:443", "10.0.0.1", "a b.org", "-.org"])
def test_what_is_no_domain_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidTarget, match=r"for example example\.org"):
        rdap.domain_name(text)


def test_server_is_that_of_the_longest_name_in_the_directory() -> None:
    text = {
        "services": [[["org", "NET"], ["http://a.example/", "https://a.example/"]], [["co.example"], ["https://b/"]]]
    }
    services = rdap.read_directory(json.dumps(text).encode())
    assert rdap.server_of("x.net", services) == "https://a.example/"
    assert rdap.server_of("x.co.example", services) == "https://b/"
    assert rdap.server_of("x.example", services) == ""


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"objectClassName": "nameserver"}', b'"domain"'])
def test_answer_of_another_kind_is_a_failure(body: bytes) -> None:
    with pytest.raises(rdap.RdapFailure):
        rdap.read_answer(body, Phases())


def test_answer_with_odd_parts_is_read_as_far_as_it_goes() -> None:
    odd = {"objectClassName": "domain", "status": [7, "active"], "entities": [None, {"roles": ["registrar"]}],
           "events": [{"eventAction": "expiration", "eventDate": "soon"}, 3,
                      {"eventAction": "registrar expiration", "eventDate": "2027-01-02"}]}  # fmt: skip
    found = rdap.read_answer(json.dumps(odd).encode(), Phases())
    assert (found.statuses, found.registrar) == (("active",), "")
    assert found.expires_at == datetime(2027, 1, 2, tzinfo=UTC)


# --- against a registry ----------------------------------------------------------------------------------------------


def check(endpoint: Endpoint) -> CheckOutcome:
    """Check as the sweep does."""
    return asyncio.run(run_check(config_of(Endpoint.objects.get(pk=endpoint.pk))))


def age(hours: float) -> None:
    """Let time pass over what is kept and over the monitors."""
    by = timedelta(hours=hours)
    for row in DomainRegistration.objects.all():
        row.asked_at -= by
        row.answered_at = row.answered_at and row.answered_at - by
        row.rest_until = row.rest_until and row.rest_until - by
        row.save()
    for endpoint in Endpoint.objects.all():
        Endpoint.objects.filter(pk=endpoint.pk).update(updated_at=endpoint.updated_at - by)


@pytest.mark.django_db(transaction=True)
def test_registry_is_asked_once_however_often_the_monitors_look_and_again_when_asked_for() -> None:
    with registry(**{"example.org": domain_answer("example.org", days=200)}) as (asked, server):
        values = {"endpoint_type": "domain", "target": "Example.org", "options": {"rdap_server": f"{server.url}/rdap/"}}
        first, second = make_endpoint(**values), make_endpoint(name="Other", **values)
        outcomes = [check(one) for one in (first, second, first)]
        assert [one.status for one in outcomes] == ["up", "up", "up"]
        assert asked.asked == ["/rdap/domain/example.org"]
        client = client_as("admin")
        answer = client.post(f"/api/v1/endpoints/{first.pk}/check").json()
        assert (answer["status"], len(asked.asked)) == ("up", 1)  # within the minute
        age(0.1)
        answer = client.post(f"/api/v1/endpoints/{first.pk}/check").json()
        assert len(asked.asked) == 2
        facts = answer["registration"]
        assert (facts["domain"], facts["registrar"], facts["days_left"]) == ("example.org", "Names & Co.", 199)
        assert facts["server"] == "127.0.0.1" and facts["error"] == ""
        assert client.get(f"/api/v1/endpoints/{first.pk}").json()["registration"]["expires_at"] == facts["expires_at"]
        age(0.1)
        update_endpoint(endpoint=first, actor=principal("admin"), values={"options": {"warn_days": ["365"]}})
        assert check(first).status == "degraded" and len(asked.asked) == 3
        age(11)
        check(second)
        assert len(asked.asked) == 3
        age(2)
        assert check(second).status == "up" and len(asked.asked) == 4


@pytest.mark.django_db(transaction=True)
def test_registry_that_fails_is_never_down_and_the_last_answer_stands_for_three_days() -> None:
    with registry(**{"example.org": domain_answer("example.org")}) as (asked, server):
        options = {"rdap_server": server.url}
        endpoint = make_endpoint(endpoint_type="domain", target="example.org", options=options)
        asked.everything = Reply(500, b"")
        assert check(endpoint).status == "unknown"  # nothing is known yet
        age(1)
        asked.everything = None
        assert check(endpoint).status == "up"
        asked.everything = Reply(200, b"<html>")
        age(13)
        outcome = check(endpoint)
        assert outcome.status == "up" and len(asked.asked) == 3
        assert outcome.registration and "not JSON" in outcome.registration["error"]
        age(60)
        outcome = check(endpoint)
    assert outcome.status == "unknown" and "has not answered for 3 days" in outcome.error


@pytest.mark.django_db(transaction=True)
def test_server_that_wants_a_rest_gets_it_for_all_its_domains() -> None:
    with registry() as (asked, server):
        asked.everything = Reply(429, b"", {"Retry-After": "7200"})
        options = {"rdap_server": server.url}
        first = make_endpoint(endpoint_type="domain", target="one.example", options=options)
        second = make_endpoint(name="Two", endpoint_type="domain", target="two.example", options=options)
        outcome = check(first)
        assert outcome.status == "unknown" and "wants fewer questions (429)" in outcome.error
        assert "wants fewer questions" in check(second).error
        age(1.9)
        check(first), check(second)
        assert asked.asked == ["/domain/one.example"]
        age(0.2)
        asked.everything = None
        assert check(first).error == "one.example is not registered."
        assert len(asked.asked) == 2


@pytest.mark.django_db(transaction=True)
def test_name_below_a_registered_one_is_told_what_is_registered() -> None:
    with registry(**{"example.org": domain_answer("example.org")}) as (_, server):
        values = {"endpoint_type": "domain", "target": "www.example.org", "options": {"rdap_server": server.url},
                  "name": "x"}  # fmt: skip
        answer = client_as("admin").post("/api/v1/endpoints/test", values, format="json").json()
    assert answer["status"] == "down"
    assert answer["error"] == "www.example.org is not registered. Registered is example.org: watch that name."
    assert answer["registration"]["is_registered"] is False


@pytest.mark.django_db(transaction=True)
def test_directory_is_fetched_once_a_day_and_its_servers_must_be_public(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    with registry(**{"one.example": domain_answer("one.example"), "two.example": domain_answer("two.example")}) as (
        asked,
        server,
    ):
        directory = {"services": [[["example"], [f"{server.url}/v1/"]]]}
        monkeypatch.setattr(rdap, "DIRECTORY_URL", f"{server.url}/domain/directory")
        asked.answers["directory"] = directory
        refused = asyncio.run(run_check(make_config(endpoint_type="domain", target="one.example")))
        assert refused.status == "unknown" and "OUTBOUND_ALLOW" in refused.error and not asked.asked
        settings.OUTBOUND_ALLOW = [ipaddress.ip_network("127.0.0.1/32")]
        age(1)
        for name in ("one.example", "two.example"):
            assert asyncio.run(run_check(make_config(endpoint_type="domain", target=name))).status == "up"
        assert asked.asked == ["/domain/directory", "/v1/domain/one.example", "/v1/domain/two.example"]
        nobody = asyncio.run(run_check(make_config(endpoint_type="domain", target="one.test")))
        assert nobody.status == "unknown" and nobody.error.startswith("No public RDAP server answers for .test")
        RdapDirectory.objects.update(fetched_at=timezone.now() - timedelta(hours=25))
        asked.answers["directory"] = Reply(500, b"")
        assert asyncio.run(run_check(make_config(endpoint_type="domain", target="three.example"))).status == "down"
        assert asked.asked[-2:] == ["/domain/directory", "/v1/domain/three.example"]


@pytest.mark.django_db(transaction=True)
def test_unreachable_registry_is_unknown() -> None:
    config = make_config(
        endpoint_type="domain", target="example.org", options={"rdap_server": f"http://127.0.0.1:{unused_port()}"}
    )
    outcome = asyncio.run(run_check(config))
    assert outcome.status == "unknown" and "refused the connection" in outcome.error


# --- telling ---------------------------------------------------------------------------------------------------------


def record_days(endpoint: Endpoint, days: float) -> None:
    now = timezone.now()
    row = kept(asked_at=now, answered_at=now, expires_at=now + timedelta(days=days))
    config = config_of(Endpoint.objects.get(pk=endpoint.pk))
    record_results([CheckRun(config, now, judge(row, config.options["warn_days"], now))])
    run_spine()


@pytest.mark.django_db
def test_each_day_is_told_once_and_reminds_of_the_open_alert() -> None:
    endpoint = make_endpoint(name="Our name", endpoint_type="domain", target="example.org")
    for days in (29.5, 29, 13, 12):
        record_days(endpoint, days)
    told = [(one.data["warn_day"], one.data["is_first"]) for one in facts("domain.expiring")]
    assert told == [(30, True), (14, False)]
    alert = Alert.objects.get(subject_id=str(endpoint.pk))
    assert alert.level == "warning" and alert.message.startswith(
        "Our name is degraded: The registration of example.org"
    )
    assert "ends in 13 days" in alert.message
    assert Reminder.objects.get(alert=alert).due_at is not None
    record_days(endpoint, 364)
    alert.refresh_from_db()
    assert alert.resolved_at is not None and EndpointState.objects.get(num=endpoint.num).warned_days is None


@pytest.mark.django_db
def test_page_shows_end_registrar_and_days_left() -> None:
    endpoint = make_endpoint(name="Our name", endpoint_type="domain", target="example.org")
    now = timezone.now()
    row = kept(asked_at=now, answered_at=now, expires_at=now + timedelta(days=9, hours=1), host="rdap.example.net")
    row.pk = None
    row.save()
    page = console_as("admin").get(f"/admin/monitors/endpoint/{endpoint.pk}/").content.decode()
    assert "9 days left" in page and "Names &amp; Co." in page and "rdap.example.net" in page and "Ends soon" in page
