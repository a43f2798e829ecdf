"""Uptime Kuma: the JSON backup of its settings page."""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from django.utils.dateparse import parse_datetime

from apps.core.imports import SourceFile
from apps.core.json_text import parse_json
from apps.monitors.importers.base import MAINTENANCE, Draft, ImportFault, register
from apps.monitors.importers.endpoints import EndpointDraft, final_codes, host_and_port, tags_of
from apps.monitors.importers.reading import Table, each, load_json
from apps.monitors.schedules import is_zone

#: Their types under our names; a type that is not here is looked up by its own name.
TYPES = {
    "http": "http", "keyword": "http", "json-query": "http", "port": "tcp", "ping": "icmp", "dns": "dns",
    "push": "push", "group": "group", "postgres": "postgresql", "mysql": "mysql", "redis": "redis",
    "grpc-keyword": "grpc", "smtp": "smtp", "websocket-upgrade": "websocket",
}  # fmt: skip
_SIMPLE_PATH = re.compile(r"^\$?\.?[\w-]+(?:\.[\w-]+|\[\d+\])*$")
_ENCODINGS = {"json": "application/json", "xml": "text/xml; charset=utf-8", "form": "application/x-www-form-urlencoded"}


@register("uptime_kuma")
class UptimeKuma:
    """Monitors of every type that has a check here, groups, tags and maintenance."""

    label = "Uptime Kuma"
    help = "The JSON file of Settings → Backup → Export."
    extensions = (".json",)

    def read(self, files: Sequence[SourceFile]) -> list[Draft]:
        """Return monitors, groups, maintenance, and what can't be made: notifications and status pages."""
        drafts: list[Draft] = []
        for file in files:
            data = load_json(file)
            if not isinstance(data, dict) or not isinstance(data.get("monitorList"), list | dict):
                raise ImportFault(f"{file.name}: this is no backup of Uptime Kuma; it has no “monitorList”.")
            drafts += _read(Table(data, file.name), f"{file.name}/" if len(files) > 1 else "")
        return drafts


def _rows(backup: Table, name: str) -> list[Any]:
    value = backup.raw(name)
    if isinstance(value, dict):
        value = list(value.values())
    if value is not None and not isinstance(value, list):
        raise ImportFault(f"{backup.place}: “{name}” should be a list.")
    return value or []


def _read(backup: Table, prefix: str) -> list[Draft]:
    rows = _rows(backup, "monitorList")
    proxies = {str(one.get("id")): one for one in _rows(backup, "proxyList") if isinstance(one, dict)}
    names = {str(one.get("id")): str(one.get("name") or "") for one in rows if isinstance(one, dict)}

    def failed(place: str, problem: str, row: Any) -> Draft:
        name = str(row.get("name") or place) if isinstance(row, dict) else place
        return Draft(place=place, kind="endpoint", name=name, problem=problem)

    def monitor(row: Any, place: str) -> Draft:
        table = Table(row, place)
        return _Monitor(table, prefix, proxies, names).read()

    drafts = list(each(rows, monitor, "monitor", failed))
    by_key = {draft.key: draft for draft in drafts if draft.key}
    for row, draft in zip(rows, drafts, strict=True):
        parent = by_key.get(f"{prefix}{row.get('parent')}") if isinstance(row, dict) and row.get("parent") else None
        if parent is not None and draft.key:
            parent.members.append(draft.key)
    for draft in drafts:
        if draft.values.get("endpoint_type") == "group" and not draft.members and not draft.problem:
            draft.problem = "The group has no monitors in it."
    uses: dict[str, int] = {}
    for row in rows:
        if isinstance(row, dict) and isinstance(row.get("notificationIDList"), dict):
            for key in row["notificationIDList"]:
                uses[str(key)] = uses.get(str(key), 0) + 1
    drafts += each(_rows(backup, "notificationList"), lambda row, place: _notification(row, place, uses),
                   "notification", failed)  # fmt: skip
    drafts += each(_rows(backup, "maintenanceList"), lambda row, place: _maintenance(row, place, prefix),
                   "maintenance", failed)  # fmt: skip
    drafts += each(_rows(backup, "statusPageList"), _status_page, "status page", failed)
    return drafts


def _notification(row: Any, place: str, uses: dict[str, int]) -> Draft:
    table = Table(row, place)
    config = table.raw("config")
    if isinstance(config, str):
        try:
            config = parse_json(config)
        except ValueError:
            config = {}
    kind = str(config.get("type") or "") if isinstance(config, dict) else ""
    count = uses.get(table.text("id"), 0)
    used = f"; {count} monitor{'' if count == 1 else 's'} used it" if count else ""
    what = f"Notifications ({kind})" if kind else "Notifications"
    problem = f"{what} are set up as channels here: add one under Channels{used}."
    return Draft(place=place, kind="notification", name=table.text("name") or place, problem=problem)


