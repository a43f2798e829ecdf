"""Options of check types: declared once, and refused, sealed, masked and described by that."""

import json
from typing import Any
from uuid import uuid4

import pytest

from apps.core.fields import MASK, sealed_value
from apps.core.models import Event
from apps.monitors.checks import Option, check_types
from apps.monitors.checks.options import clean_options, complete_options, masked_options, split_options
from apps.monitors.models import Endpoint
from apps.monitors.services.endpoint_configs import config_of
from tests.factories.accounts import client_as
from tests.factories.monitors import make_endpoint
from tests.monitors.check_targets import MODULES
from tests.monitors.check_targets.pem import CA, PAIR

FIELDS = (
    Option("word", "Word", most=5),
    Option("token", "Token", secret=True),
    Option("count", "Count", kind="integer", default=3, least=1, most=9),
    Option("loud", "Loud", kind="boolean"),
    Option("colour", "Colour", kind="choice", default="red", choices=(("red", "Red"), ("blue", "Blue"))),
    Option("words", "Words", kind="texts"),
    Option("pattern", "Pattern", kind="pattern"),
    Option("url", "URL", kind="url"),
    Option("place", "Place", kind="address"),
    Option("certificate", "Certificate", kind="certificates", most=100_000),
    Option("key", "Key", kind="key", most=20_000),
    Option("members", "Members", kind="endpoints"),
)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("word", 5, "give a text"),
        ("word", "longer", "longer than 5"),
        ("word", "a\nb", "one line"),
        ("token", MASK, "there is none"),
        ("count", 10, "from 1 to 9"),
        ("count", True, "whole number"),
        ("loud", "yes", "true or false"),
        ("colour", "green", "red, blue"),
        ("words", [1], "list of texts"),
        ("pattern", "a(b", "not a regular expression"),
        ("pattern", "x[", "at character"),
        ("url", "ftp://example.org/", "http://"),
        ("url", "http://169.254.169.254/", "OUTBOUND_ALLOW"),
        ("place", "a b", "not a host name"),
        ("place", "host:99999", "65535"),
        ("certificate", "no pem", "-----BEGIN CERTIFICATE-----"),
        (
            "certificate",
            PAIR.pem + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "certificate 2 of 2",
        ),
        ("key", "no pem", "not a private key"),
        ("members", ["x"], "not the id of an endpoint"),
        ("colours", "red", "has no such option; it has "),
    ],
)
def test_wrong_option_is_refused_with_the_place_of_the_fault(name: str, value: Any, said: str) -> None:
    _, problems = clean_options(FIELDS, {name: value})
    assert set(problems) == {f"options.{name}"}
    assert said in problems[f"options.{name}"]


def test_options_that_are_no_object_are_refused() -> None:
    assert clean_options(FIELDS, ["word"])[1] == {"options": "give an object, name: value"}


def test_options_are_completed_split_and_masked() -> None:
    given = {"word": "hi", "token": "hush", "count": "4", "words": "a, b", "colour": None, "pattern": ""}
    clean, problems = clean_options(FIELDS, given)
    assert not problems
    assert (clean["count"], clean["words"], clean["colour"], clean["loud"]) == (4, ["a", "b"], "red", False)
    shown, secrets = split_options(FIELDS, clean)
    assert shown == {"word": "hi", "token": MASK, "count": 4, "words": ["a", "b"]}
    assert secrets == {"token": "hush"}
    assert complete_options(FIELDS, {**shown, **secrets}) == clean
    assert masked_options(FIELDS, clean)["token"] == MASK


# --- every type, through the API -------------------------------------------------------------------------------------


def _body(kind: str, member: Endpoint | None = None) -> dict[str, Any]:
    values = json.loads(json.dumps(MODULES[kind].VALUES))
    if values.get("options", {}).get("members") == "{member}":
        assert member is not None
        values["options"]["members"] = [str(member.pk)]
    return {"name": "Shop", "endpoint_type": kind, **values}


def _secrets(kind: str) -> list[str]:
    options = MODULES[kind].VALUES.get("options", {})
    return [options[one.name] for one in check_types[kind].fields if one.secret and options.get(one.name)]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", list(check_types))
def test_type_is_added_shown_and_kept_and_its_secrets_never_leave(kind: str) -> None:
    client = client_as("operator")
    answer = client.post("/api/v1/endpoints", _body(kind, make_endpoint()), format="json")
    assert answer.status_code == 201, answer.content
    shown = answer.json()
    assert set(shown["options"]) == {one.name for one in check_types[kind].fields}
    given = _body(kind)["options"] if "options" in MODULES[kind].VALUES and kind != "group" else {}
    for one in check_types[kind].fields:
        if one.name in given:
            assert shown["options"][one.name] == (MASK if one.secret else given[one.name])
    # What is shown may be sent back: "***" keeps what is stored.
    kept = client.put(f"/api/v1/endpoints/{shown['id']}", {"options": shown["options"]}, format="json")
    assert kept.status_code == 200, kept.content
    assert kept.json()["revision"] == shown["revision"]
    endpoint = Endpoint.objects.get(pk=shown["id"])
    assert config_of(endpoint).fault == ""
    trail = "".join(str(event.audit) + str(event.data) for event in Event.objects.all())
    everywhere = answer.content.decode() + kept.content.decode() + trail + str(endpoint.options)
    for secret in _secrets(kind):
        # JSON writes a line's end otherwise than the secret has it.
        assert secret.splitlines()[-1] not in everywhere and secret not in (sealed_value(endpoint, "secrets") or "")
    filled = {one.name for one in check_types[kind].fields if one.secret}
    assert not filled or _secrets(kind) or kind == "tls", "give the secret options in VALUES"


