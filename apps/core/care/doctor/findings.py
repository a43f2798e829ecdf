"""What the doctor says about one thing."""

from dataclasses import dataclass

FINE = "ok"
NOTICE = "notice"
"""Worth knowing; the product works."""
FAILED = "failed"
"""Something is broken, or will be soon."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one thing; where it is not fine, it also says what to do."""

    check: str
    status: str
    sentence: str


def fine(check: str, sentence: str) -> Finding:
    """Return a finding that needs nothing done."""
    return Finding(check, FINE, sentence)


def notice(check: str, sentence: str) -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(check, NOTICE, sentence)


def failed(check: str, sentence: str) -> Finding:
    """Return a finding that somebody must act on."""
    return Finding(check, FAILED, sentence)
