"""Endpoint drafts: what a format says, fitted to what the check types of this installation declare."""

from typing import Any

from apps.monitors.checks import check_types
from apps.monitors.importers.base import ENDPOINT, Draft
from apps.monitors.services.endpoint_rules import DEFAULTS, INTERVAL_S, THRESHOLD, TIMEOUT_S

#: What every type takes, whatever it checks.
_COMMON = frozenset(
    {"name", "description", "target", "enabled", "interval_s", "timeout_s", "failure_threshold", "recovery_threshold",
     "degraded_over_ms", "inverse", "tags"}
)  # fmt: skip


class EndpointDraft:
    """A draft of an endpoint. What its type does not declare becomes a note instead of a value."""

    def __init__(self, place: str, name: str, endpoint_type: str, *, key: str = "", theirs: str = "") -> None:
        self.draft = Draft(place=place, kind=ENDPOINT, name=name[:255], key=key)
        self.draft.values = {"name": name[:255], "endpoint_type": endpoint_type, "options": {}}
        self._kind = check_types.get(endpoint_type)
        if self._kind is None:
            self.draft.problem = f"There is no check of the type {theirs or endpoint_type}."

    def set(self, column: str, value: Any, meaning: str = "") -> None:
        """Set a column where the type has it."""
        if self._kind is None:
            return
        if column in DEFAULTS and (column in _COMMON or column in self._kind.columns):
            self.draft.values[column] = value
        elif meaning:
            self.note(f"{meaning} is not carried over: checks of this type have none.")

    def option(self, name: str, value: Any, meaning: str = "") -> None:
        """Set an option where the type declares it."""
        if self._kind is None:
            return
        if any(one.name == name for one in self._kind.fields):
            self.draft.values["options"][name] = value
        elif meaning:
            self.note(f"{meaning} is not carried over: checks of this type have no option for it.")

    def takes(self, name: str) -> bool:
        """Return whether the type has such a column or option."""
        if self._kind is None:
            return False
        return name in self._kind.columns or any(one.name == name for one in self._kind.fields)

    def note(self, sentence: str) -> None:
        """Say what is not carried over, or turns out otherwise."""
        if sentence not in self.draft.notes:
            self.draft.notes.append(sentence)

    def refuse(self, problem: str) -> None:
        """Say why it can't be made; the first reason stands."""
        self.draft.problem = self.draft.problem or problem

    def timing(self, interval_s: float | None, timeout_s: float | None = None) -> None:
        """Set interval and time-out, moved into the bounds that hold here."""
        if interval_s:
            fitting = int(min(max(round(interval_s), INTERVAL_S[0]), INTERVAL_S[1]))
            if fitting != round(interval_s):
                self.note(f"It is checked every {fitting} s instead of every {interval_s:g} s.")
            self.set("interval_s", fitting)
        if timeout_s:
            most = min(TIMEOUT_S[1], float(self.draft.values.get("interval_s", DEFAULTS["interval_s"])))
            self.set("timeout_s", min(max(float(timeout_s), TIMEOUT_S[0]), most))

    def thresholds(self, failures: int | None = None, successes: int | None = None) -> None:
        """Set how often in a row it must fail, and be well again, before people are told."""
        for column, value in (("failure_threshold", failures), ("recovery_threshold", successes)):
            if value is not None:
                self.set(column, min(max(value, THRESHOLD[0]), THRESHOLD[1]))

    def header(self, name: str, value: str) -> None:
        """Add a header, unless one of that name is set."""
        headers = dict(self.draft.values.get("headers") or {})
        if name.lower() not in {known.lower() for known in headers}:
            headers[name] = value
            self.set("headers", headers, f"The header {name}")


def tags_of(words: list[str]) -> list[str]:
    """Return tags in their bounds: at most 20, of at most 64 characters."""
    return list(dict.fromkeys(word.strip()[:64] for word in words if word.strip()))[:20]


def host_and_port(host: str, port: int | None) -> str:
    """Return host:port, brackets around an IPv6 address."""
    shown = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"{shown}:{port}" if port else shown


def final_codes(accepted: str) -> str:
    """Return accepted codes without redirects, for one that follows them: here, expecting one means not to follow.

    Nothing but redirects stays as it is.
    """
    kept = []
    for part in accepted.split(","):
        low, _, high = part.strip().partition("-")
        if not low.isdigit() or (high and not high.isdigit()):
            kept.append(part.strip())
            continue
        first, last = int(low), int(high or low)
        below, above = (first, min(last, 299)), (max(first, 400), last)
        kept += [f"{a}-{b}" if a != b else str(a) for a, b in (below, above) if a <= b]
    return ",".join(kept) or accepted
