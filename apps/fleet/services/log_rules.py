"""Rules about log lines: what people set, what lines make of it, and the end of it."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F

from apps.core.errors import Conflict, Invalid, NotFound, PreconditionFailed
from apps.core.events import Subject, emit
from apps.core.patterns import PatternTooSlow, compile_pattern, is_found
from apps.core.principals import Principal, system
from apps.fleet.logs.entries import LEVELS, SOURCES, Line
from apps.fleet.logs.words import Term, matches, parse_words
from apps.fleet.models import LogRule, LogRuleState, Server
from apps.fleet.services.servers import subject_of
from apps.fleet.snapshots import to_iso

log = logging.getLogger(__name__)

FIELDS = (
    "name", "enabled", "server", "tag", "source", "source_name", "levels", "kind", "pattern", "count", "window_s",
    "severity", "quiet_s",
)  # fmt: skip
#: A change of one of these ends what the rule has open: it asks for something else now.
_MEANING = frozenset(FIELDS) - {"name", "severity", "quiet_s"}
#: One line may take a regular expression this long before the rule is switched off.
LINE_S = 0.05
SEARCHED_MOST = 4096  # characters of a line that a regular expression sees
COPY_S = 1.0
TELL_AGAIN_MS = 60_000
TIMES_KEPT = 256
ACTOR = system("logs")


@dataclass(slots=True)
class Rule:
    """A rule ready to be held against lines.

    Args:
        servers: ids of the servers it is about; None for all.
        is_slow: its expression took too long; it is switched off after the batch.
    """

    id: UUID
    name: str
    severity: str
    count: int
    window_s: int
    levels: frozenset[int]
    source: int | None
    source_name: str
    terms: tuple[Term, ...] = ()
    expression: Any = None
    servers: frozenset[UUID] | None = None
    is_slow: bool = field(default=False)

    def is_about(self, server: Server) -> bool:
        """Return whether the rule watches the server."""
        return self.servers is None or server.id in self.servers

    def matches(self, line: Line) -> bool:
        """Return whether the line is one of those the rule counts."""
        if self.levels and line.level not in self.levels:
            return False
        if self.source is not None and line.source != self.source:
            return False
        if self.source_name and line.source_name != self.source_name:
            return False
        if self.expression is None:
            return matches(self.terms, line.message)
        return not self.is_slow and self._is_found(line.message[:SEARCHED_MOST])

    def _is_found(self, text: str) -> bool:
        began = time.thread_time()
        try:
            return is_found(self.expression, text, timeout_s=LINE_S)
        except PatternTooSlow:
            # The clock ran; was it the expression, or a machine that is busy with something else?
            self.is_slow = time.thread_time() - began >= LINE_S / 2
        if not self.is_slow:
            try:
                return is_found(self.expression, text, timeout_s=20 * LINE_S)
            except PatternTooSlow:
                self.is_slow = True
        return False


_copy: tuple[float, list[Rule]] | None = None


def current_rules() -> Sequence[Rule]:
    """Return the rules in force; a copy that is at most a second old."""
    global _copy
    if _copy is None or time.monotonic() - _copy[0] > COPY_S:
        _copy = (time.monotonic(), _load())
    return _copy[1]


def forget_rules() -> None:
    """Drop this process's copy."""
    global _copy
    _copy = None


def _load() -> list[Rule]:
    rules = []
    for row in LogRule.objects.filter(enabled=True).order_by("id"):
        try:
            rules.append(_ready(row))
        except (Invalid, ValueError):
            log.exception("the log rule %s can't be read", row.name)
    return rules


def _ready(row: LogRule) -> Rule:
    servers: frozenset[UUID] | None = None
    if row.server_id:
        servers = frozenset({row.server_id})
    elif row.tag:
        servers = frozenset(Server.objects.filter(tags__name=row.tag).values_list("id", flat=True))
    is_regex = row.kind == LogRule.Kind.REGEX
    return Rule(
        id=row.id,
        name=row.name,
        severity=row.severity,
        count=row.count,
        window_s=row.window_s,
        levels=frozenset(LEVELS[name] for name in row.levels),
        source=SOURCES[row.source] if row.source else None,
        source_name=row.source_name,
        terms=() if is_regex else parse_words(row.pattern, name="pattern", where="body"),
        expression=compile_pattern(row.pattern) if is_regex and row.pattern else None,
        servers=servers,
    )


def rules_of(line: Line, watching: Sequence[Rule]) -> list[Rule]:
    """Return the rules that count this line, whatever its server."""
    return [rule for rule in watching if rule.matches(line)] if watching else []


