"""Gatus: its YAML configuration, one file or several that are merged."""

import json
import re
from collections.abc import Sequence
from typing import Any

from apps.core.imports import SourceFile
from apps.monitors.importers.base import MAINTENANCE, Draft, ImportFault, register
from apps.monitors.importers.endpoints import EndpointDraft, final_codes, tags_of
from apps.monitors.importers.reading import Table, each, load_yaml, seconds_of

_SCHEMES = {
    "http": "http", "https": "http", "icmp": "icmp", "tcp": "tcp", "udp": "udp", "tls": "tls", "starttls": "smtp",
    "ssh": "ssh", "ws": "websocket", "wss": "websocket", "grpc": "grpc", "grpcs": "grpc", "sctp": "sctp",
}  # fmt: skip
_BY_URL = ("http", "https", "ws", "wss")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_]\w*)\}?")
_CONDITION = re.compile(r"^\s*(.+?)\s*(==|!=|<=|>=|<|>)\s*(.+?)\s*$")
_JSON_PATH = re.compile(r"^[\w-]+(?:\.[\w-]+|\[\d+\])*$")
_DEFAULT_INTERVAL_S = 60
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@register("gatus")
class Gatus:
    """Endpoints with their conditions, external endpoints, groups as tags, and maintenance."""

    label = "Gatus"
    help = "config.yaml, or all files of the configuration folder together."
    extensions = (".yaml", ".yml")

    def read(self, files: Sequence[SourceFile]) -> list[Draft]:
        """Return endpoints, external endpoints, maintenance, and what can't be made: alerting and suites."""
        merged: dict[str, Any] = {}
        for file in files:
            data = load_yaml(file)
            if data is None:
                continue
            if not isinstance(data, dict):
                raise ImportFault(f"{file.name}: this is no configuration of Gatus; it should be named values.")
            _merge(merged, data)
        known = {"endpoints", "external-endpoints", "suites", "alerting", "maintenance"}
        if not known & merged.keys():
            raise ImportFault(f"{files[0].name}: this is no configuration of Gatus; it has no “endpoints”.")
        root = Table(merged, "configuration")
        client = root.table("client")

        def failed(place: str, problem: str, row: Any) -> Draft:
            name = str(row.get("name") or place) if isinstance(row, dict) else place
            return Draft(place=place, kind="endpoint", name=name, problem=problem)

        drafts = list(each(root.rows("endpoints"), lambda row, place: _endpoint(row, place, client.data),
                           "endpoint", failed))  # fmt: skip
        drafts += each(root.rows("external-endpoints"), _external, "external endpoint", failed)
        drafts += each(root.rows("suites"), _suite, "suite", failed)
        drafts += _maintenance(root)
        drafts += _alerting(root, drafts)
        return drafts


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    """Merge as Gatus does: objects are joined, lists are put one after the other."""
    for name, value in more.items():
        known = into.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            _merge(known, value)
        elif isinstance(known, list) and isinstance(value, list):
            into[name] = [*known, *value]
        else:
            into[name] = value


def _labels(table: Table) -> tuple[str, list[str]]:
    name = table.text("name")
    if not name:
        raise ImportFault(f"{table.place}: it has no name.")
    group = table.text("group")
    return name, tags_of([group] if group else [])


def _variables(value: Any) -> list[str]:
    """Return the names of environment variables in the texts of a value."""
    if isinstance(value, str):
        return _VARIABLE.findall(value.replace("$$", ""))
    if isinstance(value, dict):
        value = list(value.values())
    return [name for one in value for name in _variables(one)] if isinstance(value, list) else []


def _endpoint(row: Any, place: str, default_client: dict[str, Any]) -> Draft:
    table = Table(row, place)
    name, tags = _labels(table)
    url = table.text("url")
    if table.data.get("dns"):
        out = EndpointDraft(place, name, "dns", key=place)
    else:
        scheme, separator, rest = url.partition("://")
        if not separator:
            raise ImportFault(f"{place}: “url” names no scheme such as https://.")
        out = EndpointDraft(place, name, _SCHEMES.get(scheme.lower(), scheme.lower()), key=place, theirs=scheme)
        if scheme.lower() in _BY_URL:
            out.set("target", url)
        else:
            out.set("target", rest.split("/")[0])
        if scheme.lower() == "grpcs":
            out.option("tls", True)
    variables = sorted(set(_variables({key: value for key, value in table.data.items() if key != "alerts"})))
    if variables:
        out.refuse(f"It uses the environment variable {variables[0]}; write its value into the file first.")
    out.set("tags", tags)
    if not table.flag("enabled", True):
        out.set("enabled", False)
    client = Table({**default_client, **(table.raw("client") or {})}, f"{place}, client")
    out.timing(table.duration("interval") or _DEFAULT_INTERVAL_S, client.duration("timeout") or 10)
    _request(table, out)
    _client(client, out)
    if table.data.get("dns"):
        _dns(table, url, out)
    if table.data.get("ssh"):
        out.note("The command by SSH is not carried over: the server's greeting is looked at.")
    for condition in table.texts("conditions"):
        sentence = _apply_condition(condition, out)
        if sentence:
            out.note(sentence)
    if "expected_status" not in out.draft.values and out.takes("expected_status"):
        out.set("expected_status", final_codes("100-599"))  # what no condition looks at counts for nothing there
    if not table.rows("conditions"):
        out.note("It has no conditions; it is up when it answers.")
    _alerts(table, out)
    if table.rows("maintenance-windows"):
        out.note("Its own maintenance windows are not carried over.")
    if table.data.get("extra-labels"):
        out.note("Its extra labels are not carried over.")
    return out.draft


