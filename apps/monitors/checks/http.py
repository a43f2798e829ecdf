"""HTTP and HTTPS: status, keywords, a value in the JSON, the time it took, the certificate on the way."""

from collections.abc import Mapping
from typing import Any

from apps.core import net
from apps.core.net.hosts import parse_url
from apps.core.net.messages import read_headers
from apps.monitors.checks import assertions
from apps.monitors.checks.base import (
    ERROR_LENGTH,
    CertificateSeen,
    CheckConfig,
    CheckOutcome,
    failed,
    judged,
    register,
)
from apps.monitors.states.endpoints import DOWN, UNKNOWN, UP

BODY_MOST = 1 << 20
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


@register("http")
class HttpCheck:
    """One request on a new connection."""

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with URL, method, headers and assertions."""
        found: dict[str, str] = {}
        try:
            target = parse_url(values["target"])
            net.check_url(values["target"], net.Purpose.PROBE)
            if target.username is not None:
                found["target"] = "Put user name and password into the header Authorization; everybody sees the target."
        except net.NetError as error:
            found["target"] = error.message
        if values["method"] not in METHODS:
            found["method"] = f"must be one of {', '.join(METHODS)}"
        try:
            read_headers(values["headers"])
        except net.NetError as error:
            found["headers"] = error.message
        try:
            assertions.parse_status(values["expected_status"])
        except ValueError as error:
            found["expected_status"] = str(error)
        if values["json_path"]:
            try:
                assertions.parse_json_path(values["json_path"])
            except ValueError as error:
                found["json_path"] = str(error)
        elif values["json_value"] is not None:
            found["json_value"] = "needs a json_path"
        if values["method"] == "HEAD":
            for name in ("keyword", "keyword_absent", "json_path"):
                if values[name]:
                    found[name] = "a HEAD answer has no body to look into"
        return found

    def address(self, target: str) -> tuple[str, int]:
        """Return host and port of the URL."""
        parsed = parse_url(target)
        return parsed.host, parsed.port

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Send the request and judge the answer.

        A redirect is followed unless the endpoint expects one. Where only the status counts, the body is not read.
        """
        looks_inside = bool(config.keyword or config.keyword_absent or config.json_path)
        try:
            response = await net.request(
                config.method,
                config.target,
                purpose=net.Purpose.PROBE,
                headers=config.headers,
                body=config.body,
                timeout_s=config.timeout_s,
                follow_redirects=config.max_redirects > 0
                and not any(low < 400 and high >= 300 for low, high in config.expected_status),
                max_redirects=config.max_redirects,
                max_body_bytes=BODY_MOST if looks_inside else 0,
                tls_verify=config.tls_verify,
                ca_pem=config.ca_pem or None,
            )
        except net.NetError as error:
            return failed(error)
        outcome = CheckOutcome(
            status=UP,
            latency_ms=response.phases.total_ms,
            phases=response.phases,
            status_code=response.status,
            certificate=CertificateSeen(response.certificate) if response.certificate else None,
        )
        if not assertions.accepts(config.expected_status, response.status):
            outcome.status = DOWN
            outcome.error = f"It answered {response.status} {response.reason}".strip()[:ERROR_LENGTH] + "."
        elif looks_inside:
            outcome.status, outcome.error = _judge_body(config, response)
        return judged(config, outcome)


def _judge_body(config: CheckConfig, response: net.Response) -> tuple[str, str]:
    """Judge keywords and JSON. What lies beyond the part that was read is neither there nor missing: unknown."""
    beyond = f"The answer is truncated: only the first {BODY_MOST // 1024:,} kB of the body are read, and"
    text = response.text() if config.keyword or config.keyword_absent else ""
    if config.keyword and config.keyword not in text:
        if response.truncated:
            return UNKNOWN, f"{beyond} the keyword is not among them."
        return DOWN, f"The keyword “{config.keyword}” is not in the answer."[:ERROR_LENGTH]
    if config.keyword_absent:
        if config.keyword_absent in text:
            return DOWN, f"The answer contains “{config.keyword_absent}”, which must be absent."[:ERROR_LENGTH]
        if response.truncated:
            return UNKNOWN, f"{beyond} the word that must be absent may follow."
    if config.json_path:
        if response.truncated:
            return UNKNOWN, f"{beyond} so the JSON can't be read."
        problem = assertions.json_problem(response.body, config.json_path, config.json_value)
        if problem:
            return DOWN, problem[:ERROR_LENGTH]
    return UP, ""