@pytest.mark.django_db
@pytest.mark.parametrize("kind", list(check_types))
def test_type_refuses_an_option_it_does_not_have(kind: str) -> None:
    body = {**_body(kind, make_endpoint()), "options": {"colour": "red"}}
    answer = client_as("operator").post("/api/v1/endpoints", body, format="json")
    assert answer.status_code == 422
    assert "options.colour" in [".".join(entry["loc"][1:]) for entry in answer.json()["detail"]]


@pytest.mark.django_db
def test_options_are_changed_one_by_one_and_reset_by_null() -> None:
    endpoint = make_endpoint(options={"auth": "bearer", "token": "t0ken-1", "ip_family": "ipv4"})
    client = client_as("operator")
    path = f"/api/v1/endpoints/{endpoint.pk}"
    shown = client.put(path, {"options": {"token": "t0ken-2"}}, format="json").json()["options"]
    assert (shown["auth"], shown["token"], shown["ip_family"]) == ("bearer", MASK, "ipv4")
    assert ("Authorization", "Bearer t0ken-2") in config_of(Endpoint.objects.get()).options["headers"]
    shown = client.put(path, {"options": {"ip_family": None}}, format="json").json()["options"]
    assert shown["ip_family"] == "any"
    assert Endpoint.objects.get().options == {"auth": "bearer", "token": MASK}


@pytest.mark.django_db
def test_another_type_begins_with_its_own_options() -> None:
    endpoint = make_endpoint(options={"auth": "bearer", "token": "t0ken-1"})
    change = {"endpoint_type": "tcp", "target": "127.0.0.1:9", "options": {"expect": "^220"}}
    answer = client_as("operator").put(f"/api/v1/endpoints/{endpoint.pk}", change, format="json")
    assert answer.status_code == 200, answer.content
    assert answer.json()["options"]["expect"] == "^220"
    endpoint = Endpoint.objects.get()
    assert (endpoint.options, endpoint.secrets) == ({"expect": "^220"}, "")


OTHER = CA.issue()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("kind", "change", "place"),
    [
        ("http", {"options": {"auth": "basic"}}, "options.username"),
        ("http", {"options": {"auth": "bearer"}}, "options.token"),
        ("http", {"options": {"auth": "bearer", "token": "x"}, "headers": {"Authorization": "y"}}, "options.auth"),
        ("http", {"options": {"client_cert": PAIR.pem}}, "options.client_key"),
        ("http", {"options": {"client_cert": PAIR.pem, "client_key": OTHER.key_pem}}, "options.client_key"),
        ("http", {"options": {"proxy": "https://proxy.example.org"}}, "options.proxy"),
        ("http", {"options": {"proxy": "http://me:hush@proxy.example.org"}}, "options.proxy"),
        ("http", {"options": {"pattern": "a(?<b"}}, "options.pattern"),
        ("http", {"options": {"pattern": "a"}, "method": "HEAD"}, "options.pattern"),
        ("http", {"ca_pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"}, "ca_pem"),
        ("tcp", {"options": {"send": r"a\q"}}, "options.send"),
        ("udp", {"options": {"send": r"\x1"}}, "options.send"),
        ("udp", {"options": {"expect": "x", "silence": "up"}}, "options.silence"),
        ("dns", {"target": "a..b"}, "target"),
        ("dns", {"options": {"record_type": "ANY"}}, "options.record_type"),
        ("dns", {"options": {"resolver": "169.254.169.254"}}, "options.resolver"),
        ("icmp", {"target": "256.1.1.1"}, "target"),
        ("icmp", {"options": {"count": 21}}, "options.count"),
        ("websocket", {"target": "https://example.org"}, "target"),
        ("postgresql", {"options": {"query": "DROP TABLE x"}}, "options.query"),
        ("postgresql", {"options": {"query": "SELECT 1; SELECT 2"}}, "options.query"),
        ("mysql", {"options": {"username": ""}}, "options.username"),
        ("redis", {"options": {"password": None}}, "options.password"),
        ("ssh", {"options": {"fingerprints": ["MD5:aa"]}}, "options.fingerprints"),
        ("push", {"target": "example.org"}, "target"),
        ("group", {"options": {"members": []}}, "options.members"),
        ("group", {"options": {"members": [str(uuid4())]}}, "options.members"),
        ("http", {"inverse": "perhaps"}, "inverse"),
    ],
)
def test_wrong_value_is_refused_by_its_place(kind: str, change: dict[str, Any], place: str) -> None:
    body = _body(kind, make_endpoint())
    if isinstance(change.get("options"), dict) and kind != "http":
        change = {**change, "options": {**body.get("options", {}), **change["options"]}}
    answer = client_as("operator").post("/api/v1/endpoints", {**body, **change}, format="json")
    assert answer.status_code == 422, answer.content
    assert place in [".".join(entry["loc"][1:]) for entry in answer.json()["detail"]]


@pytest.mark.django_db
def test_poisoned_options_are_unknown_with_a_sentence_and_shown() -> None:
    endpoint = make_endpoint()
    Endpoint.objects.filter(pk=endpoint.pk).update(options=["nonsense"])
    from apps.monitors.services.endpoint_configs import configs_of

    config = configs_of([(endpoint.pk, endpoint.revision + 1)])[endpoint.pk]
    assert "configuration can't be read" in config.fault
    assert client_as("viewer").get(f"/api/v1/endpoints/{endpoint.pk}").status_code == 200