def switch_off_slow(watching: Sequence[Rule]) -> None:
    """Switch off the rules whose expression took too long for a line: one rule must not hold up everybody's lines.

    Emits: log_rule.updated, system.alert for each.
    """
    for rule in watching:
        if not rule.is_slow:
            continue
        problem = f"Switched off: its expression took over {LINE_S * 1000:.0f} ms for one line. Write it more simply."
        with transaction.atomic():
            row = LogRule.objects.select_for_update().filter(id=rule.id, enabled=True).first()
            if row is None:
                continue
            row.enabled, row.problem, row.revision = False, problem, row.revision + 1
            row.save(update_fields=["enabled", "problem", "revision", "updated_at"])
            _emit("log_rule.updated", row, ACTOR, before={"enabled": True}, after={"enabled": False})
            title = f"The log rule {row.name} was switched off"
            emit(
                "system.alert",
                subject=Subject("log_rule", str(row.id), row.name),
                actor=ACTOR,
                level="warning",
                data={"title": title, "message": problem, "level": "warning"},
            )
        forget_rules()


# --- what lines make of it -----------------------------------------------------------------------------------------


def note_hits(*, rule: Rule, server: Server, lines: Sequence[tuple[int, int, str]], now_ms: int) -> None:
    """Count lines of a server for a rule, in the transaction that writes them.

    Args:
        lines: (time in epoch ms, id, message). They count by their own time, late ones too.

    Emits: log.alert where `count` of them lie within the window; again at most once a minute while more come.
    """
    LogRuleState.objects.bulk_create([LogRuleState(rule_id=rule.id, server=server)], ignore_conflicts=True)
    state = LogRuleState.objects.select_for_update().get(rule_id=rule.id, server=server)
    state.matched_at, state.matched = now_ms, state.matched + len(lines)
    last = max(lines)
    if state.is_open:
        if now_ms - state.told_at >= TELL_AGAIN_MS:
            state.told_at = now_ms
            _tell(rule, server, state, last)
    else:
        times = sorted([*json.loads(state.times), *(at for at, _, _ in lines)])
        if is_reached(times, rule.count, rule.window_s * 1000):
            state.is_open, state.opened_at, state.told_at = True, now_ms, now_ms
            state.matched = len([at for at in times if at >= times[-1] - rule.window_s * 1000])
            state.times = "[]"
            _tell(rule, server, state, last)
        else:
            state.times = json.dumps(times[-max(TIMES_KEPT, rule.count) :])
    state.save()


def is_reached(times: Sequence[int], count: int, window_ms: int) -> bool:
    """Return whether `count` of the sorted times lie within a window."""
    return any(times[n + count - 1] - times[n] <= window_ms for n in range(len(times) - count + 1))


def _facts(rule_id: UUID, name: str, server: Server) -> dict[str, Any]:
    return {
        "rule_id": str(rule_id), "rule": name, "server_id": str(server.id), "slug": server.slug, "name": server.name,
    }  # fmt: skip


def _tell(rule: Rule, server: Server, state: LogRuleState, last: tuple[int, int, str]) -> None:
    at, line_id, text = last
    emit(
        "log.alert",
        subject=subject_of(server),
        actor=ACTOR,
        level=rule.severity,
        server_id=server.id,
        tags=list(server.tags.order_by("name").values_list("name", flat=True)),
        data={
            **_facts(rule.id, rule.name, server),
            "level": rule.severity,
            "matched": state.matched,
            "threshold": rule.count,
            "window_s": rule.window_s,
            "line_id": str(line_id),
            "line": text[:300],
            "at": to_iso(at),
        },
    )


def end_quiet_alerts(now_ms: int | None = None, limit: int = 200) -> int:
    """End what has been quiet for the rule's quiet time; returns how many.

    Emits: log.recovery for each.
    """
    now_ms = now_ms or time.time_ns() // 1_000_000
    due = LogRuleState.objects.filter(is_open=True, matched_at__lt=now_ms - F("rule__quiet_s") * 1000)
    ids = list(due.order_by("matched_at").values_list("id", flat=True)[:limit])
    ended = 0
    for state_id in ids:
        with transaction.atomic():
            state = due.select_for_update(of=("self",)).select_related("rule", "server").filter(id=state_id).first()
            if state is not None:
                _end(state, f"No such line for {state.rule.quiet_s} s.")
                ended += 1
    return ended


def _end(state: LogRuleState, note: str) -> None:
    matched, opened_at = state.matched, state.opened_at
    state.is_open, state.matched, state.times, state.opened_at = False, 0, "[]", None
    state.save()
    began = datetime.fromtimestamp((opened_at or state.matched_at) / 1000, UTC)
    emit(
        "log.recovery",
        subject=subject_of(state.server),
        actor=ACTOR,
        server_id=state.server_id,
        data={
            **_facts(state.rule_id, state.rule.name, state.server),
            "matched": matched,
            "since": began.isoformat(),
            "message": note,
        },
    )


def _end_all(rule: LogRule, note: str) -> None:
    for state in LogRuleState.objects.select_for_update(of=("self",)).select_related("server").filter(rule=rule):
        state.rule = rule
        if state.is_open:
            _end(state, note)
        elif state.times != "[]":
            state.times = "[]"
            state.save(update_fields=["times"])


# --- what people set -----------------------------------------------------------------------------------------------


