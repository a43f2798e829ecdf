"""Prometheus: modules of the blackbox exporter, and the targets that scrape configurations give them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.core.imports import SourceFile
from apps.monitors.importers.base import Draft, ImportFault, register
from apps.monitors.importers.endpoints import EndpointDraft, host_and_port, tags_of
from apps.monitors.importers.reading import Table, load_yaml

_DEFAULT_INTERVAL_S = 60
_NOT_CARRIED = {
    "fail_if_header_matches": "What headers must not contain",
    "fail_if_header_not_matches": "What headers must contain",
    "oauth2": "Signing in by OAuth 2",
    "compression": "The compression",
    "valid_http_versions": "The HTTP version",
    "body_size_limit": "The size limit of the body",
    "fail_if_body_json_matches_cel": "The condition on the JSON",
    "fail_if_body_json_not_matches_cel": "The condition on the JSON",
}


@dataclass(frozen=True, slots=True)
class _Target:
    place: str
    address: str
    module: str
    interval_s: float
    timeout_s: float | None = None
    labels: dict[str, str] = field(default_factory=dict)


@register("blackbox")
class Blackbox:
    """An endpoint for each target and module."""

    label = "Prometheus blackbox exporter"
    help = "blackbox.yml together with prometheus.yml (and file_sd files), which says what is probed with which module."
    extensions = (".yml", ".yaml")

    def read(self, files: Sequence[SourceFile]) -> list[Draft]:
        """Return an endpoint for each pair of target and module, and modules without targets."""
        modules: dict[str, Any] = {}
        targets: list[_Target] = []
        drafts: list[Draft] = []
        for file in files:
            data = load_yaml(file)
            if isinstance(data, dict) and isinstance(data.get("modules"), dict):
                modules.update({str(name): value for name, value in data["modules"].items()})
            elif isinstance(data, dict) and isinstance(data.get("scrape_configs"), list):
                targets += _scraped(Table(data, file.name), drafts)
            elif isinstance(data, list):
                targets += _listed(data, file.name, modules)
            else:
                raise ImportFault(
                    f"{file.name}: it has neither “modules” nor “scrape_configs”, and is no list of targets."
                )
        if not modules:
            raise ImportFault("The modules are missing: give blackbox.yml along.")
        used = set()
        for target in targets:
            used.add(target.module)
            drafts.append(_draft(target, modules))
        for name in modules:
            if name not in used:
                problem = "No target uses this module: give prometheus.yml, or a list of targets, along."
                drafts.append(Draft(place=f"module {name}", kind="module", name=name, problem=problem))
        return drafts


def _scraped(root: Table, drafts: list[Draft]) -> Iterator[_Target]:
    usual = root.table("global")
    for number, row in enumerate(root.rows("scrape_configs"), 1):
        job = Table(row, f"scrape configuration {number}")
        module = (job.table("params").raw("module") or [""])[0]
        if not module and "probe" not in job.text("metrics_path"):
            continue  # it scrapes something else
        name = job.text("job_name") or job.place
        interval = job.duration("scrape_interval") or usual.duration("scrape_interval") or _DEFAULT_INTERVAL_S
        timeout = job.duration("scrape_timeout") or usual.duration("scrape_timeout")
        for group in job.rows("static_configs"):
            table = Table(group, f"{job.place}, static_configs")
            labels = {str(key): str(value) for key, value in table.table("labels").data.items()}
            for address in table.texts("targets"):
                chosen = labels.get("__param_module") or labels.get("module") or str(module)
                yield _Target(f"job {name}", address, chosen, interval, timeout, {"job": name, **labels})
        for kind in sorted(key for key in job.data if str(key).endswith("_sd_configs")):
            problem = "Its targets come from a discovery: give them as a list, as file_sd reads it."
            drafts.append(Draft(place=f"job {name}", kind="discovery", name=f"{name}: {kind}", problem=problem))


def _listed(rows: list[Any], name: str, modules: dict[str, Any]) -> Iterator[_Target]:
    for number, row in enumerate(rows, 1):
        table = Table(row, f"{name}, entry {number}")
        labels = {str(key): str(value) for key, value in table.table("labels").data.items()}
        only = next(iter(modules)) if len(modules) == 1 else ""
        module = labels.get("__param_module") or labels.get("module") or only
        for address in table.texts("targets"):
            yield _Target(table.place, address, module, _DEFAULT_INTERVAL_S, None, labels)


def _draft(target: _Target, modules: dict[str, Any]) -> Draft:
    name = target.labels.get("instance") or target.address
    failed = Draft(place=target.place, kind="endpoint", name=name)
    if target.module not in modules:
        failed.problem = f"It uses the module “{target.module or '?'}”, which is not in the modules that were given."
        return failed
    try:
        return _endpoint(target, name, Table(modules[target.module] or {}, f"module {target.module}")).draft
    except ImportFault as fault:
        failed.problem = str(fault)
        return failed


def _endpoint(target: _Target, name: str, module: Table) -> EndpointDraft:
    prober = module.text("prober")
    theirs = module.table(prober) if prober else Table({}, module.place)
    ours = {"http": "http", "tcp": "tcp", "icmp": "icmp", "dns": "dns", "grpc": "grpc"}.get(prober, prober)
    if prober == "tcp" and theirs.flag("tls") and not theirs.rows("query_response"):
        ours = "tls"
    if ours == "dns" and theirs.text("query_name"):
        name = f"{theirs.text('query_name').rstrip('.')} at {name}"  # all of them may ask the same resolver
    out = EndpointDraft(target.place, name, ours or "?", theirs=prober or "that its module does not name")
    hidden = {"job", "module", "instance"}
    out.set("tags", tags_of([target.labels.get("job", ""), *(
        f"{key}: {value}" for key, value in target.labels.items() if key not in hidden and not key.startswith("__")
    )]))  # fmt: skip
    out.timing(target.interval_s, module.duration("timeout") or target.timeout_s)
    family = theirs.text("preferred_ip_protocol")
    if theirs.raw("ip_protocol_fallback") is False and family in ("ip4", "ip6", ""):
        out.option("ip_family", "ipv4" if family == "ip4" else "ipv6", "The IP version")
    if out.draft.problem:
        return out
    {"http": _http, "tcp": _tcp, "icmp": _icmp, "dns": _dns, "grpc": _grpc}.get(prober, _icmp)(target, theirs, out)
    return out


def _tls(theirs: Table, out: EndpointDraft) -> None:
    config = theirs.table("tls_config")
    if config.flag("insecure_skip_verify"):
        out.set("tls_verify", False)
    if config.text("server_name"):
        out.option("server_name", config.text("server_name"), "The server name")
    if config.text("ca"):
        out.set("ca_pem", config.long_text("ca"))
    if config.text("cert") and config.text("key"):
        out.option("client_cert", config.long_text("cert"), "The client certificate")
        out.option("client_key", config.long_text("key"))
    if any(config.text(name) for name in ("ca_file", "cert_file", "key_file")):
        out.note("Certificates of its TLS settings lie in files: paste them into the monitor.")


def _http(target: _Target, theirs: Table, out: EndpointDraft) -> None:
    url = target.address if "://" in target.address else f"http://{target.address}"
    out.set("target", url)
    out.set("method", theirs.text("method") or "GET")
    codes = theirs.texts("valid_status_codes")
    out.set("expected_status", ",".join(codes) or "2xx")
    follows = theirs.flag("follow_redirects", True) and not theirs.flag("no_follow_redirects")
    out.set("max_redirects", 10 if follows else 0)
    headers = {str(key): str(value) for key, value in theirs.table("headers").data.items()}
    if headers:
        out.set("headers", headers)
    if theirs.long_text("body"):
        out.set("body", theirs.long_text("body"))
    for name, option, word in (
        ("fail_if_body_not_matches_regexp", "pattern", "what the body must match"),
        ("fail_if_body_matches_regexp", "pattern_absent", "what the body must not match"),
    ):
        patterns = theirs.texts(name)
        if len(patterns) > 1 and option == "pattern_absent":
            out.option(option, "|".join(f"(?:{one})" for one in patterns))
        elif patterns:
            out.option(option, patterns[0])
            if len(patterns) > 1:
                out.note(f"Only the first of {len(patterns)} patterns is carried over of {word}.")
    basic = theirs.table("basic_auth")
    if basic.text("username"):
        out.option("auth", "basic")
        out.option("username", basic.text("username"))
        out.option("password", basic.long_text("password"))
        if basic.text("password_file"):
            out.note("Its password lies in a file: type it into the monitor.")
    token = theirs.text("bearer_token") or theirs.table("authorization").text("credentials")
    if token:
        out.option("auth", "bearer")
        out.option("token", token)
    if theirs.text("bearer_token_file") or theirs.table("authorization").text("credentials_file"):
        out.note("Its token lies in a file: type it into the monitor.")
    if theirs.text("proxy_url"):
        out.option("proxy", theirs.text("proxy_url"), "The proxy")
    if theirs.flag("fail_if_ssl"):
        out.note("That the answer must come without TLS is not carried over.")
    if theirs.flag("fail_if_not_ssl") and url.startswith("http://"):
        out.note("That the answer must come by TLS is not carried over.")
    for name, word in _NOT_CARRIED.items():
        if theirs.data.get(name):
            out.note(f"{word} is not carried over.")
    _tls(theirs, out)


def _tcp(target: _Target, theirs: Table, out: EndpointDraft) -> None:
    out.set("target", target.address.removeprefix("tcp://"))
    if theirs.flag("tls"):
        out.option("tls", True)
    _tls(theirs, out)
    steps = [Table(one, f"{theirs.place}, query_response") for one in theirs.rows("query_response")]
    if any(step.flag("starttls") for step in steps):
        out.refuse("It changes to TLS in the middle: add a mail server, or a certificate, by hand.")
    sends = [step.long_text("send") for step in steps if step.long_text("send")]
    expects = [step.text("expect") for step in steps if step.text("expect")]
    if len(sends) > 1 or len(expects) > 1 or (sends and expects and steps[0].text("expect")):
        out.note("Of the dialogue only the last expectation is carried over, and what is sent first.")
    if sends:
        out.option("send", sends[0], "What is sent")
    if expects:
        out.option("expect", expects[-1], "What is expected")


def _icmp(target: _Target, theirs: Table, out: EndpointDraft) -> None:
    out.set("target", target.address)
    if theirs.integer("payload_size"):
        out.option("size", theirs.integer("payload_size"), "The size of the packets")


def _dns(target: _Target, theirs: Table, out: EndpointDraft) -> None:
    name = theirs.text("query_name")
    if not name:
        out.refuse("Its module names nothing to look up.")
        return
    out.set("target", name.rstrip("."))
    out.option("resolver", target.address.removeprefix("dns://").removesuffix(":53"))
    out.option("record_type", theirs.text("query_type") or "ANY")
    codes = theirs.texts("valid_rcodes")
    if codes and codes != ["NOERROR"]:
        out.note(f"Only NOERROR counts as an answer; {', '.join(codes)} is not carried over.")
    for kind in ("answer", "authority", "additional"):
        if theirs.data.get(f"validate_{kind}_rrs"):
            out.note(f"What the {kind} section must match is not carried over.")
    if theirs.text("transport_protocol") == "tcp":
        out.note("It is asked by UDP first.")


def _grpc(target: _Target, theirs: Table, out: EndpointDraft) -> None:
    address = re.sub(r"^grpcs?://", "", target.address)
    host, _, port = address.rpartition(":")
    out.set("target", address if host else host_and_port(address, 443))
    out.option("service", theirs.text("service"), "The service")
    out.option("tls", theirs.flag("tls"))
    _tls(theirs, out)