def _status_page(row: Any, place: str) -> Draft:
    table = Table(row, place)
    name = table.text("title") or table.text("slug") or place
    problem = "Status pages are not imported: make it anew here."
    return Draft(place=place, kind="status page", name=name, problem=problem)


class _Monitor:
    """One monitor of the backup."""

    def __init__(self, table: Table, prefix: str, proxies: dict[str, Any], names: dict[str, str]) -> None:
        self.row, self.proxies, self.names = table, proxies, names
        self.type = table.text("type") or "http"
        ours = TYPES.get(self.type, self.type)
        name = table.text("name") or table.text("url") or table.text("hostname") or table.place
        self.out = EndpointDraft(table.place, name, ours, key=f"{prefix}{table.text('id')}", theirs=self.type)

    def read(self) -> Draft:
        """Return the draft."""
        row, out = self.row, self.out
        draft = out.draft
        if draft.problem:
            return draft
        if row.text("description"):
            out.set("description", row.text("description"))
        if not row.flag("active", True):
            out.set("enabled", False)
        if row.flag("upsideDown"):
            out.set("inverse", True, "“Upside down”")
        out.set("tags", self._tags())
        out.timing(row.number("interval"), row.number("timeout") or None)
        retries = row.integer("maxretries")
        out.thresholds(failures=retries + 1)
        again = row.number("retryInterval")
        if retries and again and again != row.number("interval"):
            out.note(f"Retries come at the ordinary interval and not every {again:g} s.")
        if row.integer("resendInterval"):
            out.note("Repeated notifications are set in an escalation policy here.")
        if row.flag("domainExpiryNotification"):
            out.note("The end of the domain's registration is not watched.")
        reader = getattr(self, "_" + self.type.replace("-", "_"), None)
        if reader is not None:
            reader()
        elif draft.values["endpoint_type"] not in ("group", "push"):
            self._anything()
        if (row.raw("conditions") or "") not in ("", "[]", "{}", [], {}):
            out.note("Its conditions are not carried over: look at what it expects.")
        return draft

    def _tags(self) -> list[str]:
        words = []
        for entry in self.row.rows("tags"):
            tag = Table(entry, f"{self.row.place}, tags")
            name, value = tag.text("name"), tag.text("value")
            words.append(f"{name}: {value}" if name and value else name)
        return tags_of(words)

    # --- by their types ------------------------------------------------------------------------------------------

    def _http(self) -> None:
        row, out = self.row, self.out
        out.set("target", row.text("url"))
        out.set("method", row.text("method") or "GET")
        codes = row.texts("accepted_statuscodes")
        accepted = ",".join(codes) or "200-299"
        redirects = min(row.integer("maxredirects", 10), 20)
        out.set("expected_status", final_codes(accepted) if redirects else accepted)
        out.set("max_redirects", redirects)
        if row.flag("ignoreTls"):
            out.set("tls_verify", False)
        if row.raw("expiryNotification") is not None and not row.flag("expiryNotification"):
            out.set("cert_warn_days", [])
        self._headers()
        if row.long_text("body"):
            out.set("body", row.long_text("body"), "The body")
            encoding = _ENCODINGS.get(row.text("httpBodyEncoding") or "json")
            if encoding:
                out.header("Content-Type", encoding)
        if row.flag("cacheBust"):
            out.note("No random parameter is added to the address.")
        self._ip_family()
        self._auth()
        self._proxy()

    def _keyword(self) -> None:
        self._http()
        word = self.row.long_text("keyword")
        self.out.set("keyword_absent" if self.row.flag("invertKeyword") else "keyword", word)

    def _json_query(self) -> None:
        self._http()
        path, operator = self.row.text("jsonPath"), self.row.text("jsonPathOperator") or "=="
        if not _SIMPLE_PATH.match(path):
            self.out.note(f"The JSON query “{path}” is more than a path: only the status code is judged.")
            return
        # Theirs may do without the leading “$”, and so may ours, but not with a leading dot alone.
        self.out.set("json_path", path if path.startswith("$") else path.lstrip("."))
        if operator == "==":
            self.out.set("json_value", self.row.text("expectedValue"))
        else:
            expected = self.row.text("expectedValue")
            self.out.note(f"“{operator} {expected}” is not compared: the value must exist, whatever it is.")

    def _headers(self) -> None:
        text = self.row.raw("headers")
        if not text:
            return
        try:
            headers = parse_json(text) if isinstance(text, str) else text
        except ValueError:
            headers = None
        if not isinstance(headers, dict):
            raise ImportFault(f"{self.row.place}: “headers” should be a JSON object.")
        if headers:
            self.out.set("headers", {str(name): str(value) for name, value in headers.items()}, "The headers")

    def _auth(self) -> None:
        row, out = self.row, self.out
        method = row.text("authMethod") or ("basic" if row.text("basic_auth_user") else "")
        if method == "basic":
            out.option("auth", "basic")
            out.option("username", row.text("basic_auth_user"))
            out.option("password", row.long_text("basic_auth_pass"))
        elif method == "mtls":
            if row.text("tlsCert"):
                out.option("client_cert", row.long_text("tlsCert"), "The client certificate")
                out.option("client_key", row.long_text("tlsKey"))
            if row.text("tlsCa"):
                out.set("ca_pem", row.long_text("tlsCa"))
        elif method in ("ntlm", "oauth2-cc"):
            word = {"ntlm": "NTLM", "oauth2-cc": "OAuth 2 client credentials"}[method]
            out.refuse(f"It signs in by {word}, which no check here can.")

    def _proxy(self) -> None:
        number = self.row.text("proxyId")
        if not number or number == "0":
            return
        found = self.proxies.get(number)
        if found is None:
            self.out.refuse("It goes through a proxy that the backup does not contain.")
            return
        proxy = Table(found, f"{self.row.place}, proxy {number}")
        protocol = proxy.text("protocol") or "http"
        if protocol not in ("http", "https"):
            self.out.refuse(f"It goes through a {protocol} proxy; checks here use HTTP proxies alone.")
            return
        if not proxy.flag("active", True):
            return
        address = host_and_port(proxy.text("host"), proxy.integer("port") or None)
        self.out.option("proxy", f"{protocol}://{address}", "The proxy")
        if proxy.flag("auth"):
            self.out.option("proxy_username", proxy.text("username"))
            self.out.option("proxy_password", proxy.long_text("password"))

    def _ip_family(self) -> None:
        family = {"ipv4": "ipv4", "ipv6": "ipv6"}.get(self.row.text("ipFamily"))
        if family:
            self.out.option("ip_family", family, "The IP version")

    def _host(self) -> str:
        host = self.row.text("hostname")
        if not host:
            raise ImportFault(f"{self.row.place}: it names no host.")
        return host

    def _port(self) -> None:
        self.out.set("target", host_and_port(self._host(), self.row.integer("port") or None))

    def _ping(self) -> None:
        row = self.row
        self.out.set("target", self._host())
        if row.integer("packetSize"):
            self.out.option("size", row.integer("packetSize"), "The size of the packets")
        if row.integer("ping_count"):
            self.out.option("count", row.integer("ping_count"), "The number of packets")

    def _dns(self) -> None:
        row, out = self.row, self.out
        out.set("target", self._host())
        out.option("record_type", row.text("dns_resolve_type") or "A", "The record type")
        servers = [one.strip() for one in row.text("dns_resolve_server").split(",") if one.strip()]
        if servers:
            port = row.integer("port")
            out.option("resolver", host_and_port(servers[0], port if port not in (0, 53) else None), "The resolver")
            if len(servers) > 1:
                out.note(f"Only the first resolver, {servers[0]}, is asked.")

    def _push(self) -> None:
        self.out.note("It gets an address of its own here, shown once after the import: put it into the job.")

    def _websocket_upgrade(self) -> None:
        self.out.set("target", self.row.text("url"))
        self._headers()
        if self.row.flag("ignoreTls"):
            self.out.set("tls_verify", False)

    def _smtp(self) -> None:
        security = {"secure": "tls", "nostarttls": "none", "starttls": "starttls"}
        self.out.set("target", host_and_port(self._host(), self.row.integer("port") or None))
        self.out.option("security", security.get(self.row.text("smtpSecurity"), "starttls"), "The encryption")

    def _grpc_keyword(self) -> None:
        row, out = self.row, self.out
        service = row.text("grpcServiceName")
        if service.rpartition(".")[2].lower() != "health":
            out.refuse(f"It calls {service or 'a service'} by gRPC; here only the standard health service is asked.")
            return
        out.set("target", row.text("grpcUrl").removeprefix("grpc://").removeprefix("grpcs://"))
        out.option("tls", row.flag("grpcEnableTls"))

    def _database(self, schemes: tuple[str, ...], port: int) -> None:
        row, out = self.row, self.out
        text = row.text("databaseConnectionString")
        try:
            url = urlsplit(text)
            host, given = url.hostname, url.port
        except ValueError:
            host = None
        if host is None or url.scheme not in schemes:
            out.refuse(f"Its connection string is not of the form {schemes[0]}://user@host:port/database.")
            return
        out.set("target", host_and_port(host, given or port))
        if url.username:
            out.option("username", unquote(url.username))
        secret = unquote(url.password or "") or row.long_text("radiusPassword")
        if secret:
            out.option("password", secret)
        name = unquote(url.path.strip("/"))
        if name:
            out.option("database", name, "The number of the database")
        query = row.text("databaseQuery")
        if query:
            out.option("query", query, "The query")
        if url.scheme == "rediss":
            out.option("tls", True)
            if row.flag("ignoreTls"):
                out.set("tls_verify", False)

    def _postgres(self) -> None:
        self._database(("postgres", "postgresql"), 5432)

    def _mysql(self) -> None:
        self._database(("mysql", "mariadb"), 3306)

    def _redis(self) -> None:
        self._database(("redis", "rediss"), 6379)

    def _group(self) -> None:
        """Nothing beyond its members."""

    def _anything(self) -> None:
        """Fill a type of the same name that is not known here by the fields that most types share."""
        out, row = self.out, self.row
        if row.text("hostname"):
            out.set("target", host_and_port(row.text("hostname"), row.integer("port") or None))
        elif row.text("url"):
            out.set("target", row.text("url"))


