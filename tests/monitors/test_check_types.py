"""Check types against real servers on loopback."""

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import uvloop

from apps.core import net
from apps.monitors.checks import CheckConfig, CheckOutcome, as_expected, check_types, run_check
from apps.monitors.checks.assertions import accepts, json_problem, parse_json_path, parse_status
from apps.monitors.checks.options import complete_options
from apps.monitors.services.endpoint_rules import DEFAULTS
from tests.factories.monitors import make_config
from tests.monitors.check_targets import MODULES
from tests.support.servers import (
    CertificateAuthority,
    Reply,
    Request,
    http_server,
    https_server,
    tcp_server,
)

CA = CertificateAuthority()
#: What a network namespace of its own or a database stands behind, or a registry that is not what is watched, is tried
#: in tests of its own.
HAVE_NOTHING_TO_REACH = {"icmp", "push", "group", "domain"}


def run(**values: Any) -> CheckOutcome:
    return asyncio.run(run_check(make_config(**values)))


REACHING = [kind for kind, check in check_types.items() if check.target_help]


@pytest.fixture
def targets(kind: str) -> Iterator[dict[str, Any]]:
    """Give the type's configurations, their servers running."""
    with MODULES[kind].targets() as found:
        yield found


# --- the contract of the registry ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(check_types))
def test_type_has_a_label_fields_in_order_and_targets_here(kind: str) -> None:
    check = check_types[kind]
    assert check.label and kind in MODULES
    assert len({one.name for one in check.fields}) == len(check.fields)
    assert all(one.label and (one.choices or one.kind != "choice") for one in check.fields)
    assert check.columns <= set(DEFAULTS)
    if kind not in HAVE_NOTHING_TO_REACH:
        with MODULES[kind].targets() as found:
            assert {"good", "dead", "hanging", "forbidden"} <= set(found)


@pytest.mark.parametrize("kind", [kind for kind in REACHING if kind not in HAVE_NOTHING_TO_REACH])
def test_good_target_is_up_with_latency_and_phases(kind: str, targets: dict[str, Any]) -> None:
    outcome = run(endpoint_type=kind, **targets["good"])
    assert (outcome.status, outcome.error) == ("up", "")
    assert outcome.latency_ms is not None and outcome.latency_ms > 0
    phases = outcome.phases
    took = [phases.dns_ms, phases.connect_ms, phases.tls_ms, phases.first_byte_ms]
    assert 0 < sum(ms for ms in took if ms is not None) <= outcome.latency_ms * 1.001


