"""One connection of an agent: what is sent over it, and what its runs have written so far."""

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from apps.agents.models import HostAgent
from apps.core.asgi.types import Send

log = logging.getLogger(__name__)

SEND_S = 20.0
OUTBOX_BYTES_MOST = 8 * 1024 * 1024
#: Output that waits for who asked for it; then the command over there waits.
STORED_MOST = 4 * 1024 * 1024
#: Output beyond what an agent was given credit for; it sends a quarter of that.
BEYOND_MOST = 1024 * 1024
BAD_MESSAGE, UNAUTHENTICATED, FORBIDDEN, SILENT, REPLACED, RESTART = 4400, 4401, 4403, 4408, 4409, 1012


def now_iso() -> str:
    """Return the platform's time, by which agents correct theirs."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class RunOutput:
    """How far the output of a run has come, in bytes: received, written down, taken by who waits, told to the agent."""

    received: int = 0
    written: int = 0
    taken: int = 0
    told: int = 0
    is_ended: bool = False


@dataclass(slots=True)
class Connection:
    """What is known of one connection after its agent has proved itself.

    Args:
        token: names it in the database.
    """

    agent: HostAgent
    token: str
    send: Send
    interval: float
    runs: dict[UUID, RunOutput] = field(default_factory=dict)
    asked: set[UUID] = field(default_factory=set)  # what else it was sent and has yet to answer
    heard_at: float = field(default_factory=time.monotonic)
    load: tuple[float | None, float | None, float | None] | None = None  # cpu, memory, disk; percent
    close_code: int = 0
    close_reason: str = ""
    told: Any = None  # the orders it was given last
    _outbox: "asyncio.Queue[str | None]" = field(default_factory=asyncio.Queue)
    _waiting: int = 0

    def tell(self, frame: Mapping[str, Any]) -> None:
        """Send a frame when the agent takes it. One that takes none is cut."""
        if self.close_code:
            return
        text = json.dumps(frame, separators=(",", ":"))
        self._waiting += len(text)
        self._outbox.put_nowait(text)
        if self._waiting > OUTBOX_BYTES_MOST:
            self.cut(SILENT, "The agent takes nothing.")

    def cut(self, code: int, reason: str) -> None:
        """End the connection; what waits is sent before, where that goes quickly."""
        if not self.close_code:
            self.close_code, self.close_reason = code, reason
            self._outbox.put_nowait(None)

    async def write(self) -> None:
        """Send until it is cut."""
        while True:
            text = await self._outbox.get()
            if text is None:
                return
            self._waiting -= len(text)
            try:
                await asyncio.wait_for(self.send({"type": "websocket.send", "text": text}), SEND_S)
            except (TimeoutError, RuntimeError, OSError):
                self.cut(SILENT, "The agent takes nothing.")
                return

    # --- output of runs --------------------------------------------------------------------------------------------

    def output(self, frame: Mapping[str, Any], store: Callable[[UUID, int, bytes], None]) -> None:
        """Take a piece of output.

        Raises:
            ValueError: it is none, one before it is missing, or it comes without credit.
        """
        key, at = UUID(str(frame["id"])), frame["seq"]
        data = base64.b64decode(frame["data"], validate=True)
        run = self.runs.get(key)
        if run is None or run.is_ended:
            self.tell({"type": "forget", "id": str(key)})
            return
        if type(at) is not int or at > run.received:
            raise ValueError("a piece of output is missing")
        if at + len(data) <= run.received:
            return  # it came before
        data = data[run.received - at :]
        if run.received + len(data) > run.told + BEYOND_MOST:
            raise ValueError("more output than it was given credit for")
        store(key, run.received, data)
        run.received += len(data)

    def give_credit(self, key: UUID, *, written: int = 0, taken: int = 0) -> None:
        """Tell the agent what was written down of its output, unless too much of it waits for who asked."""
        run = self.runs.get(key)
        if run is None:
            return
        run.written, run.taken = max(run.written, written), max(run.taken, taken)
        may = min(run.written, run.taken + STORED_MOST)
        if may > run.told:
            run.told = may
            self.tell({"type": "credit", "id": str(key), "bytes": may})