def create_log_rule(*, actor: Principal, values: Mapping[str, Any]) -> LogRule:
    """Add a rule.

    Args:
        values: the fields of `LogRule` that people set; `server` a Server or None for all.

    Raises:
        Invalid: a value is out of range or a pattern of the wrong form (422).
        Conflict: the name is taken (409).

    Emits: log_rule.created.
    """
    rule = LogRule(**{name: values[name] for name in FIELDS if name in values})
    _check(rule)
    try:
        with transaction.atomic():
            rule.save(force_insert=True)
            _emit("log_rule.created", rule, actor, after=_audited(rule))
    except IntegrityError as error:
        raise Conflict("There is a rule of this name; choose another.", code="name_taken") from error
    forget_rules()
    return rule


def update_log_rule(
    *, rule_id: UUID | str, actor: Principal, values: Mapping[str, Any], expected_revision: int | None = None
) -> LogRule:
    """Change a rule; fields that are not named stay. What it has open ends where it asks for something else now.

    Raises:
        NotFound: no such rule (404).
        PreconditionFailed: it was changed since it was read (412).
        Invalid, Conflict: as `create_log_rule`.

    Emits: log_rule.updated; log.recovery for what ends.
    """
    try:
        with transaction.atomic():
            rule = _locked(rule_id, actor)
            if expected_revision is not None and rule.revision != expected_revision:
                raise PreconditionFailed("Somebody changed this rule since you read it.")
            before = _audited(rule)
            for name in FIELDS:
                if name in values:
                    setattr(rule, name, values[name])
            _check(rule)
            after = _audited(rule)
            changed = {name for name in FIELDS if before[name] != after[name]}
            rule.revision += 1
            rule.problem = "" if rule.enabled else rule.problem
            rule.save()
            if changed & _MEANING:
                _end_all(rule, "The rule was changed.")
            _emit("log_rule.updated", rule, actor, before=before, after=after)
    except IntegrityError as error:
        raise Conflict("There is a rule of this name; choose another.", code="name_taken") from error
    forget_rules()
    return rule


def delete_log_rule(*, rule_id: UUID | str, actor: Principal) -> None:
    """Remove a rule; what it has open ends.

    Raises:
        NotFound: no such rule (404).

    Emits: log_rule.deleted; log.recovery for what ends.
    """
    with transaction.atomic():
        rule = _locked(rule_id, actor)
        _end_all(rule, "The rule was removed.")
        _emit("log_rule.deleted", rule, actor, before=_audited(rule))
        rule.delete()
    forget_rules()


def _locked(rule_id: UUID | str, actor: Principal) -> LogRule:
    rule: LogRule | None = LogRule.objects.visible_to(actor).select_for_update(of=("self",)).filter(id=rule_id).first()
    if rule is None:
        raise NotFound("There is no such rule, or you may not see it.")
    return rule


def _check(rule: LogRule) -> None:
    problems: dict[str, str] = {}
    rule.name = rule.name.strip()
    if not rule.name:
        problems["name"] = "must not be empty"
    if rule.server and rule.tag:
        problems["tag"] = "give a server or a tag, not both"
    if rule.source and rule.source not in SOURCES:
        problems["source"] = f"must be one of {', '.join(SOURCES)}"
    unknown = [name for name in rule.levels if name not in LEVELS]
    if unknown:
        problems["levels"] = f"{unknown[0]} is not one of {', '.join(LEVELS)}"
    for name, least, most in (("count", 1, 10_000), ("window_s", 1, 86_400), ("quiet_s", 10, 7 * 86_400)):
        if not least <= getattr(rule, name) <= most:
            problems[name] = f"must be between {least} and {most}"
    if rule.kind not in LogRule.Kind.values:
        problems["kind"] = f"must be one of {', '.join(LogRule.Kind.values)}"
    if rule.severity not in LogRule.Severity.values:
        problems["severity"] = f"must be one of {', '.join(LogRule.Severity.values)}"
    if rule.kind == LogRule.Kind.REGEX:
        try:
            compile_pattern(rule.pattern)
        except ValueError as error:
            problems["pattern"] = str(error)
    else:
        try:
            parse_words(rule.pattern, name="pattern", where="body")
        except Invalid as error:
            problems["pattern"] = error.problems["pattern"][0]
    if not rule.pattern and not rule.levels and not rule.source_name:
        problems.setdefault("pattern", "give words, an expression, levels or a source name: else every line counts")
    if problems:
        raise Invalid(problems)


def _audited(rule: LogRule) -> dict[str, Any]:
    return {name: getattr(rule, name) for name in FIELDS if name != "server"} | {
        "server": str(rule.server_id) if rule.server_id else None
    }


def _emit(name: str, rule: LogRule, actor: Principal, **change: Any) -> None:
    emit(
        name,
        subject=Subject("log_rule", str(rule.id), rule.name),
        actor=actor,
        data={"rule_id": str(rule.id), "name": rule.name},
        **change,
    )
