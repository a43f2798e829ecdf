"""Servers in the console."""

import time
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import Case, IntegerField, Value, When
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm, WordsField, choices
from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.panels import MAIN, Panel, Tile, panels, tiles
from apps.core.errors import DomainError
from apps.core.templatetags.console import ago, badge, meter, sparkline
from apps.fleet import services
from apps.fleet.admin.commands import is_reached
from apps.fleet.models import Server, ServerState, SshConnection
from apps.fleet.models.telemetry import Rollup1m
from apps.fleet.selectors import latest_snapshot, local_server, process_table
from apps.fleet.signalling import SIGNALS, own_processes
from apps.fleet.states import Health, Presence

SPARK_MINUTES = 60
ROWS_ON_OVERVIEW = 6
#: What the charts may show, in seconds.
RANGES = {
    "10m": 600, "1h": 3600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000, "90d": 7_776_000,
}  # fmt: skip
LIMITS = {"cpu": (80, 95), "memory": (85, 95), "disk": (80, 90)}
WORST_FIRST = Case(
    When(state__status=Presence.OFFLINE, then=Value(0)),
    When(state__health_status=Health.CRITICAL, then=Value(1)),
    When(state__health_status=Health.WARNING, then=Value(2)),
    When(state__status=Presence.UNKNOWN, then=Value(3)),
    default=Value(4),
    output_field=IntegerField(),
)


class ServerForm(ConsoleForm):
    """What people set of a server."""

    name = forms.CharField(max_length=200, help_text="As people call it.")
    slug = forms.CharField(
        max_length=64,
        required=False,
        help_text="Short name for the API and for agents; made from the name where empty.",
    )
    host = forms.CharField(max_length=255, required=False, label="Host name or address")
    port = forms.IntegerField(min_value=1, max_value=65535, initial=22, label="SSH port")
    tags = WordsField(required=False, help_text="Words by which servers are grouped, apart by commas.")
    ssh_connection_id = forms.ChoiceField(
        required=False,
        label="Commands reach it by",
        help_text="An SSH connection, with its own host, port and pinned key.",
    )
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["ssh_connection_id"]
        rows = SshConnection.objects.order_by("name").values_list("pk", "name")[:500]
        field.choices = choices([(str(key), name) for key, name in rows], empty="Nothing")


