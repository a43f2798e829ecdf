"""What checks of databases have in common: who signs in, what is asked, what must come back."""

from collections.abc import Mapping, Sequence
from typing import Any

from apps.monitors.checks.base import ERROR_LENGTH
from apps.monitors.checks.common import PASSWORD
from apps.monitors.checks.options import Option

_BEGINNINGS = ("SELECT", "SHOW", "WITH", "VALUES", "TABLE", "EXPLAIN")
_SHOWN = 80


def fields(user: str) -> tuple[Option, ...]:
    """Return the options of a database's check.

    Args:
        user: an example of a user's name.
    """
    return (
        Option("username", "User name", most=256, required=True, placeholder=user),
        PASSWORD,
        Option("database", "Database", most=128),
        Option(
            "query",
            "Query",
            most=2000,
            default="SELECT 1",
            help="It runs in a read-only transaction; a user who may read no more than it needs is better still.",
        ),
        Option("expect", "Expected value", most=500, help="What must stand in the first column of the first row."),
    )


def problems(options: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with the query."""
    query = options["query"].strip()
    if ";" in query.rstrip(";"):
        return {"options.query": f"is more than one statement: the first ends at character {query.index(';') + 1}"}
    first = query.split(None, 1)[0].upper().strip("(") if query.split() else ""
    if first not in _BEGINNINGS:
        return {"options.query": f"must read only: it begins with {', '.join(_BEGINNINGS[:-1])} or {_BEGINNINGS[-1]}"}
    return {}


def judge(row: Sequence[Any] | None, expected: str) -> str:
    """Return why the first row is not what was expected, "" where it is."""
    if not expected:
        return ""
    if not row:
        return f"The query found no row; expected was {expected[:_SHOWN]}."
    found = "" if row[0] is None else str(row[0])
    if found == expected:
        return ""
    return f"The query found {found[:_SHOWN] or 'nothing'}; expected was {expected[:_SHOWN]}."[:ERROR_LENGTH]
