"""Transition tables. An app's `states.py` declares one per state field; its services check it before they write."""

from collections.abc import Mapping

from apps.core.errors import Conflict


class Transitions:
    """The moves that a state allows.

    Args:
        noun: what moves, for the refusal's sentence.
        moves: from-state -> states it may go to.
    """

    def __init__(self, noun: str, moves: Mapping[str, frozenset[str] | set[str]]) -> None:
        self.noun = noun
        self.moves = {state: frozenset(targets) for state, targets in moves.items()}

    def allows(self, before: str, after: str) -> bool:
        """Return whether `before` may become `after`."""
        return after in self.moves.get(before, frozenset())

    def check(self, before: str, after: str) -> None:
        """Refuse a move that the table does not have.

        Raises:
            Conflict: the move is not allowed (409).
        """
        if not self.allows(before, after):
            raise Conflict(
                f"This {self.noun} is {before}; it can't become {after}.",
                code="wrong_state",
                details={"state": before, "wanted": after},
            )
