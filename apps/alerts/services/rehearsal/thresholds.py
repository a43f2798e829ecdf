"""A threshold over the stored figures of servers.

The proposal: the fields of a threshold (`metric`, `comparison`, `value`, `level`, `for_s`, `clear_value`, `server`) and
`threshold`, the one it would replace. Other levels of the same metric stay in force beside it. Without `value`: the
thresholds as they are.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from apps.alerts.limits import END, TELL, Held, instances, moves
from apps.alerts.models import Threshold
from apps.alerts.services.rehearsal.common import Budget, Firing, Report, really_opened, rehearsal
from apps.alerts.services.thresholds import FIELDS, check_threshold, message_of
from apps.alerts.states import RANK
from apps.core.errors import Invalid
from apps.core.events import Subject
from apps.core.principals import Principal
from apps.fleet import retention
from apps.fleet import selectors as fleet
from apps.fleet.models import Sample, Server
from apps.fleet.retention import RAW

SERVERS_MOST = 200
#: What is looked at before the span, so that what had begun by then is known.
WARM_UP = timedelta(hours=1)
_PER_MOUNT = {"disk": 1, "inodes": 4}
_PAGE = 5000
#: A span that begins a little before the keep time of a level is still read from it.
SLACK_MS = 3_600_000


@rehearsal("threshold", "thresholds:view")
def rehearse_threshold(report: Report, proposal: Mapping[str, Any], actor: Principal, budget: Budget) -> None:
    """Hold a proposed threshold against what the servers measured."""
    proposed, replaced = _proposed(proposal, actor)
    if proposed is None and replaced is None and not proposal.get("metric"):
        raise Invalid({"metric": f"must be one of {', '.join(Threshold.Metric.values)}"})
    metric = proposed.metric if proposed else replaced.metric if replaced else str(proposal["metric"])
    if metric not in Threshold.Metric.values:
        raise Invalid({"metric": f"must be one of {', '.join(Threshold.Metric.values)}"})
    rows = fleet.server_list(actor)
    wanted = (proposed or replaced).server_id if (proposed or replaced) else None  # type: ignore[union-attr]
    if wanted is None and proposal.get("server") is not None:
        wanted = proposal["server"].id
    if wanted is not None:
        rows = rows.filter(id=wanted)
    servers = list(rows[: SERVERS_MOST + 1])
    if len(servers) > SERVERS_MOST:
        servers = servers[:SERVERS_MOST]
        report.notes.append(f"Only the first {SERVERS_MOST} servers were looked at.")
    limits = _Limits(metric, proposed, replaced)
    tags = fleet.tags_of(servers)
    start = report.since - WARM_UP - timedelta(seconds=limits.longest_s())
    level = _level(report, start, len(servers), budget)
    report.basis = "raw samples" if level == "raw" else f"averages of {level}"
    if level != "raw":
        report.notes.append(f"So far back only averages of {level} are kept or affordable: short peaks are not seen.")
        if metric in _PER_MOUNT:
            report.notes.append("They tell of the fullest mount alone.")
        if metric == "load_per_core":
            report.notes.append("Load per core is kept with raw samples only; choose a span within their keep time.")
            return
    silent_s = retention.silent_after_s() if level == "raw" else 2 * retention.BY_NAME[level].ms / 1000
    for done, server in enumerate(servers):
        past = _Past(server, limits.of(server), tags.get(server.id, []), silent_s)
        for at, values in _figures(server, metric, level, start, report.until, budget):
            if budget.is_spent:
                break
            past.look(at, values)
        if budget.is_spent:
            report.fired += past.fired
            report.is_complete = False
            report.notes.append(
                f"There was too much to go through: {done} of {len(servers)} servers were looked at in full. Ask for a "
                "shorter span or one server."
            )
            return
        past.finish(report.until)
        report.fired += past.fired
    ids = [str(server.id) for server in servers]
    kinds = {one.kind for one in report.fired} | {metric}
    report.real = really_opened(report, source="server", subject_id__in=ids, kind__in=kinds)


def _proposed(proposal: Mapping[str, Any], actor: Principal) -> tuple[Threshold | None, Threshold | None]:
    replaced: Threshold | None = proposal.get("threshold")
    given = {name: proposal[name] for name in FIELDS if name in proposal}
    if "value" not in given:
        return None, replaced
    values = {name: getattr(replaced, name) for name in FIELDS} if replaced else {}
    threshold = Threshold(**{**values, **given, "enabled": True})
    check_threshold(threshold)
    return threshold, replaced


class _Limits:
    """The limits of a metric as they would be, by server."""

    def __init__(self, metric: str, proposed: Threshold | None, replaced: Threshold | None) -> None:
        rows = [row for row in Threshold.objects.filter(metric=metric) if replaced is None or row.id != replaced.id]
        if proposed is not None:
            place = (proposed.server_id, proposed.level)
            rows = [row for row in rows if (row.server_id, row.level) != place] + [proposed]
        elif replaced is not None:
            rows.append(replaced)
        self._rows = rows

    def of(self, server: Server) -> dict[tuple[str, str], Threshold]:
        """Return (metric, level) -> limit of a server: its own before the global ones, as the sweep has it."""
        found: dict[tuple[str, str], Threshold] = {}
        for wanted in (None, server.id):
            found |= {(row.metric, row.level): row for row in self._rows if row.server_id == wanted and row.enabled}
        for row in self._rows:
            if row.server_id == server.id and not row.enabled:
                found.pop((row.metric, row.level), None)
        return found

    def longest_s(self) -> int:
        """Return the longest time that one of them must last."""
        return max((row.for_s for row in self._rows), default=0)


class _Past:
    """One server's past as the sweep would have seen it."""

    def __init__(
        self, server: Server, limits: Mapping[tuple[str, str], Threshold], tags: list[str], silent_s: float
    ) -> None:
        self.server, self.limits, self.tags = server, limits, tags
        self.silent = timedelta(seconds=silent_s)
        self.held: dict[tuple[str, str], Held] = {}
        self.open: dict[str, Firing] = {}
        self.fired: list[Firing] = []
        self.last: datetime | None = None
        self.values: dict[str, float] = {}

    def look(self, at: datetime, values: dict[str, float]) -> None:
        """Take the next figures; what had to last until then is looked at in its own time."""
        self._ripen(at)
        self.last, self.values = at, instances(values)
        self._follow(at)

    def finish(self, until: datetime) -> None:
        """Let the time until the end pass."""
        self._ripen(until)

    def _ripen(self, before: datetime) -> None:
        """Look again when a breach has lasted long enough, while the latest figures still count."""
        if self.last is None:
            return
        end = min(before, self.last + self.silent)
        due = sorted(
            {
                breach.since + timedelta(seconds=limit.for_s)
                for (instance, level), breach in self.held.items()
                if not breach.is_told and (limit := self.limits.get((instance.partition(":")[0], level)))
            }
        )
        for at in due:
            if self.last < at < end:
                self._follow(at)

    def _follow(self, at: datetime) -> None:
        for move in moves(self.values, self.limits, self.held, at):
            if move.what == TELL and move.value is not None:
                self._tell(move.instance, move.level, move.value, at)
            elif move.what == END and move.clears and move.instance in self.open:
                self.open.pop(move.instance).resolved_at = at

    def _tell(self, instance: str, level: str, value: float, at: datetime) -> None:
        limit = self.limits[instance.partition(":")[0], level]
        message = message_of(self.server.name, limit, instance, value)
        one = self.open.get(instance)
        if one is not None:
            if RANK[level] > RANK[one.level]:
                one.level, one.escalated_at, one.message, one.value = level, at, message, value
            return
        self.open[instance] = one = Firing(
            source="server",
            kind=instance,
            subject=Subject("server", str(self.server.id), self.server.name),
            level=level,
            opened_at=at,
            message=message,
            value=value,
            server_id=self.server.id,
            tags=self.tags,
        )
        self.fired.append(one)


