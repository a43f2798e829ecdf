"""Does a rule take a fact, and if not, why?"""

from collections.abc import Iterable
from datetime import datetime
from fnmatch import fnmatchcase

from apps.core.events.catalogue import matches
from apps.notifications.models import Rule
from apps.notifications.quiet import is_within
from apps.notifications.routing.facts import FactLike, level_of, names_of, server_of, source_of


def why_not(rule: Rule, fact: FactLike, at: datetime) -> str:
    """Return in one sentence why a rule does not take a fact; "" where it does."""
    if not rule.enabled:
        return "The rule is switched off."
    if not matches(fact.name, rule.events):
        return f"The rule is about {_listed(rule.events)}, not {fact.name}."
    if rule.levels and level_of(fact) not in rule.levels:
        return f"The rule takes the level {_listed(rule.levels)}; this is {level_of(fact)}."
    if rule.sources and source_of(fact) not in rule.sources:
        return f"The rule takes the source {_listed(rule.sources)}; this is {source_of(fact)}."
    if rule.tags and not set(rule.tags) & set(fact.tags):
        return f"The rule asks for the tag {_listed(rule.tags)}; this has {_listed(fact.tags) or 'none'}."
    if rule.subjects and not _is_named(rule.subjects, fact):
        return f"The rule is about {_listed(rule.subjects)}; this is about {fact.subject_name or fact.subject_id}."
    if rule.servers and server_of(fact) not in rule.servers:
        return "The rule is about other servers." if server_of(fact) else "The rule is about servers; this is on none."
    if not is_within(rule.hours, at):
        hours = rule.hours or {}
        return f"The rule counts from {hours['start']} to {hours['end']} ({hours['timezone']}) on its days only."
    return ""


def _is_named(patterns: Iterable[str], fact: FactLike) -> bool:
    names = names_of(fact)
    return any(fnmatchcase(name, pattern.casefold()) for pattern in patterns for name in names)


def _listed(words: Iterable[str]) -> str:
    return " or ".join(words)
