"""What people look for in log lines: words, "phrases", prefix*, -not. One language for search and for rules.

A word is a run of letters and digits, as the full-text indexes of both databases see it; anything between is a border,
so `web-1.example` means these three words in a row. Upper and lower case are the same.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apps.core.errors import Invalid

QUERY_MOST = 500
TERMS_MOST = 20
_PARTS = re.compile(r'(?P<not>-?)(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')
_TOKENS = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Term:
    """Words in a row that must occur, or must not.

    Args:
        is_prefix: the last word may go on.
    """

    tokens: tuple[str, ...]
    is_negative: bool = False
    is_prefix: bool = False


def parse_words(query: str, *, name: str = "q", where: str = "query") -> tuple[Term, ...]:
    """Return the terms of a query; none where it is empty.

    Raises:
        Invalid: too long, too many terms, or nothing in it that could be looked for (422).
    """
    query = query.strip()
    if not query:
        return ()
    if len(query) > QUERY_MOST:
        raise Invalid({name: f"is longer than {QUERY_MOST} characters"}, where=where)
    terms: list[Term] = []
    for part in _PARTS.finditer(query):
        text = part["phrase"] if part["phrase"] is not None else part["word"]
        tokens = tuple(_TOKENS.findall(text.lower()))
        if tokens:
            is_prefix = part["word"] is not None and text.endswith("*")
            terms.append(Term(tokens, bool(part["not"]), is_prefix))
    if not terms:
        raise Invalid({name: "holds no word: give letters or digits to look for"}, where=where)
    if len(terms) > TERMS_MOST:
        raise Invalid({name: f"has more than {TERMS_MOST} terms"}, where=where)
    return tuple(terms)


def as_fts5(terms: Sequence[Term]) -> str:
    """Return terms as the query of SQLite's full-text index; "" where none must occur: it can't look for those."""
    wanted = " AND ".join(_fts5(term) for term in terms if not term.is_negative)
    unwanted = as_fts5_of_unwanted(terms)
    return f"({wanted}) NOT ({unwanted})" if wanted and unwanted else wanted


def as_fts5_of_unwanted(terms: Sequence[Term]) -> str:
    """Return the query of SQLite's full-text index for what must not occur."""
    return " OR ".join(_fts5(term) for term in terms if term.is_negative)


def _fts5(term: Term) -> str:
    return f'"{" ".join(term.tokens)}"' + ("*" if term.is_prefix else "")


def as_tsquery(terms: Sequence[Term]) -> str:
    """Return terms as PostgreSQL's `to_tsquery` reads them."""
    return " & ".join(("!" if term.is_negative else "") + f"({_tsquery(term)})" for term in terms)


def _tsquery(term: Term) -> str:
    tokens = [f"'{token}'" for token in term.tokens]
    if term.is_prefix:
        tokens[-1] += ":*"
    return " <-> ".join(tokens)


@lru_cache(512)
def pattern_of(term: Term) -> Any:
    """Return the pattern that finds a term in a line."""
    body = r"[\W_]+".join(re.escape(token) for token in term.tokens)
    end = "" if term.is_prefix else r"(?![^\W_])"
    return re.compile(rf"(?<![^\W_]){body}{end}", re.IGNORECASE)


def matches(terms: Sequence[Term], message: str) -> bool:
    """Return whether a line holds what it must and nothing that it must not."""
    return all((pattern_of(term).search(message) is None) == term.is_negative for term in terms)


def places(terms: Sequence[Term], message: str, most: int = 50) -> list[tuple[int, int]]:
    """Return where the terms stand in a line: (begin, end) in characters, sorted, without overlaps."""
    found = sorted(
        place.span() for term in terms if not term.is_negative for place in pattern_of(term).finditer(message)
    )
    merged: list[tuple[int, int]] = []
    for begin, end in found:
        if merged and begin < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged[:most]