@pytest.mark.parametrize("kind", [kind for kind in REACHING if kind not in HAVE_NOTHING_TO_REACH])
def test_good_target_is_up_on_the_loop_of_the_worker_too(kind: str, targets: dict[str, Any]) -> None:
    config = make_config(endpoint_type=kind, **targets["good"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(run_check(config)).status == "up"


@pytest.mark.parametrize("kind", [kind for kind in REACHING if kind not in HAVE_NOTHING_TO_REACH])
def test_dead_target_is_down_with_a_reason(kind: str, targets: dict[str, Any]) -> None:
    outcome = run(endpoint_type=kind, **targets["dead"])
    assert outcome.status == "down"
    assert "refused the connection" in outcome.error or "nothing listens" in outcome.error
    assert outcome.latency_ms is None


@pytest.mark.parametrize("kind", [kind for kind in REACHING if kind not in HAVE_NOTHING_TO_REACH])
def test_hanging_target_is_down_after_its_timeout(kind: str, targets: dict[str, Any]) -> None:
    began = time.monotonic()
    outcome = run(endpoint_type=kind, timeout_s=0.3, **targets["hanging"])
    assert outcome.status == "down" and outcome.is_timeout
    assert "within 0.3 s" in outcome.error
    assert time.monotonic() - began < 30  # far below any default time-out, far above a slow machine


@pytest.mark.parametrize("kind", REACHING)
def test_forbidden_target_is_unknown_with_the_reason(kind: str, targets: dict[str, Any]) -> None:
    outcome = run(endpoint_type=kind, **targets["forbidden"])
    assert outcome.status == "unknown"
    assert "OUTBOUND_ALLOW" in outcome.error


@pytest.mark.parametrize("kind", [kind for kind in REACHING if kind not in HAVE_NOTHING_TO_REACH])
def test_good_target_that_is_too_slow_is_degraded(kind: str, targets: dict[str, Any]) -> None:
    outcome = run(endpoint_type=kind, degraded_over_ms=0, **targets["good"])
    assert outcome.status == "degraded"
    assert "counts as degraded" in outcome.error


@pytest.mark.parametrize("kind", [kind for kind in REACHING if kind not in HAVE_NOTHING_TO_REACH])
def test_upside_down_target_is_up_while_it_is_dead_and_down_while_it_answers(
    kind: str, targets: dict[str, Any]
) -> None:
    found = {}
    for case in ("good", "dead", "forbidden"):
        config = make_config(endpoint_type=kind, inverse=True, **targets[case])
        found[case] = as_expected(config, asyncio.run(run_check(config)))
    assert {case: outcome.status for case, outcome in found.items()} == {
        "good": "down",
        "dead": "up",
        "forbidden": "unknown",
    }
    assert (found["good"].error, found["dead"].error) == ("It answers, and this monitor expects it not to.", "")


@pytest.mark.parametrize("kind", REACHING)
def test_malformed_target_is_found_before_it_is_written(kind: str) -> None:
    values = {"target": "what is this", "method": "GET", "headers": {}, "expected_status": "2xx", "json_path": "",
              "json_value": None, "keyword": "", "keyword_absent": "",
              "options": complete_options(check_types[kind].fields, {})}  # fmt: skip
    assert "target" in check_types[kind].problems(values)


def test_check_that_fails_by_itself_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(endpoint_type="no-such-type").status == "unknown"

    async def broken(*args: Any, **options: Any) -> None:
        raise ValueError("boom")

    monkeypatch.setattr(net, "request", broken)
    outcome = run()
    assert (outcome.status, outcome.error) == ("unknown", "The check itself failed: ValueError.")


# --- http --------------------------------------------------------------------------------------------------------


def test_http_request_equals_the_configured_one() -> None:
    seen: list[Request] = []

    def handler(request: Request) -> Reply:
        seen.append(request)
        return Reply(201)

    with http_server(handler) as server:
        outcome = run(
            target=f"{server.url}/orders?x=1", method="POST", body=b'{"a": 1}',
            headers=(("Authorization", "Bearer t0ken"), ("Content-Type", "application/json")),
        )  # fmt: skip
    assert (outcome.status, outcome.status_code) == ("up", 201)
    assert (seen[0].method, seen[0].target, seen[0].body) == ("POST", "/orders?x=1", b'{"a": 1}')
    assert seen[0].headers["authorization"] == "Bearer t0ken"
    assert seen[0].headers["content-type"] == "application/json"


@pytest.mark.parametrize(("status", "wanted"), [(401, "up"), (500, "down"), (204, "up")])
def test_http_status_is_judged_by_the_accepted_list(status: int, wanted: str) -> None:
    with http_server(lambda request: Reply(status, b"")) as server:
        outcome = run(target=server.url, expected_status=parse_status("2xx,401"))
    assert (outcome.status, outcome.status_code) == (wanted, status)
    assert wanted == "up" or outcome.error == "It answered 500 Internal Server Error."


def test_http_redirect_is_followed_unless_it_is_expected() -> None:
    def handler(request: Request) -> Reply:
        return Reply(301, b"", {"Location": "/there"}) if request.path == "/" else Reply(200)

    with http_server(handler) as server:
        assert run(target=server.url).status_code == 200
        assert run(target=server.url, expected_status=parse_status("2xx,301")).status_code == 301
        outcome = run(target=server.url, max_redirects=0)
    assert (outcome.status, outcome.status_code) == ("down", 301)


@pytest.mark.parametrize(
    ("body", "values", "status", "error"),
    [
        (b"all is well", {"keyword": "well"}, "up", ""),
        (b"all is well", {"keyword": "bad"}, "down", "The keyword “bad” is not in the answer."),
        (b"an error", {"keyword_absent": "error"}, "down", "The answer contains “error”, which must be absent."),
        (b"fine", {"keyword_absent": "error"}, "up", ""),
        (b"x" * 2_000_000 + b"well", {"keyword": "well"}, "unknown", "truncated"),
        (b"well" + b"x" * 2_000_000, {"keyword": "well"}, "up", ""),
        (b"x" * 2_000_000, {"keyword_absent": "error"}, "unknown", "truncated"),
    ],
    ids=["there", "missing", "forbidden", "absent", "beyond-the-cap", "before-the-cap", "absence-beyond-the-cap"],
)
def test_http_keyword_gives_status(body: bytes, values: dict[str, Any], status: str, error: str) -> None:
    with http_server(lambda request: Reply(200, body)) as server:
        outcome = run(target=server.url, **values)
    assert outcome.status == status
    assert error in outcome.error


@pytest.mark.parametrize(
    ("body", "path", "wanted", "error"),
    [
        ({"data": {"items": [{"state": "ok"}]}}, "data.items[0].state", "ok", ""),
        ({"data": {"items": [{"state": "ok"}]}}, "$.data.items[-1]['state']", None, ""),
        ({"data": {"items": []}}, "data.items[0].state", "ok", "The JSON has no data.items[0]."),
        ({"count": 5}, "count", "5", ""),
        ({"ready": True}, "ready", True, ""),
        ({"ready": False}, "ready", True, "ready is false, expected true."),
        (None, "data", "ok", "The answer is not JSON."),
    ],
)
def test_http_json_path_tells_its_failures_apart(body: Any, path: str, wanted: Any, error: str) -> None:
    text = b"<html>" if body is None else json.dumps(body).encode()
    with http_server(lambda request: Reply(200, text)) as server:
        outcome = run(target=server.url, json_path=parse_json_path(path), json_value=wanted)
    assert (outcome.status, outcome.error) == (("down", error) if error else ("up", ""))


def test_https_certificate_is_read_on_the_way() -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=5)
    with https_server(CA.issue(not_after=until)) as server:
        outcome = run(target=f"https://localhost:{server.port}/", ca_pem=CA.pem)
    assert outcome.status == "up"
    assert outcome.phases.tls_ms is not None
    assert outcome.certificate is not None and outcome.certificate.certificate is not None
    assert outcome.certificate.certificate.not_after == until
    assert outcome.certificate.problem == ""


@pytest.mark.parametrize("kind", ["http", "tls"])
@pytest.mark.parametrize(
    ("case", "problem"), [("expired", "expired"), ("other-name", "name_mismatch"), ("unknown-ca", "untrusted")]
)
def test_bad_certificate_is_down_unless_verification_is_off(kind: str, case: str, problem: str) -> None:
    now = datetime.now(UTC)
    certificate = {
        "expired": lambda: CA.issue(not_before=now - timedelta(days=9), not_after=now - timedelta(days=2)),
        "other-name": lambda: CA.issue(cn="other.example", sans=("other.example",)),
        "unknown-ca": lambda: CertificateAuthority("Stranger").issue(),
    }[case]()
    with https_server(certificate) as server:
        target = f"https://localhost:{server.port}/" if kind == "http" else f"localhost:{server.port}"
        strict = run(endpoint_type=kind, target=target, ca_pem=CA.pem)
        lax = run(endpoint_type=kind, target=target, tls_verify=False)
    assert strict.status == "down" and strict.error
    assert strict.certificate is not None and strict.certificate.problem == problem
    assert strict.certificate.certificate is not None
    assert lax.status == "up"
    assert lax.certificate is not None and lax.certificate.certificate is not None


def test_tcp_port_that_accepts_only_to_close_is_degraded_and_one_that_speaks_first_is_up() -> None:
    with tcp_server() as server:
        closed = run(endpoint_type="tcp", target=f"127.0.0.1:{server.port}")
    with tcp_server(lambda connection: connection.sendall(b"220 ready\r\n")) as server:
        greeting = run(endpoint_type="tcp", target=f"127.0.0.1:{server.port}")
    assert (closed.status, greeting.status) == ("degraded", "up")
    assert closed.error.endswith("accepted the connection and closed it at once.")
    assert closed.latency_ms is not None


def test_tls_on_a_port_without_tls_is_down() -> None:
    with http_server() as server:
        outcome = run(endpoint_type="tls", target=f"127.0.0.1:{server.port}")
    assert outcome.status == "down"


# --- parsing -----------------------------------------------------------------------------------------------------


def test_status_list_accepts_codes_classes_and_ranges() -> None:
    ranges = parse_status("2xx, 301,400-404")
    accepted = [status for status in (200, 299, 301, 302, 404, 405) if accepts(ranges, status)]
    assert accepted == [200, 299, 301, 404]


@pytest.mark.parametrize("text", ["", "6xx", "20", "404-400", "ok", "200,,201", "099"])
def test_status_list_of_wrong_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_status(text)


@pytest.mark.parametrize("text", ["", "$", "a..b", "a[", "a[x]", ".a", "a]b"])
def test_json_path_of_wrong_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json_path(text)


def test_json_path_does_not_index_texts_or_objects() -> None:
    assert json_problem(b'{"a": "text"}', ("a", 0), None) == "The JSON has no a[0]."
    assert json_problem(b'["x"]', ("0",), None) == "The JSON has no 0."


def test_config_is_immutable() -> None:
    config: CheckConfig = make_config()
    with pytest.raises(AttributeError):
        config.target = "elsewhere"  # type: ignore[misc]
