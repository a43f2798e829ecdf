"""Uptime of heartbeats over the windows that endpoints have too, as far as days tell."""

from datetime import datetime

from apps.monitors.models import Heartbeat
from apps.monitors.selectors.bars import daily_bars
from apps.monitors.selectors.endpoints import Tally

#: Windows: name -> UTC days, today included. Runs are kept by the day, so there is none of an hour.
DAYS = {"today": 1, "7d": 7, "30d": 30, "90d": 90, "1y": 365}


def heartbeat_tallies(heartbeat: Heartbeat, now: datetime | None = None) -> dict[str, Tally]:
    """Count the runs of a heartbeat over each of `DAYS`: good, failed or missed, excused, not known. Two queries."""
    bars = daily_bars("heartbeat", [heartbeat.num], max(DAYS.values()), now)[heartbeat.num]
    tallies = {name: Tally() for name in DAYS}
    for name, days in DAYS.items():
        for bar in bars[-days:]:
            tallies[name].add(bar.up, bar.down, bar.unknown, bar.maintenance)
    return tallies
