"""What an endpoint must look like before it is written."""

from collections.abc import Mapping
from typing import Any

from apps.core import errors
from apps.core.fields import MASK
from apps.monitors.checks import CheckType, check_types
from apps.monitors.checks.options import clean_options, pem_certificates
from apps.monitors.models.endpoints import WARN_DAYS

INTERVAL_S = (5, 86_400)
TIMEOUT_S = (1.0, 60.0)
THRESHOLD = (1, 100)
DEGRADED_OVER_MS = (1, 60_000)
REDIRECTS = (0, 20)
TAGS_MOST = 20
BODY_MOST = 100_000

DEFAULTS: dict[str, Any] = {
    "name": "",
    "description": "",
    "endpoint_type": "http",
    "target": "",
    "enabled": True,
    "interval_s": 60,
    "timeout_s": None,  # 10 s, or the interval where that is shorter
    "failure_threshold": 1,
    "recovery_threshold": 1,
    "degraded_over_ms": None,
    "method": "GET",
    "headers": {},
    "body": "",
    "expected_status": "2xx",
    "keyword": "",
    "keyword_absent": "",
    "json_path": "",
    "json_value": None,
    "max_redirects": 5,
    "tls_verify": True,
    "ca_pem": "",
    "cert_warn_days": list(WARN_DAYS),
    "options": {},
    "inverse": False,
    "tags": [],
}


def clean_endpoint(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an endpoint's values, complete and in their own types.

    Args:
        values: field -> value; what is missing gets its default.

    Raises:
        Invalid: some values are wrong; every one of them is named (422).
    """
    clean = {**DEFAULTS, **{name: value for name, value in values.items() if name in DEFAULTS}}
    problems: dict[str, str] = {}
    kind = check_types.get(clean["endpoint_type"]) if isinstance(clean["endpoint_type"], str) else None
    _clean_texts(clean, problems, kind)
    _clean_numbers(clean, problems)
    _clean_headers(clean, problems)
    _clean_lists(clean, problems)
    if kind is None:
        problems["endpoint_type"] = f"must be one of {', '.join(check_types)}"
        clean["options"] = {}
    else:
        clean["options"], wrong = clean_options(kind.fields, clean["options"], title=kind.label)
        problems.update(wrong)
        if not problems.keys() & {"headers", "target", "method", "expected_status", "json_path", *wrong}:
            for name, problem in kind.problems(clean).items():
                problems.setdefault(name, problem)
    if problems:
        raise errors.Invalid(problems)
    return clean


def _clean_texts(clean: dict[str, Any], problems: dict[str, str], kind: CheckType | None) -> None:
    lengths = {
        "name": 255, "description": 10_000, "target": 2048, "method": 16, "body": BODY_MOST, "expected_status": 255,
        "keyword": 500, "keyword_absent": 500, "json_path": 500, "ca_pem": 100_000,
    }  # fmt: skip
    for name, most in lengths.items():
        value = clean[name]
        if value is None:
            value = ""
        if not isinstance(value, str):
            problems[name] = "give a text"
        elif len(value) > most:
            problems[name] = f"is longer than {most} characters"
        elif "\x00" in value:
            problems[name] = "contains a null character"
        clean[name] = value
    if "name" not in problems:
        clean["name"] = clean["name"].strip()
        if not clean["name"]:
            problems["name"] = "give it a name"
    if "target" not in problems:
        clean["target"] = clean["target"].strip()
        if not clean["target"] and (kind is None or kind.target_help):
            problems["target"] = "say what to check"
    clean["method"] = str(clean["method"] or "GET").upper()
    clean["expected_status"] = str(clean["expected_status"]).replace(" ", "") or "2xx"
    if clean["ca_pem"] and "ca_pem" not in problems:
        try:
            pem_certificates(clean["ca_pem"])
        except ValueError as error:
            problems["ca_pem"] = str(error)
    if clean["json_value"] is not None and not isinstance(clean["json_value"], str | int | float | bool):
        problems["json_value"] = "give a text, a number, true or false"


def _clean_numbers(clean: dict[str, Any], problems: dict[str, str]) -> None:
    for name, (least, most), optional in (
        ("interval_s", INTERVAL_S, False),
        ("failure_threshold", THRESHOLD, False),
        ("recovery_threshold", THRESHOLD, False),
        ("degraded_over_ms", DEGRADED_OVER_MS, True),
        ("max_redirects", REDIRECTS, False),
    ):
        value = clean[name]
        if value is None and optional:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
            problems[name] = "give a whole number"
        elif not least <= value <= most:
            problems[name] = f"must lie in {least}..{most}"
        else:
            clean[name] = int(value)
    for name in ("enabled", "tls_verify", "inverse"):
        if not isinstance(clean[name], bool):
            problems[name] = "give true or false"
    timeout = clean["timeout_s"]
    if "interval_s" in problems:
        return
    if timeout is None:
        clean["timeout_s"] = float(min(10, clean["interval_s"]))
    elif isinstance(timeout, bool) or not isinstance(timeout, int | float):
        problems["timeout_s"] = "give a number of seconds"
    elif not TIMEOUT_S[0] <= timeout <= TIMEOUT_S[1]:
        problems["timeout_s"] = f"must lie in {TIMEOUT_S[0]:g}..{TIMEOUT_S[1]:g}"
    elif timeout > clean["interval_s"]:
        problems["timeout_s"] = "must not be longer than the interval"
    else:
        clean["timeout_s"] = float(timeout)


def _clean_headers(clean: dict[str, Any], problems: dict[str, str]) -> None:
    headers = clean["headers"] or {}
    if not isinstance(headers, Mapping) or not all(
        isinstance(name, str) and isinstance(value, str) for name, value in headers.items()
    ):
        problems["headers"] = "give an object of texts, name: value"
    elif len(headers) > 50 or sum(len(name) + len(value) for name, value in headers.items()) > 16_000:
        problems["headers"] = "are too many or too long"
    elif MASK in headers.values():
        problems["headers"] = f"“{MASK}” stands for a value that is kept; there is none of that name"
    clean["headers"] = headers


def _clean_lists(clean: dict[str, Any], problems: dict[str, str]) -> None:
    days = clean["cert_warn_days"]
    if days is None:
        days = []
    if not isinstance(days, list | tuple) or not all(type(day) is int for day in days):
        problems["cert_warn_days"] = "give a list of days, for example [30, 14, 7]"
    elif len(days) > 10 or any(not 1 <= day <= 365 for day in days):
        problems["cert_warn_days"] = "give at most ten days, each in 1..365"
    else:
        clean["cert_warn_days"] = sorted(set(days), reverse=True)
    tags = clean["tags"] or []
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        problems["tags"] = "give a list of texts"
        return
    tags = sorted({tag.strip() for tag in tags if tag.strip()})
    if len(tags) > TAGS_MOST or any(len(tag) > 64 for tag in tags):
        problems["tags"] = f"give at most {TAGS_MOST} tags of at most 64 characters"
    clean["tags"] = tags