# --- maintenance -------------------------------------------------------------------------------------------------


def _maintenance(row: Any, place: str, prefix: str) -> Draft:
    table = Table(row, place)
    title = table.text("title") or place
    draft = Draft(place=place, kind=MAINTENANCE, name=title, values={"title": title})
    values = draft.values
    values["description"] = table.text("description")
    values["timezone"] = _zone(table)
    values["enabled"] = table.flag("active", True)
    draft.members = [
        f"{prefix}{one.get('id') if isinstance(one, dict) else one}"
        for one in table.rows("monitors") or table.rows("monitorList")
    ]
    if not draft.members:
        draft.problem = "The backup does not say which monitors it is for."
    strategy = table.text("strategy")
    times = [Table(one, place) for one in table.rows("timeRange")]
    dates = table.texts("dateRange") if all(table.rows("dateRange")) else []
    if strategy == "single" and len(dates) == 2:
        zone = ZoneInfo(values["timezone"])
        begin, end = (parse_datetime(date) for date in dates)
        if begin is None or end is None:
            raise ImportFault(f"{place}: “dateRange” should name two times.")
        values |= {
            "kind": "once",
            "starts_at": begin if begin.tzinfo else begin.replace(tzinfo=zone),
            "ends_at": end if end.tzinfo else end.replace(tzinfo=zone),
        }
    elif strategy in ("recurring-interval", "recurring-weekday", "recurring-day-of-month") and len(times) == 2:
        first, last = (60 * one.integer("hours") + one.integer("minutes") for one in times)
        duration = (last - first) % 1440 * 60 or 86_400
        at = f"{first // 60:02}:{first % 60:02}"
        if strategy == "recurring-day-of-month":
            days = table.texts("daysOfMonth")
            if not days or not all(day.isdigit() for day in days):
                draft.problem = draft.problem or "It comes on the last days of the month, which is not offered here."
            cron = f"{first % 60} {first // 60} {','.join(days)} * *"
            values |= {"kind": "cron", "cron": cron, "duration_s": duration}
        elif strategy == "recurring-interval" and table.integer("intervalDay", 1) != 1:
            draft.problem = draft.problem or "It comes every few days, which is not offered here."
        else:
            # They count from Sunday, we from Monday.
            days_of_week = [(int(day) - 1) % 7 for day in table.texts("weekdays") if day.isdigit()]
            weekdays = days_of_week if strategy == "recurring-weekday" else list(range(7))
            values |= {"kind": "weekly", "weekdays": weekdays, "start_time": at, "duration_s": duration}
    elif strategy == "cron" and table.text("cron"):
        values |= {"kind": "cron", "cron": table.text("cron"), "duration_s": table.integer("durationMinutes") * 60}
    else:
        draft.problem = draft.problem or f"A window of the kind “{strategy or 'unknown'}” is not offered here."
    return draft


def _zone(table: Table) -> str:
    zone = table.text("timezone") or table.text("timezoneOption")
    if zone in ("", "SAME_AS_SERVER", "utc"):
        return "UTC"
    if not is_zone(zone):
        raise ImportFault(f"{table.place}: “{zone}” is no time zone.")
    return zone