# --- the figures -----------------------------------------------------------------------------------------------------


def _level(report: Report, start: datetime, servers: int, budget: Budget) -> str:
    """Return the finest resolution that is kept for the whole span and small enough."""
    now_ms = _ms(datetime.now(UTC))
    span_ms = _ms(report.until) - _ms(start)
    for level in retention.LEVELS:
        width = retention.interval_s() * 1000 if level is RAW else level.ms
        if _ms(report.since) >= now_ms - level.keep_ms - SLACK_MS and span_ms / width * max(1, servers) <= budget.rows:
            return level.name
    return retention.LEVELS[-1].name


def _figures(
    server: Server, metric: str, level: str, start: datetime, end: datetime, budget: Budget
) -> Iterator[tuple[datetime, dict[str, float]]]:
    if level == "raw":
        yield from _raw(server, metric, _ms(start), _ms(end), budget)
        return
    for points in fleet.export_rows(server, start=start, end=end, resolution=level):
        budget.rows -= len(points)
        for point in points:
            if metric in point.values:
                yield datetime.fromtimestamp(point.at / 1000, UTC), {metric: point.values[metric][0]}


def _raw(
    server: Server, metric: str, first: int, last: int, budget: Budget
) -> Iterator[tuple[datetime, dict[str, float]]]:
    columns = ("load1", "cores") if metric == "load_per_core" else (metric,)
    if metric in _PER_MOUNT:
        columns = (metric, "mounts")
    while True:
        rows = Sample.objects.filter(num=server.num, at__gte=first, at__lte=last).order_by("at")
        page = list(rows.values_list("at", *columns)[:_PAGE])
        budget.rows -= len(page)
        for at, *figures in page:
            yield datetime.fromtimestamp(at / 1000, UTC), _values(metric, figures)
        if len(page) < _PAGE:
            return
        first = page[-1][0] + 1


def _values(metric: str, figures: Iterable[Any]) -> dict[str, float]:
    value, *more = figures
    if metric == "load_per_core":
        return {metric: round(value / more[0], 3)} if value is not None and more[0] else {}
    found = {metric: value} if value is not None else {}
    if metric in _PER_MOUNT:
        column = _PER_MOUNT[metric]
        found |= {f"{metric}:{mount[0]}": mount[column] for mount in json.loads(more[0]) if mount[column] is not None}
    return found


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
