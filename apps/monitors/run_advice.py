"""What the recorded runs say about a schedule: a wrong time zone, too short a grace, another interval. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from statistics import median

from apps.monitors.forecasts import gaps, naive_slots, nearest
from apps.monitors.schedules import Schedule, default_grace_s, duration_words, is_calendar, zone_names, zone_of

#: So many runs in a row must agree before an offset is told.
OFFSET_RUNS = 3
#: More runs than this are not looked at.
RUNS_MOST = 12
#: Zones named in an advice.
ZONES_MOST = 5
#: Schedules that come more often than this show no zone: any whole hour looks alike.
_RARE_S = 3600
_EARLY, _LATE = timedelta(minutes=2), timedelta(minutes=10)
_AROUND = timedelta(hours=26)
_STEPS = (60, 120, 300, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200, 10800, 14400, 21600, 28800, 43200, 86400,
          172800, 604800)  # fmt: skip
# Where a clock's offset fits many zones, those that most people's machines are set to come first.
_COMMON = (
    "UTC", "Europe/London", "Europe/Berlin", "Europe/Paris", "Europe/Athens", "Europe/Moscow", "America/New_York",
    "America/Chicago", "America/Denver", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Shanghai",
    "Asia/Tokyo", "Asia/Singapore", "Asia/Dubai", "Asia/Kathmandu", "Australia/Sydney", "Australia/Adelaide",
    "Africa/Lagos", "Africa/Johannesburg", "Pacific/Auckland",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Offset:
    """A steady distance between the expected and the actual times, and the zones that explain it.

    Args:
        seconds: actual minus expected time of the newest run; positive is late.
        zones: IANA names, the likeliest first.
    """

    seconds: int
    runs: int
    zones: list[str]
    sentence: str


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Values that fit the recorded runs better; None where the present one fits."""

    sentence: str
    grace_seconds: int | None = None
    interval_seconds: int | None = None
    early_seconds: int | None = None


def find_offset(
    schedule: Schedule, arrivals: Sequence[datetime], *, period_s: int, likely: Iterable[str] = (), are_starts: bool
) -> Offset | None:
    """Return the steady offset of the newest runs, None where they fit or no zone explains them.

    The zones' offsets at the time of each run count, so that runs on both sides of a clock change tell zones apart.

    Args:
        arrivals: when runs began (`are_starts`) or reported their end, newest first.
        likely: zones to prefer, e.g. those of the other heartbeats.
    """
    arrivals = arrivals[:RUNS_MOST]
    if not schedule.cron or is_calendar(schedule.cron) or len(arrivals) < OFFSET_RUNS or period_s < _RARE_S:
        return None
    late = min(_LATE, timedelta(seconds=period_s / 4))
    slots = [_slots_around(schedule.cron, at) for at in arrivals]

    def fits(index: int, offset: timedelta) -> bool:
        distance = nearest(slots[index], arrivals[index].astimezone(UTC).replace(tzinfo=None) + offset)
        return distance is not None and -_EARLY <= distance <= late

    own = [_offset(schedule.timezone, at) for at in arrivals]
    if any(fits(index, own[index]) for index in range(OFFSET_RUNS)):
        return None
    rank = {name: n for n, name in reversed(list(enumerate((*likely, *_COMMON))))}
    explained: list[tuple[int, float, int, str]] = []  # runs explained (negative), size of the shift, rank, zone
    answers: dict[tuple[int, timedelta], bool] = {}
    for name in zone_names():
        if "/" not in name and name != "UTC" or name.startswith(("Etc/", "posix/", "right/", "SystemV/")):
            continue
        count = 0
        for index, at in enumerate(arrivals):
            offset = _offset(name, at)
            key = (index, offset)
            if key not in answers:
                answers[key] = fits(index, offset)
            if not answers[key]:
                break
            count += 1
        if count >= OFFSET_RUNS:
            shift = abs((_offset(name, arrivals[0]) - own[0]).total_seconds())
            explained.append((-count, shift, rank.get(name, 1_000), name))
    if not explained:
        return None
    explained.sort()
    count, shift = explained[0][:2]
    alike = [row for row in explained if row[:2] == (count, shift)]
    zones = [row[3] for row in alike if row[2] < 1_000][:ZONES_MOST] or [row[3] for row in alike][:ZONES_MOST]
    seconds = round((own[0] - _offset(zones[0], arrivals[0])).total_seconds())
    sentence = (
        f"The last {-count} runs came {duration_words(abs(seconds))} {'later' if seconds > 0 else 'earlier'} than "
        f"expected in {schedule.timezone}. The job's clock is probably that of {_either(zones)}: set the time zone of "
        "this heartbeat to it, or change the job's."
    )
    if seconds > 0 and not are_starts:
        sentence += " If the job just takes that long, let it report its start too."
    return Offset(seconds, -count, zones, sentence)


