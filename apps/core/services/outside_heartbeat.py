"""Who watches the watchkeeper: a service outside is pinged only while alerting works here.

When the process that sends messages dies, hangs or can't write, nobody here can tell it. So it pings a service
elsewhere, which tells people when the pings stay out. Before each ping every vital sign is asked; where one is not well
none is sent, and nothing else either: silence is the message.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.db.models import F, Min
from django.utils import timezone

from apps.core import runtime_settings
from apps.core.conditions import begin_condition, end_condition
from apps.core.events.readers import readers
from apps.core.events.sequencer import last_seq
from apps.core.models import Event, OutsideHeartbeat, ReaderCursor, StoredSetting
from apps.core.net import NetError, Purpose, check_url, request
from apps.core.registries import Health, health_parts, vital_signs, watches

log = logging.getLogger(__name__)

CONDITION = "outside-heartbeat"
TIMEOUT_S = 15.0
RETRY_S = 30.0
#: For so long it fails before people are told here.
LASTING = timedelta(minutes=5)
#: A fact that nobody has read, or a message that nobody has sent, for so long is stuck.
STUCK = timedelta(minutes=2)
#: Beyond interval, time-out and retry; then the sender itself is away.
MARGIN = timedelta(seconds=60)


def _check_address(url: str) -> None:
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give an address that begins with https:// or http://")
        if len(url) > 2000:
            raise ValueError("is longer than 2000 characters")
        check_url(url, Purpose.DELIVER)
    except NetError as error:
        raise ValueError(error.message.replace(url, "the address")) from error


runtime_settings.declare(
    "outside_heartbeat",
    "url",
    "str",
    "",
    "Address that is fetched as long as alerting works here: a check at Healthchecks, a heartbeat of another "
    "Watchkeeper on another machine. Kept sealed. Empty: off.",
    secret=True,
    check=_check_address,
)
runtime_settings.declare(
    "outside_heartbeat",
    "interval",
    "duration",
    60,
    "How often. Tell the service outside the same, with a grace of two minutes.",
    least=30,
    most=3600,
)


@dataclass(frozen=True, slots=True)
class PingResult:
    """What came of a ping; `problem` is "" where it was accepted."""

    at: datetime
    problem: str


def address() -> str:
    """Return the address that is pinged, "" where none is."""
    return str(runtime_settings.get("outside_heartbeat.url"))


def claim_ping(now: datetime) -> bool:
    """Return whether to ping now: it is due, everything is well, and no other process does it.

    Where something is not well the reason is kept, and told once it lasts.

    Emits: system.alert, once where it lasts and once when it is over.
    """
    row = OutsideHeartbeat.objects.first()
    if not address():
        if row is not None:
            OutsideHeartbeat.objects.all().delete()
            end_condition(name=CONDITION, title="The outside heartbeat is off", message="Its address was removed.")
        return False
    if row is None:
        row, _ = OutsideHeartbeat.objects.get_or_create(id=1)
    if row.tried_at is not None and now - row.tried_at < _wait(row) and not _is_new(row.tried_at):
        return False
    reason = what_is_wrong(now)
    if reason:
        _note_failure(row, now, reason, is_held=True)
        return False
    # Writes in any case: a database that takes no row must not look well.
    return bool(OutsideHeartbeat.objects.filter(id=1, tried_at=row.tried_at).update(tried_at=now))


def _is_new(tried_at: datetime) -> bool:
    """Return whether the address was set after the last try: people want to see at once that it works."""
    return StoredSetting.objects.filter(name="outside_heartbeat.url", updated_at__gt=tried_at).exists()


def _wait(row: OutsideHeartbeat) -> timedelta:
    interval = runtime_settings.get("outside_heartbeat.interval")
    return timedelta(seconds=min(interval, RETRY_S) if row.failing_since and not row.is_held else interval)


def what_is_wrong(now: datetime) -> str:
    """Return what keeps us from alerting, in sentences; "" where nothing does."""
    found = []
    for name, ask in vital_signs.items():
        try:
            found.append(ask(now))
        except Exception as error:  # what can't be asked is not well
            log.exception("the vital sign %s can't be asked", name)
            found.append(f"Whether {name} go on can't be seen: {type(error).__name__}.")
    return " ".join(sentence for sentence in found if sentence)


async def send_ping(url: str) -> PingResult:
    """Ping once; redirects are not followed, so that the address goes to nobody else."""
    if not url:
        return PingResult(timezone.now(), "Its address was removed.")
    try:
        answer = await request(
            "GET",
            url,
            purpose=Purpose.DELIVER,
            headers={"User-Agent": "Watchkeeper"},
            timeout_s=TIMEOUT_S,
            max_body_bytes=0,
        )
    except NetError as error:
        return PingResult(timezone.now(), error.message.replace(url, "the address"))
    if answer.ok:
        return PingResult(timezone.now(), "")
    if 300 <= answer.status < 400:
        return PingResult(timezone.now(), f"It redirects ({answer.status}); set the address that it leads to.")
    return PingResult(timezone.now(), f"It answered {answer.status} {answer.reason}".strip() + ".")


def record_pings(results: Sequence[PingResult]) -> None:
    """Keep what came of pings.

    Emits: system.alert, once where failures last and once when it is over.
    """
    for result in results:
        row = OutsideHeartbeat.objects.first()
        if row is None:
            continue  # switched off meanwhile
        if result.problem:
            _note_failure(row, result.at, f"The service outside did not take the ping: {result.problem}", is_held=False)
            continue
        OutsideHeartbeat.objects.filter(id=1).update(sent_at=result.at, failing_since=None, reason="", is_held=False)
        end_condition(
            name=CONDITION, title="The outside heartbeat goes out again", message="The service outside is pinged again."
        )


def _note_failure(row: OutsideHeartbeat, now: datetime, reason: str, *, is_held: bool) -> None:
    since, reason = row.failing_since or now, reason[:500]
    if (row.failing_since, row.reason, row.is_held) != (since, reason, is_held):
        OutsideHeartbeat.objects.filter(id=1).update(failing_since=since, reason=reason, is_held=is_held)
    if now - since >= LASTING:
        begin_condition(
            name=CONDITION,
            title="The outside heartbeat is held back" if is_held else "The outside heartbeat does not arrive",
            message=f"Since {since:%Y-%m-%d %H:%M:%S} UTC no outside heartbeat went out. {reason}",
            level="warning",
        )


# --- vital signs -------------------------------------------------------------------------------------------------


def _schedules(now: datetime) -> str:
    """Say what nobody has looked at although its time has come."""
    overdue = [found for _, watch in watches.items() if (found := watch.find(now)) is not None]
    parts = "; ".join(f"{one.what} since {one.since:%H:%M:%S} UTC" for one in overdue)
    return f"Not looked at: {parts}." if parts else ""


def _readers(now: datetime) -> str:
    """Say which readers have not read what is older than two minutes."""
    if Event.objects.filter(seq__isnull=True, at__lt=now - STUCK).exists():
        return "Facts older than two minutes have no number yet."
    newest = last_seq()
    behind = ReaderCursor.objects.filter(name__in=list(readers), seq__lt=newest)
    least = behind.aggregate(least=Min("seq"))["least"]
    if least is None:
        return ""
    unread = Event.objects.filter(seq__gt=least).order_by("seq").values_list("at", "seq").first()
    if unread is None or unread[0] >= now - STUCK:
        return ""
    names = sorted(behind.filter(seq__lt=unread[1]).order_by(F("seq")).values_list("name", flat=True)[:3])
    return f"Facts older than two minutes are not read by {', '.join(names)}."


vital_signs.register("schedules", _schedules)
vital_signs.register("readers", _readers)


# --- how it is ---------------------------------------------------------------------------------------------------


def health() -> Health:
    """Answer whether the service outside is pinged, and if not why."""
    if not address():
        return Health("off", "No address is set: nobody outside notices when this installation falls silent.")
    row = OutsideHeartbeat.objects.first()
    if row is None or row.tried_at is None and not row.failing_since:
        return Health("degraded", "No ping was sent yet; the first comes within seconds of the worker's start.")
    accepted = f"The last one was accepted {_ago(row.sent_at)}." if row.sent_at else "None was ever accepted."
    if row.failing_since is not None:
        return Health("degraded", f"{row.reason} {accepted}")
    limit = timedelta(seconds=runtime_settings.get("outside_heartbeat.interval") + TIMEOUT_S) + MARGIN
    if row.sent_at is None or timezone.now() - row.sent_at > limit:
        return Health("degraded", f"The worker sends no pings. {accepted}")
    return Health("ok", f"The last ping was accepted {_ago(row.sent_at)}.")


def _ago(at: datetime | None) -> str:
    seconds = int((timezone.now() - at).total_seconds()) if at else 0
    return f"{seconds} s ago" if seconds < 120 else f"{seconds // 60} min ago"


health_parts.register("outside_heartbeat", health)