def _request(table: Table, out: EndpointDraft) -> None:
    method, body = table.text("method"), table.long_text("body")
    if method:
        out.set("method", method, "The method")
    if out.draft.values["endpoint_type"] in ("tcp", "udp", "websocket"):
        if body:
            out.option("send", body, "The body")
    elif table.flag("graphql"):
        out.set("method", "POST")
        out.set("body", json.dumps({"query": body}), "The query")
        out.header("Content-Type", "application/json")
    elif body:
        out.set("body", body, "The body")
    headers = table.table("headers").data
    if headers:
        out.set("headers", {str(key): str(value) for key, value in headers.items()}, "The headers")


def _client(client: Table, out: EndpointDraft) -> None:
    if client.flag("insecure"):
        out.set("tls_verify", False)
    if client.flag("ignore-redirect"):
        out.set("max_redirects", 0)
    if client.text("proxy-url"):
        out.option("proxy", client.text("proxy-url"), "The proxy")
    family = {"ip4": "ipv4", "ip6": "ipv6"}.get(client.text("network"))
    if family:
        out.option("ip_family", family, "The IP version")
    for name, word in (
        ("dns-resolver", "A DNS resolver of its own"),
        ("oauth2", "Signing in by OAuth 2"),
        ("identity-aware-proxy", "Signing in at an identity-aware proxy"),
        ("tunnel", "The SSH tunnel"),
    ):
        if client.data.get(name):
            out.note(f"{word} is not carried over.")
    if client.table("tls").text("certificate-file"):
        out.note("The client certificate lies in a file: paste it into the monitor.")


def _dns(table: Table, url: str, out: EndpointDraft) -> None:
    dns = table.table("dns")
    out.set("target", dns.text("query-name"))
    out.option("record_type", dns.text("query-type") or "A", "The record type")
    out.option("resolver", url.removeprefix("dns://").removesuffix(":53"), "The resolver")


# --- conditions --------------------------------------------------------------------------------------------------


def _apply_condition(condition: str, out: EndpointDraft) -> str:
    """Put a condition into the draft; return a sentence where it can't be kept, or not to the letter."""
    lost = f"The condition “{condition}” is not carried over."
    match = _CONDITION.match(condition)
    if match is None:
        return lost
    left, operator, right = match.groups()
    if left == "[CONNECTED]":
        return "" if (operator, right) == ("==", "true") else lost
    if left == "[STATUS]":
        return _status(operator, right, out) or ""
    if left == "[RESPONSE_TIME]" and operator in ("<", "<=") and right.isdigit():
        out.set("degraded_over_ms", int(right))
        return "A slow answer counts as degraded here, not as down."
    if left == "[CERTIFICATE_EXPIRATION]" and operator in (">", ">="):
        try:
            days = max(1, round(seconds_of(right) / 86_400))
        except ValueError:
            return lost
        out.set("cert_warn_days", [min(days, 365)], "The end of the certificate")
        return "A certificate that ends soon raises an alert of its own here; the monitor stays up."
    if left == "[DNS_RCODE]":
        return "" if (operator, right) == ("==", "NOERROR") else lost
    if left == "[BODY]" or left.startswith("[BODY]."):
        return _body(left, operator, right, out, lost)
    has = re.match(r"^has\(\[BODY\]\.(.+)\)$", left)
    if has and (operator, right) == ("==", "true") and _JSON_PATH.match(has[1]) and _is_free(out):
        out.set("json_path", has[1])
        return "" if out.takes("json_path") else lost
    return lost


def _is_free(out: EndpointDraft) -> bool:
    return out.takes("json_path") and not out.draft.values.get("json_path")