def suggest(
    schedule: Schedule,
    arrivals: Sequence[datetime],
    *,
    grace_s: int,
    early_s: int,
    period_s: int,
) -> Suggestion | None:
    """Return values that fit the recorded successes, None where too few are known.

    Args:
        arrivals: times of successes, newest first.
    """
    times = sorted(arrivals)
    if len(times) < OFFSET_RUNS + 1:
        return None
    return _for_cron(schedule, times, grace_s, early_s, period_s) if schedule.cron else _for_interval(
        schedule.interval_seconds or 0, times, grace_s
    )  # fmt: skip


def _for_interval(interval: int, times: list[datetime], grace_s: int) -> Suggestion:
    between = gaps(times)
    usual = median(between)
    spread = max(between) - usual
    if usual < 0.8 * interval or usual > 1.05 * interval:
        better = min(_STEPS, key=lambda step: abs(step - usual))
        if abs(better - usual) > 0.1 * usual:
            better = max(10, round(usual))
        grace = max(default_grace_s(better), _step_up(1.5 * spread + 30))
        often = "more often" if usual < interval else "less often"
        return Suggestion(
            f"It reports every {duration_words(round(usual))}, {often} than the interval of "
            f"{duration_words(interval)}: an interval of {duration_words(better)} with {duration_words(grace)} of "
            "grace fits what it does.",
            grace_seconds=grace,
            interval_seconds=better,
        )
    return _grace(max(0.0, max(between) - interval), grace_s)


def _for_cron(
    schedule: Schedule, times: list[datetime], grace_s: int, early_s: int, period_s: int
) -> Suggestion | None:
    slots = sorted(slot for at in times for slot in _real_slots_around(schedule, at, period_s))
    distances = [distance.total_seconds() for at in times if (distance := nearest(slots, at)) is not None]
    if not distances:
        return None
    earliest = -min(0.0, min(distances))
    if early_s < earliest < period_s / 4:
        better = min(_step_up(earliest + 30), period_s - 60)
        return Suggestion(
            f"Runs reported up to {duration_words(max(1, round(earliest)))} before their time: an early window of "
            f"{duration_words(better)} counts them for the coming run.",
            early_seconds=better,
        )
    return _grace(max(0.0, max(distances)), grace_s)


def _grace(latest: float, grace_s: int) -> Suggestion:
    came = f"Runs came at most {duration_words(round(latest))} after they were due"
    better = max(60, _step_up(1.5 * latest + 30))
    if latest > grace_s:
        return Suggestion(
            f"{came}; a grace of {duration_words(better)} covers that, {duration_words(grace_s)} does not.",
            grace_seconds=better,
        )
    if grace_s > 4 * better:
        return Suggestion(
            f"{came}: with a grace of {duration_words(better)} in place of {duration_words(grace_s)} you would hear "
            "of a missing one sooner.",
            grace_seconds=better,
        )
    return Suggestion(f"{came}; the grace of {duration_words(grace_s)} fits.")


def _step_up(seconds: float) -> int:
    return next((step for step in _STEPS if step >= seconds), _STEPS[-1])


@lru_cache(8_192)
def _zone_offset(name: str, hour: int) -> timedelta:
    return datetime.fromtimestamp(hour * 900, UTC).astimezone(zone_of(name)).utcoffset() or timedelta(0)


def _offset(name: str, at: datetime) -> timedelta:
    return _zone_offset(name, int(at.timestamp() // 900))  # clocks change on quarters of an hour


def _slots_around(cron: str, at: datetime) -> list[datetime]:
    naive = at.astimezone(UTC).replace(tzinfo=None)
    return list(naive_slots(cron, naive - _AROUND, naive + _AROUND))


def _real_slots_around(schedule: Schedule, at: datetime, period_s: int) -> list[datetime]:
    # From one shortest period before: the slot before `at` lies in it wherever the slots are regular.
    found, slot = [], at - timedelta(seconds=min(period_s, 86_400))
    for _ in range(3):
        slot = schedule.next_after(slot)
        found.append(slot)
    return found


def _either(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
