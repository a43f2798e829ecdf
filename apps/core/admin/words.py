"""How the console says things: states with their tone, icon and word; durations, sizes, figures."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from apps.core.events import catalogue


@dataclass(frozen=True, slots=True)
class Look:
    """How a state looks: never by colour alone."""

    tone: str
    icon: str
    word: str


LOOKS: dict[str, Look] = {
    "up": Look("ok", "check_circle", "Up"),
    "online": Look("ok", "check_circle", "Online"),
    "healthy": Look("ok", "check_circle", "Healthy"),
    "ok": Look("ok", "check_circle", "OK"),
    "delivered": Look("ok", "check_circle", "Delivered"),
    "resolved": Look("ok", "task_alt", "Resolved"),
    "success": Look("ok", "check_circle", "Success"),
    "enabled": Look("ok", "check_circle", "Enabled"),
    "valid": Look("ok", "verified_user", "Valid"),
    "degraded": Look("warn", "slow_motion_video", "Degraded"),
    "warning": Look("warn", "warning", "Warning"),
    "late": Look("warn", "schedule", "Late"),
    "expiring": Look("warn", "hourglass_bottom", "Expiring"),
    "down": Look("crit", "cancel", "Down"),
    "critical": Look("crit", "error", "Critical"),
    "error": Look("crit", "error", "Error"),
    "offline": Look("crit", "cloud_off", "Offline"),
    "failed": Look("crit", "cancel", "Failed"),
    "failure": Look("crit", "cancel", "Failed"),
    "fail": Look("crit", "cancel", "Failed"),
    "failing": Look("crit", "error", "Failing"),
    "expired": Look("crit", "event_busy", "Expired"),
    "active": Look("crit", "notifications_active", "Open"),
    "acknowledged": Look("info", "person_check", "Acknowledged"),
    "silenced": Look("unknown", "notifications_off", "Silenced"),
    "started": Look("info", "play_circle", "Running"),
    "running": Look("info", "play_circle", "Running"),
    "start": Look("info", "play_circle", "Start"),
    "log": Look("unknown", "notes", "Log"),
    "sending": Look("info", "outgoing_mail", "Sending"),
    "pending": Look("info", "hourglass_empty", "Waiting"),
    "suppressed": Look("unknown", "block", "Not sent"),
    "info": Look("info", "info", "Info"),
    "new": Look("unknown", "fiber_new", "New"),
    "maintenance": Look("info", "engineering", "Maintenance"),
    "paused": Look("unknown", "pause_circle", "Paused"),
    "unknown": Look("unknown", "help", "Unknown"),
    "disabled": Look("unknown", "block", "Disabled"),
    "off": Look("unknown", "toggle_off", "Off"),
    "ended": Look("unknown", "logout", "Ended"),
    "pinned": Look("ok", "verified_user", "Pinned"),
    "changed": Look("crit", "gpp_bad", "Changed"),
    "succeeded": Look("ok", "check_circle", "Succeeded"),
    "timed_out": Look("crit", "timer_off", "Timed out"),
    "cancelled": Look("unknown", "block", "Cancelled"),
    "lost": Look("warn", "help", "Lost"),
    "revoked": Look("unknown", "block", "Revoked"),
    "approved": Look("ok", "verified_user", "Approved"),
    "rejected": Look("unknown", "block", "Refused"),
}


def look_of(state: Any) -> Look:
    """Return how a state looks; one that is not listed is shown by its own name."""
    key = str(state or "unknown").lower()
    return LOOKS.get(key) or Look("unknown", "circle", key.replace("_", " ").capitalize())


_SHORT = {"api": "API", "ip": "IP", "mfa": "MFA", "ssh": "SSH", "url": "URL"}


def spaced(name: str) -> str:
    """Return a name of code as people read it: "SSH connection"."""
    return " ".join(_SHORT.get(part, part) for part in name.split("_"))


def happening(name: str) -> str:
    """Return what an event says in few words: how its sentence in the catalogue begins; patterns say what they take."""
    if name == "*":
        return "Everything that happens"
    if name.endswith(".*"):
        return f"Everything of the family “{spaced(name[:-2].replace('.', ' '))}”"
    declared = catalogue.get(name)
    if declared is None:
        return name.replace("_", " ").replace(".", " ").capitalize()
    return re.split(r"[.;:](?:\s|$)", declared.doc)[0]


def spoken(seconds: float | None) -> str:
    """Return a length of time in at most two units: "3 d 4 h", "12 min", "45 s"; "" for None."""
    if seconds is None:
        return ""
    seconds = abs(seconds)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.0f} s"
    units = (("d", 86400), ("h", 3600), ("min", 60))
    parts: list[str] = []
    left = int(seconds)
    for name, size in units:
        amount, left = divmod(left, size)
        if amount:
            parts.append(f"{amount} {name}")
        if len(parts) == 2 or (parts and name == "h" and "d" not in parts[0] and amount == 0):
            break
    return " ".join(parts[:2])


def since(moment: datetime | None, now: datetime | None = None) -> str:
    """Return "3 min ago", "in 2 h", "just now"; "never" for None."""
    if moment is None:
        return "never"
    difference = ((now or timezone.now()) - moment).total_seconds()
    if -1 < difference < 5:
        return "just now"
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(difference) >= size:
            figure = f"{int(abs(difference) // size)} {name}"
            break
    else:
        figure = f"{int(abs(difference))} s"
    return f"{figure} ago" if difference > 0 else f"in {figure}"


def exact(moment: datetime | None) -> str:
    """Return a moment in UTC to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if moment else ""


def size(number: float | None) -> str:
    """Return bytes with a binary unit: "1.4 GiB"; "" for None."""
    if number is None:
        return ""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(number) < 1024 or unit == "TiB":
            return f"{number:.0f} {unit}" if unit == "B" or abs(number) >= 100 else f"{number:.1f} {unit}"
        number /= 1024
    return ""


def latency(milliseconds: float | None) -> str:
    """Return a response time: "3.2 ms", "84 ms", "1.25 s"; "–" for None."""
    if milliseconds is None:
        return "–"
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.2f} s"
    return f"{milliseconds:.1f} ms" if milliseconds < 10 else f"{milliseconds:.0f} ms"


def percent(value: float | None, places: int = 2) -> str:
    """Return a share: "100 %", "99.87 %"; never rounds up to 100; "–" for None."""
    if value is None:
        return "–"
    if value >= 100:
        return "100 %"
    text = f"{value:.{places}f}"
    if float(text) >= 100:
        text = f"{100 - 10**-places:.{places}f}"
    return f"{text} %"