def _status(operator: str, right: str, out: EndpointDraft) -> str:
    several = re.match(r"^any\((.+)\)$", right)
    wanted = [one.strip() for one in (several[1] if several else right).split(",")]
    lost = f"The condition “[STATUS] {operator} {right}” is not carried over."
    if not all(one.isdigit() and 100 <= int(one) <= 599 for one in wanted):
        return lost
    code = int(wanted[0])
    ranges = {
        "==": ",".join(wanted),
        "<": f"100-{code - 1}",
        "<=": f"100-{code}",
        ">": f"{code + 1}-599",
        ">=": f"{code}-599",
        "!=": ",".join(part for part in (f"100-{code - 1}" if code > 100 else "", f"{code + 1}-599") if part),
    }
    if (several and operator != "==") or not out.takes("expected_status") or "expected_status" in out.draft.values:
        return lost
    follows = out.draft.values.get("max_redirects") != 0 and not several and operator != "=="
    out.set("expected_status", final_codes(ranges[operator]) if follows else ranges[operator])
    return ""


def _body(left: str, operator: str, right: str, out: EndpointDraft, lost: str) -> str:
    path = left.removeprefix("[BODY]").removeprefix(".")
    pattern = re.match(r"^pat\((.*)\)$", right)
    if out.draft.values["endpoint_type"] == "dns":
        if operator == "==" and pattern is None and not path and out.takes("expected"):
            out.option("expected", [*out.draft.values["options"].get("expected", []), right])
            return ""
        return "" if pattern and re.fullmatch(r"[*.]+", pattern[1]) else lost
    if not path and pattern is not None and operator in ("==", "!="):
        text = pattern[1]
        inner = text.strip("*")
        if text.startswith("*") and text.endswith("*") and "*" not in inner and inner:
            name = "keyword" if operator == "==" else "keyword_absent"
            if out.takes(name) and not out.draft.values.get(name):
                out.set(name, inner)
                return ""
        name = "pattern" if operator == "==" else "pattern_absent"
        if out.takes(name) and not out.draft.values["options"].get(name):
            out.option(name, r"(?s)\A" + ".*".join(re.escape(part) for part in text.split("*")) + r"\Z")
            return ""
        return lost
    if path and operator == "==" and _JSON_PATH.match(path) and pattern is None and "(" not in right and _is_free(out):
        out.set("json_path", path)
        out.set("json_value", right.strip("\"'"))
        return ""
    return lost


# --- the rest ----------------------------------------------------------------------------------------------------


def _alerts(table: Table, out: EndpointDraft) -> None:
    alerts = [Table(one, f"{table.place}, alerts") for one in table.rows("alerts")]
    if not alerts:
        return
    first = alerts[0]
    out.thresholds(
        failures=first.integer("failure-threshold", 3) if "failure-threshold" in first else 3,
        successes=first.integer("success-threshold", 2) if "success-threshold" in first else 2,
    )
    kinds = sorted({alert.text("type") for alert in alerts if alert.text("type")})
    out.note(f"Whom to tell ({', '.join(kinds) or 'alerts'}) is set by channels and rules here.")


def _external(row: Any, place: str) -> Draft:
    table = Table(row, place)
    name, tags = _labels(table)
    out = EndpointDraft(place, name, "push", key=place)
    out.set("tags", tags)
    if not table.flag("enabled", True):
        out.set("enabled", False)
    every = table.table("heartbeat").duration("interval")
    out.timing(every or 86_400)
    if not every:
        out.note("It expects no rhythm there; here it is down after a day of silence.")
    out.note("It gets an address of its own here, shown once after the import: put it into the job.")
    _alerts(table, out)
    return out.draft


def _suite(row: Any, place: str) -> Draft:
    table = Table(row, place)
    problem = "Suites carry values from one request to the next, which no check here does."
    return Draft(place=place, kind="suite", name=table.text("name") or place, problem=problem)


def _maintenance(root: Table) -> list[Draft]:
    if not root.data.get("maintenance"):
        return []
    table = root.table("maintenance")
    title = "Maintenance (Gatus)"
    draft = Draft(place="maintenance", kind=MAINTENANCE, name=title)
    try:
        days = [day.lower() for day in table.texts("every")] or list(_WEEKDAYS)
        draft.values = {
            "title": title,
            "kind": "weekly",
            "weekdays": [_WEEKDAYS.index(day) for day in days],
            "start_time": table.text("start"),
            "duration_s": int(table.duration("duration") or 0),
            "timezone": table.text("timezone") or "UTC",
            "all_targets": True,
            "enabled": table.flag("enabled", True),
        }
    except ValueError:
        draft.problem = "“every” names something that is no weekday."
    except ImportFault as fault:
        draft.problem = str(fault)
    return [draft]


def _alerting(root: Table, drafts: list[Draft]) -> list[Draft]:
    found = root.raw("alerting")
    if not isinstance(found, dict):
        return []
    problem = "Whom to tell is set up as a channel here: add one under Channels."
    return [Draft(place="alerting", kind="notification", name=str(name), problem=problem) for name in found]
