"""Terminals in tests: sockets that carry bytes, and a shell whose every move the test decides."""

import asyncio
import json
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from apps.core.masking import Masker
from apps.fleet.terminal.shells import ShellEnd, Size
from tests.support.sockets import AsgiSocket


class TerminalClient(AsgiSocket):
    """Sits at a terminal: keeps what it is shown, and what it is told beside that."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shown = b""
        self.told: list[dict[str, Any]] = []

    async def press(self, data: bytes) -> None:
        """Type."""
        await self._in.put({"type": "websocket.receive", "bytes": data})

    async def drop(self, code: int = 1006) -> None:
        """Lose the connection."""
        await self._in.put({"type": "websocket.disconnect", "code": code})
        await asyncio.wait_for(asyncio.gather(self._task, return_exceptions=True), 10)

    async def step(self, timeout_s: float = 10) -> bool:
        """Take one message; False once it is closed."""
        message = await asyncio.wait_for(self._out.get(), timeout_s)
        if message["type"] == "websocket.close":
            self.close_code, self.close_reason = message["code"], message.get("reason", "")
            return False
        if message.get("bytes") is not None:
            self.shown += message["bytes"]
        elif message["type"] == "websocket.send":
            self.told.append(json.loads(message["text"]))
        return True

    async def until(self, wanted: Callable[[], Any], timeout_s: float = 15) -> Any:
        """Take messages until something is so."""
        end = time.monotonic() + timeout_s
        while not (found := wanted()):
            assert time.monotonic() < end, (self.shown[-500:], self.told)
            assert await self.step(timeout_s), (self.close_code, self.close_reason, self.told)
        return found

    async def until_shown(self, text: bytes) -> None:
        """Take messages until this is shown."""
        await self.until(lambda: text in self.shown)

    async def until_told(self, kind: str) -> dict[str, Any]:
        """Take messages until one of that type is told; returns its data."""
        found = await self.until(lambda: [one for one in self.told if one["type"] == kind])
        return dict(found[-1]["data"])

    async def until_closed(self) -> int:
        """Take messages to the end; returns the code."""
        while await self.step():
            pass
        assert self.close_code is not None
        return self.close_code


class ScriptedShell:
    """A shell that writes what the test gives it and keeps what is typed."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        self.masker = Masker(secrets)
        self.output: queue.Queue[bytes] = queue.Queue()
        self.typed = b""
        self.sizes: list[Size] = []
        self.closed = threading.Event()
        self.takes_input = True
        self.read_bytes = 0
        self.ended = ShellEnd(0)

    def read(self, timeout_s: float) -> bytes | None:
        """Return what the test gave."""
        try:
            data = self.output.get(timeout=timeout_s)
        except queue.Empty:
            return None
        self.read_bytes += len(data)
        return data

    def write(self, data: bytes, timeout_s: float) -> int:
        """Take input in pieces, as terminals do."""
        if not self.takes_input:
            time.sleep(0.01)
            return 0
        self.typed += data[:4096]
        return min(len(data), 4096)

    def resize(self, size: Size) -> None:
        """Keep the size."""
        self.sizes.append(size)

    def end(self) -> ShellEnd:
        """Return how it ended."""
        return self.ended

    def close(self) -> None:
        """Note that it was closed."""
        self.closed.set()
