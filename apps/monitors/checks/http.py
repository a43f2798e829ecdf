"""HTTP and HTTPS: status, keywords, a value in the JSON, the time it took, the certificate on the way."""

import base64
from collections.abc import Mapping
from typing import Any

from apps.core import net
from apps.core.net.hosts import parse_url
from apps.core.net.messages import read_headers
from apps.core.patterns import PatternTooSlow, compile_pattern, is_found
from apps.monitors.checks import assertions
from apps.monitors.checks.base import (
    ERROR_LENGTH,
    CertificateSeen,
    CheckConfig,
    CheckOutcome,
    CheckType,
    failed,
    judged,
    register,
)
from apps.monitors.checks.common import (
    CLIENT_CERT,
    CLIENT_KEY,
    ENCRYPTED,
    IP_FAMILY,
    client_certificate,
    client_certificate_problems,
    family_of,
)
from apps.monitors.checks.options import Option
from apps.monitors.states.endpoints import DOWN, UNKNOWN, UP

BODY_MOST = 1 << 20
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_INSIDE = ("keyword", "keyword_absent", "json_path")


@register("http")
class HttpCheck(CheckType):
    """One request on a new connection."""

    label = "A web address"
    target_help = "https://shop.example.org/health"
    columns = ENCRYPTED | {
        "method", "headers", "body", "expected_status", "keyword", "keyword_absent", "json_path", "json_value",
        "max_redirects",
    }  # fmt: skip
    fields = (
        Option(
            "auth",
            "Sign in by",
            kind="choice",
            default="none",
            choices=(("none", "Nothing"), ("basic", "User name and password"), ("bearer", "A token (bearer)")),
        ),
        Option("username", "User name", most=256, when="auth=basic"),
        Option("password", "Password", secret=True, most=1000, when="auth=basic"),
        Option("token", "Token", secret=True, most=8000, when="auth=bearer"),
        Option(
            "pattern",
            "Must match",
            kind="pattern",
            most=500,
            help="A regular expression that must be found in the answer.",
        ),
        Option("pattern_absent", "Must not match", kind="pattern", most=500),
        IP_FAMILY,
        CLIENT_CERT,
        CLIENT_KEY,
        Option("proxy", "Proxy", kind="url", most=500, placeholder="http://proxy.example.org:3128", is_rare=True),
        Option("proxy_username", "Proxy's user name", most=256, is_rare=True),
        Option("proxy_password", "Proxy's password", secret=True, most=1000, is_rare=True),
    )

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with URL, method, headers and assertions."""
        found: dict[str, str] = {}
        options = values["options"]
        try:
            target = parse_url(values["target"])
            net.check_url(values["target"], net.Purpose.PROBE)
            if target.username is not None:
                found["target"] = "Give user name and password below, under “Sign in by”; everybody sees the target."
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
            sentence = "a HEAD answer has no body to look into"
            found.update({name: sentence for name in _INSIDE if values[name]})
            found.update(
                {f"options.{name}": sentence for name in ("pattern", "pattern_absent") if options[name]},
            )
        found.update(client_certificate_problems(options))
        found.update(_sign_in_problems(values, options))
        return found

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a request needs, ready."""
        headers: tuple[tuple[str, str], ...] = ()
        if options["auth"] == "basic":
            headers = (("Authorization", _basic(options["username"], options["password"])),)
        elif options["auth"] == "bearer":
            headers = (("Authorization", f"Bearer {options['token']}"),)
        proxy = None
        if options["proxy"]:
            place = parse_url(options["proxy"])
            tells = options["proxy_username"] or options["proxy_password"]
            proxy = net.Proxy(
                place.host,
                place.port,
                (("Proxy-Authorization", _basic(options["proxy_username"], options["proxy_password"])),)
                if tells
                else (),
            )
        return {
            "headers": headers,
            "proxy": proxy,
            "family": family_of(options),
            "client_cert": client_certificate(options),
            "pattern": compile_pattern(options["pattern"]) if options["pattern"] else None,
            "pattern_absent": compile_pattern(options["pattern_absent"]) if options["pattern_absent"] else None,
        }

    def address(self, target: str) -> tuple[str, int]:
        """Return host and port of the URL."""
        parsed = parse_url(target)
        return parsed.host, parsed.port

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Send the request and judge the answer.

        A redirect is followed unless the endpoint expects one. Where only the status counts, the body is not read.
        """
        options = config.options
        looks_inside = bool(
            config.keyword
            or config.keyword_absent
            or config.json_path
            or options["pattern"]
            or options["pattern_absent"]
        )
        try:
            response = await net.request(
                config.method,
                config.target,
                purpose=net.Purpose.PROBE,
                headers=config.headers + options["headers"],
                body=config.body,
                timeout_s=config.timeout_s,
                follow_redirects=config.max_redirects > 0
                and not any(low < 400 and high >= 300 for low, high in config.expected_status),
                max_redirects=config.max_redirects,
                max_body_bytes=BODY_MOST if looks_inside else 0,
                tls_verify=config.tls_verify,
                ca_pem=config.ca_pem or None,
                client_cert=options["client_cert"],
                family=options["family"],
                proxy=options["proxy"],
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
        if response.status == 407 and options["proxy"]:
            outcome.status = UNKNOWN
            outcome.error = f"The proxy {options['proxy'].host} wants credentials, or other ones than these."
        elif not assertions.accepts(config.expected_status, response.status):
            outcome.status = DOWN
            outcome.error = f"It answered {response.status} {response.reason}".strip()[:ERROR_LENGTH] + "."
        elif looks_inside:
            outcome.status, outcome.error = _judge_body(config, response)
        return judged(config, outcome)


def _basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _sign_in_problems(values: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    if options["auth"] != "none" and any(name.lower() == "authorization" for name in values["headers"]):
        found["options.auth"] = "the header Authorization is set as well; give one of the two"
    if options["auth"] == "basic" and ":" in options["username"]:
        found["options.username"] = "can't contain a colon"
    if options["auth"] == "basic" and not options["username"] and not options["password"]:
        found["options.username"] = "give the user name"
    if options["auth"] == "bearer" and not options["token"]:
        found["options.token"] = "give the token"
    if options["auth"] == "bearer" and not options["token"].isascii():
        found["options.token"] = "can't contain letters outside of ASCII"
    if options["proxy"]:
        proxy = parse_url(options["proxy"])
        if proxy.username is not None:
            found["options.proxy"] = "Give user name and password in their own fields; everybody sees the proxy."
        elif proxy.scheme != "http":
            found["options.proxy"] = "must begin with http://; what goes through it may be HTTPS all the same"
    return found


def _judge_body(config: CheckConfig, response: net.Response) -> tuple[str, str]:
    """Judge words, patterns and JSON. What lies beyond the part that was read is neither there nor missing: unknown."""
    options = config.options
    beyond = f"The answer is truncated: only the first {BODY_MOST // 1024:,} kB of the body are read, and"
    wants_text = config.keyword or config.keyword_absent or options["pattern"] or options["pattern_absent"]
    text = response.text() if wants_text else ""
    if config.keyword and config.keyword not in text:
        if response.truncated:
            return UNKNOWN, f"{beyond} the keyword is not among them."
        return DOWN, f"The keyword “{config.keyword}” is not in the answer."[:ERROR_LENGTH]
    try:
        if options["pattern"] and not is_found(options["pattern"], text):
            if response.truncated:
                return UNKNOWN, f"{beyond} nothing among them matches the pattern."
            return DOWN, f"Nothing in the answer matches “{options['pattern'].pattern}”."[:ERROR_LENGTH]
        if options["pattern_absent"] and is_found(options["pattern_absent"], text):
            return DOWN, f"The answer matches “{options['pattern_absent'].pattern}”, which it must not."[:ERROR_LENGTH]
    except PatternTooSlow:
        return UNKNOWN, "The pattern takes too long on this answer; write it without nested repetitions."
    if config.keyword_absent and config.keyword_absent in text:
        return DOWN, f"The answer contains “{config.keyword_absent}”, which must be absent."[:ERROR_LENGTH]
    if response.truncated and (config.keyword_absent or options["pattern_absent"]):
        return UNKNOWN, f"{beyond} what must be absent may follow."
    if config.json_path:
        if response.truncated:
            return UNKNOWN, f"{beyond} so the JSON can't be read."
        problem = assertions.json_problem(response.body, config.json_path, config.json_value)
        if problem:
            return DOWN, problem[:ERROR_LENGTH]
    return UP, ""