class ServerFormWithoutWay(ServerForm):
    """What people set of a server who may not choose how commands reach it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["ssh_connection_id"]


class StatusFilter(admin.SimpleListFilter):
    """Servers by presence."""

    title, parameter_name = "status", "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the states."""
        return Presence.choices

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the state chosen."""
        return queryset.filter(state__status=self.value()) if self.value() else queryset


class TagFilter(admin.SimpleListFilter):
    """Servers by tag."""

    title, parameter_name = "tag", "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the tags in use."""
        names = Server.tags.through.objects.values_list("tag__name", flat=True).distinct()[:100]
        return [(name, name) for name in sorted(names)]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the tag chosen."""
        return queryset.filter(tags__name=self.value()) if self.value() else queryset


def meter_of(row: Server, metric: str) -> SafeString:
    """Draw the newest share of a metric; live samples move it."""
    label = f"{metric} of {row.name}"
    context = meter(getattr(row.state, metric), *LIMITS[metric], label=label, metric=metric)
    return SafeString(render_to_string("console/partials/meter.html", context))


@admin.register(Server)
class ServerAdmin(ConsoleAdmin):
    """Machines: their newest figures, their history, their processes."""

    codes: ClassVar = {
        "view": "servers:view",
        "add": "servers:create",
        "change": "servers:update",
        "delete": "servers:delete",
    }
    subject_kind = "server"
    list_title = "Servers"
    add_label = "Add server"
    empty: ClassVar = (
        "dns",
        "No server yet",
        "This host adds itself with its first sample. Any other machine can push its figures with an API key.",
    )
    form_class = ServerForm
    list_display = ("server", "presence", "cpu", "memory", "disk", "last_hour", "seen")
    list_filter = (StatusFilter, TagFilter)
    search_fields = ("name", "slug", "host", "description")
    search_help_text = "Name, slug or host"
    live_events = "server.online server.offline server.created server.updated server.deleted"
    page_scripts = ("console/servers.js",)
    detail_template = "console/server.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the servers with state and tags, and their rank: worst first."""
        rows = super().get_queryset(request).select_related("state").prefetch_related("tags")
        return rows.annotate(severity=WORST_FIRST)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Return worst first, then by name."""
        return ("severity", "name", "id")

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Fetch the last hour's CPU of the page's servers in one query."""
        begin = (time.time_ns() // 60_000_000_000 - SPARK_MINUTES) * 60_000
        figures: dict[int, list[float | None]] = defaultdict(lambda: [None] * SPARK_MINUTES)
        buckets = Rollup1m.objects.filter(num__in=[row.num for row in rows], at__gte=begin, cpu_n__gt=0)  # type: ignore[attr-defined]
        for num, at, total, count in buckets.values_list("num", "at", "cpu_sum", "cpu_n"):
            place = (at - begin) // 60_000
            if 0 <= place < SPARK_MINUTES:
                figures[num][place] = total / count
        for row in rows:
            row.spark = figures[row.num]

    def row_tone(self, row: Server) -> str:
        """Mark what is silent or alarming."""
        if row.state.status == Presence.OFFLINE or row.state.health_status == Health.CRITICAL:
            return "crit"
        return "warn" if row.state.health_status == Health.WARNING else ""

    @column("Server", order="name")
    def server(self, row: Server) -> SafeString:
        """Show the name, the host and the tags."""
        words = "".join(format_html("<span class='wk-tag'>{}</span>", tag.name) for tag in row.tags.all())
        where = "this host" if row.is_local else row.host or row.slug
        return format_html(
            "{}<span class='sub'>{} <span class='wk-tags'>{}</span></span>", row.name, where, SafeString(words)
        )

    @column("Status", order="severity", css="tight")
    def presence(self, row: Server) -> SafeString:
        """Show whether it sends, and the worst open alert."""
        shown = badge(row.state.status)
        if row.state.health_status in (Health.WARNING, Health.CRITICAL):
            shown = format_html("{} {}", shown, badge(row.state.health_status))
        return shown

    @column("CPU", order="state__cpu")
    def cpu(self, row: Server) -> SafeString:
        """Show the share of CPU in use."""
        return meter_of(row, "cpu")

    @column("Memory", order="state__memory")
    def memory(self, row: Server) -> SafeString:
        """Show the share of memory in use."""
        return meter_of(row, "memory")

    @column("Disk", order="state__disk")
    def disk(self, row: Server) -> SafeString:
        """Show the share in use of the fullest mount."""
        return meter_of(row, "disk")

    @column("CPU, last hour", css="quiet")
    def last_hour(self, row: Any) -> SafeString:
        """Show the CPU of the last hour."""
        return sparkline(row.spark, label=f"CPU of {row.name} in the last hour", most=100)

    @column("Last sample", order="state__last_seen_at", css="tight quiet")
    def seen(self, row: Server) -> Any:
        """Show when it sent last."""
        return ago(row.state.last_seen_at)

    def form_for(self, request: HttpRequest, row: Server | None) -> type[ConsoleForm]:
        """Return the form; who may not use SSH connections is offered none."""
        return ServerForm if may(request, "ssh_connections:use") else ServerFormWithoutWay

    def initial(self, request: HttpRequest, row: Server | None) -> dict[str, Any]:
        """Return the form's values."""
        values = super().initial(request, row)
        if row is not None:
            values["ssh_connection_id"] = str(row.ssh_connection_id or "")
            values["tags"] = [tag.name for tag in row.tags.all()]
        return values

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Offer no removal of the host that adds itself again."""
        return super().has_delete_permission(request, obj) and not (
            obj is not None and obj.is_local and settings.LOCAL_SERVER
        )

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Server:
        """Add a server."""
        given = {**data, "ssh_connection_id": data.get("ssh_connection_id") or None}
        return services.create_server(actor=require(request, "servers:create"), **given)

    def update(self, request: HttpRequest, row: Server, data: dict[str, Any]) -> Server:
        """Change a server."""
        if "ssh_connection_id" in data:
            data = {**data, "ssh_connection_id": data["ssh_connection_id"] or None}
        return services.update_server(actor=require(request, "servers:update"), server=row, changes=data)

    def remove(self, request: HttpRequest, row: Server) -> None:
        """Remove a server."""
        services.delete_server(actor=require(request, "servers:delete"), server=row)

    def delete_warning(self, row: Server) -> str:
        """Say what goes with it."""
        return f"{row.name} is no longer watched; its samples and history are removed. Keys bound to it no longer work."

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Return what the buttons of the process list do."""
        return [("<str:object_id>/signal/", "signal", self.signal_view)]

    def signal_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Send a signal to a process."""
        actor = require(request, "processes:signal")
        row = self.row_or_404(request, object_id)
        pid, number = request.POST.get("pid", ""), request.POST.get("signal", "")
        if request.method == "POST" and pid.isdigit() and number.isdigit():
            try:
                after = services.signal_process(
                    actor=actor, server=row, pid=int(pid[:10]), number=int(number[:3]),
                    start_time=request.POST.get("start_time") or None,
                )  # fmt: skip
            except DomainError as error:
                messages.error(request, str(error))
            else:
                word = f"SIG{SIGNALS[int(number)]} was sent to {after['name']} ({pid})"
                messages.success(request, f"{word}; it {'goes on' if after['is_running'] else 'has ended'}.")
        return HttpResponseRedirect(self.page_of(row))

    def detail_context(self, request: HttpRequest, row: Server) -> dict[str, Any]:
        """Return the newest snapshot and the processes."""
        snapshot = latest_snapshot(row)
        may_see_processes = may(request, "processes:view")
        table, table_at = process_table(row) if snapshot and may_see_processes else ([], None)
        sort = request.GET.get("sort", "cpu")
        if sort == "memory":
            table.sort(key=lambda process: -(process.get("memory") or 0))
        ours = own_processes() if row.is_local and table else set()
        return {
            "state": row.state,
            "ranges": RANGES,
            "first_range": _first_range(row.state.last_seen_at),
            "snapshot": snapshot,
            "system": (snapshot or {}).get("system") or {},
            "cores": len(((snapshot or {}).get("cpu") or {}).get("cores") or []),
            "load": ((snapshot or {}).get("cpu") or {}).get("loadAverage") or {},
            "memory": (snapshot or {}).get("memory") or {},
            "mounts": _mounts(snapshot),
            "interfaces": ((snapshot or {}).get("network") or {}).get("interfaces") or [],
            "sensors": ((snapshot or {}).get("temperature") or {}).get("sensors") or [],
            "processes": [{**process, "takes_signals": _takes_signals(process, ours)} for process in table[:15]],
            "process_total": len(table),
            "processes_at": table_at,
            "sort": sort,
            "may_see_processes": may_see_processes,
            "signal_url": self.path_to("signal", row)
            if may(request, "processes:signal") and is_reached(row, require(request, "processes:signal"))
            else "",
            "signals": [(15, "Ask to end"), (9, "Kill"), (19, "Stop"), (18, "Go on"), (1, "Hang up"), (2, "Interrupt")],
            "push_url": f"{settings.PUBLIC_URL}/api/v1/metrics/{row.slug}",
            "may_make_keys": may(request, "api_keys:create"),
            "terminal_url": reverse("admin:server_terminal", args=[row.pk]) if may(request, "servers:terminal") else "",
        }


def _takes_signals(process: dict[str, Any], ours: set[int]) -> bool:
    """Return whether a signal to it is offered: to the platform's own, it would be refused.

    Threads of the kernel and what has ended already hold no memory.
    """
    return bool(
        process["pid"] > 1 and process["pid"] not in ours and process.get("startTime") and process.get("rss") != 0
    )


def _first_range(seen_at: datetime | None) -> str:
    """Return the shortest range in which samples of a silent server can be seen."""
    age_s = (datetime.now(UTC) - seen_at).total_seconds() if seen_at else 0
    return next((name for name, length_s in RANGES.items() if age_s < length_s * 0.8), "90d")


def _mounts(snapshot: dict[str, Any] | None) -> list[dict[str, Any]]:
    found = []
    for mount in ((snapshot or {}).get("disk") or {}).get("mounts") or []:
        used, total, free = mount.get("used"), mount.get("total"), mount.get("free")
        usable = used + free if used is not None and free is not None else total
        found.append({**mount, "percent": 100 * used / usable if used is not None and usable else None})
    return sorted(found, key=lambda mount: -(mount["percent"] or 0))


def _tile(request: HttpRequest) -> Tile:
    rows = Server.objects.visible_to(require(request, "servers:view"))
    states = list(ServerState.objects.filter(server__in=rows).values_list("status", "health_status"))
    offline = sum(status == Presence.OFFLINE for status, _ in states)
    unknown = sum(status == Presence.UNKNOWN for status, _ in states)
    ill = sum(status == Presence.ONLINE and health in (Health.WARNING, Health.CRITICAL) for status, health in states)
    online = len(states) - offline - unknown - ill
    return Tile(
        "Servers",
        "dns",
        reverse("admin:fleet_server_changelist"),
        (
            (offline, "offline", "crit"),
            (ill, "with alerts", "warn"),
            (unknown, "unknown", "unknown"),
            (online, "online", "ok"),
        ),
    )


def _local_panel(request: HttpRequest) -> dict[str, Any] | None:
    server = local_server()
    if server is None:
        return None
    snapshot = latest_snapshot(server)
    system = (snapshot or {}).get("system") or {}
    booted = None
    if snapshot and system.get("uptime"):
        booted = datetime.fromtimestamp(
            datetime.fromisoformat(snapshot["timestamp"]).timestamp() - system["uptime"], UTC
        )
    return {
        "server": server,
        "state": server.state,
        "system": system,
        "booted": booted,
        "url": reverse("admin:fleet_server_detail", args=[server.pk]),
    }


def _servers_panel(request: HttpRequest) -> dict[str, Any] | None:
    """Return the servers, worst first; nothing where there is this host alone, which has its own charts."""
    rows = Server.objects.visible_to(require(request, "servers:view")).select_related("state")
    shown = list(rows.annotate(severity=WORST_FIRST).order_by("severity", "name", "id")[: ROWS_ON_OVERVIEW + 1])
    if len(shown) < 2:
        return None
    listed = [
        {
            "row": row,
            "url": reverse("admin:fleet_server_detail", args=[row.pk]),
            "meters": [(metric, meter_of(row, metric)) for metric in LIMITS],
        }
        for row in shown[:ROWS_ON_OVERVIEW]
    ]
    return {"rows": listed, "more": len(shown) > ROWS_ON_OVERVIEW}


tiles.register("servers", (20, "servers:view", _tile))
panels.register("local", Panel(MAIN, 10, "console/panels/local.html", _local_panel, "servers:view"))
panels.register(
    "servers",
    Panel(
        MAIN,
        15,
        "console/panels/servers.html",
        _servers_panel,
        "servers:view",
        "server.online server.offline server.created server.deleted alert.*",
    ),
)
navigate(WATCH, 10, "Servers", icon="dns", url="admin:fleet_server_changelist", code="servers:view")
