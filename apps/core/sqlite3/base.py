"""The backend's entry point, as Django looks for it."""

from functools import lru_cache
from typing import Any

from django.db.backends.sqlite3 import base

from apps.core.sqlite3.turns import Turns

_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "REPLAC"})


@lru_cache(256)
def _with_marks(query: str) -> str:
    return str(base.FORMAT_QMARK_REGEX.sub("?", query).replace("%%", "%"))


class TurnCursor(base.SQLiteCursorWrapper):
    """A cursor whose single writing statements take their turn too."""

    owner: "DatabaseWrapper"

    def execute(self, query: str, params: Any = None) -> Any:
        """Execute, in turn where the statement writes outside of a transaction."""
        if not self._needs_turn(query):
            return super().execute(query, params)
        self.owner.enter_turn()
        try:
            return super().execute(query, params)
        finally:
            self.owner.leave_turn()

    def executemany(self, query: str, param_list: Any) -> Any:
        """Execute for many, in turn where the statement writes outside of a transaction."""
        if not self._needs_turn(query):
            return super().executemany(query, param_list)
        self.owner.enter_turn()
        try:
            return super().executemany(query, param_list)
        finally:
            self.owner.leave_turn()

    def convert_query(self, query: str, *, param_names: Any = None) -> str:
        """Return the statement with SQLite's marks for values; the same few are asked for again and again."""
        return _with_marks(query) if param_names is None else str(super().convert_query(query, param_names=param_names))

    def _needs_turn(self, query: str) -> bool:
        return not self.owner.in_atomic_block and query.lstrip()[:6].upper() in _WRITES


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that takes its turn before it writes."""

    _turns: Turns | None = None

    def enter_turn(self) -> None:
        """Wait until this connection may write."""
        if self._turns is None and not self.is_in_memory_db():
            self._turns = Turns(str(self.settings_dict["NAME"]))
        if self._turns is not None:
            self._turns.enter()

    def leave_turn(self) -> None:
        """Let the next one write."""
        if self._turns is not None:
            self._turns.leave()

    def create_cursor(self, name: str | None = None) -> Any:
        """Return a cursor that knows its connection."""
        cursor = self.connection.cursor(factory=TurnCursor)
        cursor.owner = self
        return cursor

    def _start_transaction_under_autocommit(self) -> None:
        self.enter_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            self.leave_turn()
            raise

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]
        self.leave_turn()

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]
        finally:
            self.leave_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]
        finally:
            if self._turns is not None:
                turns, self._turns = self._turns, None
                turns.close()
